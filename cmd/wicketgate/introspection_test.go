package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// gateSecret needs every escape of RFC 6749 section 2.3.1.
const gateSecret = "a:b%c d+é"

// introspecting is a fixture whose issuer A is asked about tokens.
type introspecting struct {
	*siege
	dir string // of the secret
}

// newAsking starts one that is asked as settings say, by basic unless they say
// otherwise; DIR in them is the folder of the secret.
func newAsking(t *testing.T, settings string) *introspecting {
	t.Helper()
	return newAskingOf(t, devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}, settings, nil)
}

func newAskingOf(t *testing.T, o devissuer.Options, settings string, edit func(string) string) *introspecting {
	t.Helper()
	a := &introspecting{dir: t.TempDir()}
	a.write("secret", gateSecret+"\n")
	confided.add(gateSecret)
	if !strings.Contains(settings, "_file") {
		settings += `, client_secret_file: "DIR/secret"`
	}
	f := newFixtureOf(t, o, func(is *devissuer.Running) {
		if o.TLS {
			if _, err := is.CAFile(a.dir); err != nil {
				t.Fatal(err)
			}
		}
	}, func(text string) string {
		about := "introspection: {client_id: gate, " + strings.Trim(settings, ", ") + "}, "
		if o.TLS {
			about += `ca_file: "DIR/issuer-ca.pem", `
		}
		text = instead(t, text, "{name: a, ", "{name: a, "+strings.ReplaceAll(about, "DIR", a.dir))
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	a.siege = besiege(f)
	return a
}

func (a *introspecting) write(name, text string) {
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		panic(err)
	}
}

// opaque makes an opaque token of issuer A with some claims changed.
func (a *introspecting) opaque(claims changes) string {
	a.t.Helper()
	raw, err := a.a.Opaque("", devissuer.Token{Claims: claims})
	if err != nil {
		a.t.Fatal(err)
	}
	confided.add(raw)
	return raw
}

// said makes an opaque token about which A says these bytes.
func (a *introspecting) said(body string) string {
	a.t.Helper()
	raw := a.opaque(nil)
	a.a.Say(raw, []byte(body))
	return raw
}

// answering makes an opaque token with a good answer, some members changed.
func (a *introspecting) answering(with changes) string {
	a.t.Helper()
	members := changes{
		"active": true, "iss": a.a.Identifier(), "aud": testIdentifier, "sub": "user-1", "client_id": "client-1", "scope": "read",
	}
	maps.Copy(members, with)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	body, err := json.Marshal(members)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.said(string(body))
}

func (a *introspecting) questions() int { return a.a.Hits("/introspect") }

// wantQuestions wants A to have been asked n times since before.
func (a *introspecting) wantQuestions(t *testing.T, before, n int) {
	t.Helper()
	if got := a.questions() - before; got != n {
		t.Errorf("asked %d times, want %d", got, n)
	}
}

// refuses sends opaque tokens, each of which is refused for the reason.
func (a *introspecting) refuses(t *testing.T, reason token.Reason, tokens map[string]string) {
	t.Helper()
	for name, raw := range tokens {
		t.Run(name, func(t *testing.T) { a.repels(t, a.sendToken(raw), badToken, reason) })
	}
}

// undecided sends a token about which nobody can tell.
func (a *introspecting) undecided(t *testing.T, raw string) *reply {
	t.Helper()
	r := a.sendToken(raw)
	a.wantUndecided(t, r, a.reached)
	a.moved(t, token.ReasonIntrospectionUnavailable)
	return r
}

// passes sends a token that is good.
func (a *introspecting) passes(t *testing.T, raw string) {
	t.Helper()
	wantPassed(t, a.sendToken(raw))
	a.reached = a.upstream.count()
}

// count is a value of the metrics, by its series without the name's front.
func (a *introspecting) count(series string) string {
	a.t.Helper()
	for line := range strings.Lines(a.metrics(family("wicketgate_" + series))) {
		if value, found := strings.CutPrefix(line, "wicketgate_"+series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// A reload that has answers remembered for less time is for those remembered
// before it too.
func TestAnswersByNewSettings(t *testing.T) {
	a := newAsking(t, "cache: 1m, grace: 5m")
	revoked, away := a.answering(nil), a.answering(nil)
	a.passes(t, revoked)
	a.passes(t, away)
	a.a.Say(revoked, []byte(`{"active":false}`))
	a.passes(t, revoked) // for a minute
	a.rewrite("cache: 1m, grace: 5m", "cache: 0s, grace: 0s")
	a.reloadedAs(true)
	a.refuses(t, token.ReasonInactive, map[string]string{"revoked": revoked})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Status: http.StatusInternalServerError})
	a.undecided(t, away)
}

// explainText is what explain says of a bearer token.
func explainText(t *testing.T, path, raw string) string {
	t.Helper()
	var out bytes.Buffer
	run(&app{
		ctx: t.Context(), stdin: strings.NewReader(raw), stdout: &out, stderr: &out,
		env: func(string) (string, bool) { return "", false }, program: "wicketgate",
	}, []string{"explain", "--config", path, "--url", testIdentifier + "/any/x"})
	return out.String()
}

// TestExplainOpaque tells of a question to the issuer, and check --live whether
// it answers us.
func TestExplainOpaque(t *testing.T) {
	a := newAsking(t, "mode: both")
	path := a.gateway.path
	for raw, parts := range map[string][]string{
		a.opaque(nil):                         {"asked of the issuer", "RFC 7662 section 2.2", "forwarded to"},
		"unknown":                             {"FAIL  asked of the issuer", "asked of issuer a", "401 Unauthorized"},
		a.answering(changes{"aud": "other"}):  {"FAIL  audience"},
		a.AT(nil):                             {"signature", "ok    asked of the issuer", "forwarded to"},
		a.said(`{"active":true,"active":1}`):  {"FAIL  asked of the issuer", "503 Service Unavailable"},
		a.answering(changes{"token_type": 1}): {"FAIL  kind of token"},
	} {
		out := explainText(t, path, raw)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in:\n%s", part, out)
			}
		}
	}
}

