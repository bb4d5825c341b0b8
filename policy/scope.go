package policy

import (
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// invert turns what a scope stands for into what stands for a scope.
func invert(implies map[string][]string) map[string][]string {
	wider := make(map[string][]string)
	for wide, list := range implies {
		for _, narrow := range list {
			wider[narrow] = append(wider[narrow], wide)
		}
	}
	return wider
}

// closure lists scope and all that stand for it, at any remove. Scopes that
// stand for each other are the same scope by two names.
func closure(scope string, wider map[string][]string) token.Scopes {
	all := token.Scopes{scope}
	for i := 0; i < len(all); i++ {
		next := slices.Sorted(slices.Values(wider[all[i]]))
		for _, w := range next {
			if !all.Has(w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// holdsAny tells whether have and want share a scope. Scopes are compared for
// equality only (RFC 6749 section 3.3).
func holdsAny(have, want token.Scopes) bool {
	for _, s := range want {
		if have.Has(s) {
			return true
		}
	}
	return false
}

func checkScope(r *Route, _ *Request, p *token.Principal, _ time.Time) *token.Error {
	enough := len(r.Any) == 0 || holdsAny(p.Scope, r.demands.anyOf)
	for _, s := range r.demands.allOf {
		enough = enough && holdsAny(p.Scope, s)
	}
	if enough {
		return nil
	}
	e := token.Refuse(token.InsufficientScope, token.ReasonScope)
	e.Scope = r.needed(p.Scope)
	return e
}

func noteScope(trace *token.Trace, r *Route, _ *Request, p *token.Principal, _ time.Time) {
	trace.Texts(token.ReasonScope, p.Scope)
	trace.Want(r.needed(p.Scope))
}

// Needs lists the scopes a caller who has none should ask for.
func (r *Route) Needs() token.Scopes { return r.needed(nil) }

// needed lists everything the route wants in one go (RFC 6750 section 3.1), so
// that a client asks once. Of alternatives it names the one the caller has, or
// else the operator's first.
func (r *Route) needed(have token.Scopes) token.Scopes {
	need := slices.Clone(r.All)
	if len(r.Any) == 0 {
		return need
	}
	choice := r.Any[0]
	if i := slices.IndexFunc(r.Any, have.Has); i >= 0 {
		choice = r.Any[i]
	}
	if need.Has(choice) {
		return need
	}
	return append(need, choice)
}
