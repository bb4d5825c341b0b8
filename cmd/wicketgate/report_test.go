package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// reportRoutes ask for everything that a route can ask for.
const reportRoutes = `    cors: {origins: ["https://app.example.com"], strict: true}
    token_sources: {cookie: t, query: true, body: true}
    routes:
      - {name: acr, path: /acr, acr: [gold]}
      - {name: amr, path: /amr, amr: [otp]}
      - {name: age, path: /age, max_age: 1s}
      - {name: when, path: /when, when: token.subject == "nobody"}
      - {name: network, path: /network, networks: [192.0.2.0/24]}
      - {name: young, path: /young, max_token_age: 1m}
      - {name: clients, path: /clients, clients: [nobody]}
      - {name: subjects, path: /subjects, subjects: [nobody]}
      - {name: actor, path: /actor, actor: [nobody]}
      - {name: rule, path: /rule, claims: {groups: [ops]}}
      - {name: details, path: /details, authorization_details: [{type: payment}]}
      - {name: nonce, path: /nonce, nonce: required}
      - {name: bound, path: /bound, binding: required}
      - {name: scope, path: /ext/scope, strip_prefix: /ext, scopes: [nobody]}
      - {name: small, path: /small, max_body: 1B, scopes: [nobody]}
      - {name: ws, path: /ws, websocket: true, scopes: [nobody]}
`

// reporting edits the fixture's file: more says where refusals are reported only.
func reporting(t *testing.T, rules string, more func(string) string) func(string) string {
	return func(text string) string {
		text = instead(t, text, "    routes:\n", reportRoutes)
		text = instead(t, text, "{X-Auth-Email: email,", "{X-Auth-Email: email, X-Tenant: tenant,")
		text = instead(t, text, `issuer: "%[3]s", refetch_interval: 1s}`, `issuer: "%[3]s", refetch_interval: 1s, max_lifetime: 24h, clients: [client-1]}`)
		text = instead(t, text, `issuer: "%[4]s", refetch_interval: 1s}`, `issuer: "%[4]s", refetch_interval: 1s, profile: jwt}`)
		text += "revocation: {file: \"" + rules + "\"}\n"
		if more != nil {
			text = more(text)
		}
		return text
	}
}

// everywhere reports refusals of the whole file only.
func everywhere(text string) string { return text + "report_only: true\n" }

// refusable is a request that is refused for one reason. It is made anew each time.
type refusable struct {
	name   string
	reason token.Reason
	path   string
	header func(f *fixture) []string
	method string                  // empty for GET
	query  func(f *fixture) string // may be nil
}

func (c *refusable) send(f *fixture) *reply {
	f.t.Helper()
	path := c.path
	if c.query != nil {
		path += "?" + c.query(f)
	}
	return f.do(cmp.Or(c.method, "GET"), path, append(c.header(f), impostor...)...)
}

// impostor is what a client would like the upstream to believe.
var impostor = []string{
	"X-Auth-Subject", "admin", "x_auth_subject", "admin", "X-AUTH.SUBJECT", "admin", "X-Auth-Email", "a@example.com", "X_Auth-Roles", "admin",
	"X-Tenant", "other", "x_tenant", "other", "X-Auth-Anything", "1", "X-Forwarded-User", "admin",
}

// bearer is a refusable with a token of issuer A.
func bearer(reason token.Reason, path string, alter devissuer.Token) refusable {
	return refusable{name: string(reason), reason: reason, path: path, header: func(f *fixture) []string {
		return []string{"Authorization", "Bearer " + f.mint(f.a, alter)}
	}}
}

func claiming(claims map[string]any) devissuer.Token { return devissuer.Token{Claims: claims} }

// proven is a refusable with a proof that is not good.
func proven(reason token.Reason, path string, alter devissuer.Proof) refusable {
	return refusable{name: string(reason), reason: reason, path: path, header: func(f *fixture) []string {
		key := newClientKey(f.t, "ES256")
		raw := f.bound(key, nil)
		method := "GET"
		if reason == token.ReasonDPoPMethod {
			method = "POST"
		}
		return []string{"Authorization", "DPoP " + raw, "Dpop", f.proof(key, raw, method, path, alter)}
	}}
}

func fixed(name string, reason token.Reason, path string, header ...string) refusable {
	return refusable{name: name, reason: reason, path: path, header: func(*fixture) []string { return slices.Clone(header) }}
}