func TestCheckLiveAsksAboutTokens(t *testing.T) {
	a := newAsking(t, "")
	command(t, "check", "--live", "--config", a.gateway.path).want(t, 0, "issuer a: answers gate about tokens")
	a.write("secret", "wrong")
	command(t, "check", "--live", "--config", a.gateway.path).want(t, 1, "FAILED", "status 401")
	a.a.Fail(devissuer.Fault{Path: "/introspect", Body: []byte(`{"active":true}`), Status: http.StatusOK})
	command(t, "check", "--live", "--config", a.gateway.path).want(t, 1, "made-up token")
}

// TestSecretsThatCannotBe: what cannot be read or is no key is told with its
// place.
func TestSecretsThatCannotBe(t *testing.T) {
	for _, c := range []struct{ settings, text, said string }{
		{`client_secret_file: "DIR/x"`, "", "client_secret_file: is empty"},
		{`client_secret_file: "DIR/x"`, "\n", "client_secret_file: is empty"},
		{`client_secret_file: "DIR/x"`, strings.Repeat("x", 64<<10+1), "longer than 64 KiB"},
		{`auth: private_key_jwt, key_file: "DIR/x"`, "secret", "key_file: holds no private key"},
		{`auth: mtls, key_file: "DIR/x", cert_file: "DIR/x"`, "secret", "cert_file: "},
	} {
		dir := t.TempDir()
		text := "version: 1\nissuers: [{issuer: https://as.example.com, introspection: {client_id: gate, " + strings.ReplaceAll(c.settings, "DIR", dir) +
			"}}]\nresources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\n"
		path := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, "check", "--config", path).want(t, exitConfig, c.said)
	}
}
