package proxy

import (
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// unknownRoute is what a path without a route is refused with.
var unknownRoute = token.Refuse(token.NotFound, token.ReasonNoRoute)

// Hidden reports whether the client is told of a refusal that there is no such route.
// Those are hidden that are 403 elsewhere. What is decided ahead of any route is so on
// every path, and hides nothing.
func (d *Decision) Hidden() bool {
	return d.Verdict == Refused && d.astray || d.Verdict == Refused && !d.ahead && d.Route != nil && d.Route.Hide && d.Refusal != nil && d.Refusal.Code.Forbids()
}

// Told is the refusal as the client is told it; nil for none.
func (d *Decision) Told() *token.Error {
	if d.Hidden() {
		return unknownRoute
	}
	return d.Refusal
}

// stray takes an allowance back where cause is not nil: the upstream could read the path
// as one of another route. Refused at the door, such a path would be told from its
// neighbours, and so tell of a hidden route; what is refused anyway stays as it is, as on
// those. Report-only has no say, as it has none at the door.
func (d *Decision) stray(cause *policy.PathError) {
	if cause == nil || d.Verdict != Allowed {
		return
	}
	*d = Decision{
		Route: d.Route, Principal: d.Principal, Refusal: token.Refuse(token.NotFound, token.ReasonPath).Because(cause),
		credential: d.credential, vouched: d.vouched, astray: true,
	}
}
