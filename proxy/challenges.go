package proxy

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/wicketgate/wicketgate/token"
)

// A challengeBook keeps challenges that depend on nothing but what is configured
// and which check refused, so that a flood of refusals does not write them again
// and again. Routes and checks bound its size. It is never changed, only replaced.
type challengeBook struct {
	lines atomic.Pointer[map[challengeKey][]string]
}

type challengeKey struct {
	route  int
	code   token.Code
	reason token.Reason
	used   token.Scheme
}

// challenges renders the WWW-Authenticate lines of a refusal. They are not to be
// changed.
func (g *Gate) challenges(d *Decision) []string {
	e := d.Refusal
	if len(e.Scope) > 0 || len(e.ACR) > 0 || e.MaxAge > 0 || !d.Route.Matched() {
		return g.Realm.Challenges(g.naming(d), d.Route.Schemes())
	}
	key := challengeKey{d.Route.Index(), e.Code, e.Reason, e.Schemes}
	before := g.book.lines.Load()
	if before != nil {
		if lines, found := (*before)[key]; found {
			return lines
		}
	}
	lines := slices.Clip(g.Realm.Challenges(g.naming(d), d.Route.Schemes()))
	after := map[challengeKey][]string{key: lines}
	if before != nil {
		maps.Copy(after, *before)
	}
	g.book.lines.CompareAndSwap(before, &after) // whoever was quicker has another line, and this one comes again
	return lines
}
