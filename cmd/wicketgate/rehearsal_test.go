package main

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// rehearse makes a rehearsal of a configuration. None of the files it names is
// there.
func rehearse(t *testing.T, text string) *rehearsal.Rehearsal {
	t.Helper()
	file, err := config.Parse(filepath.Join(t.TempDir(), "config.yaml"), []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRehearsal(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func claims(t *testing.T, text string) rehearsal.Claims {
	t.Helper()
	c := rehearsal.Claims{}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

const rehearsedShop = `version: 1
issuers:
  - issuer: https://login.example.com/
    max_lifetime: 2m
resources:
  - identifier: https://api.example.com
    upstream: http://127.0.0.1:3000
    routes:
      - {name: health, path: /healthz, public: true}
      - {name: news, path: /news, optional: true}
      - {name: orders, path: "/orders/**", scopes: [orders.read], subject_type: user}
      - {name: pay, path: /pay, methods: [POST], binding: dpop, max_age: 5m}
      - {name: fresh, path: /fresh, nonce: required, binding: dpop}
      - {name: sealed, path: /sealed, binding: required}
`

func TestRehearsal(t *testing.T) {
	r := rehearse(t, rehearsedShop)
	for _, row := range []struct {
		name    string
		scene   rehearsal.Scene
		verdict proxy.Verdict
		reason  token.Reason
		route   string
	}{
		{"public", rehearsal.Scene{URL: "/healthz"}, proxy.Allowed, "", "health"},
		{"anonymous", rehearsal.Scene{URL: "/news"}, proxy.Allowed, "", "news"},
		{"no token", rehearsal.Scene{URL: "/orders/1"}, proxy.Refused, token.ReasonMissing, "orders"},
		{"good", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"scope":"orders.read"}`)}, proxy.Allowed, "", "orders"},
		{"whole URL", rehearsal.Scene{URL: "https://API.example.com/orders/1?a=b", Claims: claims(t, `{"scope":"orders.read"}`)}, proxy.Allowed, "", "orders"},
		{"scope", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"scope":"orders"}`)}, proxy.Refused, token.ReasonScope, "orders"},
		{"nobody knows", rehearsal.Scene{URL: "/elsewhere"}, proxy.Refused, token.ReasonNoRoute, "none"},
		{"expired", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"scope":"orders.read","exp":"-5m"}`)}, proxy.Refused, token.ReasonExpired, "orders"},
		{"removed", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"scope":"orders.read","jti":null}`)}, proxy.Refused, token.ReasonClaim, "orders"},
		{"other audience", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"aud":"https://other.example.com"}`)}, proxy.Refused, token.ReasonAudience, "orders"},
		{"other issuer", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"iss":"https://evil.example.com/"}`)}, proxy.Refused, token.ReasonIssuer, "orders"},
		{"too long", rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"exp":"1h"}`)}, proxy.Refused, token.ReasonLifetime, "orders"},
		{"long ago", rehearsal.Scene{URL: "/orders/1", At: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), Claims: claims(t, `{"scope":"orders.read","exp":"2001-02-03T04:06:00Z"}`)}, proxy.Allowed, "", "orders"},
		{"expired then", rehearsal.Scene{URL: "/orders/1", At: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), Claims: claims(t, `{"exp":"2001-02-03T04:04:00Z"}`)}, proxy.Refused, token.ReasonExpired, "orders"},
		{"proof", rehearsal.Scene{Method: "POST", URL: "/pay", Binding: "dpop", Claims: claims(t, `{"auth_time":"-1m"}`)}, proxy.Allowed, "", "pay"},
		{"proof long ago", rehearsal.Scene{Method: "POST", URL: "/pay", At: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), Binding: "dpop", Claims: claims(t, `{"auth_time":"-1m"}`)}, proxy.Allowed, "", "pay"},
		{"old login", rehearsal.Scene{Method: "POST", URL: "/pay", Binding: "dpop", Claims: claims(t, `{"auth_time":"-6m"}`)}, proxy.Refused, token.ReasonMaxAge, "pay"},
		{"bearer", rehearsal.Scene{Method: "POST", URL: "/pay", Claims: claims(t, `{}`)}, proxy.Refused, token.ReasonMissing, "pay"},
		{"nonce", rehearsal.Scene{URL: "/fresh", Binding: "dpop", Claims: claims(t, `{}`)}, proxy.Allowed, "", "fresh"},
		{"nobody sees a certificate", rehearsal.Scene{URL: "/sealed", Binding: "mtls", Claims: claims(t, `{}`)}, proxy.Refused, token.ReasonMTLSBinding, "sealed"},
		{"not signed by anybody", rehearsal.Scene{URL: "/orders/1", Token: "a.b.c"}, proxy.Refused, token.ReasonMalformed, "orders"},
	} {
		t.Run(row.name, func(t *testing.T) {
			told, err := r.Decide(t.Context(), &row.scene)
			if err != nil {
				t.Fatal(err)
			}
			d := told.Decision
			if d.Verdict != row.verdict || d.Reason() != row.reason || d.Route.Name != row.route {
				t.Errorf("got verdict %d, reason %q, route %s: %s", d.Verdict, d.Reason(), d.Route.Name, told.Cause())
			}
		})
	}
}

func TestRehearsalTellsOfRequirements(t *testing.T) {
	r := rehearse(t, rehearsedShop)
	told, err := r.Decide(t.Context(), &rehearsal.Scene{URL: "/orders/1", Claims: claims(t, `{"scope":"a","sub":"c","client_id":"c"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if len(told.Findings) != 2 || told.Findings[0].Reason != token.ReasonSubject || told.Findings[0].Refusal == nil ||
		told.Findings[1].Reason != token.ReasonScope || told.Findings[1].Refusal == nil {
		t.Errorf("got %+v", told.Findings)
	}
	if told.Status != http.StatusForbidden || !strings.Contains(told.Header.Get("WWW-Authenticate"), `error=`) && told.Body == "" {
		t.Errorf("got %d %v %s", told.Status, told.Header, told.Body)
	}
}

