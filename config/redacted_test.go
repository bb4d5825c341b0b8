package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRedacted shows a file with a secret in every place that can hold one.
func TestRedacted(t *testing.T) {
	const text = `# comment-secret
version: 1 # comment-secret
issuers:
  # comment-secret
  - issuer: https://login.example.com/
    discovery_url: "https://login.example.com/m?key=query-secret"
    client_id_claim: ${CLAIM:-fallback-secret} # comment-secret
    name: "corp-${NAME}"
resources:
  - identifier: https://api.example.com
    realm: eyJhbGciOiJub25lIn0.jwt-secret.x
    upstream: http://127.0.0.1:3000
    routes:
      - {name: a, path: /a, claims: {groups: [ops]}, scopes: [read]}
tracing:
  endpoint: http://collector:4318
  headers: {x-team: header-secret, Authorization: Bearer header-secret}
# comment-secret
`
	env := func(name string) (string, bool) {
		return map[string]string{"CLAIM": "", "NAME": "env-secret"}[name], true
	}
	f, err := Parse("config.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := f.Redacted()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), "secret") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	for _, part := range []string{
		"issuer: https://login.example.com/", "https://login.example.com/m?redacted", "${CLAIM:-redacted}", "corp-${NAME}",
		"upstream: http://127.0.0.1:3000", "path: /a", "groups: [ops]", "scopes: [read]", "x-team: redacted", "Authorization: redacted",
	} {
		if !strings.Contains(string(shown), part) {
			t.Errorf("%q is not shown:\n%s", part, shown)
		}
	}
	if again, err := Parse("config.yaml", shown, env); err != nil || len(again.Resources[0].Routes) != 1 {
		t.Errorf("what is shown is no file: %v", err)
	}
}

// TestRedactedURL is about users, which no key takes today.
func TestRedactedURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://me:secret@127.0.0.1:3000/x":           "http://redacted@127.0.0.1:3000/x",
		"unix:///run/app.sock#/base":                  "unix:///run/app.sock#/base",
		"redis://:p@h?x=secret":                       "redis://redacted@h?redacted",
		"unix:///app.sock#/healthz?key=secret":        "unix:///app.sock#/healthz?redacted",
		"https://h/a#b?c=secret#d":                    "https://h/a#b?redacted",
		"https://h/a?x=secret#secret":                 "https://h/a?redacted",
		"https://h/a?x=secret and https://h/b?secret": "https://h/a?redacted and https://h/b?redacted",
		"path.user == '?'":                            "path.user == '?'",
	} {
		if got := shown(text, ""); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

// TestSecretsHaveATag: a key by the name of a secret is in a file of its own, or
// tagged, or known to hold none.
func TestSecretsHaveATag(t *testing.T) {
	named := regexp.MustCompile(`secret|password|passphrase|token|credential|headers?$|key`)
	harmless := []string{"token", "tokens", "headers", "header", "trusted_header", "claims_header", "key_tables", "header_fields", "header_section", "read_header", "upstream_header", "token_sources", "token_review", "max_token_age"}
	tagged := 0
	eachKey(reflect.TypeFor[File](), "", func(path string, f reflect.StructField) {
		key := f.Tag.Get("yaml")
		switch {
		case f.Tag.Get("secret") != "":
			tagged++
		case strings.HasSuffix(key, "_file") || !named.MatchString(key) || slices.Contains(harmless, key):
		default:
			t.Errorf("%s sounds like a secret and is shown", path)
		}
	})
	if tagged != 1 {
		t.Errorf("%d keys are tagged", tagged)
	}
}
