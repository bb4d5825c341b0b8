package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// explained is explain with a configuration of one resource, whose settings
// stand where SETTINGS is and whose files are in DIR.
type explained struct {
	dir    string
	issuer *devissuer.Issuer
}

func newExplained(t *testing.T) *explained {
	t.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: "https://login.example.com/", Audience: "https://api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	e := &explained{t.TempDir(), issuer}
	e.write(t, "keys.json", string(issuer.JWKS()))
	writePair(t, filepath.Join(e.dir, "cert.pem"), filepath.Join(e.dir, "key.pem"), 1)
	return e
}

func (e *explained) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (e *explained) mint(t *testing.T, claims map[string]any) string {
	t.Helper()
	raw, err := e.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// explain returns all that is written, and the exit code behind it.
func (e *explained) explain(t *testing.T, settings, stdin string, args ...string) string {
	t.Helper()
	text := "version: 1\n" + strings.ReplaceAll(settings, "DIR", e.dir) + "issuers:\n  - {issuer: https://login.example.com/, jwks_file: keys.json}\n" +
		"resources:\n  - {identifier: https://api.example.com, behind_tls: true, upstream: http://127.0.0.1:1}\n"
	e.write(t, "config.yaml", text)
	var out bytes.Buffer
	a := &app{ctx: t.Context(), stdin: strings.NewReader(stdin), stdout: &out, stderr: &out, env: nothing}
	code := run(a, append([]string{"explain", "--config", filepath.Join(e.dir, "config.yaml")}, args...))
	return fmt.Sprintf("%sexit %d\n", out.String(), code)
}

const explainTLS = "tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, client_auth: "

// TestExplainCertificate: a certificate counts where serve would see it, by
// whichever way it comes, and nowhere else.
func TestExplainCertificate(t *testing.T) {
	e := newExplained(t)
	ca, other := newAuthority(t, "ca", nil), newAuthority(t, "other", nil)
	below := newAuthority(t, "below", ca)
	mine, revoked, self, chained := ca.issue(t, nil), ca.issue(t, nil), (*authority)(nil).issue(t, nil), below.issue(t, nil)
	e.write(t, "ca.pem", pemOf(ca.Certificate))
	e.write(t, "crl.pem", ca.revoke(t, time.Now().Add(time.Hour), nil, revoked))
	const vouched = explainTLS + "request, client_ca_file: DIR/ca.pem}\n"
	header := func(form string) string {
		return "trusted_proxies: [10.0.0.0/8]\nmtls: {from: header, header: " + form + "}\n"
	}
	const passes, ends = "exit 0", "would end"
	for name, row := range map[string]struct {
		settings string
		cert     *tls.Certificate
		want     string
	}{
		"any":              {explainTLS + "request_any}\n", self, passes},
		"vouched for":      {vouched, mine, passes},
		"unknown":          {vouched, other.issue(t, nil), ends},
		"revoked":          {explainTLS + "require, client_ca_file: DIR/ca.pem, client_crl_file: DIR/crl.pem}\n", revoked, ends},
		"not revoked":      {explainTLS + "require, client_ca_file: DIR/ca.pem, client_crl_file: DIR/crl.pem}\n", mine, passes},
		"chain":            {vouched, chained, passes},
		"client-cert":      {header("client-cert"), self, passes},
		"xfcc":             {header("xfcc"), self, passes},
		"header and TLS":   {header("nginx") + explainTLS + "request, client_ca_file: DIR/ca.pem}\n", self, passes},
		"nobody asks":      {"", self, "nobody would see it"},
		"TLS, nobody asks": {explainTLS + "'off'}\n", self, "nobody would see it"},
	} {
		t.Run(name, func(t *testing.T) {
			e.write(t, "client.pem", pemOf(row.cert.Leaf, below.Certificate))
			raw := e.mint(t, map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint(row.cert)}})
			got := e.explain(t, row.settings, raw, "--cert", filepath.Join(e.dir, "client.pem"))
			if !strings.Contains(got, row.want) {
				t.Errorf("want %s of\n%s", row.want, got)
			}
			if row.want != passes {
				return
			}
			raw = e.mint(t, map[string]any{"cnf": map[string]any{"x5t#S256": ca.x5t()}})
			if got := e.explain(t, row.settings, raw, "--cert", filepath.Join(e.dir, "client.pem")); !strings.Contains(got, "FAIL  client certificate") {
				t.Errorf("a token for another certificate passes:\n%s", got)
			}
		})
	}
}

// TestExplainWithoutCertificate: what serve would not even hear does not pass.
func TestExplainWithoutCertificate(t *testing.T) {
	e := newExplained(t)
	e.write(t, "ca.pem", pemOf(newAuthority(t, "ca", nil).Certificate))
	const required = explainTLS + "require, client_ca_file: DIR/ca.pem}\n"
	for settings, want := range map[string]string{
		required: "name one with --cert",
		required + "trusted_proxies: [10.0.0.1]\nmtls: {from: header}\n": "exit 0", // the proxy's own is what TLS wants
		explainTLS + "request, client_ca_file: DIR/ca.pem}\n":            "exit 0",
	} {
		if got := e.explain(t, settings, e.mint(t, nil)); !strings.Contains(got, want) {
			t.Errorf("%s: want %q of\n%s", settings, want, got)
		}
	}
}

// TestExplainTelling: what is said is true of what was given, and no secret.
func TestExplainTelling(t *testing.T) {
	e := newExplained(t)
	key := newClientKey(t, "ES256")
	raw := e.mint(t, map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}})
	proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: "https://api.example.com/", AccessToken: raw, Nonce: strings.Repeat("n", 32)})
	if err != nil {
		t.Fatal(err)
	}
	e.write(t, "nonce.key", oneSecret)
	const noted = "known to it alone"
	for name, row := range map[string]struct {
		settings, stdin string
		args            []string
		want, never     string
	}{
		"one part":       {"", "mistyped", nil, "1 parts", "FAIL  token form              three parts"},
		"bad characters": {"", "Bearer: mistyped", nil, "FAIL  token form              characters", "mistyped"},
		"query": {
			"", raw, []string{"--url", "https://api.example.com/x?a=b&access%5Ftoken=mistyped#mistyped"},
			"https://api.example.com/x?a=b", "mistyped",
		},
		"user":         {"", raw, []string{"--resource", "api.example.com", "--url", "https://me:mistyped@api.example.com/x"}, "request   GET https://", "mistyped"},
		"problem":      {"", "", []string{"-H", "Accept: application/problem+json"}, "Content-Type: application/problem+json", "Content-Type: application/json"},
		"grpc":         {"", "", []string{"-H", "Content-Type: application/grpc-web+proto", "--method", "POST"}, "200 OK", ""},
		"own nonce":    {"dpop: {nonce: required}\n", raw, []string{"--dpop", proof}, noted, ""},
		"shared nonce": {"dpop: {nonce: required, nonce_secret_file: DIR/nonce.key}\n", raw, []string{"--dpop", proof}, "FAIL  proof nonce", noted},
		"no nonces":    {"", raw, []string{"--dpop", proof}, "exit 0", noted},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.explain(t, row.settings, row.stdin, row.args...)
			if !strings.Contains(got, row.want) || row.never != "" && strings.Contains(got, row.never) {
				t.Errorf("want %q and never %q of\n%s", row.want, row.never, got)
			}
		})
	}
}
