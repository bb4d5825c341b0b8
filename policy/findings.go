package policy

import (
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A Requirement names one thing that a route asks of a caller: the reason of its
// refusals, and which part of what stands under one key, like a claim or a scope.
type Requirement struct {
	Reason token.Reason
	Part   string // empty where the key has one part
}

// A Finding is what one Requirement makes of a request by itself, whatever the
// others say.
type Finding struct {
	Requirement
	Refusal *token.Error // nil: it holds
}

// Requirements lists what the route asks of a caller, in the order of Authorize.
func (r *Route) Requirements() []Requirement {
	var list []Requirement
	for _, q := range r.demands.asked {
		for _, p := range r.parts(q.reason) {
			list = append(list, Requirement{q.reason, p.name})
		}
	}
	return list
}

// Findings holds a request of a verified caller against each requirement by
// itself, as of now. Authorize says what comes of them together. It takes its
// time, and is not for serving.
func (r *Route) Findings(req *Request, p *token.Principal, now time.Time) []Finding {
	var list []Finding
	for _, q := range r.demands.asked {
		for _, one := range r.parts(q.reason) {
			list = append(list, Finding{Requirement{q.reason, one.name}, q.run(one.route, req, p, now)})
		}
	}
	return list
}

// A part is a route that asks for less.
type part struct {
	name  string
	route *Route
}

// parts splits what a route asks for under one reason.
func (r *Route) parts(reason token.Reason) (list []part) {
	narrowed := func(name string, narrow func(*Route)) {
		one := *r
		narrow(&one)
		list = append(list, part{name, &one})
	}
	switch reason {
	case token.ReasonRule:
		for i, q := range r.demands.rules {
			narrowed(q.path, func(o *Route) { o.demands.rules = r.demands.rules[i : i+1] })
		}
	case token.ReasonScope:
		for i, scope := range r.All {
			narrowed(scope, func(o *Route) { o.All, o.Any, o.demands.allOf = r.All[i:i+1], nil, r.demands.allOf[i:i+1] })
		}
		if len(r.Any) > 0 {
			narrowed("any", func(o *Route) { o.All, o.demands.allOf = nil, nil })
		}
	case token.ReasonAMR:
		for i, method := range r.AMR {
			narrowed(method, func(o *Route) { o.AMR = r.AMR[i : i+1] })
		}
	case token.ReasonSubject:
		if len(r.Subjects) > 0 && r.SubjectType != "" {
			narrowed("subjects", func(o *Route) { o.SubjectType = "" })
			narrowed("subject_type", func(o *Route) { o.Subjects = nil })
		}
	}
	if len(list) < 2 {
		return []part{{"", r}}
	}
	return list
}
