package proxy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

const leanIssuer, leanResource = "https://as.example.com", "https://rs.example.com"

// leanGate is a gate with a real validator behind it, and the issuer of its
// tokens.
func leanGate(tb testing.TB, routes []policy.Options) (*Gate, *devissuer.Issuer) {
	tb.Helper()
	issuer, err := devissuer.New(devissuer.Options{Identifier: leanIssuer, Algorithms: []string{"ES256"}})
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(file, issuer.JWKS(), 0o600); err != nil {
		tb.Fatal(err)
	}
	keys := jwks.NewCache(jwks.Options{})
	keys.Configure([]jwks.Source{{Name: "as", Issuer: leanIssuer, File: file}})
	v, err := validator.New(validator.Parts{
		Issuers: []validator.Options{{Name: "as", Issuer: leanIssuer, Leeway: 30 * time.Second}}, Keys: keys, CacheSize: 100,
	})
	if err != nil {
		tb.Fatal(err)
	}
	set, err := policy.Compile(routes, policy.Resource{Identifiers: []string{leanResource}})
	if err != nil {
		tb.Fatal(err)
	}
	return &Gate{Validator: v.For(validator.Audience{Any: []string{leanResource}}), Policy: set, Origins: []string{leanResource}}, issuer
}

// A decision about a token that was verified before allocates nothing, whatever
// the route asks for but an expression.
func TestCachedDecisionAllocatesNothing(t *testing.T) {
	gate, issuer := leanGate(t, []policy.Options{
		{Name: "open", Path: "/open"},
		{Name: "scopes", Path: "/scopes/{id}", Methods: []string{"GET"}, All: token.Scopes{"read"}, Any: token.Scopes{"write", "admin"}},
		{Name: "claims", Path: "/claims/**", Claims: map[string]policy.ClaimRule{
			"groups": {AnyOf: []string{"ops"}}, "address.country": {Equals: "IS"}, "email": {Suffix: "@example.com"}, "nonce": {Absent: true},
		}},
		{Name: "callers", Path: "/callers", Clients: []string{"c1"}, Subjects: []string{"u1"}, SubjectType: "user", MaxTokenAge: time.Hour},
		{Name: "login", Path: "/login", ACR: []string{"gold"}, AMR: []string{"otp"}, MaxAge: time.Hour},
	})
	raw, err := issuer.Mint(devissuer.Token{Claims: map[string]any{
		"sub": "u1", "client_id": "c1", "scope": "read write", "groups": []string{"dev", "ops"}, "address": map[string]any{"country": "IS"},
		"email": "u1@example.com", "acr": "gold", "amr": []string{"pwd", "otp"}, "auth_time": time.Now().Unix(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/open", "/scopes/7", "/claims/a/b", "/callers", "/login"} {
		t.Run(path, func(t *testing.T) {
			req := &Request{
				Request: policy.Request{Method: "GET", Host: "rs.example.com", Path: path}, RawPath: path, RawQuery: "page=2&sort=name",
				Authorization: []string{"Bearer " + raw},
			}
			allocated := testing.AllocsPerRun(100, func() {
				if d := gate.Decide(t.Context(), req); d.Verdict != Allowed || d.Principal.Subject != "u1" {
					t.Fatalf("verdict %d: %v %v", d.Verdict, d.Refusal, d.Fault)
				}
			})
			if allocated != 0 {
				t.Errorf("%v allocations, want none", allocated)
			}
		})
	}
}
