package policy

import (
	"cmp"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// checkBinding wants a token that is bound to its sender in the route's way. It
// is the token that does not do, so the answer is invalid_token: another scope or another user would
// not help.
//
// An mtls route serves both schemes all the same: a token that is bound to a
// certificate and to a key comes under DPoP.
func checkBinding(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	enough, b := true, p.Binding
	switch r.Binding {
	case AnyBinding:
	case DPoPBinding:
		enough = b&token.BoundDPoP != 0
	case MTLSBinding:
		enough = b&token.BoundMTLS != 0
	case BoundBinding:
		enough = b != token.Unbound
	}
	if enough {
		return nil
	}
	return token.Refuse(token.InvalidToken, token.ReasonBinding)
}

// wantedBindings says what would do, by the route's binding.
var wantedBindings = map[Binding][]string{DPoPBinding: {"dpop"}, MTLSBinding: {"mtls"}, BoundBinding: {"dpop", "mtls"}}

func noteBinding(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	trace.Text(token.ReasonBinding, cmp.Or(p.Binding.String(), "none"))
	trace.Want(wantedBindings[r.Binding])
}
