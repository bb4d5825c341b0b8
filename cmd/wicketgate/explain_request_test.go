package main

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy/clientcert"
)

// TestExplainIndex: the index of docs/explain names every file once, and no
// other.
func TestExplainIndex(t *testing.T) {
	folder := filepath.Join(repository, "docs/explain")
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var want, got []string
	for _, path := range files {
		want = append(want, filepath.Base(path))
	}
	for _, match := range regexp.MustCompile(`(?m)^\| \[[a-z-]+\]\(([a-z-]+\.txtar)\) \| [^|]+ \|$`).FindAllStringSubmatch(contents(t, filepath.Join(folder, "README.md")), -1) {
		got = append(got, match[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the index has\n%v\nwant\n%v", got, want)
	}
}

// explainedLine runs explain on a token for the given end of a configuration, and
// returns what it prints.
func explainedLine(t *testing.T, settings, stdin string, issuer *devissuer.Issuer, args ...string) (code int, out string) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	for name, text := range map[string]string{"keys.json": string(issuer.JWKS()), "config.yaml": `version: 1
issuers:
  - {issuer: "https://login.example.com/", jwks_file: keys.json}
resources:
  - identifier: https://api.example.com
    behind_tls: true
    upstream: http://127.0.0.1:3000
` + settings} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var both bytes.Buffer
	a := &app{ctx: t.Context(), stdin: strings.NewReader(stdin), stdout: &both, stderr: &both, env: nothing}
	code = run(a, append([]string{"explain", "--config", path}, args...))
	return code, both.String()
}

func explainIssuer(t *testing.T) *devissuer.Issuer {
	t.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: "https://login.example.com/", Audience: "https://api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

// TestExplainCertificate: the certificate given is the one that serve would
// see, on the connection or from the proxy in front, and none where it sees
// none.
func TestExplainCertificateOfARequest(t *testing.T) {
	issuer := explainIssuer(t)
	der := newAuthority(t, "clients", nil).issue(t, nil).Certificate[0]
	path := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	raw, err := issuer.Mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": clientcert.Thumbprint(der)}}})
	if err != nil {
		t.Fatal(err)
	}
	const fromHeader = "trusted_proxies: [10.1.2.0/24]\nmtls: {from: header, header: haproxy}\n"
	for _, row := range []struct {
		name, settings string
		args           []string
		code           int
		want           string
	}{
		{"nobody sees it", "", []string{"--cert", path}, exitFailed, "nobody would see it"},
		{"the proxy passes it on", fromHeader, []string{"--cert", path}, exitOK, "X-Auth-Binding: mtls"},
		{"its field", fromHeader, []string{"-H", "X-SSL-Client-DER: " + base64.StdEncoding.EncodeToString(der)}, exitOK, "X-Auth-Binding: mtls"},
		{"none", fromHeader, nil, exitFailed, "FAIL  client certificate      no certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if code, out := explainedLine(t, row.settings, raw, issuer, row.args...); code != row.code || !strings.Contains(out, row.want) {
				t.Errorf("exit %d, want %d and %q:\n%s", code, row.code, row.want, out)
			}
		})
	}
}

// TestExplainHeader: what --header says is added to the request, not replaced
// by what else is given.
func TestExplainHeader(t *testing.T) {
	issuer := explainIssuer(t)
	raw, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"a second token", []string{"-H", "Authorization: Bearer other"}, "FAIL  one credential "},
		{"a second proof", []string{"-H", "DPoP: a.b.c", "--dpop", "d.e.f"}, "FAIL  proof key "},
		{"a host", []string{"-H", "Host: other.example.com"}, "FAIL  host                    other.example.com"},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, out := explainedLine(t, "    hosts: [api.example.com]\n", raw, issuer, row.args...)
			if code != exitFailed || !strings.Contains(out, row.want) {
				t.Errorf("exit %d, want %q in:\n%s", code, row.want, out)
			}
		})
	}
}

// TestExplainAnswered: what the gate answers itself, without a token, is no
// failure.
func TestExplainAnswered(t *testing.T) {
	issuer := explainIssuer(t)
	for method, want := range map[string]int{"GET": exitOK, "POST": exitFailed} {
		code, out := explainedLine(t, "    metadata: true\n", "", issuer, "--method", method, "--url", "https://api.example.com/.well-known/oauth-protected-resource")
		if code != want || !strings.Contains(out, "answer    ") {
			t.Errorf("%s: exit %d, want %d:\n%s", method, code, want, out)
		}
	}
}

// TestExplainNamesTheMisfit: a scheme that does not go with the token or the
// route is told from one that is merely missing.
func TestExplainNamesTheMisfit(t *testing.T) {
	issuer := explainIssuer(t)
	raw, err := issuer.Mint(devissuer.Token{Claims: map[string]any{"jti": nil}})
	if err != nil {
		t.Fatal(err)
	}
	unbound, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	const routes = "    routes: [{path: /**, binding: dpop}]\n"
	for _, row := range []struct{ name, settings, stdin, want string }{
		{"a route for DPoP", routes, unbound, "scheme Bearer\n                              wanted: DPoP\n"},
		{"an unbound token as DPoP", "", "DPoP " + unbound, "FAIL  proof key               the token is bound to no key, and came as DPoP\n"},
		{"a claim missing", "", raw, "wanted: iss exp aud sub client_id iat jti\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if code, out := explainedLine(t, row.settings, row.stdin, issuer); code != exitFailed || !strings.Contains(out, row.want) {
				t.Errorf("exit %d, want %q in:\n%s", code, row.want, out)
			}
		})
	}
}

// TestExplainShowsNoSecret: a token in the query, and a password in the URL,
// are not repeated.
func TestExplainShowsNoSecret(t *testing.T) {
	issuer := explainIssuer(t)
	raw, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	settings := "    token_sources: {query: true}\n    forward: {token: true}\n"
	code, out := explainedLine(t, settings, "", issuer, "--resource", "api.example.com", "--url", "https://me:secret@api.example.com/x?access_token="+raw)
	if code != exitOK || strings.Contains(out, raw) || strings.Contains(out, "secret") || !strings.Contains(out, "GET https://api.example.com/x\n") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
