package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/policy"
)

// route is a route of the file as the rules look at it.
type route struct {
	*config.Route
	at       string // its path in the file
	index    int
	segments []string
	pattern  string // equal for routes that take the same paths
	asks     bool   // for more than a good token
	rank     int    // how exactly it names the host of a view
}

// demands are the keys by which a route asks for more than a good token. That
// some of them may not be known to this version does no harm.
var demands = []string{
	"scopes", "claims", "clients", "subjects", "subject_type", "actor", "acr", "amr", "max_age", "authorization_details", "when", "networks", "max_token_age",
}

func (l *linter) routes(path string, r *config.Resource) []route {
	list := make([]route, len(r.Routes))
	for i := range r.Routes {
		one := &r.Routes[i]
		at := fmt.Sprintf("%s.routes[%d]", path, i)
		asks := slices.ContainsFunc(demands, func(key string) bool { return l.Has(at + "." + key) })
		segments := split(one.Path)
		list[i] = route{one, at, i, segments, patterned(one, segments), asks && !one.Public && !one.Optional, 0}
	}
	return list
}

// split cuts a pattern into segments. A slash at the end does not count.
func split(pattern string) []string {
	pattern = strings.Trim(pattern, "/")
	if pattern == "" {
		return nil
	}
	return strings.Split(pattern, "/")
}

func wild(segment string) bool {
	return strings.HasPrefix(segment, "*") || strings.HasPrefix(segment, "{")
}

// literals are the segments of a pattern before its first wildcard.
func literals(segments []string) []string {
	if i := slices.IndexFunc(segments, wild); i >= 0 {
		return segments[:i]
	}
	return segments
}

func open(segments []string) bool { return len(segments) > 0 && segments[len(segments)-1] == "**" }

// covers tells whether wide takes every path that narrow takes.
func (wide route) covers(narrow route) bool {
	for i, segment := range wide.segments {
		switch {
		case segment == "**":
			return true
		case i == len(narrow.segments) || narrow.segments[i] == "**":
			return false
		case wild(segment):
		case segment != narrow.segments[i] && !(wide.CaseInsensitive && strings.EqualFold(segment, narrow.segments[i])):
			return false
		}
	}
	return len(wide.segments) == len(narrow.segments)
}

// patterned writes a pattern so that those which take the same paths are equal.
func patterned(r *config.Route, segments []string) string {
	var out strings.Builder
	for _, segment := range segments {
		switch {
		case segment != "**" && wild(segment):
			segment = "*"
		case r.CaseInsensitive:
			segment = strings.ToLower(segment)
		}
		out.WriteString("/" + segment)
	}
	return out.String()
}

// share tells whether two routes take a method in common.
func (r route) share(other route) bool {
	return len(r.Methods) == 0 || len(other.Methods) == 0 ||
		slices.ContainsFunc(r.Methods, func(m string) bool { return slices.Contains(other.Methods, m) })
}

// usual are the methods that APIs use. A HEAD goes where a GET goes unless a
// route lists it.
var usual = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// fresh stands for a segment, and for a method, that no route names.
const fresh = "\u2026"

// methods lists those that r takes, or the usual ones.
func (r route) methods() []string {
	if len(r.Methods) == 0 {
		return usual
	}
	return r.Methods
}

// shadowed asks the compiled routes for paths that nothing but wildcards would
// take: a route that does not get even those gets none.
func shadowed(l *linter) {
	l.resources(func(path string, r *config.Resource) {
		views := l.views(path, r)
		routes := l.routes(path, r)
		for _, one := range routes {
			var winners []int
			for _, v := range views {
				if one.exact(v.host) >= 0 {
					winners = append(winners, v.winners(one, one.methods())...)
				}
			}
			if len(views) == 0 || slices.Contains(winners, one.index) {
				continue
			}
			message, hint := "no request reaches this route: more specific ones take all of its paths", "remove it, or list its methods in those"
			if slices.ContainsFunc(winners, func(i int) bool { return routes[i].pattern == one.pattern && slices.Equal(routes[i].Hosts, one.Hosts) }) {
				message = "no request of a usual method reaches this route: those with the same path take GET, POST, PUT, PATCH, DELETE and OPTIONS"
			}
			if len(winners) > 0 {
				hint = "remove it, or one of " + few(winners)
			}
			l.doubt(one.at+".path", message, hint)
		}
	})
}

// compiled is what finds the route of a request, and how deep the patterns go.
func compiled(routes []route) (set *policy.Set, depth int) {
	options := make([]policy.Options, len(routes))
	for i, one := range routes {
		options[i] = policy.Options{Path: one.Path, Hosts: one.Hosts, Methods: one.Methods, CaseInsensitive: one.CaseInsensitive, Allow: policy.Allow(one.Allow)}
		depth = max(depth, len(one.segments))
	}
	if len(options) == 0 {
		return nil, 0
	}
	set, err := policy.Compile(options, policy.Resource{})
	if err != nil { // said already, by those who build
		return nil, 0
	}
	return set, depth
}

