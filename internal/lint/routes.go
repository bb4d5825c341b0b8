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
		list[i] = route{one, at, i, segments, patterned(one, segments), asks && !one.Public && !one.Optional}
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

// shadowed asks the compiled routes for paths that nothing but wildcards would
// take: a route that does not get even those gets none.
func shadowed(l *linter) {
	l.resources(func(path string, r *config.Resource) {
		routes := l.routes(path, r)
		set, depth := compiled(routes)
		if set == nil {
			return
		}
		for _, one := range routes {
			methods := one.Methods
			if len(methods) == 0 {
				methods = usual
			}
			winners := winners(set, one, methods, depth)
			if slices.Contains(winners, one.index) {
				continue
			}
			message, hint := "no request reaches this route: more specific ones take all of its paths", "remove it, or one of "
			if slices.ContainsFunc(winners, func(i int) bool { return i >= 0 && routes[i].pattern == one.pattern }) {
				message = "no request of a usual method reaches this route: those with the same path take GET, POST, PUT, PATCH, DELETE and OPTIONS"
			}
			l.doubt(one.at+".path", message, hint+named(winners))
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
func winners(set *policy.Set, one route, methods []string, depth int) (list []int) {
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
	host := "" // a name that no other route lists
	if len(one.Hosts) > 0 {
		host = strings.Replace(one.Hosts[0], "*", fresh, 1)
	}
	longest := 0
	if open(one.segments) {
		longest = depth + 1
	}
	for more := range longest + 1 {
		path := front.String() + strings.Repeat("/"+fresh, more)
		if path == "" {
			path = "/"
		}
		for _, method := range methods {
			if i := set.Route(method, host, path).Index(); i >= 0 && !slices.Contains(list, i) {
				list = append(list, i)
			}
		}
	}
	return list
}

// named lists routes, a few at most.
func named(indexes []int) string {
	slices.Sort(indexes)
	var list []string
	for _, i := range indexes[:min(3, len(indexes))] {
		list = append(list, fmt.Sprintf("routes[%d]", i))
	}
	return strings.Join(list, ", ")
}

// lostMethods finds paths whose route lists methods, and so refuses those that
// a wider route would have taken.
func lostMethods(l *linter) {
	l.resources(func(path string, r *config.Resource) {
		routes := l.routes(path, r)
		paths := make(map[string][]route)
		for _, one := range routes {
			paths[one.pattern] = append(paths[one.pattern], one)
		}
		for _, narrow := range routes {
			beside := paths[narrow.pattern]
			if beside[0].index != narrow.index {
				continue // said of the first
			}
			listed := listed(beside)
			for _, wide := range routes {
				lost := wide.lost(listed)
				if len(listed) == 0 || len(lost) == 0 || wide.pattern == narrow.pattern || !wide.covers(narrow) {
					continue
				}
				l.doubt(narrow.at+".methods", fmt.Sprintf("refuses %s on paths that routes[%d] seems to take it for: the most specific path governs, whatever its methods", strings.Join(lost, ", "), wide.index),
					"list it here, or add a route for it with this path")
				break
			}
		}
	})
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

// lost lists the methods that r names and methods does not.
func (r route) lost(methods []string) (list []string) {
	for _, m := range r.Methods {
		if !slices.Contains(methods, m) && !(m == "HEAD" && slices.Contains(methods, "GET")) && m != "OPTIONS" {
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
		routes := l.routes(path, r)
		asking := slices.DeleteFunc(slices.Clone(routes), func(one route) bool { return !one.asks })
		for _, wide := range routes {
			if wide.asks || wide.Public || wide.Optional || open(wide.segments) != rest {
				continue
			}
			i := slices.IndexFunc(asking, func(narrow route) bool {
				return wide.pattern != narrow.pattern && wide.covers(narrow) && wide.share(narrow)
			})
			if i >= 0 {
				l.doubt(wide.at+".path", fmt.Sprintf(format, fmt.Sprintf("routes[%d]", asking[i].index)), hint)
			}
		}
	})
}
