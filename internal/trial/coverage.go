package trial

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// Coverage is which routes have been seen at work, and each of their
// requirements to hold and to refuse.
type Coverage struct {
	routes  []*routeSeen
	byRoute map[*policy.Route]*routeSeen
}

// A routeSeen is what has been seen of one route.
type routeSeen struct {
	resource, name string
	reached        bool
	sights         []sight
}

// A sight is one thing to be seen.
type sight struct {
	what string // completes "no case ..."
	seen bool
	is   func(*rehearsal.Told) bool
}

// uncovered is the coverage before any case.
func (t *Trial) uncovered() Coverage {
	c := Coverage{byRoute: make(map[*policy.Route]*routeSeen)}
	for _, gate := range gatesOf(t.Rehearsal) {
		for _, route := range gate.Policy.Routes() {
			seen := &routeSeen{resource: gate.Name, name: route.Name, sights: t.sights(route)}
			c.routes, c.byRoute[route] = append(c.routes, seen), seen
		}
	}
	return c
}

// gatesOf lists the gates in the order of the configuration.
func gatesOf(r *rehearsal.Rehearsal) []*proxy.Gate {
	named := make(map[string]*proxy.Gate)
	for _, site := range r.Table.Sites {
		for _, gate := range append(slices.Collect(maps.Values(site.Hosts)), site.Only) {
			if gate != nil {
				named[gate.Name] = gate
			}
		}
	}
	var list []*proxy.Gate
	for _, resource := range r.Resources {
		if gate := named[resource.Name]; gate != nil {
			list = append(list, gate)
		}
	}
	return list
}

// sights lists what is to be seen of a route.
func (t *Trial) sights(route *policy.Route) []sight {
	if route.Public {
		return []sight{{what: "passes", is: func(told *rehearsal.Told) bool { return told.Judged.Verdict == proxy.Allowed }}}
	}
	list := []sight{
		{what: "passes", is: func(told *rehearsal.Told) bool {
			return told.Judged.Verdict == proxy.Allowed && told.Judged.Principal != nil
		}},
		{what: "is refused", is: func(told *rehearsal.Told) bool { return told.Judged.Verdict == proxy.Refused }},
	}
	if route.Optional {
		list = append(list, sight{what: "passes without a token", is: func(told *rehearsal.Told) bool {
			return told.Judged.Verdict == proxy.Allowed && told.Judged.Principal == nil
		}})
	}
	for _, q := range route.Requirements() {
		name := t.key(q)
		list = append(list, sight{what: "satisfies " + name, is: found(q, true)}, sight{what: "is short of " + name, is: found(q, false)})
	}
	return list
}

// found looks for what a requirement made of a request.
func found(q policy.Requirement, holds bool) func(*rehearsal.Told) bool {
	return func(told *rehearsal.Told) bool {
		return slices.ContainsFunc(told.Findings, func(f policy.Finding) bool {
			return f.Requirement == q && (f.Refusal == nil) == holds
		}) || !holds && q.Reason == token.ReasonBinding && unserved(told)
	}
}

// unserved tells whether a token came under a scheme that the route's binding
// leaves out: no caller is known then to hold against the route.
func unserved(told *rehearsal.Told) bool {
	return told.Judged.Reason() == token.ReasonMissing && told.Request != nil && len(told.Request.Header["Authorization"]) > 0
}

// key is what a requirement is called in the configuration.
func (t *Trial) key(q policy.Requirement) string {
	setting := string(q.Reason)
	if t.Setting != nil {
		var keys []string
		for one := range strings.SplitSeq(t.Setting(q.Reason), ", ") {
			if name, ofRoute := strings.CutPrefix(one, "routes[]."); ofRoute {
				keys = append(keys, name)
			}
		}
		if slices.Contains(keys, q.Part) {
			return q.Part
		}
		if len(keys) > 0 {
			setting = strings.Join(keys, " and ")
		}
	}
	if q.Part != "" {
		setting += " " + q.Part
	}
	return setting
}

// see takes note of one decision.
func (c *Coverage) see(told *rehearsal.Told) {
	route := c.byRoute[told.Judged.Route]
	if route == nil {
		return
	}
	route.reached = true
	for i := range route.sights {
		s := &route.sights[i]
		s.seen = s.seen || s.is(told)
	}
}

// Count is how many things were seen, of how many.
func (c *Coverage) Count() (seen, of int) {
	for _, route := range c.routes {
		for _, s := range route.sights {
			of++
			if s.seen {
				seen++
			}
		}
	}
	return seen, of
}

// Percent is that as a percentage; 100 where there is nothing to see.
func (c *Coverage) Percent() float64 {
	seen, of := c.Count()
	if of == 0 {
		return 100
	}
	return float64(seen) * 100 / float64(of)
}

// Missing says of each route what no case has shown.
func (c *Coverage) Missing() []string {
	var list []string
	for _, route := range c.routes {
		at := route.resource + " " + route.name
		if !route.reached {
			list = append(list, at+": no case reaches it")
			continue
		}
		for _, s := range route.sights {
			if !s.seen {
				list = append(list, fmt.Sprintf("%s: no case %s", at, s.what))
			}
		}
	}
	return list
}
