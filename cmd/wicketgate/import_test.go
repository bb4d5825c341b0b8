package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	blanks   = regexp.MustCompile(`"<fill in: [^"]*"`)
	keyFile  = regexp.MustCompile(`(jwks_file|client_secret_file): "<fill in: [^"]*"`)
	wholeKey = regexp.MustCompile(`(issuer|identifier|upstream): "<fill in: [^"]*"`)
)

// TestImportsPassCheck: what import makes of each fixture is refused for its
// blanks and nothing else, and good once they are filled in.
func TestImportsPassCheck(t *testing.T) {
	files, err := filepath.Glob("../../internal/imports/testdata/*/*.out.yaml")
	if err != nil || len(files) < 12 {
		t.Fatal(err, files)
	}
	for _, name := range files {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "config.yaml")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(blanks.FindAll(text, -1)); n > 0 {
				write(string(text))
				o := command(t, "check", "--config", path)
				o.want(t, exitConfig, "is still to be filled in")
				if got := strings.Count(o.stderr, "is still to be filled in"); got != n {
					t.Errorf("%d complaints about %d blanks:\n%s", got, n, o.stderr)
				}
			}
			keys := filepath.Join(filepath.Dir(path), "keys.json")
			if err := os.WriteFile(keys, []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			filled := keyFile.ReplaceAllString(string(text), "$1: "+keys)
			filled = wholeKey.ReplaceAllString(filled, "$1: https://filled.example.com")
			write(blanks.ReplaceAllString(filled, `"filled"`))
			command(t, "check", "--config", path).want(t, exitOK, "no mistakes")
		})
	}
}
