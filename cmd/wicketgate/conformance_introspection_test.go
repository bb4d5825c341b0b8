package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// introspectionRows are the rows about tokens that their issuer is asked about.
var introspectionRows = []conformanceRow{
	{"INTR-01", rowINTR01}, {"INTR-02", rowINTR02}, {"INTR-03", rowINTR03}, {"INTR-04", rowINTR04}, {"INTR-05", rowINTR05},
	{"INTR-06", rowINTR06}, {"INTR-07", rowINTR07}, {"INTR-08", rowINTR08}, {"INTR-09", rowINTR09}, {"INTR-10", rowINTR10},
	{"INTR-11", rowINTR11}, {"INTR-12", rowINTR12}, {"INTR-13", rowINTR13}, {"INTR-14", rowINTR14}, {"INTR-15", rowINTR15},
	{"INTR-16", rowINTR16}, {"INTR-20", rowINTR20}, {"DPOP-51", rowDPOP51}, {"MTLS-06", rowMTLS06},
}

func rowINTR01(t *testing.T) {
	a := newAsking(t, "")
	raw := a.opaque(nil)
	a.passes(t, raw)
	asked := a.a.Questions()
	if len(asked) != 1 {
		t.Fatalf("asked %d times", len(asked))
	}
	q := asked[0]
	want := map[string][]string{"token": {raw}, "token_type_hint": {"access_token"}}
	if q.Method != "POST" || q.Query != "" || len(q.Form) != 2 || !slices.Equal(q.Form["token"], want["token"]) || !slices.Equal(q.Form["token_type_hint"], want["token_type_hint"]) {
		t.Errorf("asked %s ?%s with %v", q.Method, q.Query, q.Form)
	}
	if q.Header.Get("Accept") != "application/json" || q.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("header %v", q.Header)
	}
}

func rowINTR02(t *testing.T) {
	for _, method := range []string{"basic", "post"} {
		t.Run(method, func(t *testing.T) {
			a := newAsking(t, "auth: "+method)
			a.passes(t, a.opaque(nil))
			q := a.a.Questions()[0]
			if inForm := q.Form.Has("client_secret"); q.Client != "gate" || inForm != (method == "post") || q.Header.Get("Authorization") == "" != inForm {
				t.Errorf("%q asked with %v", q.Client, q.Header)
			}
		})
	}
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run("private_key_jwt "+alg, func(t *testing.T) {
			key := newClientKey(t, alg)
			dir := t.TempDir()
			if err := key.Save(dir + "/key.json"); err != nil {
				t.Fatal(err)
			}
			o := devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Key: key.Signer.Public()}}}
			a := newAskingOf(t, o, `auth: private_key_jwt, key_file: "`+dir+`/key.json"`, nil)
			first, second := a.opaque(nil), a.opaque(nil)
			a.passes(t, first)
			a.passes(t, second)
			q := a.a.Questions()
			if q[0].Client != "gate" || q[0].Form.Get("client_assertion") == q[1].Form.Get("client_assertion") {
				t.Error("an assertion is not ours, or used twice")
			}
		})
	}
	t.Run("mtls", func(t *testing.T) {
		a := newAskingByCertificate(t)
		a.passes(t, a.opaque(nil))
		if q := a.a.Questions()[0]; q.Client != "gate" || q.Form.Get("client_id") != "gate" {
			t.Errorf("%q asked", q.Client)
		}
	})
	t.Run("over TLS", func(t *testing.T) {
		text := "version: 1\nissuers: [{issuer: https://as.example.com, introspection: {client_id: gate, client_secret_file: s, endpoint: http://as.example.com/i}}]\n" +
			"resources: [{identifier: https://rs.example.com, upstream: http://127.0.0.1:1}]\n"
		if _, err := config.Parse("c.yaml", []byte(text), func(string) (string, bool) { return "", false }); err == nil || !strings.Contains(err.Error(), "endpoint: must be https") {
			t.Errorf("plain http: %v", err)
		}
	})
}

