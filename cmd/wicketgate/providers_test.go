package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// golden is a provider's tokens in the shape it publishes, with values of our
// own. {iss} is the issuer and {origin} its host; dates are seconds from now.
type golden struct {
	Provider   string
	Identifier string // its path
	Audience   string
	Forward    map[string]string
	Rules      map[string][]string // the claims rule of a route
	Access     struct{ Header, Claims changes }
	Told       map[string]string // the identity headers, and no other
	Machine    changes           // laid over the claims: a client that acts for itself
	IDToken    changes           `json:"id_token"`
	Forbidden  map[string]changes
	Traps      map[string]struct {
		Change changes
		Reason token.Reason
	}
}

func readGolden(t *testing.T, path string) golden {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	in := json.NewDecoder(strings.NewReader(string(text)))
	in.DisallowUnknownFields()
	if err := in.Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// text is the configuration in which the provider's name is all that is said of
// the form of its tokens.
func (g golden) text(t *testing.T, issuer string) string {
	t.Helper()
	forward, errF := json.Marshal(g.Forward)
	rules, errR := json.Marshal(g.Rules)
	if errF != nil || errR != nil {
		t.Fatal(errF, errR)
	}
	text := instead(t, fixtureConfig, `{name: a, issuer: "%[3]s", `, fmt.Sprintf("{name: a, provider: %s, issuer: %q, ", g.Provider, issuer))
	text = instead(t, text, "    behind_tls: true\n", fmt.Sprintf("    behind_tls: true\n    audiences_by_issuer: {a: [%q]}\n", g.Audience))
	if g.Forward != nil {
		text = instead(t, text, "forward: {headers: {X-Auth-Email: email, X-Auth-Roles: roles, X-Auth-Number: number}}", fmt.Sprintf("forward: {headers: %s}", forward))
	}
	if g.Rules != nil {
		text = instead(t, text, "{name: any, path: /any/**}", fmt.Sprintf("{name: any, path: /any/**, claims: %s}", rules))
	}
	return text
}

// mint makes a token of the given claims and no others.
func (g golden) mint(f *fixture, alg string, header, claims changes) string {
	f.t.Helper()
	origin := f.a.URL
	all := changes{}
	for name, value := range claims {
		switch v := value.(type) {
		case float64:
			if slices.Contains([]string{"iat", "nbf", "exp", "auth_time"}, name) {
				value = time.Now().Unix() + int64(v)
			}
		case string:
			value = strings.NewReplacer("{iss}", f.a.Identifier(), "{origin}", origin).Replace(v)
		case []any:
			list := slices.Clone(v)
			for i := range list {
				if text, ok := list[i].(string); ok {
					list[i] = strings.ReplaceAll(text, "{origin}", origin)
				}
			}
			value = list
		}
		if value != nil {
			all[name] = value
		}
	}
	payload, err := json.Marshal(all)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.mint(f.a, devissuer.Token{Alg: alg, Header: header, RawPayload: payload})
}

func goldens(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/providers/*.json")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	return files
}

func TestProviders(t *testing.T) {
	for _, path := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) { proveProvider(t, readGolden(t, path)) })
	}
}

func proveProvider(t *testing.T, g golden) {
	s := besiege(g.fixture(t))
	claims, header := g.Access.Claims, g.Access.Header
	alg := "RS256"
	s.passes(t, s.sendToken(g.mint(s.fixture, alg, header, claims)))
	g.wantTold(t, s, g.Told)
	if g.Machine != nil {
		s.passes(t, s.sendToken(g.mint(s.fixture, alg, header, with(claims, g.Machine))))
		if got := s.upstream.last().Header.Get("X-Auth-Subject-Type"); got != "client" {
			t.Errorf("a machine is a %q", got)
		}
	}
	for name, change := range g.Forbidden {
		t.Run(name, func(t *testing.T) {
			r := s.sendToken(g.mint(s.fixture, alg, header, with(claims, change)))
			if r.StatusCode != http.StatusForbidden {
				t.Errorf("status %d, want 403", r.StatusCode)
			}
			s.moved(t, token.ReasonRule)
		})
	}
	for name, trap := range g.Traps {
		t.Run(name, func(t *testing.T) {
			s.repels(t, s.sendToken(g.mint(s.fixture, alg, header, with(claims, trap.Change))), badToken, trap.Reason)
		})
	}
	before := s.upstream.count()
	for name, raw := range map[string]string{
		"ID token":                g.mint(s.fixture, alg, header, g.IDToken),
		"expired":                 g.mint(s.fixture, alg, header, with(claims, changes{"exp": -31.0})),
		"another kind by its typ": g.mint(s.fixture, alg, changes{"typ": "logout+jwt"}, claims),
		"signed by nobody":        s.mint(s.a, devissuer.Token{Alg: alg, Key: newClientKey(t, alg).Signer, RawPayload: []byte(`{}`)}),
	} {
		t.Run(name, func(t *testing.T) {
			s.wantError(t, s.sendToken(raw), before, http.StatusUnauthorized, "Bearer", "invalid_token")
		})
	}
}

// fixture is a gate whose issuer A is at the provider's kind of place.
func (g golden) fixture(t *testing.T) *fixture {
	t.Helper()
	own, err := devissuer.Start(devissuer.Options{Identifier: g.Identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	f := newFixture(t, func(string) string { return g.text(t, own.Identifier()) })
	f.a = own
	return f
}

// wantTold compares the identity headers the upstream saw last, all of them.
func (g golden) wantTold(t *testing.T, s *siege, want map[string]string) {
	t.Helper()
	want = maps.Clone(want)
	want["X-Auth-Issuer"] = s.a.Identifier()
	got := map[string]string{}
	for name, values := range s.upstream.last().Header {
		if strings.HasPrefix(name, "X-Auth-") {
			got[name] = strings.Join(values, "|")
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the upstream is told %v, want %v", got, want)
	}
}

// Each preset takes tokens that are refused without it, or the preset proves
// nothing.
func TestProvidersAreNeeded(t *testing.T) {
	for _, path := range goldens(t) {
		g := readGolden(t, path)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			own, err := devissuer.Start(devissuer.Options{Identifier: g.Identifier})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = own.Close() }()
			f := newFixture(t, func(string) string {
				return instead(t, g.text(t, own.Identifier()), "provider: "+g.Provider+", ", "")
			})
			f.a = own
			f.wantTokensRefused(t, map[string]string{"golden": g.mint(f, "RS256", g.Access.Header, g.Access.Claims)})
		})
	}
}

// Algorithms that a preset does not list are not taken.
func TestProviderAlgorithms(t *testing.T) {
	g := readGolden(t, "testdata/providers/okta.json")
	s := besiege(g.fixture(t))
	s.tokensFor(t, token.ReasonAlgorithm, map[string]string{
		"ES256": g.mint(s.fixture, "ES256", g.Access.Header, g.Access.Claims), "PS256": g.mint(s.fixture, "PS256", g.Access.Header, g.Access.Claims),
	})
}

// A list of scopes may have any name, but for scope itself in tokens that claim
// to be RFC 9068's.
func TestScopeLists(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "{name: a, ", "{name: a, profile: jwt, ")
		return instead(t, text, "{name: b, ", `{name: b, scope_claim: 'example\.com.rights', `)
	})
	wantPassed(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(changes{"scope": []string{"x", "read"}})))
	for name, value := range map[string]any{"a list": []string{"read"}, "a text": "x read"} {
		t.Run(name, func(t *testing.T) {
			raw := f.mint(f.b, devissuer.Token{Claims: changes{"scope": nil, "example.com": changes{"rights": value}}})
			wantPassed(t, f.do("GET", "/read", "Authorization", "Bearer "+raw))
		})
	}
	f.wantTokensRefused(t, map[string]string{"a number": f.AT(changes{"scope": 1}), "an object": f.AT(changes{"scope": changes{}}), "mixed": f.AT(changes{"scope": []any{"read", 1}})})
}

// check prints what a preset filled in, and a preset overrides nothing.
func TestProviderFills(t *testing.T) {
	const text = "version: 1\nissuers:\n  - issuer: https://login.microsoftonline.com/7d1c3b52-0000-4000-8000-000000000001/v2.0\n    provider: entra\n%s" +
		"resources: [{identifier: https://api.example.com, upstream: \"http://127.0.0.1:1\", behind_tls: true}]\n"
	command(t, "check", "--strict", "--config", written(t, fmt.Sprintf(text, ""))).want(t, exitOK,
		"filled: issuers[0].profile: jwt (preset: entra)\n", "filled: issuers[0].scope_claim: scp (preset: entra)\n",
		"filled: issuers[0].client_id_claim: azp (preset: entra)\n", "filled: issuers[0].algorithms: [RS256] (preset: entra)\n",
		"filled: issuers[0].required_claims: {azp: [\"*\"]} (preset: entra)\n", "filled: issuers[0].machine_claims: {idtyp: [app]} (preset: entra)\n")
	own := command(t, "check", "--config", written(t, fmt.Sprintf(text, "    profile: rfc9068\n    scope_claim: scope\n    client_id_claim: cid\n    algorithms: [ES256]\n    required_claims: {a: [b]}\n    machine_claims: {c: [d]}\n")))
	if own.want(t, exitOK); strings.Contains(own.stdout, "filled: ") {
		t.Errorf("overrides the file:\n%s", own.stdout)
	}
}

// The guide has a whole file for each provider, whose issuer is spelt as the
// provider's tokens spell it, and says what its preset fills in.
func TestProviderGuide(t *testing.T) {
	guide := contents(t, filepath.Join(repository, "docs", "providers.md"))
	shown := map[string]bool{}
	for _, block := range blocks(guide, "yaml") {
		f, err := config.Parse("providers.md", []byte(block), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("%s\n%v", block, err)
			continue
		}
		if w := f.Warnings(); len(w) != 0 {
			t.Errorf("%s\nis warned about: %v", block, w)
		}
		for _, i := range f.Issuers {
			shown[i.Provider] = true
		}
		for _, filled := range f.Filled() {
			_, key, _ := strings.Cut(filled.Path, ".")
			if line := fmt.Sprintf("`%s: %s`", key, filled.Value); !strings.Contains(guide, line) {
				t.Errorf("the guide does not say that %s fills in %s", filled.Preset, line)
			}
		}
	}
	for _, path := range goldens(t) {
		if g := readGolden(t, path); !shown[g.Provider] {
			t.Errorf("no file for %s", g.Provider)
		}
	}
}

const threeTenants = "7d1c3b52-0000-4000-8000-00000000000"

// house is one host with an issuer for each of three tenants.
type house struct {
	*httptest.Server
	issuers [4]*devissuer.Issuer // from 1
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i, issuer := range h.issuers {
			if issuer != nil && strings.Contains(r.URL.Path, fmt.Sprint("/", threeTenants, i, "/")) {
				issuer.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(h.Close)
	for i := 1; i < len(h.issuers); i++ {
		var err error
		if h.issuers[i], err = devissuer.New(devissuer.Options{Identifier: fmt.Sprint(h.URL, "/", threeTenants, i, "/v2.0"), Algorithms: []string{"ES256"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.issuers[i].Rotate("ES256"); err != nil { // a key of its own
			t.Fatal(err)
		}
	}
	return h
}

func (h *house) token(t *testing.T, tenant int, claims changes) string {
	t.Helper()
	raw, err := h.issuers[tenant].Mint(devissuer.Token{
		Header: changes{"typ": "JWT"},
		Claims: with(changes{"tid": fmt.Sprint(threeTenants, tenant), "azp": "client-1", "client_id": nil, "scope": nil, "scp": "read"}, claims),
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTenants(t *testing.T) {
	h := newHouse(t)
	s := besiege(newFixture(t, func(text string) string {
		return instead(t, text, `{name: a, issuer: "%[3]s", `, fmt.Sprintf("{name: a, provider: entra, algorithms: [ES256], issuer: %q, tenants: [%q, %q], ", h.URL+"/{tenant}/v2.0", threeTenants+"1", threeTenants+"2"))
	}))
	s.untilReady()
	for range 2 { // the second time from the cache
		s.passes(t, s.sendToken(h.token(t, 1, nil)))
		s.passes(t, s.sendToken(h.token(t, 2, nil)))
	}
	if got := s.upstream.last().Header.Get("X-Auth-Issuer"); got != h.issuers[2].Identifier() {
		t.Errorf("issuer %q", got)
	}
	s.tokensFor(t, token.ReasonIssuer, map[string]string{
		"another tenant's tid": h.token(t, 1, changes{"tid": threeTenants + "2"}), "no tid": h.token(t, 1, changes{"tid": nil}),
		"tid in a list": h.token(t, 1, changes{"tid": []string{threeTenants + "1"}}), "tid in capitals": h.token(t, 1, changes{"tid": strings.ToUpper(threeTenants + "1")}),
		"not listed": h.token(t, 3, nil), "not listed, with a tid that is": h.token(t, 3, changes{"tid": threeTenants + "1"}),
		"the template": h.token(t, 1, changes{"iss": h.URL + "/{tenant}/v2.0"}), "the tenant's other version": h.token(t, 1, changes{"iss": h.URL + "/" + threeTenants + "1/"}),
	})
	s.tokensFor(t, token.ReasonSignature, map[string]string{"keys of the other tenant": h.token(t, 2, changes{"iss": h.issuers[1].Identifier(), "tid": threeTenants + "1"})})
	if asked := h.issuers[3].Requests(); len(asked) != 0 {
		t.Errorf("a tenant that is not listed was asked: %v", asked)
	}
	if text := s.metrics(); strings.Contains(text, threeTenants) || !strings.Contains(text, `wicketgate_jwks_fetches_total{issuer="a",result="changed"} 2`) {
		t.Error("the metrics name tenants, or not the issuer")
	}
}

// A tenant that cannot be reached leaves the others alone.
func TestTenantDown(t *testing.T) {
	h := newHouse(t)
	h.issuers[2].Fail(devissuer.Fault{Reset: true})
	f := newFixture(t, func(text string) string {
		return instead(t, text, `{name: a, issuer: "%[3]s", `, fmt.Sprintf("{name: a, provider: entra, algorithms: [ES256], issuer: %q, tenants: [%q, %q], ", h.URL+"/{tenant}/v2.0", threeTenants+"1", threeTenants+"2"))
	})
	wantPassed(t, f.sendToken(h.token(t, 1, nil)))
	before := f.upstream.count()
	f.wantUndecided(t, f.sendToken(h.token(t, 2, nil)), before)
	if r := f.ask("GET", "/readyz"); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(r.body, "issuer a "+threeTenants+"2: not ready") {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

// explain says which setting asks for the claim that is missing.
func TestProviderExplained(t *testing.T) {
	g := readGolden(t, "testdata/providers/cognito.json")
	f := g.fixture(t)
	for name, c := range map[string]struct {
		change changes
		parts  []string
	}{
		"good":   {nil, []string{"ok    required claims", "token_use", "answer    forwarded"}},
		"no use": {changes{"token_use": nil}, []string{"FAIL  required claims         token_use absent", "wanted: access", "issuers[].required_claims"}},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout strings.Builder
			raw := g.mint(f, "RS256", g.Access.Header, with(g.Access.Claims, c.change))
			a := &app{ctx: t.Context(), stdin: strings.NewReader(raw), stdout: &stdout, stderr: &stdout, env: func(string) (string, bool) { return "", false }, program: "wicketgate"}
			run(a, []string{"explain", "--config", f.gateway.path, "--url", testIdentifier + "/any/x"})
			for _, part := range c.parts {
				if !strings.Contains(stdout.String(), part) {
					t.Errorf("nothing says %q:\n%s", part, stdout.String())
				}
			}
		})
	}
}
