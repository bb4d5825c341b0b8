package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy/assertion"
)

// newForwarding starts a fixture whose resource forwards as the lines say, with
// routes beside the usual ones.
func newForwarding(t testing.TB, forward string, routes ...string) *fixture {
	t.Helper()
	return newFixture(t, func(text string) string {
		text = strings.Replace(text, "forward: {headers: {X-Auth-Email: email, X-Auth-Roles: roles, X-Auth-Number: number}}", "forward: "+forward, 1)
		for _, route := range routes {
			text = strings.Replace(text, "    routes:\n", "    routes:\n      - "+route+"\n", 1)
		}
		return strings.Replace(text, ", forward: {token: true}", "", 1)
	})
}

// told is what the upstream sees of a good request.
func (f *fixture) told(t *testing.T, path string, claims map[string]any) http.Header {
	t.Helper()
	wantOK(t, f.do("GET", path, "Authorization", "Bearer "+f.AT(claims)))
	return f.upstream.last().Header
}

// TestForwardEncodings: each encoding at the upstream, a route's own in place
// of the resource's, and a header's own in place of both.
func TestForwardEncodings(t *testing.T) {
	f := newForwarding(t, "{encoding: json, headers: {X-Auth-Name: name, X-Auth-Realm: {claim: realm_access, encoding: base64url}, X-Auth-Plain: {claim: name, encoding: percent}}}",
		"{path: /raw, forward: {encoding: raw-ascii}}", "{path: /other, forward: {headers: {X-Auth-Email: email}}}")
	claims := map[string]any{"name": "Zoë, \"x\"\r\n", "realm_access": map[string]any{"roles": []string{"a b", "ü"}}, "email": "é"}
	h := f.told(t, "/any/x", claims)
	var name string
	if err := json.Unmarshal([]byte(h.Get("X-Auth-Name")), &name); err != nil || name != claims["name"] {
		t.Errorf("name %q: %v", h["X-Auth-Name"], err)
	}
	realm, err := base64.RawURLEncoding.DecodeString(h.Get("X-Auth-Realm"))
	if err != nil || string(realm) != `{"roles":["a b","\u00fc"]}` {
		t.Errorf("realm %s: %v", realm, err)
	}
	if got := h.Get("X-Auth-Plain"); got != `Zo%C3%AB, "x"%0D%0A` {
		t.Errorf("plain %q", got)
	}
	h = f.told(t, "/other", claims)
	if h.Get("X-Auth-Email") != `"\u00e9"` || h["X-Auth-Name"] != nil || h["X-Auth-Realm"] != nil {
		t.Errorf("a route's own headers: %v", h)
	}
	if h = f.told(t, "/raw", map[string]any{"name": "100% Zoe"}); h.Get("X-Auth-Name") != "100% Zoe" {
		t.Errorf("raw: %v", h)
	}
	refused(t, f, http.StatusRequestHeaderFieldsTooLarge, absent, absent, func() *reply {
		return f.do("GET", "/raw", "Authorization", "Bearer "+f.AT(claims))
	})
}

// TestForwardReduced: the upstream learns of the groups the route asks for, and
// of no other.
func TestForwardReduced(t *testing.T) {
	f := newForwarding(t, "{headers: {X-Auth-Groups: {claim: groups, only: policy}, X-Auth-Teams: {claim: teams, only: [red, blue]}}}",
		"{path: /ops, claims: {groups: [ops, audit]}}", "{path: /audit, claims: {groups: [audit]}}")
	claims := map[string]any{"groups": []string{"hr", "audit", "ops"}, "teams": []string{"green", "red"}}
	for path, want := range map[string]string{"/ops": "audit,ops", "/audit": "audit", "/read": ""} {
		if h := f.told(t, path, claims); h.Get("X-Auth-Groups") != want || h.Get("X-Auth-Teams") != "red" {
			t.Errorf("%s: %v", path, h)
		}
	}
	if h := f.told(t, "/ops", map[string]any{"groups": "ops", "teams": []string{"green"}}); h.Get("X-Auth-Groups") != "ops" || h["X-Auth-Teams"] != nil {
		t.Errorf("%v", h)
	}
}

