package policy

import (
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A Finding is what one requirement of a route makes of a request by itself,
// whatever the others say.
type Finding struct {
	Reason  token.Reason // of the requirement's refusals
	Refusal *token.Error // nil: it holds
}

// Requirements names what the route asks of a caller by the reasons of its
// refusals, in the order of Authorize.
func (r *Route) Requirements() []token.Reason {
	list := make([]token.Reason, len(r.demands.asked))
	for i, q := range r.demands.asked {
		list[i] = q.reason
	}
	return list
}

// Findings holds a request of a verified caller against each requirement by
// itself, as of now. Authorize says what comes of them together.
func (r *Route) Findings(req *Request, p *token.Principal, now time.Time) []Finding {
	list := make([]Finding, len(r.demands.asked))
	for i, q := range r.demands.asked {
		list[i] = Finding{q.reason, q.run(r, req, p, now)}
	}
	return list
}
