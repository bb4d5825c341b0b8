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

// TestImportsGuide: the guide shows what its description comes to.
func TestImportsGuide(t *testing.T) {
	guide := contents(t, filepath.Join(repository, "docs", "guide", "imports.md"))
	blocks := regexp.MustCompile("(?s)```ya?ml\n(.*?)```").FindAllStringSubmatch(guide, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML", len(blocks))
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("shop.yaml", []byte(blocks[0][1]), 0o600); err != nil {
		t.Fatal(err)
	}
	o := command(t, "import", "openapi", "shop.yaml", "--issuer", "https://login.example.com/", "--upstream", "http://127.0.0.1:3000")
	if o.want(t, exitLeft); o.stdout != blocks[1][1] {
		t.Errorf("makes\n%s", o.stdout)
	}
}

// TestImportedServes: an imported configuration does to requests what its source
// did, and closed routes let nobody in.
func TestImportedServes(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(`
kind: RequestAuthentication
metadata: {name: shop}
spec: {jwtRules: [{issuer: "https://issuer.example.com/"}]}
---
kind: AuthorizationPolicy
metadata: {name: allow}
spec:
  rules:
    - to: [{operation: {paths: ["/healthz"], methods: [GET]}}]
    - from: [{source: {requestPrincipals: ["*"]}}]
      when: [{key: "request.auth.claims[groups]", values: [ops]}]
---
kind: AuthorizationPolicy
metadata: {name: deny}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: ["/admin/*"]}}]}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := command(t, "import", "istio", policy, "--identifier", testIdentifier, "--upstream", "http://upstream.example.com")
	o.want(t, exitOK)
	f := newFixture(t, func(string) string {
		return strings.NewReplacer("version: 1\n", "version: 1\nlisten: \"%[1]s\"\nadmin: {listen: \"%[2]s\"}\n",
			"https://issuer.example.com/", "%[3]s", "http://upstream.example.com", "%[5]s", "routes:", "behind_tls: true\n    routes:",
			policy, "policy.yaml").Replace(o.stdout)
	})
	ops, other := f.AT(map[string]any{"groups": []string{"ops"}}), f.AT(map[string]any{"groups": []string{"dev"}})
	closing := f.AT(map[string]any{"groups": []string{"ops"}, "closed": "nobody?"})
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{"GET", "/healthz", "", 200}, {"GET", "/healthz", ops, 200}, {"GET", "/healthz", "bad", 401},
		{"POST", "/healthz", "", 401}, {"POST", "/healthz", ops, 200}, {"POST", "/healthz", other, 403},
		{"GET", "/orders/1", "", 401}, {"GET", "/orders/1", ops, 200}, {"DELETE", "/orders/1", other, 403},
		{"GET", "/admin/users", ops, 404}, {"GET", "/admin", ops, 404}, {"PUT", "/admin/a/b", "", 404},
		{"CLOSED", "/admin/users", "", 401}, {"CLOSED", "/admin/users", ops, 403}, {"CLOSED", "/admin/users", closing, 403},
	} {
		var header []string
		if c.token != "" {
			header = []string{"Authorization", "Bearer " + c.token}
		}
		if got := f.do(c.method, c.path, header...); got.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got.StatusCode, c.status)
		}
	}
}
