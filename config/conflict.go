package config

import (
	"fmt"
	"strings"
)

// ErrorBetween is an Error at path that also says where the other of two things
// is that conflict.
func (f *File) ErrorBetween(path, message, other string) *Error {
	e := f.ErrorAt(path, message)
	at := f.source.place(other)
	e.Hint = fmt.Sprintf("see %s:%d:%d", f.source.name, at.line, at.column)
	return e
}

// routeHosts brings the hosts of a route into the form they are compared in,
// and wants each to be one that the resource answers to.
func (c *checker) routeHosts(path string, resource *Resource, r *Route) {
	for i, text := range r.Hosts {
		at := fmt.Sprintf("%s.hosts[%d]", path, i)
		name, wild := strings.CutPrefix(text, "*.")
		if wild && name == "" {
			c.bad(at, "is no host", "write what the wildcard is below, like *.example.com")
		}
		if name = c.host(at, name); wild {
			name = "*." + name
		}
		r.Hosts[i] = name
		if !c.faulty[at] && name != "" && len(resource.Hosts) > 0 && !isAmong(name, resource.Hosts) {
			c.bad(at, "is no host of this resource, so no request could come here", didYouMean(name, resource.Hosts))
		}
	}
	c.different(path+".hosts", r.Hosts)
}

// isAmong tells whether a host, or one that a wildcard takes, is in list.
func isAmong(host string, list []string) bool {
	under, wild := strings.CutPrefix(host, "*")
	for _, one := range list {
		if one == host || wild && strings.HasSuffix(one, under) {
			return true
		}
	}
	return false
}
