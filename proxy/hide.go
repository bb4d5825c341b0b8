package proxy

import "github.com/wicketgate/wicketgate/token"

// unknownRoute is what a path without a route is refused with.
var unknownRoute = token.Refuse(token.NotFound, token.ReasonNoRoute)

// Hidden reports whether the client is told of a refusal that there is no such route.
// Those are hidden that are 403 elsewhere. What is decided ahead of any route is so on
// every path, and hides nothing.
func (d *Decision) Hidden() bool {
	return d.Verdict == Refused && !d.ahead && d.Route != nil && d.Route.Hide && d.Refusal != nil && d.Refusal.Code.Forbids()
}

// Told is the refusal as the client is told it; nil for none.
func (d *Decision) Told() *token.Error {
	if d.Hidden() {
		return unknownRoute
	}
	return d.Refusal
}