// refusables are requests for each check between the door and the upstream.
func refusables(t *testing.T) []refusable {
	stranger := newClientKey(t, "ES256")
	forger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	jwt := func(name string, reason token.Reason, header string) refusable {
		return refusable{name: name, reason: reason, path: "/any/x", header: func(f *fixture) []string { return []string{"Authorization", header + " " + f.AT(nil)} }}
	}
	return []refusable{
		fixed("nothing", token.ReasonMissing, "/any/x"),
		fixed("another scheme's name for it", token.ReasonMissing, "/dpop/x", "Authorization", "Bearer abc"),
		fixed("malformed", token.ReasonMalformed, "/any/x", "Authorization", "Bearer not a token"),
		fixed("malformed on an optional route", token.ReasonMalformed, "/maybe", "Authorization", "Bearer abc"),
		fixed("too long", token.ReasonTooLong, "/any/x", "Authorization", "Bearer "+strings.Repeat("a", 17<<10)),
		fixed("no route", token.ReasonNoRoute, "/nowhere", "Authorization", "Bearer abc"),
		fixed("no route for the method", token.ReasonNoRoute, "/write"),
		{name: "two fields", reason: token.ReasonTwoMethods, path: "/any/x", header: func(f *fixture) []string {
			return []string{"Authorization", "Bearer " + f.AT(nil), "Authorization", "Bearer " + f.AT(nil)}
		}},
		jwt("wrong scheme", token.ReasonDPoPBinding, "DPoP"),
		bearer(token.ReasonCritical, "/any/x", devissuer.Token{Header: map[string]any{"crit": []string{"x"}, "x": 1}}),
		bearer(token.ReasonAlgorithm, "/any/x", devissuer.Token{Alg: "HS256", Secret: []byte("it is public")}),
		bearer(token.ReasonType, "/any/x", devissuer.Token{Header: map[string]any{"typ": "JWT"}}),
		bearer(token.ReasonIssuer, "/any/x", claiming(map[string]any{"iss": "https://stranger.example.com"})),
		bearer(token.ReasonUnknownKey, "/any/x", devissuer.Token{Header: map[string]any{"kid": "stranger"}, Claims: map[string]any{"iat": now.Add(-time.Hour).Unix()}}),
		bearer(token.ReasonSignature, "/any/x", devissuer.Token{Key: forger}),
		bearer(token.ReasonClaim, "/any/x", claiming(map[string]any{"jti": nil})),
		bearer(token.ReasonExpired, "/any/x", claiming(map[string]any{"exp": 1000000000})),
		bearer(token.ReasonNotYet, "/any/x", claiming(map[string]any{"nbf": now.Add(time.Hour).Unix()})),
		bearer(token.ReasonIssuedAt, "/any/x", claiming(map[string]any{"iat": now.Add(time.Hour).Unix()})),
		bearer(token.ReasonLifetime, "/any/x", claiming(map[string]any{"exp": now.Add(48 * time.Hour).Unix()})),
		bearer(token.ReasonIssuerClient, "/any/x", claiming(map[string]any{"client_id": "stranger"})),
		{name: "kind", reason: token.ReasonKind, path: "/any/x", header: func(f *fixture) []string {
			return []string{"Authorization", "Bearer " + f.mint(f.b, claiming(map[string]any{"at_hash": "x"}))}
		}},
		bearer(token.ReasonAudience, "/any/x", claiming(map[string]any{"aud": "https://other.example.com"})),
		bearer(token.ReasonRevoked, "/any/x", claiming(map[string]any{"sub": "denied"})),
		bearer(token.ReasonConfirmation, "/any/x", claiming(map[string]any{"cnf": map[string]any{"unheard": "of"}})),
		bearer(token.ReasonMTLSBinding, "/any/x", claiming(map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("a", 42) + "A"}})),
		bearer(token.ReasonDPoPBinding, "/any/x", claiming(map[string]any{"cnf": map[string]any{"jkt": stranger.Thumbprint()}})),
		{name: "no proof", reason: token.ReasonDPoPMissing, path: "/any/x", header: func(f *fixture) []string {
			return []string{"Authorization", "DPoP " + f.bound(stranger, nil)}
		}},
		proven(token.ReasonDPoPMalformed, "/any/x", devissuer.Proof{RawPayload: []byte("[]")}),
		proven(token.ReasonDPoPType, "/any/x", devissuer.Proof{Header: map[string]any{"typ": "JWT"}}),
		proven(token.ReasonDPoPAlgorithm, "/any/x", devissuer.Proof{Header: map[string]any{"alg": "none"}}),
		proven(token.ReasonDPoPKey, "/any/x", devissuer.Proof{Header: map[string]any{"jwk": nil}}),
		proven(token.ReasonDPoPMethod, "/any/x", devissuer.Proof{}),
		proven(token.ReasonDPoPTarget, "/any/x", devissuer.Proof{URL: testIdentifier + "/other"}),
		proven(token.ReasonDPoPTime, "/any/x", devissuer.Proof{IssuedAt: now.Add(-time.Hour)}),
		proven(token.ReasonDPoPToken, "/any/x", devissuer.Proof{Claims: map[string]any{"ath": strings.Repeat("a", 42) + "A"}}),
		proven(token.ReasonDPoPNonce, "/nonce", devissuer.Proof{}),
		{name: "forged proof", reason: token.ReasonDPoPSignature, path: "/any/x", header: func(f *fixture) []string {
			key := newClientKey(f.t, "ES256")
			raw := f.bound(key, nil)
			proof := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
			body, signature := proof[:strings.LastIndexByte(proof, '.')], proof[strings.LastIndexByte(proof, '.'):]
			if signature[10] == 'A' {
				signature = signature[:10] + "B" + signature[11:]
			} else {
				signature = signature[:10] + "A" + signature[11:]
			}
			return []string{"Authorization", "DPoP " + raw, "Dpop", body + signature}
		}},
		{name: "replay", reason: token.ReasonDPoPReplay, path: "/any/x", header: func(f *fixture) []string {
			key := newClientKey(f.t, "ES256")
			raw := f.bound(key, nil)
			header := []string{"Authorization", "DPoP " + raw, "Dpop", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})}
			if r := f.do("GET", "/any/x", header...); r.StatusCode != http.StatusOK {
				f.t.Errorf("first use: %d %s", r.StatusCode, r.body)
			}
			return header
		}},
		bearer(token.ReasonBinding, "/bound", devissuer.Token{}),
		bearer(token.ReasonScope, "/ext/scope", devissuer.Token{}),
		bearer(token.ReasonAudience, "/token", claiming(map[string]any{"aud": "https://other.example.com"})),
		bearer(token.ReasonClient, "/clients", devissuer.Token{}),
		bearer(token.ReasonSubject, "/subjects", devissuer.Token{}),
		bearer(token.ReasonActor, "/actor", devissuer.Token{}),
		bearer(token.ReasonRule, "/rule", devissuer.Token{}),
		bearer(token.ReasonDetails, "/details", devissuer.Token{}),
		bearer(token.ReasonACR, "/acr", devissuer.Token{}),
		bearer(token.ReasonAMR, "/amr", devissuer.Token{}),
		bearer(token.ReasonMaxAge, "/age", claiming(map[string]any{"auth_time": now.Add(-time.Hour).Unix()})),
		bearer(token.ReasonWhen, "/when", devissuer.Token{}),
		bearer(token.ReasonNetwork, "/network", devissuer.Token{}),
		bearer(token.ReasonTokenAge, "/young", claiming(map[string]any{"iat": now.Add(-time.Hour).Unix()})),
		bearer(token.ReasonClaims, "/any/x", claiming(map[string]any{"email": strings.Repeat("a", 5<<10)})),
		{name: "from another site", reason: token.ReasonCrossSite, path: "/any/x", header: func(f *fixture) []string {
			return []string{"Cookie", "t=" + f.AT(nil) + "; other=1", "Sec-Fetch-Site", "cross-site"}
		}, method: "POST"},
		{name: "in the query", reason: token.ReasonAudience, path: "/any/x", header: func(*fixture) []string { return nil }, query: func(f *fixture) string {
			return "a=1&access_token=" + f.AT(map[string]any{"aud": "https://other.example.com"})
		}},
		{name: "in the query, one of two", reason: token.ReasonTwoMethods, path: "/any/x", header: func(f *fixture) []string {
			return []string{"Authorization", "Bearer " + f.AT(nil)}
		}, query: func(f *fixture) string { return "access_token=" + f.AT(nil) }},
	}
}

