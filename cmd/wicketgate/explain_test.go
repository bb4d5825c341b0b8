package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

var updateExplained = flag.Bool("update", false, "write docs/explain/*.txtar and testdata/live.txtar anew")

// explainCase is what a file of docs/explain describes: a configuration, the
// arguments of explain, and in what token and proof differ from good ones.
type explainCase struct {
	folder  string
	issuer  *devissuer.Issuer
	archive *txtar.Archive
}

func (c *explainCase) file(name string) string {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// TestExplain runs every file of docs/explain, in a bubble where it is always
// the same time.
func TestExplain(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repository, "docs/explain/*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				issuer, err := devissuer.New(devissuer.Options{
					Identifier: "https://login.example.com/", Audience: "https://api.example.com", Algorithms: []string{"ES256", "RS256"},
				})
				if err != nil {
					t.Fatal(err)
				}
				c := &explainCase{folder: t.TempDir(), issuer: issuer, archive: archive}
				got := c.run(t)
				if *updateExplained {
					archive.Files[len(archive.Files)-1].Data = []byte(got)
					if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if want := c.file("explained"); got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		})
	}
}

// run explains the case and writes what differs from run to run as words.
func (c *explainCase) run(t *testing.T) string {
	t.Helper()
	write := func(name, text string) string {
		path := filepath.Join(c.folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("config.yaml", c.file("config.yaml"))
	write("keys.json", string(c.issuer.JWKS()))
	args := append([]string{"explain", "--config", config}, strings.Fields(c.file("args"))...)
	key := newClientKey(t, "ES256")
	raw := c.token(t, key)
	var proof string
	if text := c.file("proof.json"); text != "" {
		proof = c.proof(t, key, raw, text)
		args = append(args, "--dpop", proof)
	}
	var out, errs bytes.Buffer
	code := run(&app{ctx: t.Context(), stdin: strings.NewReader(raw + "\n"), stdout: &out, stderr: &errs, env: nothing}, args)
	if errs.Len() > 0 {
		t.Fatal(errs.String())
	}
	text := out.String()
	for _, secret := range []string{raw, proof} {
		if secret != "" && strings.Contains(text, secret) {
			t.Error("a token or proof is in the output")
		}
	}
	var keys struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(c.issuer.JWKS(), &keys); err != nil {
		t.Fatal(err)
	}
	for i, k := range keys.Keys {
		text = strings.ReplaceAll(text, k.Kid, "key-"+strconv.Itoa(i+1))
	}
	text = regexp.MustCompile(`(Dpop-Nonce: )\S+`).ReplaceAllString(text, "${1}nonce")
	for _, random := range []string{"x", "y"} { // of the proof's jwk
		text = regexp.MustCompile(`"`+random+`":"[^"]*"`).ReplaceAllString(text, `"`+random+`":"…"`)
	}
	digest := sha256.Sum256([]byte(strings.TrimPrefix(raw, "DPoP ")))
	text = strings.ReplaceAll(text, base64.RawURLEncoding.EncodeToString(digest[:]), "hash of the token")
	return strings.ReplaceAll(text, key.Thumbprint(), "client-key") + "exit " + strconv.Itoa(code) + "\n"
}

func nothing(string) (string, bool) { return "", false }

func (c *explainCase) token(t *testing.T, key *devissuer.ClientKey) string {
	t.Helper()
	text := c.file("token.json")
	if text == "" {
		return strings.TrimSpace(c.file("token.txt"))
	}
	var wish struct {
		Header, Claims map[string]any
		Alg, Scheme    string
		Foreign        bool // signed by somebody else
	}
	decode(t, text, &wish)
	for name, value := range wish.Claims {
		wish.Claims[name] = atTime(value)
		if name == "cnf" && value == "jkt" {
			wish.Claims[name] = map[string]any{"jkt": key.Thumbprint()}
		}
	}
	mint := devissuer.Token{Header: wish.Header, Claims: wish.Claims, Alg: wish.Alg}
	if wish.Foreign {
		mint.Key = newClientKey(t, "ES256").Signer
	}
	raw, err := c.issuer.Mint(mint)
	if err != nil {
		t.Fatal(err)
	}
	if wish.Scheme != "" {
		raw = wish.Scheme + " " + raw
	}
	return raw
}

func (c *explainCase) proof(t *testing.T, key *devissuer.ClientKey, raw, text string) string {
	t.Helper()
	var wish struct {
		Method, URL    string
		Claims, Header map[string]any
	}
	decode(t, text, &wish)
	for name, value := range wish.Claims {
		wish.Claims[name] = atTime(value)
	}
	proof, err := key.Proof(devissuer.Proof{
		ID: "proof-1", Method: wish.Method, URL: wish.URL, AccessToken: strings.TrimPrefix(raw, token.DPoP.String()+" "),
		Header: wish.Header, Claims: wish.Claims,
	})
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// atTime reads "now+60" and its like as seconds since the epoch.
func atTime(value any) any {
	text, isText := value.(string)
	seconds, found := strings.CutPrefix(text, "now")
	if !isText || !found {
		return value
	}
	n, err := strconv.Atoi(strings.TrimPrefix(seconds, "+"))
	if err != nil && seconds != "" {
		return value
	}
	return time.Now().Unix() + int64(n)
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		t.Fatal(err)
	}
}

// TestRulesAreComplete: explain knows what each reason checks, and nothing
// else.
func TestRulesAreComplete(t *testing.T) {
	for _, r := range token.Reasons {
		if rules[r.Reason].check == "" {
			t.Errorf("explain has no name for %s", r.Reason)
		}
	}
	if len(rules) != len(token.Reasons) {
		t.Errorf("%d rules for %d reasons", len(rules), len(token.Reasons))
	}
}

func TestExplainUsage(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := "version: 1\nissuers:\n  - {issuer: https://login.example.com/}\nresources:\n  - {identifier: https://api.example.com, upstream: http://127.0.0.1:1}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ args, want string }{
		{"--url https://other.example.com/", "no resource has this origin"},
		{"--resource other", "no resource is called other"},
		{"--url ://", "--url"},
		{"--header nothing", "wants 'Name: value'"},
		{"--cert " + config, "holds no certificate"},
	} {
		var errs bytes.Buffer
		a := &app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &errs, env: nothing}
		if code := run(a, append([]string{"explain", "--config", config}, strings.Fields(row.args)...)); code != exitFailed || !strings.Contains(errs.String(), row.want) {
			t.Errorf("%s: exit %d, %s", row.args, code, errs.String())
		}
	}
	var errs bytes.Buffer
	broken := &app{ctx: t.Context(), stdin: failingReader{}, stdout: &bytes.Buffer{}, stderr: &errs, env: nothing}
	if code := run(broken, []string{"explain", "--config", config}); code != exitFailed {
		t.Errorf("exit %d with a broken standard input", code)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