// Whom a gate asks is nobody here: the answers are made of the claims.
func TestRehearsalAsksNobody(t *testing.T) {
	const opaque = `version: 1
tls: {cert_file: there.pem, key_file: there.key, client_auth: require, client_ca_file: ca.pem}
dpop: {nonce_secret_file: nonce, replay: {store: redis, redis: {addresses: ["redis.invalid:6379"], password_file: pw}}}
revocation: {file: denied.jsonl, redis: {addresses: ["redis.invalid:6379"], password_file: pw}}
cache_dir: copies
issuers:
  - name: opaque
    issuer: https://login.example.com/
    ca_file: there.pem
    introspection: {client_id: gate, client_secret_file: secret, prefix: op_}
  - name: both
    issuer: https://both.example.com/
    jwks_file: keys.json
    introspection: {client_id: gate, client_secret_file: secret, mode: both, prefix: bo_, auth: post}
  - name: listed
    issuer: https://listed.example.com/
    status_list: {allow: ["https://listed.example.com/lists/1"]}
  - {name: entra, issuer: "https://login.example.net/{tenant}/v2.0", tenants: [one, two], profile: jwt, required_claims: {ver: ["2.0"], roles: ["*"]}}
  - {name: cluster, issuer: "https://kubernetes.example.com", profile: kubernetes}
  - {name: pool, issuer: "https://pool.example.com/x", provider: cognito}
  - {name: slow, issuer: "https://slow.example.com", algorithms: [RS384]}
resources:
  - identifier: https://api.example.com
    upstream: http://127.0.0.1:3000
    audiences_by_issuer: {both: [for-both], pool: [some-client]}
    behind_tls: true
`
	r := rehearse(t, opaque)
	for _, row := range []struct {
		scene  rehearsal.Scene
		reason token.Reason
	}{
		{rehearsal.Scene{Issuer: "opaque", Claims: claims(t, `{}`)}, ""},
		{rehearsal.Scene{Issuer: "opaque", Claims: claims(t, `{}`), Revoked: true}, token.ReasonInactive},
		{rehearsal.Scene{Issuer: "opaque", Claims: claims(t, `{"exp":"-1h"}`)}, token.ReasonExpired},
		{rehearsal.Scene{Issuer: "opaque", Claims: claims(t, `{"sub":7}`)}, token.ReasonClaim},
		{rehearsal.Scene{Issuer: "opaque", Claims: claims(t, `{}`), Binding: "dpop"}, ""},
		{rehearsal.Scene{Issuer: "both", Claims: claims(t, `{}`)}, ""},
		{rehearsal.Scene{Issuer: "both", Claims: claims(t, `{}`), Revoked: true}, token.ReasonInactive},
		{rehearsal.Scene{Issuer: "listed", Claims: claims(t, `{"status":{"status_list":{"idx":1,"uri":"https://listed.example.com/lists/1"}}}`)}, ""},
		{rehearsal.Scene{Issuer: "listed", Claims: claims(t, `{"status":{"status_list":{"idx":1,"uri":"https://listed.example.com/lists/1"}}}`), Revoked: true}, token.ReasonStatusRevoked},
		{rehearsal.Scene{Issuer: "entra", Claims: claims(t, `{}`)}, ""},
		{rehearsal.Scene{Issuer: "entra", Claims: claims(t, `{"tid":"two"}`)}, ""},
		{rehearsal.Scene{Issuer: "entra", Claims: claims(t, `{"tid":"three"}`)}, token.ReasonIssuer},
		{rehearsal.Scene{Issuer: "entra", Claims: claims(t, `{"roles":null}`)}, token.ReasonClaim},
		{rehearsal.Scene{Issuer: "cluster", Claims: claims(t, `{}`)}, ""},
		{rehearsal.Scene{Issuer: "cluster", Claims: claims(t, `{"sub":"system:serviceaccount:a:b"}`)}, ""},
		{rehearsal.Scene{Issuer: "cluster", Claims: claims(t, `{"sub":"b"}`)}, token.ReasonClaim},
		{rehearsal.Scene{Issuer: "pool", Claims: claims(t, `{}`)}, ""},
		{rehearsal.Scene{Issuer: "slow", Claims: claims(t, `{}`), Binding: "mtls"}, ""},
		{rehearsal.Scene{Token: "op_of-somebody-real"}, token.ReasonIntrospectionUnavailable},
	} {
		row.scene.URL, row.scene.Source = "/a", netip.MustParseAddr("203.0.113.9")
		told, err := r.Decide(t.Context(), &row.scene)
		if err != nil {
			t.Fatal(err)
		}
		if got := told.Decision.Reason(); got != row.reason {
			t.Errorf("%s %s: got %q (%s), want %q", row.scene.Issuer, row.scene.Claims, got, told.Cause(), row.reason)
		}
	}
	for _, scene := range []rehearsal.Scene{
		{URL: "/a", Claims: rehearsal.Claims{}}, {URL: "/a", Issuer: "nobody", Claims: rehearsal.Claims{}}, {URL: "https://other.example.com/a"}, {URL: "/a", Resource: "other"}, {URL: "https://%zz/"},
	} {
		if told, err := r.Decide(t.Context(), &scene); err == nil {
			t.Errorf("%+v: got %+v", scene, told.Decision)
		}
	}
}

