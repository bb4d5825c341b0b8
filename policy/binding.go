package policy

import (
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// checkBinding wants a token that is bound to its sender in the route's way. It
// is the token that does not do, so the answer is invalid_token: another scope or another user would
// not help.
//
// An mtls route serves both schemes all the same: a token that is bound to a
// certificate and to a key comes under DPoP.
func checkBinding(r *Route, p *token.Principal, _ time.Time) *token.Error {
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

func noteBinding(trace *token.Trace, _ *Route, p *token.Principal, _ time.Time) {
	trace.Text(token.ReasonBinding, p.Binding.String())
}
