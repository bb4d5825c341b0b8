package main

import (
	"net/http"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// rowJWT06: what is said of one issuer, its audience, algorithms, claims and
// clients, helps no token of the other.
func rowJWT06(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "    name: rs\n", "    name: rs\n    audiences_by_issuer: {b: [\"urn:for-b\"]}\n")
		text = instead(t, text, "{name: a,", "{name: a, algorithms: [ES256],")
		text = instead(t, text, "{name: b,", "{name: b, scope_claim: scp, client_id_claim: azp,")
		return instead(t, text, "    routes:\n", "    routes:\n"+
			"      - {name: own, path: /own, clients: [client-1], claims: {iss: [\"%[3]s\"]}}\n")
	})
	ask := func(path string, issuer *devissuer.Running, alg string, claims changes) *reply {
		return f.do("GET", path, "Authorization", "Bearer "+f.mint(issuer, devissuer.Token{Alg: alg, Claims: claims}))
	}
	ofB := func(more changes) changes {
		return with(changes{"aud": "urn:for-b", "azp": "client-1", "scope": nil}, more)
	}
	bad := func(do func() *reply) {
		t.Helper()
		before := f.upstream.count()
		f.wantError(t, do(), before, http.StatusUnauthorized, "Bearer", "invalid_token")
	}
	wantOK(t, ask("/any/x", f.a, "ES256", nil))
	wantOK(t, ask("/any/x", f.b, "RS256", ofB(nil)))
	t.Run("audience", func(t *testing.T) {
		bad(func() *reply { return ask("/any/x", f.b, "ES256", ofB(changes{"aud": testIdentifier})) })
		bad(func() *reply { return ask("/any/x", f.a, "ES256", changes{"aud": "urn:for-b"}) })
	})
	t.Run("algorithms", func(t *testing.T) {
		bad(func() *reply { return ask("/any/x", f.a, "RS256", nil) })
	})
	t.Run("claims", func(t *testing.T) {
		wantOK(t, ask("/read", f.b, "ES256", ofB(changes{"scp": []string{"read"}})))
		for _, r := range []func() *reply{
			func() *reply { return ask("/read", f.b, "ES256", ofB(changes{"scope": "read"})) },
			func() *reply { return ask("/read", f.a, "ES256", changes{"scope": nil, "scp": []string{"read"}}) },
		} {
			refused(t, f, http.StatusForbidden, "insufficient_scope", bare, r)
		}
	})
	t.Run("clients", func(t *testing.T) {
		wantOK(t, ask("/own", f.a, "ES256", nil))
		wantForbidden(t, f, func() *reply { return ask("/own", f.b, "ES256", ofB(nil)) })
		wantForbidden(t, f, func() *reply { return ask("/own", f.a, "ES256", changes{"client_id": "other", "azp": "client-1"}) })
	})
}