// TestForwardClaims: X-Auth-Claims has what is listed, nested as in the token.
func TestForwardClaims(t *testing.T) {
	f := newForwarding(t, "{claims_header: X-Auth-Claims, claims: [email, realm_access.roles, tenant]}", "{path: /other, forward: {claims: [tenant]}}")
	claims := map[string]any{"email": "zoë", "realm_access": map[string]any{"roles": []string{"a"}, "secret": 1}, "other": 1}
	text, err := base64.RawURLEncoding.DecodeString(f.told(t, "/any/x", claims).Get("X-Auth-Claims"))
	if want := `{"email":"zo\u00eb","realm_access":{"roles":["a"]}}`; err != nil || string(text) != want {
		t.Errorf("got %s %v, want %s", text, err, want)
	}
	if h := f.told(t, "/other", claims); h["X-Auth-Claims"] != nil {
		t.Errorf("told though nothing is there: %v", h)
	}
	refused(t, f, http.StatusRequestHeaderFieldsTooLarge, absent, absent, func() *reply {
		return f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(map[string]any{"email": strings.Repeat("a", 3500)}))
	})
}

// TestForwardNamesAreOurs: a client speaks in none of the new names, on no
// path through the gate.
func TestForwardNamesAreOurs(t *testing.T) {
	f := newForwarding(t, "{claims_header: My-Claims, claims: [email], headers: {Remote-Groups: {claim: groups, only: [a]}}, assertion: {audience: up, header: My-Proof}}",
		"{path: /off, forward: {assertion: {enabled: false}}}", "{path: /bearer, forward: {assertion: {header: Authorization}}}")
	var forged []string
	for _, name := range []string{"My-Claims", "my_claims", "My.Claims", "MY-PROOF", "my_proof", "Remote_Groups", "X-Auth-Assertion", "X_Auth_Assertion", "x.auth.claims"} {
		forged = append(forged, name, "forged")
	}
	for _, path := range []string{"/open/x", "/maybe", "/any/x", "/off", "/bearer"} {
		credential := "Basic Zm9yZ2Vk"
		if path != "/open/x" && path != "/maybe" {
			credential = "Bearer " + f.AT(nil)
		}
		wantOK(t, f.do("GET", path, append([]string{"Authorization", credential}, forged...)...))
		for name, values := range f.upstream.last().Header {
			for _, value := range values {
				if value == "forged" || strings.HasPrefix(value, "Basic ") {
					t.Errorf("%s: %s reaches the upstream", path, name)
				}
			}
		}
	}
}

// asserted is what an upstream that wants proof does: it reads the key set and
// verifies with another library than ours.
func (f *fixture) asserted(t *testing.T, raw string) (claims map[string]any, header jws.Headers, err error) {
	t.Helper()
	confided.add(raw)
	set, err := jwk.Parse([]byte(f.keySet(t)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(raw), jws.WithKeySet(set))
	if err != nil {
		return nil, nil, err
	}
	message, err := jws.Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return claims, message.Signatures()[0].ProtectedHeaders(), json.Unmarshal(payload, &claims)
}

func (f *fixture) keySet(t *testing.T) string {
	t.Helper()
	r := f.adminDo("/jwks.json")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/jwk-set+json" || r.Header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"k"`, "PRIVATE"} {
		if strings.Contains(r.body, private) {
			t.Errorf("the key set holds %s", private)
		}
	}
	return r.body
}

const aboutUser = "{assertion: {audience: orders, claims: [email, groups]}}"

