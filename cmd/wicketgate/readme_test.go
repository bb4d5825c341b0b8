package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/token"
)

const repository = "../.."

// manual lists the files users read.
func manual(t *testing.T) []string {
	t.Helper()
	files := []string{filepath.Join(repository, "README.md")}
	err := filepath.WalkDir(filepath.Join(repository, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks lists what stands between fences of a language.
func blocks(text, language string) []string {
	var list []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		list = append(list, match[1])
	}
	return list
}

func TestManualConfigurations(t *testing.T) {
	var all []string
	for _, path := range manual(t) {
		for _, block := range blocks(contents(t, path), "yaml") {
			all = append(all, block)
			if strings.HasPrefix(block, "routes:") { // a part, for the smallest file
				block = config.Smallest() + "    " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
			}
			if _, err := config.Parse(path, []byte(block), func(string) (string, bool) { return "", false }); err != nil {
				t.Errorf("%s:\n%s\n%v", path, block, err)
			}
		}
	}
	if !slices.Contains(all, config.Smallest()) {
		t.Error("the smallest file is not shown as the program shows it")
	}
}

// session is the README's block of requests.
func session(t *testing.T) string {
	t.Helper()
	_, after, found := strings.Cut(contents(t, filepath.Join(repository, "README.md")), "<!-- session:")
	if list := blocks(after, "sh"); found && len(list) > 0 {
		return list[0]
	}
	t.Fatal("README.md has no session")
	return ""
}

// TestSession runs the demo on free ports and in a shell what the README says
// to type.
func TestSession(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	var stderr lockedBuffer
	go func() {
		a := &app{ctx: ctx, stdout: writer, stderr: &stderr, env: func(string) (string, bool) { return "", false }, program: "wicketgate"}
		ended <- run(a, []string{"demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--issuer", "127.0.0.1:0", "--api", "127.0.0.1:0"})
		_ = writer.Close()
	}()
	defer func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("the demo ended with %d: %s", code, stderr.String())
		}
	}()
	printed := readUntil(t, reader, "Ctrl-C ends it.\n")
	go func() { _, _ = io.Copy(io.Discard, reader) }() // ends with the demo
	found := regexp.MustCompile(`The gate is at (http://\S+), .* the issuer at (http://\S+)\.\n`).FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("no addresses in:\n%s", printed)
	}
	script := strings.NewReplacer(
		"http://127.0.0.1:8420", found[1], "wicketgate token --", "wicketgate token --issuer "+found[2]+" --",
	).Replace(session(t))
	if _, lines, _ := strings.Cut(printed, "another terminal:\n"); commandLines(lines) != commandLines(script+"\nCtrl-C ends it.\n") {
		t.Errorf("the demo prints other lines than the README:\n%s", printed)
	}
	got, answers := shell(t, script)
	if !slices.Equal(got, sixAnswers) {
		t.Errorf("statuses %v, want %v; the answers:\n%s", got, sixAnswers, answers)
	}
	resp, err := http.Get(found[1] + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the demo's public route: %d", resp.StatusCode)
	}
}

func readUntil(t *testing.T, r io.Reader, end string) string {
	t.Helper()
	var text strings.Builder
	for buffer := make([]byte, 4096); !strings.HasSuffix(text.String(), end); {
		n, err := r.Read(buffer)
		text.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v after:\n%s", err, text.String())
		}
	}
	return text.String()
}

func commandLines(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "\n")
}

// shell runs a script with the curl and the wicketgate of TestMain.
func shell(t *testing.T, script string) (list []string, output string) {
	t.Helper()
	home := t.TempDir()
	sh := exec.CommandContext(t.Context(), "sh", "-eu")
	sh.Stdin = strings.NewReader(script)
	sh.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
	var stderr bytes.Buffer
	sh.Stderr = &stderr
	stdout, err := sh.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("sh: %v\n%s", err, stderr.String())
	}
	return statuses(string(stdout)), string(stdout)
}

// TestAnswersListsReasons: the manual has every reason, in the order of the
// checks, with the very text the caller is shown.
func TestAnswersListsReasons(t *testing.T) {
	_, table, found := strings.Cut(contents(t, filepath.Join(repository, "docs/answers.md")), "\n## Reasons\n")
	if !found {
		t.Fatal("docs/answers.md has no reasons")
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9, ]+) \\| .* \\| ([^|]+) \\|$").FindAllStringSubmatch(table, -1) {
		got = append(got, row[1]+": "+row[3])
	}
	for _, r := range token.Reasons {
		want = append(want, string(r.Reason)+": "+r.Description)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("row %d differs:\nmanual  %q\nprogram %q", i+1, got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
}

func TestManualLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, path := range manual(t) {
		for _, match := range link.FindAllStringSubmatch(contents(t, path), -1) {
			target, _, _ := strings.Cut(match[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s: %v", path, target, err)
			}
		}
	}
}
