package validator

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// ownNonce confirms every proof and gives each sender a nonce of its own.
type ownNonce struct{}

func (ownNonce) Confirm(_ context.Context, cred token.Credential, _ [32]byte, _ string, _ time.Time) (string, error) {
	return cred.Proofs[0], nil
}

// ownScope answers for every token with a scope that goes by the request.
type ownScope struct{}

type scopeKey struct{}

func (ownScope) Introspect(ctx context.Context, _, _ string, _ [32]byte) (*token.Claims, error) {
	answer, err := token.ParseObject(fmt.Sprintf(`{"active":true,"scope":%q}`, ctx.Value(scopeKey{})))
	if err != nil {
		return nil, err
	}
	return token.ReadClaims(answer)
}

// TestRequestsShareNothingOfTheirOwn has requests with the same tokens run side
// by side: what one of them proved, was told or may do is nothing of another's.
func TestRequestsShareNothingOfTheirOwn(t *testing.T) {
	w := newWorld(t, Options{Leeway: 30 * time.Second}, 100)
	const scope = "s0 s1 s2 s3 s4 s5 s6 s7"
	jkt := map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	bearer := w.mint(devissuer.Token{Claims: map[string]any{"scope": scope}})
	bound := w.mint(devissuer.Token{Claims: map[string]any{"scope": scope, "cnf": jkt}})
	for _, asked := range []bool{false, true} {
		v, err := New(Parts{
			Issuers: []Options{{Name: "as", Issuer: issuerName, Leeway: 30 * time.Second, Introspection: Introspection{JWT: asked}}},
			Keys:    w.keys, DPoP: ownNonce{}, Introspector: ownScope{}, CacheSize: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
		r := v.For(Audience{Any: []string{"https://rs.example.com"}})
		var wait sync.WaitGroup
		for i := range 8 {
			wait.Go(func() {
				own, left := fmt.Sprintf("s%d", i), scope
				if asked {
					left = own
				}
				ctx := context.WithValue(t.Context(), scopeKey{}, own)
				for n := range 50 {
					p, err := r.Validate(ctx, token.Credential{Scheme: token.Bearer, Raw: bearer})
					if err != nil || p.Binding != token.Unbound || p.Nonce != "" || p.Scope.String() != left {
						t.Errorf("as bearer: %+v %v", p, err)
						return
					}
					nonce := fmt.Sprintf("%d of %d", n, i)
					p, err = r.Validate(ctx, token.Credential{Scheme: token.DPoP, Raw: bound, Proofs: []string{nonce}})
					if err != nil || p.Binding != token.BoundDPoP || p.Nonce != nonce || p.Scope.String() != left {
						t.Errorf("with a proof: %+v %v", p, err)
						return
					}
				}
			})
		}
		wait.Wait()
		for _, raw := range []string{bearer, bound} {
			k, found := v.cache.Get(token.Credential{Raw: raw}.Digest())
			if !found {
				t.Fatal("it is not remembered")
			}
			if seen := k.verified(); seen.principal.Nonce != "" || seen.principal.Scope.String() != scope {
				t.Errorf("a request left its mark: %+v", seen.principal)
			}
		}
	}
}
