package validator

import (
	"errors"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

func reasonOf(err error) token.Reason {
	if refusal, refused := errors.AsType[*token.Error](err); refused {
		return refusal.Reason
	}
	return token.ReasonNone
}

// TestAllocations holds what a decision may allocate at most. What the standard
// library needs for a signature is in it: 10 of ES256, 8 of RS256, 0 of EdDSA.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		name, alg string
		claims    map[string]any
		header    map[string]any
		cached    bool
		want      token.Reason
		limit     float64
	}{
		{"remembered", "ES256", nil, nil, true, "", 0},
		{"ES256", "ES256", nil, nil, false, "", 22},
		{"RS256", "RS256", nil, nil, false, "", 20},
		{"EdDSA", "EdDSA", nil, nil, false, "", 12},
		{"expired", "ES256", map[string]any{"exp": 1}, nil, true, token.ReasonExpired, 7},
		{"for others", "ES256", map[string]any{"aud": []string{"https://x.example.com", "y"}}, nil, true, token.ReasonAudience, 7},
		{"of others", "ES256", map[string]any{"iss": "https://x.example.com"}, nil, true, token.ReasonIssuer, 7},
		{"unknown kid", "ES256", map[string]any{"iat": time.Now().Unix() - 60}, map[string]any{"kid": "x"}, true, token.ReasonUnknownKey, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := 0
			if c.cached {
				size = 10
			}
			issuer, r := benchWorld(t, c.alg, size)
			if _, err := r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: mintBench(t, issuer, nil)}); err != nil {
				t.Fatal(err)
			}
			raw, err := issuer.Mint(devissuer.Token{Claims: c.claims, Header: c.header})
			if err != nil {
				t.Fatal(err)
			}
			cred := token.Credential{Scheme: token.Bearer, Raw: raw}
			got := testing.AllocsPerRun(100, func() {
				if _, err := r.Validate(t.Context(), cred); reasonOf(err) != c.want {
					t.Fatalf("refused for %v, want %q", err, c.want)
				}
			})
			if got > c.limit {
				t.Errorf("%v allocations, at most %v are allowed", got, c.limit)
			}
		})
	}
}

// TestAllocationsOfProofs is the same for a proof that comes with a token that is
// remembered, in a header that was seen before.
func TestAllocationsOfProofs(t *testing.T) {
	for alg, limit := range map[string]float64{"ES256": 17, "EdDSA": 7} {
		t.Run(alg, func(t *testing.T) {
			issuer, r := benchWorld(t, "ES256", 10)
			key, err := devissuer.NewClientKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			raw := mintBench(t, issuer, map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}})
			proofs := make([]string, 102)
			for i := range proofs {
				if proofs[i], err = key.Proof(devissuer.Proof{Method: "GET", URL: "https://rs.example.com/read", AccessToken: raw}); err != nil {
					t.Fatal(err)
				}
			}
			cred := token.Credential{Scheme: token.DPoP, Raw: raw, Method: "GET", Origins: []string{"https://rs.example.com"}, Path: "/read"}
			got := testing.AllocsPerRun(100, func() {
				cred.Proofs, proofs = proofs[:1], proofs[1:]
				if p, err := r.Validate(t.Context(), cred); err != nil || p.Binding != token.BoundDPoP {
					t.Fatal(p, err)
				}
			})
			if got > limit {
				t.Errorf("%v allocations, at most %v are allowed", got, limit)
			}
		})
	}
}