// newAskingByCertificate starts a fixture whose issuer speaks TLS and knows us
// by a certificate.
func newAskingByCertificate(t *testing.T) *introspecting {
	t.Helper()
	dir := t.TempDir()
	cert := writePair(t, dir+"/cert.pem", dir+"/key.pem", 7)
	o := devissuer.Options{TLS: true, Clients: []devissuer.Client{{ID: "gate", Certificate: cert.Raw}}}
	return newAskingOf(t, o, `auth: mtls, cert_file: "`+dir+`/cert.pem", key_file: "`+dir+`/key.pem"`, nil)
}

func rowINTR03(t *testing.T) {
	a := newAsking(t, "")
	rest := `"iss":"` + a.a.Identifier() + `","aud":"` + testIdentifier + `"}`
	tokens := map[string]string{"missing": a.said(`{` + rest)}
	for _, value := range []string{"false", `"true"`, "1", "null", "[true]", `{"active":true}`} {
		tokens[value] = a.said(`{"active":` + value + `,` + rest)
	}
	a.refuses(t, token.ReasonInactive, tokens)
	a.passes(t, a.said(`{"active":true,`+rest))
}

func rowINTR04(t *testing.T) {
	a := newAsking(t, "")
	now := time.Now().Unix()
	for reason, list := range map[token.Reason]map[string]changes{
		token.ReasonExpired:  {"exp": {"exp": now - 31}},
		token.ReasonNotYet:   {"nbf": {"nbf": now + 60}},
		token.ReasonIssuedAt: {"iat": {"iat": now + 60}},
		token.ReasonAudience: {"aud": {"aud": "https://other.example.com"}, "aud list": {"aud": []string{"a", "b"}}, "aud number": {"aud": 1}},
		token.ReasonIssuer:   {"iss": {"iss": a.b.Identifier()}, "iss slash": {"iss": a.a.Identifier() + "/"}},
		token.ReasonClaim: {
			"exp text": {"exp": "9999999999"}, "sub number": {"sub": 1}, "client_id empty": {"client_id": ""}, "scope list": {"scope": []string{"read"}},
			"iss number": {"iss": 1}, "exp null": {"exp": json.RawMessage("null")},
		},
		token.ReasonKind: {"refresh": {"token_use": "refresh_token"}, "Keycloak's refresh": {"typ": "Refresh"}, "ID": {"typ": "ID"}},
	} {
		tokens := map[string]string{}
		for name, with := range list {
			tokens[name] = a.answering(with)
		}
		a.refuses(t, reason, tokens)
	}
	a.passes(t, a.answering(changes{"exp": now - 20, "nbf": now + 20, "iat": now + 20}))
	a.passes(t, a.answering(changes{"iss": nil}))
	raw := a.answering(changes{"scope": "read", "sub": "user-9"})
	wantPassed(t, a.do("GET", "/read", "Authorization", "Bearer "+raw))
	wantSeen(t, a.fixture, "X-Auth-Subject", "user-9")
	before := a.upstream.count()
	a.wantError(t, a.do("GET", "/both", "Authorization", "Bearer "+raw), before, http.StatusForbidden, "Bearer", "insufficient_scope")
}

func rowINTR05(t *testing.T) {
	a := newAsking(t, "")
	a.refuses(t, token.ReasonAudience, map[string]string{"absent": a.answering(changes{"aud": nil})})
	trusting := newAsking(t, "audience: trust_introspection")
	trusting.passes(t, trusting.answering(changes{"aud": nil}))
	trusting.refuses(t, token.ReasonAudience, map[string]string{"other": trusting.answering(changes{"aud": "other"})})
}

func rowINTR06(t *testing.T) {
	a := newAsking(t, "")
	key := newClientKey(t, "ES256")
	raw := a.opaque(changes{"cnf": changes{"jkt": key.Thumbprint()}})
	wantPassed(t, a.sendBound(key, raw, devissuer.Proof{}))
	wantSeen(t, a.fixture, "X-Auth-Binding", "dpop")
	a.reached = a.upstream.count()
	a.repels(t, a.sendBound(newClientKey(t, "ES256"), raw, devissuer.Proof{}), badBoundToken, token.ReasonDPoPBinding)
	for _, q := range a.a.Questions() {
		if q.Header.Get("DPoP") != "" || len(q.Form) != 2 {
			t.Errorf("asked with %v, %v", q.Header, q.Form)
		}
	}
}

