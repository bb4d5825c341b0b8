package policy

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// MTLS-14, M-12: a token that is not bound as the route wants it is no token
// for this route, whatever its scope.
func TestBinding(t *testing.T) {
	const both = token.BoundDPoP | token.BoundMTLS
	for _, c := range []struct {
		route  Binding
		passes map[token.Binding]bool
	}{
		{AnyBinding, map[token.Binding]bool{token.Unbound: true, token.BoundDPoP: true, token.BoundMTLS: true, both: true}},
		{DPoPBinding, map[token.Binding]bool{token.Unbound: false, token.BoundDPoP: true, token.BoundMTLS: false, both: true}},
		{MTLSBinding, map[token.Binding]bool{token.Unbound: false, token.BoundDPoP: false, token.BoundMTLS: true, both: true}},
		{BoundBinding, map[token.Binding]bool{token.Unbound: false, token.BoundDPoP: true, token.BoundMTLS: true, both: true}},
	} {
		set, err := Compile([]Options{{Path: "/x", Binding: c.route}}, Resource{})
		if err != nil {
			t.Fatal(err)
		}
		for bound, passes := range c.passes {
			refusal := set.Route("GET", "/x").Authorize(&token.Principal{Claims: &token.Claims{}, Binding: bound}, time.Now())
			if (refusal == nil) != passes {
				t.Errorf("route %d, token %q: %v, want passing %v", c.route, bound, refusal, passes)
			}
			if refusal != nil && (refusal.Code != token.InvalidToken || refusal.Reason != token.ReasonBinding) {
				t.Errorf("route %d, token %q: %v", c.route, bound, refusal)
			}
		}
	}
}