// winners lists the routes that govern what one would take at its widest.
func (v view) winners(one route, methods []string) (list []int) {
	var front strings.Builder
	for _, segment := range one.segments {
		if segment == "**" {
			break
		}
		if wild(segment) {
			segment = fresh
		}
		front.WriteString("/" + segment)
	}
	longest := 0
	if open(one.segments) {
		longest = v.depth + 1
	}
	for more := range longest + 1 {
		path := front.String() + strings.Repeat("/"+fresh, more)
		if path == "" {
			path = "/"
		}
		for _, method := range methods {
			if i := v.set.Route(method, v.host, path).Index(); i >= 0 && !slices.Contains(list, i) {
				list = append(list, i)
			}
		}
	}
	return list
}

// few lists routes, each once.
func few(indexes []int) string {
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	var list []string
	for _, i := range indexes[:min(3, len(indexes))] {
		list = append(list, fmt.Sprintf("routes[%d]", i))
	}
	return strings.Join(list, ", ")
}

// lostMethods finds paths whose route lists methods, and so refuses those that
// a wider route would have taken, one with a wider path or of wider hosts.
func lostMethods(l *linter) {
	l.resources(func(path string, r *config.Resource) {
		told := make(map[int]bool)
		for _, v := range l.views(path, r) {
			for _, narrow := range v.routes {
				beside := v.beside(narrow)
				listed := listed(beside)
				if told[narrow.index] || beside[0].index != narrow.index || len(listed) == 0 {
					continue // said, or of the first
				}
				for _, wide := range v.routes {
					if lost := v.lost(beside, listed, wide); len(lost) > 0 {
						told[narrow.index] = true
						l.doubtLost(v, narrow, wide, strings.Join(lost, ", "))
						break
					}
				}
			}
		}
	})
}

func (l *linter) doubtLost(v view, narrow, wide route, methods string) {
	message := fmt.Sprintf("refuses %s on paths that routes[%d] seems to take it for: the most specific path governs, whatever its methods", methods, wide.index)
	hint := "list it here, or add a route for it with this path"
	if wide.rank < narrow.rank {
		message = fmt.Sprintf("refuses %s at %s on paths that routes[%d] seems to take it for: the routes of a host go before those of wider ones, whatever their methods", methods, v.text, wide.index)
		hint = "list it here, or add a route for it with that path for this host"
	}
	l.doubt(narrow.at+".methods", message, hint)
}

// beside lists the routes that have the paths of one, which is among them, and
// name the host as exactly.
func (v view) beside(one route) (list []route) {
	for _, other := range v.routes {
		if other.pattern == one.pattern && other.rank == one.rank {
			list = append(list, other)
		}
	}
	return list
}

// lost lists the methods that wide takes on paths that go to narrow, all with
// the same paths and only the methods listed. A route that takes every method names none,
// unless all of its paths go to narrow.
func (v view) lost(narrow []route, listed []string, wide route) []string {
	one := narrow[0]
	within, hidden := wide.covers(one), one.covers(wide)
	switch {
	case wide.rank > one.rank || !within && !hidden:
		return nil
	case wide.rank == one.rank:
		if !within || wide.pattern == one.pattern {
			return nil
		}
		return without(wide.Methods, listed)
	case hidden && v.governs(narrow, wide, listed):
		return without(wide.methods(), listed)
	case within && v.governs(narrow, one, listed) && v.governs([]route{wide}, wide, wide.methods()):
		return without(wide.Methods, listed)
	}
	return nil
}

// listed gathers the methods of routes with the same paths; there are none if
// one of them takes every method.
func listed(routes []route) (methods []string) {
	for _, one := range routes {
		if len(one.Methods) == 0 {
			return nil
		}
		methods = append(methods, one.Methods...)
	}
	return methods
}

// without lists the methods that are not listed.
func without(methods, listed []string) (list []string) {
	for _, m := range methods {
		if !slices.Contains(listed, m) && !(m == "HEAD" && slices.Contains(listed, "GET")) && m != "OPTIONS" {
			list = append(list, m)
		}
	}
	return list
}

// fallback finds a ** that asks for a good token and no more, around routes
// that ask for more.
func fallback(l *linter) {
	l.loose(true,
		"asks for nothing but a good token, while %s within it asks for more: what is added to the API there is open to every token", "ask for something here as well, or list the paths that are meant")
}

// wildcard finds a * that asks for no more than a good token beside a literal
// that does.
func wildcard(l *linter) {
	l.loose(false,
		"asks for nothing but a good token, while %s beside it asks for more: what the upstream takes for the same is open to every token", "ask for something here as well")
}

// loose finds routes, with ** at their end or without, that ask for nothing
// and cover one that does.
func (l *linter) loose(rest bool, format, hint string) {
	l.resources(func(path string, r *config.Resource) {
		told := make(map[int]bool)
		for _, v := range l.views(path, r) {
			for _, wide := range v.routes {
				if told[wide.index] || wide.asks || wide.Public || wide.Optional || open(wide.segments) != rest {
					continue
				}
				i := slices.IndexFunc(v.routes, func(narrow route) bool {
					return narrow.asks && wide.rank <= narrow.rank && wide.pattern != narrow.pattern && wide.covers(narrow) && wide.share(narrow)
				})
				if i >= 0 && v.governs([]route{wide}, wide, wide.methods()) {
					told[wide.index] = true
					l.doubt(wide.at+".path", fmt.Sprintf(format, fmt.Sprintf("routes[%d]", v.routes[i].index)), hint)
				}
			}
		}
	})
}
