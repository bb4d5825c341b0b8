package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// told is the file of an archive with what check says.
const told = "told"

// unseen are the octets that no editor shows, and what stands for them in the
// archives.
var unseen = strings.NewReplacer("␀", "\x00", "␉", "\t", "⍰", "\xff")

// mistake is a configuration with one mistake or more, in a folder of its own.
type mistake struct {
	t       *testing.T
	archive *txtar.Archive
	path    string
	folder  string
}

func archives(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

func unpack(t *testing.T, path string) *mistake {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &mistake{t: t, archive: archive, path: path, folder: t.TempDir()}
	for _, f := range archive.Files {
		name := filepath.Join(m.folder, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(unseen.Replace(string(f.Data)), "{private key}", privateKey(t))), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(f.Name, "open-") { // for everybody to read
			if err := os.Chmod(name, 0o644); err != nil { //nolint:gosec // that is what is doubted
				t.Fatal(err)
			}
		}
	}
	return m
}

// privateKey is a key that nobody has seen before, in PEM.
func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (m *mistake) file(name string) *txtar.File {
	m.t.Helper()
	i := slices.IndexFunc(m.archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		m.t.Fatalf("%s has no %s", m.path, name)
	}
	return &m.archive.Files[i]
}

// run runs a command on a file of the archive, with the environment of its env.
func (m *mistake) run(command, file string, flags ...string) outcome {
	m.t.Helper()
	variables := map[string]string{}
	for _, f := range m.archive.Files {
		for line := range strings.Lines(string(f.Data)) {
			if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && f.Name == "env" {
				variables[name] = strings.ReplaceAll(value, "|", "\n")
			}
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(&app{
		ctx: m.t.Context(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, program: "wicketgate",
		env: func(name string) (string, bool) { value, found := variables[name]; return value, found },
	}, append([]string{command, "--config", filepath.Join(m.folder, file)}, flags...))
	http.DefaultClient.CloseIdleConnections()
	here := strings.NewReplacer(m.folder+string(filepath.Separator), "", m.folder, ".")
	return outcome{code, here.Replace(stdout.String()), here.Replace(stderr.String())}
}

// wantTold holds what was said against the archive, or writes it there.
func (m *mistake) wantTold(got string) {
	m.t.Helper()
	want := m.file(told)
	if *updateExplained {
		want.Data = []byte(got)
		if err := os.WriteFile(m.path, txtar.Format(m.archive), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
	if got != string(want.Data) {
		m.t.Errorf("got:\n%s\nwant:\n%s", got, want.Data)
	}
}

// TestMistakes: check says of each mistake where it is, what is wrong and what
// to do, and serve says the same and opens nothing.
func TestMistakes(t *testing.T) {
	names := archives(t, "mistakes")
	if len(names) < 60 {
		t.Errorf("%d mistakes", len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			m := unpack(t, name)
			checked := m.run("check", "config.yaml")
			if checked.code != exitConfig || checked.stdout != "" {
				t.Errorf("check: exit code %d, want %d; stdout %q", checked.code, exitConfig, checked.stdout)
			}
			m.wantTold(checked.stderr)
			if strings.Contains(checked.stderr, "hunter2") {
				t.Error("a secret is shown")
			}
			served := m.run("serve", "config.yaml")
			if served.code != exitConfig || strings.Contains(served.stderr, `"serving"`) {
				t.Errorf("serve: exit code %d, want %d, before anything is opened; stderr:\n%s", served.code, exitConfig, served.stderr)
			}
			if !strings.HasSuffix(served.stderr, checked.stderr) {
				t.Errorf("serve says it otherwise:\n%s", served.stderr)
			}
		})
	}
}

// TestReloadOfMistakes: a gate that runs keeps what it has, whichever layer
// finds the mistake.
func TestReloadOfMistakes(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	good := contents(t, f.gateway.path)
	for _, name := range []string{"not-yaml", "nul", "misspelt-key", "bare-duration", "environment-missing", "path-stars-inside", "route-conflict", "ca-without-certificate", "nonce-secret-short", "ten-mistakes", "ten-build-mistakes"} {
		t.Run(name, func(t *testing.T) {
			f, m := f.in(t), unpack(t, filepath.Join("testdata", "mistakes", name+".txtar"))
			for _, file := range m.archive.Files {
				if file.Name != "config.yaml" {
					if err := os.WriteFile(filepath.Join(filepath.Dir(f.gateway.path), file.Name), file.Data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := len(f.log.String())
			f.overwrite(unseen.Replace(string(m.file("config.yaml").Data)))
			f.gateway.tryReload("test")
			f.wantReload("0")
			first, _, _ := strings.Cut(strings.TrimPrefix(string(m.file(told).Data), "config.yaml"), "\n")
			log := strings.ReplaceAll(f.log.String()[before:], `\"`, `"`)
			if !strings.Contains(log, first) && !strings.Contains(log, "restart needed") { // the addresses are others, too
				t.Errorf("the log does not say %q", first)
			}
			f.wantStatus("/read", http.StatusOK)
			f.wantStatus("/orders/1", http.StatusNotFound)
			f.overwrite(good)
			f.gateway.tryReload("test")
			f.wantReload("1")
		})
	}
}