func testHDR07(t *testing.T) {
	f := newForwarding(t, aboutUser)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, map[string]any{"email": "zoë@example.com", "groups": []string{"a"}, "aud": testIdentifier, "exp": time.Now().Add(40 * time.Second).Unix()})
	wantOK(t, f.do("GET", "/dpop/x", "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, "GET", "/dpop/x", devissuer.Proof{})))
	text := f.upstream.last().Header.Get("X-Auth-Assertion")
	claims, header, err := f.asserted(t, text)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": testIdentifier, "aud": "orders", "sub": "user-1", "sub_type": "user", "client_id": "client-1", "scope": "read", "binding": "dpop",
		"token_iss": f.a.Identifier(), "claims": map[string]any{"email": "zoë@example.com", "groups": []any{"a"}},
	}
	for name, value := range want {
		if got, expected := mustJSON(t, claims[name]), mustJSON(t, value); got != expected {
			t.Errorf("%s is %s, want %s", name, got, expected)
		}
	}
	issued, _ := claims["iat"].(float64)
	ends, _ := claims["exp"].(float64)
	if len(claims) != len(want)+2 || ends <= issued || ends > issued+40 {
		t.Errorf("claims %v", claims)
	}
	if header.Type() != assertion.Type || header.Algorithm() != "ES256" || !strings.Contains(f.keySet(t), `"kid":"`+header.KeyID()+`"`) {
		t.Errorf("header %v", header)
	}
	for name, forged := range forgeries(t, text) {
		if _, _, err := f.asserted(t, forged); err == nil {
			t.Errorf("%s: the assertion verifies", name)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// forgeries changes what a good assertion says.
func forgeries(t *testing.T, text string) map[string]string {
	t.Helper()
	parts := strings.Split(text, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	other := encode([]byte(strings.Replace(string(payload), `"sub":"user-1"`, `"sub":"admin1"`, 1)))
	return map[string]string{
		"another subject": parts[0] + "." + other + "." + parts[2],
		"no signature":    parts[0] + "." + parts[1] + ".",
		"alg none":        encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
	}
}

// TestAssertionServesSeveral: one assertion serves the requests of one caller
// for a while, and never those of another.
func TestAssertionServesSeveral(t *testing.T) {
	f := newForwarding(t, aboutUser, "{path: /bound/**, strip_prefix: /bound, forward: {assertion: {bind_request: true}}}")
	raw, other := f.AT(nil), f.AT(map[string]any{"sub": "user-2"})
	ask := func(raw, path string) string {
		wantOK(t, f.do("GET", path, "Authorization", "Bearer "+raw))
		return f.upstream.last().Header.Get("X-Auth-Assertion")
	}
	if first := ask(raw, "/any/x"); first == "" || ask(raw, "/any/y") != first || ask(raw, "/read") != first {
		t.Error("signed anew for the same caller")
	} else if ask(other, "/any/x") == first {
		t.Error("one caller has the assertion of another")
	}
	seen := make(map[string]bool)
	for _, path := range []string{"/bound/x", "/bound/x", "/bound/x?", "/bound/x?a=1%20&b", "/bound/%C3%AB/"} {
		text := ask(raw, path)
		claims, _, err := f.asserted(t, text)
		if err != nil || seen[text] {
			t.Fatalf("%s: %v, seen before: %v", path, err, seen[text])
		}
		seen[text] = true
		target := sha256.Sum256([]byte(f.upstream.last().RequestURI))
		if claims["htm"] != "GET" || claims["target_sha256"] != base64.RawURLEncoding.EncodeToString(target[:]) || claims["jti"] == "" {
			t.Errorf("%s arrives as %s, with %v", path, f.upstream.last().RequestURI, claims)
		}
	}
}

// TestAssertionOnlyOfCallers: nobody who was not let in by a token is spoken of.
func TestAssertionOnlyOfCallers(t *testing.T) {
	f := newForwarding(t, aboutUser, "{path: /off, forward: {assertion: {enabled: false}}}", "{path: /bearer, forward: {assertion: {header: authorization, audience: other, issuer: gate, algorithm: EdDSA, lifetime: 5s}}}")
	for _, path := range []string{"/open/x", "/maybe"} {
		wantOK(t, f.do("GET", path))
		if h := f.upstream.last().Header; h["X-Auth-Assertion"] != nil || h["Authorization"] != nil {
			t.Errorf("%s: %v", path, h)
		}
	}
	if h := f.told(t, "/off", nil); h["X-Auth-Assertion"] != nil {
		t.Errorf("switched off: %v", h)
	}
	if f.told(t, "/maybe", nil)["X-Auth-Assertion"] == nil {
		t.Error("none about a caller of an optional route")
	}
	h := f.told(t, "/bearer", nil)
	raw, bearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	claims, header, err := f.asserted(t, raw)
	if err != nil || !bearer || h["X-Auth-Assertion"] != nil {
		t.Fatal(err, h)
	}
	if claims["aud"] != "other" || claims["iss"] != "gate" || claims["exp"].(float64) > claims["iat"].(float64)+5 || header.Algorithm() != "EdDSA" {
		t.Errorf("%v %v", claims, header)
	}
	before := f.upstream.count()
	f.wantRefusal(t, f.do("GET", "/both", "Authorization", "Bearer "+f.AT(map[string]any{"scope": "read"})), http.StatusForbidden, before)
	refused(t, f, http.StatusRequestHeaderFieldsTooLarge, absent, absent, func() *reply {
		return f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(map[string]any{"groups": strings.Repeat("g", 3500)}))
	})
}

// TestAssertionIsNoAccessToken: a gate that gets an assertion where a token
// belongs refuses it by its type, in every profile.
func TestAssertionIsNoAccessToken(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, `{name: b, `, `{name: b, profile: jwt, `, 1)
	})
	for _, issuer := range []*devissuer.Running{f.a, f.b} {
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.mint(issuer, devissuer.Token{})))
		raw := f.mint(issuer, devissuer.Token{Header: map[string]any{"typ": assertion.Type}})
		before := f.upstream.count()
		f.wantRefusal(t, f.do("GET", "/read", "Authorization", "Bearer "+raw), http.StatusUnauthorized, before)
	}
}