// A real token is judged by the issuer's key set where it is here.
func TestRehearsalTakesRealTokens(t *testing.T) {
	issuer, err := devissuer.New(devissuer.Options{Identifier: "https://login.example.com/", Audience: "https://api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "keys.json"), issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := config.Load(writeFile(t, folder, "config.yaml", "version: 1\nissuers: [{issuer: 'https://login.example.com/', jwks_file: keys.json}]\n"+
		"resources: [{identifier: 'https://api.example.com', upstream: 'http://127.0.0.1:3000', behind_tls: true, hosts: [one.example.com, api.example.com]}]\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRehearsal(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	for reason, scene := range map[token.Reason]rehearsal.Scene{
		"":                      {URL: "/", Token: raw},
		token.ReasonHost:        {URL: "https://other.example.com/", Resource: "api.example.com"},
		token.ReasonSignature:   {URL: "/", Token: raw[:len(raw)-6] + "AAAAAA"},
		token.ReasonMTLSBinding: {URL: "/", Claims: claims(t, `{}`), Binding: "mtls"},
	} {
		told, err := r.Decide(t.Context(), &scene)
		if err != nil {
			t.Fatal(err)
		}
		got := told.Judged.Reason()
		if told.Door != nil {
			got = told.Door.Reason
		}
		if got != reason {
			t.Errorf("got %q (%s), want %q", got, told.Cause(), reason)
		}
	}
}

func writeFile(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