// rowINTR07 looks at a token past its end but within the leeway: it is asked
// about each time. That an answer dies in time is tried in package introspect.
func rowINTR07(t *testing.T) {
	a := newAsking(t, "cache: 60s")
	raw, before := a.answering(changes{"exp": time.Now().Unix() - 1}), a.questions()
	a.passes(t, raw)
	a.passes(t, raw)
	a.wantQuestions(t, before, 2)
	a.a.Say(raw, []byte(`{"active":false}`))
	a.refuses(t, token.ReasonInactive, map[string]string{"ended": raw})
}

func rowINTR08(t *testing.T) {
	t.Run("kept", func(t *testing.T) {
		a := newAsking(t, "")
		raw := a.opaque(nil)
		for range 3 {
			a.passes(t, raw)
		}
		for range 3 {
			a.repels(t, a.sendToken("unknown"), badToken, token.ReasonInactive)
		}
		a.wantQuestions(t, 0, 2)
		if hits := a.count(`introspection_cache_requests_total{issuer="a",result="hit"}`); hits != "4" {
			t.Errorf("%s hits are counted", hits)
		}
	})
	t.Run("not kept", func(t *testing.T) {
		a := newAsking(t, "cache: 0s")
		raw := a.opaque(nil)
		a.passes(t, raw)
		a.a.Revoke(raw)
		a.repels(t, a.sendToken(raw), badToken, token.ReasonInactive)
	})
}

func rowINTR09(t *testing.T) {
	a := newAsking(t, "")
	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	raw := a.opaque(nil)
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() { wantPassed(t, a.sendToken(raw)) })
	}
	eventually(t, "a question", func() bool { return a.questions() > 0 })
	close(release)
	group.Wait()
	a.wantQuestions(t, 0, 1)
}

