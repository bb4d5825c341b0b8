package policy

import (
	"slices"
	"strings"
)

// hosts finds the trees that routes are looked up in by a request's host.
type hosts struct {
	exact map[string][]*node // by host
	under map[string][]*node // of *.example.com, by .example.com
	other []*node            // of any host that no route names
	depth int                // dots in the longest key of under
}

// newHosts lines up the trees that were made for the hosts of routes, the one
// under "" being that of routes that name none. For each host they are tried
// from the most specific on: its own, those of ever shorter wildcards, and that
// of all.
func newHosts(trees map[string]*node) hosts {
	h := hosts{exact: make(map[string][]*node), under: make(map[string][]*node)}
	if all := trees[""]; all != nil {
		h.other = []*node{all}
	}
	for host, tree := range trees {
		name, wild := strings.CutPrefix(host, "*")
		if host == "" {
			continue
		}
		line := []*node{tree}
		for at := 1; at < len(name); at++ {
			if name[at] == '.' && trees["*"+name[at:]] != nil {
				line = append(line, trees["*"+name[at:]])
			}
		}
		line = append(line, h.other...)
		if !wild {
			h.exact[host] = line
			continue
		}
		h.under[name], h.depth = line, max(h.depth, strings.Count(name, "."))
	}
	return h
}

// trees lists those a request for host is looked up in. It asks for no more
// wildcards than there can be, however many dots the host has.
//
// Where no route names the host with its port, those that name it without are
// meant: servers choose by the name.
func (h *hosts) trees(host string) []*node {
	if line := h.named(host); line != nil {
		return line
	}
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		if line := h.named(host[:at]); line != nil {
			return line
		}
	}
	return h.other
}

// named lists the trees for a host that some route names, or is nil.
func (h *hosts) named(host string) []*node {
	if line := h.exact[host]; line != nil {
		return line
	}
	at := len(host)
	for range h.depth {
		if at = strings.LastIndexByte(host[:at], '.'); at <= 0 {
			break
		}
	}
	for at = max(at, 1); h.depth > 0 && at < len(host); at++ {
		if host[at] != '.' {
			continue
		}
		if line := h.under[host[at:]]; line != nil {
			return line
		}
	}
	return nil
}

// SameRoutes tells whether the same routes are asked for two hosts and no
// expression looks at them, so that it is no matter to the policy which of them an upstream goes by. A nil Set has
// none.
func (s *Set) SameRoutes(host, other string) bool {
	if s == nil {
		return true
	}
	if host != other && slices.ContainsFunc(s.routes, func(r *Route) bool { return r.when != nil && r.when.ReadsHost() }) {
		return false
	}
	a, b := s.hosts.trees(host), s.hosts.trees(other)
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// hostsOf lists the hosts a route is looked up by.
func hostsOf(r *Route) []string {
	if len(r.Hosts) == 0 {
		return []string{""}
	}
	return r.Hosts
}

// find returns the routes of the most specific pattern of the first tree that
// has one.
func find(trees []*node, path string, how reading) []*Route {
	for _, tree := range trees {
		if found := tree.find(path, how); len(found) > 0 {
			return found
		}
	}
	return nil
}

// checkHost says why no request could be for host, or "".
func checkHost(host string) string {
	name := strings.TrimPrefix(host, "*.")
	switch {
	case name == "" || strings.Contains(name, "*"):
		return "a host is a name, or *. and a name"
	case strings.ToLower(name) != name || strings.ContainsAny(name, "/@ ") || name[0] == '.' || strings.HasSuffix(name, "."):
		return "the host " + host + " matches no request: hosts are compared in lower case and without a dot at the end"
	}
	return ""
}

// shareHost tells whether two routes could be asked for by one host. One that
// names none is for all.
func shareHost(a, b *Route) bool {
	return len(a.Hosts) == 0 || len(b.Hosts) == 0 || slices.ContainsFunc(a.Hosts, func(one string) bool {
		return slices.ContainsFunc(b.Hosts, func(other string) bool { return covers(one, other) || covers(other, one) })
	})
}

// covers tells whether each host that narrow takes is one that wide takes, both
// written as in Options.Hosts.
func covers(wide, narrow string) bool {
	suffix, wild := strings.CutPrefix(wide, "*")
	if !wild {
		return wide == narrow
	}
	narrow = strings.TrimPrefix(narrow, "*")
	return strings.HasSuffix(narrow, suffix)
}