// denied writes the deny rules of these fixtures.
func denied(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "denied.jsonl")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unreached are reasons that need an outage or more than one request can do. They
// take the same way.
var unreached = []token.Reason{
	token.ReasonKeysUnavailable, // TestReportOnlyOutlastsOutages
	token.ReasonFailures, token.ReasonBusy,
	token.ReasonInactive, token.ReasonStatusReference, token.ReasonStatusRevoked, token.ReasonReplayUnavailable,
	token.ReasonIntrospectionUnavailable, token.ReasonStatusUnavailable, token.ReasonRevocationUnavailable, token.ReasonInternal,
}

// TestReportOnlyTellsNobody sends what is refused for every reason there is. Where
// refusals are enforced none of it reaches the upstream; where they are reported, all
// of it does, once, and says nothing of who asks: no field of ours in any spelling,
// neither token nor proof.
func TestReportOnlyTellsNobody(t *testing.T) {
	t.Parallel()
	cases := refusables(t)
	rules := denied(t)
	enforcing := newFixture(t, reporting(t, rules, nil))
	lenient := newFixture(t, reporting(t, rules, everywhere))
	if err := os.WriteFile(rules, []byte(`{"iss":"`+enforcing.a.Identifier()+`","sub":"denied"}`+"\n"+`{"iss":"`+lenient.a.Identifier()+`","sub":"denied"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*fixture{enforcing, lenient} {
		f.untilReady()
		eventually(t, "the deny rules", func() bool { return f.in(t).series(`revocation_rules{source="file"}`) == "2" })
		wantOK(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.mint(f.b, devissuer.Token{})))
	}
	tried := map[token.Reason]int{}
	for _, c := range cases {
		tried[c.reason]++
		t.Run(c.name, func(t *testing.T) {
			if r := c.send(enforcing.in(t)); r.StatusCode < 400 || strings.Contains(r.body, "upstream") {
				t.Errorf("enforced: %d %s", r.StatusCode, r.body)
			}
			wantSilent(t, lenient.in(t), &c)
		})
	}
	refused, reported := enforcing.metrics(), lenient.metrics()
	for _, r := range token.Reasons {
		reason := `reason="` + string(r.Reason) + `"`
		for _, c := range []struct {
			metrics, name string
			want          int
		}{
			{refused, "wicketgate_refusals_total", tried[r.Reason]}, {refused, "wicketgate_would_refuse_total", 0},
			{reported, "wicketgate_refusals_total", 0}, {reported, "wicketgate_would_refuse_total", tried[r.Reason]},
		} {
			if n := sumOf(c.metrics, c.name, reason); n != c.want {
				t.Errorf("%s of %s are %d, want %d", c.name, r.Reason, n, c.want)
			}
		}
		if tried[r.Reason] == 0 && !slices.Contains(unreached, r.Reason) && !slices.Contains(doorReasons, r.Reason) {
			t.Errorf("nothing here is refused for %s", r.Reason)
		}
	}
}

// doorReasons are never reported only.
var doorReasons = []token.Reason{
	token.ReasonOverload, token.ReasonVersion, token.ReasonMethod, token.ReasonTarget, token.ReasonPath, token.ReasonHost, token.ReasonHeaderSection,
	token.ReasonLoop, token.ReasonAsker, token.ReasonQuestion, token.ReasonReserved, token.ReasonEarlyData, token.ReasonBody, token.ReasonOrigin, token.ReasonBodySize,
	token.ReasonHandshake, token.ReasonHandshakeVersion, token.ReasonTunnels, token.ReasonUpstreamBusy,
}

// sumOf adds up the series of a metric that have a label.
func sumOf(metrics, name, label string) (sum int) {
	for line := range strings.Lines(metrics) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if strings.HasPrefix(series, name+"{") && strings.Contains(series, label) {
			n, _ := strconv.Atoi(value) // a counter is no text
			sum += n
		}
	}
	return sum
}

// wantSilent sends what is refused and looks at what the upstream gets of it.
func wantSilent(t *testing.T, f *fixture, c *refusable) {
	t.Helper()
	var seen int
	header := c.header
	c = &refusable{c.name, c.reason, c.path, func(f *fixture) []string { // a replay needs a first use
		list := header(f)
		seen = f.upstream.count()
		return list
	}, c.method, c.query}
	r := c.send(f)
	if r.StatusCode != http.StatusOK || r.body != "upstream" || len(r.Header["Www-Authenticate"]) > 0 {
		t.Fatalf("reported: %d %s %v", r.StatusCode, r.body, r.Header)
	}
	if n := f.upstream.count() - seen; n != 1 {
		t.Errorf("the upstream saw it %d times", n)
	}
	last := f.upstream.last()
	for name := range last.Header {
		switch plain := proxy.NormalName(name); {
		case strings.HasPrefix(plain, "x-auth-"), plain == "x-tenant", plain == "authorization", plain == "dpop", plain == "x-forwarded-user":
			t.Errorf("the upstream was told %s", name)
		case plain == "cookie" && strings.Contains(last.Header[name][0], "t="):
			t.Errorf("the upstream was told a cookie")
		}
	}
	if strings.Contains(last.RequestURI, "access_token") {
		t.Errorf("the upstream was told a token in the query")
	}
	if strip := strings.TrimPrefix(c.path, "/ext"); !strings.HasPrefix(last.RequestURI, strip) {
		t.Errorf("the upstream was asked for %s", last.URL.Path)
	}
}
