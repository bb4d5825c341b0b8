package policy

import (
	"maps"
	"slices"

	"github.com/wicketgate/wicketgate/token"
)

// reads says which claims each requirement looks at, by dotted path, beside what
// every principal has: its subject, client, scope and binding.
var reads = map[token.Reason]func(*Options) []string{
	token.ReasonBinding:  nil,
	token.ReasonClient:   nil,
	token.ReasonSubject:  nil,
	token.ReasonScope:    nil,
	token.ReasonActor:    func(*Options) []string { return []string{"act.sub", "act.iss"} },
	token.ReasonRule:     func(o *Options) []string { return slices.Sorted(maps.Keys(o.Claims)) },
	token.ReasonDetails:  func(*Options) []string { return []string{"authorization_details"} },
	token.ReasonACR:      func(*Options) []string { return []string{"acr"} },
	token.ReasonAMR:      func(*Options) []string { return []string{"amr"} },
	token.ReasonNetwork:  nil,
	token.ReasonTokenAge: func(*Options) []string { return []string{"iat"} },
	token.ReasonWhen:     nil, // see Reads
	token.ReasonMaxAge:   func(*Options) []string { return []string{"auth_time", "iat"} },
}

// Reads lists the claims that Authorize looks at, by dotted path. It is not ok
// where an expression may look at any others.
func (r *Route) Reads() (all []string, ok bool) {
	ok = true
	if r.when != nil {
		all, ok = r.when.Claims()
		all = slices.Clone(all)
	}
	for _, q := range r.demands.asked {
		if of := reads[q.reason]; of != nil {
			all = append(all, of(&r.Options)...)
		}
	}
	return all, ok
}

// ReadsHeaders lists the fields of a request that an expression looks at, as
// http.CanonicalHeaderKey writes them.
func (r *Route) ReadsHeaders() []string {
	if r.when == nil {
		return nil
	}
	return r.when.Headers()
}