func rowINTR10(t *testing.T) {
	a := newAskingOf(t, devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}, "mode: both, prefix: a_", nil)
	foreign, err := devissuer.New(devissuer.Options{Identifier: "https://foreign.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := foreign.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	a.refuses(t, token.ReasonIssuer, map[string]string{"unknown iss": jwt})
	a.refuses(t, token.ReasonMalformed, map[string]string{"another's prefix": "b_123456", "none": "123456", "JWE": "eyJhbGciOiJkaXIifQ..a.b.c"})
	a.wantQuestions(t, 0, 0)
	a.repels(t, a.sendToken("a_123456"), badToken, token.ReasonInactive)
	a.passes(t, a.mint(a.b, devissuer.Token{})) // that of another issuer is nobody else's business
	a.wantQuestions(t, 0, 1)
	if n := a.b.Hits("/introspect"); n != 0 {
		t.Errorf("issuer b was asked %d times", n)
	}
}

func rowINTR11(t *testing.T) {
	for mode, want := range map[string]struct{ opaque, jwt int }{"opaque": {1, 0}, "jwt": {0, 1}, "both": {1, 1}} {
		t.Run(mode, func(t *testing.T) {
			a := newAsking(t, "mode: "+mode)
			a.passes(t, a.AT(nil))
			a.wantQuestions(t, 0, want.jwt)
			before, raw := a.questions(), a.opaque(nil)
			if want.opaque == 1 {
				a.passes(t, raw)
			} else {
				a.repels(t, a.sendToken(raw), badToken, token.ReasonMalformed)
			}
			a.wantQuestions(t, before, want.opaque)
			// What fails as a JWT is never tried as something else.
			before = a.questions()
			a.repels(t, a.sendToken(tampered(t, a.AT(nil))), badToken, token.ReasonSignature)
			a.wantQuestions(t, before, 0)
		})
	}
}

func rowINTR12(t *testing.T) {
	a := newAsking(t, "")
	revoked := a.opaque(nil)
	a.a.Revoke(revoked)
	a.refuses(t, token.ReasonInactive, map[string]string{
		"unknown": "unknown", "revoked": revoked, "ended": a.opaque(changes{"exp": time.Now().Unix() - 60}), "with dots": "a.b.c", "two parts": "eyJ.x",
	})
	if got := a.count(`validations_total{issuer="unknown",kind="opaque",reason="inactive",result="fail"}`); got != "5" {
		t.Errorf("%s are counted", got)
	}
}

// noAnswers are what is no answer, and how each is counted.
var noAnswers = map[string]struct {
	fault  devissuer.Fault
	result string
}{
	"500":           {devissuer.Fault{Status: 500}, "error"},
	"400":           {devissuer.Fault{Status: 400}, "error"},
	"401":           {devissuer.Fault{Status: 401}, "denied"},
	"403":           {devissuer.Fault{Status: 403}, "denied"},
	"429":           {devissuer.Fault{Status: 429}, "error"},
	"503":           {devissuer.Fault{Status: 503, Header: http.Header{"Retry-After": {"7"}}}, "error"},
	"201":           {devissuer.Fault{Status: 201}, "error"},
	"204":           {devissuer.Fault{Status: 204, Body: []byte{}}, "error"},
	"302":           {devissuer.Fault{Redirect: "/elsewhere"}, "error"},
	"301":           {devissuer.Fault{Redirect: "/elsewhere", Status: 301}, "error"},
	"307":           {devissuer.Fault{Redirect: "/elsewhere", Status: 307}, "error"},
	"HTML":          {devissuer.Fault{ContentType: "text/html", Body: []byte("<html>")}, "error"},
	"media type":    {devissuer.Fault{ContentType: "text/plain"}, "error"},
	"no JSON":       {devissuer.Fault{Body: []byte("active")}, "error"},
	"empty object":  {devissuer.Fault{Body: []byte("{}")}, "error"},
	"oversize":      {devissuer.Fault{Body: []byte(`{"active":true,"x":"` + strings.Repeat("x", 2<<20) + `"}`)}, "error"},
	"deep":          {devissuer.Fault{Body: []byte(`{"active":true,"x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`)}, "error"},
	"cut":           {devissuer.Fault{Truncate: 5}, "error"},
	"reset":         {devissuer.Fault{Reset: true}, "error"},
	"never":         {devissuer.Fault{Until: make(chan struct{})}, "timeout"},
	"drop by drop":  {devissuer.Fault{Drip: time.Second}, "timeout"},
	"content coded": {devissuer.Fault{Header: http.Header{"Content-Encoding": {"gzip"}}}, "error"},
}

// waits is how long an answer is waited for. Where one comes, bad as it is, a
// busy machine is no reason to give up on it.
var waits = map[string]string{"error": "timeout: 5s", "denied": "timeout: 5s", "timeout": "timeout: 100ms"}

// withoutAnswer tries what is no answer, all of it or some by name.
func withoutAnswer(t *testing.T, names ...string) {
	for name, c := range noAnswers {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(t, waits[c.result])
			raw := a.opaque(nil)
			c.fault.Path = "/introspect"
			a.a.Fail(c.fault)
			r := a.undecided(t, raw)
			if name == "503" && r.Header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After %s", r.Header.Get("Retry-After"))
			}
			if got := a.count(`introspection_requests_total{issuer="a",result="` + c.result + `"}`); got != "1" {
				t.Errorf("%s are counted", got)
			}
			if n := a.a.Hits("/elsewhere"); n != 0 {
				t.Errorf("a redirect was followed %d times", n)
			}
		})
	}
}

