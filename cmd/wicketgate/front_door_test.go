package main

import (
	"net/http"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

func TestFrontDoor(t *testing.T) {
	f := newFixture(t, nil)
	r := f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil))
	if r.StatusCode != http.StatusOK || r.body != "upstream" {
		t.Fatalf("good token: %d %s", r.StatusCode, r.body)
	}
	seen := f.upstream.last().Header
	for name, want := range map[string]string{
		"X-Auth-Subject": "user-1", "X-Auth-Subject-Type": "user", "X-Auth-Issuer": f.a.Identifier(),
		"X-Auth-Client-Id": "client-1", "X-Auth-Scope": "read", "X-Auth-Binding": "", "Authorization": "",
	} {
		if got := seen.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	before := f.upstream.count()
	f.wantRefusal(t, f.do("GET", "/read"), http.StatusUnauthorized, before)
	f.wantRefusal(t, f.do("GET", "/nope", "Authorization", "Bearer "+f.AT(nil)), http.StatusNotFound, before)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	proof := f.proof(key, raw, "GET", "/read", devissuer.Proof{})
	if r := f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", proof); r.StatusCode != http.StatusOK {
		t.Errorf("bound token with its proof: %d %s", r.StatusCode, r.body)
	}
	before = f.upstream.count()
	f.wantRefusal(t, f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", proof), http.StatusUnauthorized, before)
}
