package policy

import "github.com/wicketgate/wicketgate/token"

// unbound refuses a caller whose token is not bound to its sender as the route
// wants it, and returns nil for one whose token is. It is the token that does
// not do, so the answer is invalid_token: another scope or another user would
// not help.
//
// An mtls route serves both schemes all the same: a token that is bound to a
// certificate and to a key comes under DPoP.
func (r *Route) unbound(b token.Binding) *token.Error {
	enough := true
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