func rowINTR13(t *testing.T) {
	withoutAnswer(t)
	t.Run("connection refused", func(t *testing.T) {
		a := newAsking(t, "")
		raw := a.opaque(nil)
		if err := a.a.Close(); err != nil {
			t.Fatal(err)
		}
		a.undecided(t, raw)
	})
	t.Run("breaker", func(t *testing.T) {
		a := newAsking(t, "")
		a.a.Fail(devissuer.Fault{Path: "/introspect", Status: 500})
		raw := a.opaque(nil)
		for range 30 {
			a.undecided(t, raw)
		}
		a.wantQuestions(t, 0, 20)
		if a.count(`introspection_paused{issuer="a"}`) != "1" || a.count(`introspection_requests_total{issuer="a",result="paused"}`) != "10" {
			t.Error("the metrics do not show that nobody is asked")
		}
		a.passes(t, a.AT(nil)) // JWTs need nobody
	})
}

func rowINTR14(t *testing.T) {
	for settings, good := range map[string]bool{"cache: 0s": false, "cache: 0s, grace: 60s": true} {
		a := newAsking(t, settings)
		raw := a.opaque(nil)
		a.passes(t, raw)
		a.a.Fail(devissuer.Fault{Path: "/introspect", Status: 500})
		if good {
			a.passes(t, raw)
		} else {
			a.undecided(t, raw)
		}
		a.undecided(t, a.opaque(nil))
		a.a.Heal()
		a.a.Revoke(raw)
		a.refuses(t, token.ReasonInactive, map[string]string{"revoked": raw})
	}
}

func rowINTR15(t *testing.T) {
	a := newAsking(t, "")
	const good = `"aud":"` + testIdentifier + `"`
	long := func(n int) string { return `{"active":true,` + good + `,"x":"` + strings.Repeat("x", n) + `"}` }
	for name, body := range map[string]string{
		"duplicate": `{"active":true,"active":true,` + good + `}`, "duplicate, escaped": `{"active":true,"\u0061ctive":true,` + good + `}`,
		"duplicate below": `{"active":true,"x":{"a":1,"a":1},` + good + `}`, "trailing": `{"active":true,` + good + `}x`,
		"comment": `{"active":true,/**/` + good + `}`, "not UTF-8": "{\"active\":true,\"x\":\"\xff\"," + good + "}", "too long": long(64 << 10),
	} {
		t.Run(name, func(t *testing.T) { a.undecided(t, a.said(body)) })
	}
	a.passes(t, a.said(long(63<<10)))
}

func rowINTR16(t *testing.T) {
	a := newAsking(t, "mode: jwt")
	a.refuses(t, token.ReasonExpired, map[string]string{"expired": a.AT(changes{"exp": time.Now().Unix() - 60})})
	a.refuses(t, token.ReasonAudience, map[string]string{"audience": a.AT(changes{"aud": "other"})})
	a.refuses(t, token.ReasonSignature, map[string]string{"signature": tampered(t, a.AT(nil))})
	a.wantQuestions(t, 0, 0)
	revoked := a.AT(nil)
	a.a.Revoke(revoked)
	a.refuses(t, token.ReasonInactive, map[string]string{"revoked": revoked})
	a.wantQuestions(t, 0, 1)
	good := a.AT(nil)
	a.passes(t, good)
	a.passes(t, good)
	a.wantQuestions(t, 0, 2)
	say := func(body string) string {
		raw := a.AT(changes{"scope": "read write"})
		a.a.Say(raw, []byte(body))
		return raw
	}
	a.passes(t, say(`{"active":true}`))
	wantSeen(t, a.fixture, "X-Auth-Scope", "read write")
	a.passes(t, say(`{"active":true,"scope":"write admin"}`))
	wantSeen(t, a.fixture, "X-Auth-Scope", "write")
	a.refuses(t, token.ReasonClaim, map[string]string{
		"another subject": say(`{"active":true,"sub":"user-2"}`), "another client": say(`{"active":true,"client_id":"x"}`), "another jti": say(`{"active":true,"jti":"x"}`),
	})
	a.refuses(t, token.ReasonConfirmation, map[string]string{"bound": say(`{"active":true,"cnf":{"jkt":"` + newClientKey(t, "ES256").Thumbprint() + `"}}`)})
	a.refuses(t, token.ReasonIssuer, map[string]string{"another issuer": say(`{"active":true,"iss":"x"}`)})
	a.refuses(t, token.ReasonAudience, map[string]string{"another audience": say(`{"active":true,"aud":"x"}`)})
	a.refuses(t, token.ReasonDPoPBinding, map[string]string{"another type": say(`{"active":true,"token_type":"DPoP"}`)})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Status: 500})
	a.undecided(t, a.AT(nil))
	a.passes(t, good)
}