// TestAssertionKeyRotates: with a new file the new key signs at once, and the
// one of before is published on.
func TestAssertionKeyRotates(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gate.pem")
	write := func(mode os.FileMode) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		der, errM := x509.MarshalPKCS8PrivateKey(key)
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		confided.add(strings.Split(string(text), "\n")[1])
		if err := errors.Join(err, errM, os.WriteFile(name, text, mode), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write(0o600)
	f := newForwarding(t, "{assertion: {audience: up, key_file: \""+name+"\"}}", "{path: /second, forward: {assertion: {audience: second}}}")
	before := f.told(t, "/any/x", nil).Get("X-Auth-Assertion")
	_, first, err := f.asserted(t, before)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(f.log.String(), "key_file") {
		t.Error("a private file is warned about")
	}
	write(0o644)
	if !f.gateway.tryReload("test") {
		t.Fatal(f.log.String())
	}
	if !strings.Contains(f.log.String(), "can be read by everybody") {
		t.Error("a file that everybody can read is not warned about")
	}
	_, second, err := f.asserted(t, f.told(t, "/any/x", nil).Get("X-Auth-Assertion"))
	if err != nil || second.KeyID() == first.KeyID() {
		t.Errorf("%v, by the key of before: %v", err, second.KeyID() == first.KeyID())
	}
	if _, _, err := f.asserted(t, before); err != nil {
		t.Errorf("an assertion of before does not verify any more: %v", err)
	}
	if n := strings.Count(f.keySet(t), `"kid"`); n != 2 {
		t.Errorf("%d keys are published", n)
	}
	if err := os.WriteFile(name, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.gateway.tryReload("test") || !strings.Contains(f.log.String(), "holds no private key in PEM or as a JWK") {
		t.Error("a file without a key is taken")
	}
	if _, kept, err := f.asserted(t, f.told(t, "/second", nil).Get("X-Auth-Assertion")); err != nil || kept.KeyID() != second.KeyID() {
		t.Errorf("after a bad file: %v", err)
	}
}

// TestAssertionKeys: what a file must hold for an algorithm.
func TestAssertionKeys(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gate.jwk")
	key := newClientKey(t, "RS256")
	if err := key.Save(name); err != nil {
		t.Fatal(err)
	}
	for algorithm, want := range map[string]string{"RS256": "", "PS256": "", "ES256": "holds a key that is not for ES256"} {
		text := `{audience: up, key_file: "` + name + `", algorithm: ` + algorithm + `}`
		a := &app{ctx: t.Context(), stdout: &lockedBuffer{}, stderr: &lockedBuffer{}, env: func(string) (string, bool) { return "", false }}
		path := filepath.Join(t.TempDir(), "config.yaml")
		file := "version: 1\nissuers: [{issuer: https://a.example.com}]\nresources: [{identifier: https://b.example.com, behind_tls: true, upstream: http://127.0.0.1:1, forward: {assertion: " + text + "}}]\n"
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := a.load(path)
		if err != nil {
			t.Fatal(a.stderr)
		}
		_, err = build(c, newStores(c, nil))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "resources[0].forward.assertion.key_file: "+want) {
			t.Errorf("%s: %v, want %s", algorithm, err, want)
		}
	}
}

// TestForwardingGuide: the configuration in the guide is a good one.
func TestForwardingGuide(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(repository, "docs/guide/forwarding.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```yaml\n")
	text, _, found := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || !found {
		t.Fatal(err)
	}
	var out, errs lockedBuffer
	if code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, env: nothing}, []string{"check", "--config", path}); code != 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}
