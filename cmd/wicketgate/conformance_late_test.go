package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// lateRows are rows that need a configuration of their own.
var lateRows = []conformanceRow{
	{"JWT-06", rowJWT06Claims}, {"JWT-14", rowJWT14},
}

// What is asked of one issuer's tokens says nothing of another's.
func rowJWT06Claims(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = strings.Replace(text, "name: a, ", "name: a, algorithms: [ES256], max_lifetime: 1h, ", 1)
		text = strings.Replace(text, "name: b, ", "name: b, algorithms: [RS256], scope_claim: scp, client_id_claim: cid, ", 1)
		return strings.Replace(text, "    name: rs\n", "    name: rs\n    audiences_by_issuer: {b: [\"urn:only-b\"]}\n", 1)
	})
	long := time.Now().Add(2 * time.Hour).Unix()
	own := map[string]any{"aud": "urn:only-b", "scope": nil, "scp": []string{"read"}, "client_id": nil, "cid": "client-1", "exp": long}
	send := func(issuer *devissuer.Running, alg string, claims map[string]any) *reply {
		return f.do("GET", "/read", "Authorization", "Bearer "+f.mint(issuer, devissuer.Token{Alg: alg, Claims: claims}))
	}
	wantOK(t, send(f.a, "ES256", nil))
	wantOK(t, send(f.b, "RS256", own))
	with := func(name string, value any) map[string]any {
		changed := map[string]any{}
		for k, v := range own {
			changed[k] = v
		}
		changed[name] = value
		return changed
	}
	for name, try := range map[string]func() *reply{
		"A's audience on B's token":  func() *reply { return send(f.b, "RS256", with("aud", testIdentifier)) },
		"B's audience on A's token":  func() *reply { return send(f.a, "ES256", map[string]any{"aud": "urn:only-b"}) },
		"A's algorithm on B's token": func() *reply { return send(f.b, "ES256", own) },
		"B's algorithm on A's token": func() *reply { return send(f.a, "RS256", nil) },
		"B's lifetime on A's token":  func() *reply { return send(f.a, "ES256", map[string]any{"exp": long}) },
		"A's client on B's token":    func() *reply { return send(f.b, "RS256", with("cid", nil)) },
	} {
		t.Run(name, func(t *testing.T) { refused(t, f, 401, "invalid_token", bare, try) })
	}
	for name, try := range map[string]func() *reply{
		"A's scope on B's token": func() *reply {
			return send(f.b, "RS256", map[string]any{"aud": "urn:only-b", "cid": "client-1", "scope": "read"})
		},
		"B's scope on A's token": func() *reply {
			return send(f.a, "ES256", map[string]any{"scope": nil, "scp": []string{"read"}})
		},
	} {
		t.Run(name, func(t *testing.T) { refused(t, f, 403, "insufficient_scope", bare, try) })
	}
}

func rowJWT14(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "name: a, ", "name: a, max_lifetime: 1h, ", 1)
	})
	now := time.Now()
	at := func(iat, exp time.Duration) *reply {
		return f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"iat": now.Add(iat).Unix(), "exp": now.Add(exp).Unix()}))
	}
	wantOK(t, at(0, time.Hour))
	wantOK(t, at(-50*time.Minute, 10*time.Minute))
	for _, lives := range []struct{ iat, exp time.Duration }{{0, 2 * time.Hour}, {0, time.Hour + time.Second}, {-2 * time.Hour, time.Minute}} {
		refused(t, f, 401, "invalid_token", bare, func() *reply { return at(lives.iat, lives.exp) })
	}
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.mint(f.b, devissuer.Token{Claims: map[string]any{"exp": now.Add(2 * time.Hour).Unix()}})))
}