func rowINTR20(t *testing.T) {
	t.Run("metadata", func(t *testing.T) {
		a := newAsking(t, "")
		a.passes(t, a.opaque(nil))
		a.wantQuestions(t, 0, 1)
	})
	t.Run("configured", func(t *testing.T) {
		a := newAskingOf(t, devissuer.Options{
			Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}, Members: map[string]json.RawMessage{"introspection_endpoint": nil},
		}, "", nil)
		raw := a.opaque(nil)
		a.undecided(t, raw)
		a.rewrite("client_id: gate,", `client_id: gate, endpoint: "`+a.a.Identifier()+`/introspect",`)
		a.gateway.tryReload("test")
		a.wantReload("1")
		a.passes(t, raw)
	})
	t.Run("mtls alias", func(t *testing.T) {
		a := newAskingByCertificate(t)
		aliases := json.RawMessage(`{"introspection_endpoint":"` + a.a.Identifier() + `/mtls/introspect"}`)
		a.a.Change(func(o *devissuer.Options) { o.Members = map[string]json.RawMessage{"mtls_endpoint_aliases": aliases} })
		a.undecided(t, a.opaque(nil))
		if n := a.a.Hits("/mtls/introspect"); n != 1 || a.questions() != 0 {
			t.Errorf("the alias was asked %d times, the endpoint %d times", n, a.questions())
		}
	})
}

func rowDPOP51(t *testing.T) {
	a := newAsking(t, "")
	key := newClientKey(t, "ES256")
	cnf := changes{"jkt": key.Thumbprint()}
	for kind, good := range map[any]bool{"DPoP": true, "dpop": true, nil: true, "Bearer": false, "bearer": false, "mac": false, 1: false} {
		raw := a.answering(changes{"cnf": cnf, "token_type": kind})
		r := a.sendBound(key, raw, devissuer.Proof{})
		if good {
			wantPassed(t, r)
			a.reached = a.upstream.count()
			a.repels(t, a.sendToken(raw), badToken, token.ReasonDPoPBinding)
			continue
		}
		a.wantError(t, r, a.reached, http.StatusUnauthorized, "DPoP", "invalid_token")
		a.counts = a.counters()
	}
	a.refuses(t, token.ReasonDPoPBinding, map[string]string{"DPoP without jkt": a.answering(changes{"token_type": "DPoP"})})
	unbound := a.answering(nil)
	a.repels(t, a.sendBound(key, unbound, devissuer.Proof{}), badBoundToken, token.ReasonDPoPBinding)
	a.passes(t, unbound)
	a.passes(t, a.answering(changes{"token_type": "Bearer"}))
}

func rowMTLS06(t *testing.T) {
	v := readCertificateVectors(t)
	a := newAskingOf(t, devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}, "", func(text string) string {
		return instead(t, text, "admin:", "trusted_proxies: [127.0.0.1]\nmtls: {from: header}\nadmin:")
	})
	raw := a.answering(changes{"cnf": changes{"x5t#S256": v.Digest}, "token_type": "Bearer"})
	send := func(field string) *reply {
		return a.do("GET", "/any/x", "Authorization", "Bearer "+raw, "Client-Cert", field)
	}
	wantPassed(t, send(v.Field))
	wantSeen(t, a.fixture, "X-Auth-Binding", "mtls")
	a.reached = a.upstream.count()
	a.repels(t, send(":"+v.MTLS+":"), badToken, token.ReasonMTLSBinding)
	a.repels(t, a.sendToken(raw), badToken, token.ReasonMTLSBinding)
}
