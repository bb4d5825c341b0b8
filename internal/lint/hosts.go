package lint

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/policy"
)

// A view is the routes of a resource as a request for one host meets them.
type view struct {
	host   string  // one to look routes up by, as it is written but for wildcards
	text   string  // as it is written, empty for hosts that no route names
	routes []route // those that take it, with their rank
	set    *policy.Set
	depth  int
}

// views lists a view for each host that is governed unlike the others, and one
// for those that no route names, if the resource answers to any.
func (l *linter) views(path string, r *config.Resource) (list []view) {
	routes := l.routes(path, r)
	set, depth := compiled(routes)
	if set == nil {
		return nil
	}
	for _, text := range hostsOf(r) {
		v := view{host: named(text), text: text, set: set, depth: depth}
		for _, one := range routes {
			if one.rank = one.exact(v.host); one.rank >= 0 {
				v.routes = append(v.routes, one)
			}
		}
		list = append(list, v)
	}
	return list
}

// hostsOf lists the hosts of a resource, "" being those that no route names.
func hostsOf(r *config.Resource) []string {
	list := []string{""}
	for _, one := range r.Routes {
		for _, host := range one.Hosts {
			if !slices.Contains(list, host) {
				list = append(list, host)
			}
		}
	}
	if len(list) > 1 && len(r.Hosts) > 0 {
		return r.Hosts
	}
	return list
}

// named is a name that a wildcard takes, and no other that is not wider.
func named(host string) string { return strings.Replace(host, "*", fresh, 1) }

// exact tells how exactly the hosts of r name host, as package policy sees it:
// its name, a wildcard for it, the longer the more, none (0), or others (-1).
func (r route) exact(host string) int {
	if len(r.Hosts) == 0 {
		return 0
	}
	rank := -1
	for _, one := range r.Hosts {
		suffix, wild := strings.CutPrefix(one, "*")
		switch {
		case one == host:
			return math.MaxInt
		case wild && len(host) > len(suffix) && strings.HasSuffix(host, suffix):
			rank = max(rank, len(suffix))
		}
	}
	return rank
}

// meets tells whether two routes take a host in common.
func (r route) meets(other route) bool {
	taken := func(by route) func(string) bool {
		return func(host string) bool { return by.exact(named(host)) >= 0 }
	}
	return len(r.Hosts) == 0 || slices.ContainsFunc(r.Hosts, taken(other)) || slices.ContainsFunc(other.Hosts, taken(r))
}

// governs tells whether one of routes is asked for paths of another.
func (v view) governs(routes []route, paths route, methods []string) bool {
	winners := v.winners(paths, methods)
	return slices.ContainsFunc(routes, func(r route) bool { return slices.Contains(winners, r.index) })
}

// openedByHost finds a route that asks for nothing and takes, from routes of
// wider hosts, paths for which those ask for more.
func openedByHost(l *linter) {
	l.resources(func(path string, r *config.Resource) {
		told := make(map[int]bool)
		for _, v := range l.views(path, r) {
			for _, wide := range v.routes {
				i := slices.IndexFunc(v.routes, func(narrow route) bool {
					return !wide.asks && narrow.asks && wide.rank > narrow.rank && wide.pattern != narrow.pattern && wide.covers(narrow) && wide.share(narrow) &&
						v.governs([]route{wide}, narrow, narrow.methods())
				})
				if i >= 0 && !told[wide.index] {
					told[wide.index] = true
					l.doubt(wide.at+".hosts", fmt.Sprintf("opens paths of routes[%d] at %s, which asks for more: the routes of a host go before those of wider ones, however exact their paths", v.routes[i].index, v.text),
						"add a route with that path for this host, or ask for the same here")
				}
			}
		}
	})
}
