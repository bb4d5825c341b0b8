package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// ExtAuthz is where Envoy asks about requests that it holds, over gRPC.
type ExtAuthz struct {
	Listen    string         `yaml:"listen" required:"true" doc:"Address that proxies ask at, as host:port with an IP address or localhost, or :port for all addresses."`
	Peers     []netip.Prefix `yaml:"peers" required:"true" doc:"Proxies that may ask, as addresses or CIDR blocks: they say what the client asked for and where it is, and anybody else is refused."`
	Resources []string       `yaml:"resources" doc:"Names of the resources they may ask about, told apart by their hosts where there are several; default all."`
	TLS       bool           `yaml:"tls" doc:"Serve with the certificate that tls at the top names; default false."`
}

// ForwardAuth is where nginx, Traefik, Caddy and their like ask about requests that
// they hold, over HTTP.
type ForwardAuth struct {
	Listen    string         `yaml:"listen" required:"true" doc:"Address that proxies ask at, as host:port with an IP address or localhost, or :port for all addresses."`
	Peers     []netip.Prefix `yaml:"peers" required:"true" doc:"Proxies that may ask, as addresses or CIDR blocks: they say what the client asked for and where it is, and anybody else is refused."`
	Resources []string       `yaml:"resources" doc:"Names of the resources they may ask about, told apart by their hosts where there are several; default all."`
	TLS       bool           `yaml:"tls" doc:"Serve with the certificate that tls at the top names; default false."`
	Form      string         `yaml:"form" default:"x-forwarded" enum:"x-forwarded,x-original" doc:"How they ask: x-forwarded says the request in X-Forwarded-Method, -Proto, -Host and -Uri and gets every status (Traefik, Caddy), x-original in X-Original-Method and X-Original-URL and gets 200, 401 and 403 only (nginx); default x-forwarded."`
}

// A Door is a listener at which other proxies ask.
type Door struct {
	Key string // in the file
	ExtAuthz
}

// Doors lists the doors of f.
func (f *File) Doors() (list []Door) {
	if f.ForwardAuth.Listen != "" {
		d := f.ForwardAuth
		list = append(list, Door{"forward_auth", ExtAuthz{d.Listen, d.Peers, d.Resources, d.TLS}})
	}
	if f.ExtAuthz.Listen != "" {
		list = append(list, Door{"ext_authz", f.ExtAuthz})
	}
	return list
}

// Has reports whether a resource can be asked about at d.
func (d *Door) Has(r Resource) bool {
	return len(d.Resources) == 0 || slices.Contains(d.Resources, r.Name)
}

// Served reports whether r has a listener of its own kind: one that clients reach.
// What no upstream is known for is only asked about, at a Door.
func (r Resource) Served() bool { return r.Upstream != "" }

// doors checks where other proxies ask.
func (c *checker) doors() {
	var names []string
	for _, r := range c.Resources {
		names = append(names, r.Name)
	}
	for _, d := range c.Doors() {
		for i, name := range d.Resources {
			if at := fmt.Sprintf("%s.resources[%d]", d.Key, i); !slices.Contains(names, name) && !slices.Contains(names, "") {
				c.bad(at, "no resource has this name", didYouMean(name, names))
			}
		}
		if d.TLS && !c.TLS.On() {
			c.bad(d.Key+".tls", "needs tls at the top", "set cert_file and key_file there")
		}
		host, _, _ := net.SplitHostPort(d.Listen)
		for i, p := range d.Peers {
			if p.Bits() == 0 && !isLoopback(host) {
				c.warn("anybody-asks", fmt.Sprintf("%s.peers[%d]", d.Key, i), "lets everybody who reaches "+d.Listen+" say which request a token is for, and from where", "list the addresses of your proxies, like 10.0.0.0/8")
			}
		}
		c.apart(&d)
	}
	for i, r := range c.Resources {
		c.reached(fmt.Sprintf("resources[%d]", i), r)
	}
}

// apart wants the resources behind a door to be told apart by their hosts.
func (c *checker) apart(d *Door) {
	var s *site
	for i, r := range c.Resources {
		switch {
		case !d.Has(r):
		case s == nil:
			s = &site{first: i, hosts: make(map[string]int)}
			s.add(r.Hosts, i)
		default:
			c.share(s, i)
		}
	}
}

// reached wants every resource to be somewhere, and says what cannot be where
// proxies only ask.
func (c *checker) reached(path string, r Resource) {
	doors := c.Doors()
	asked := slices.ContainsFunc(doors, func(d Door) bool { return d.Has(r) })
	switch {
	case r.Upstream != "" || c.has(path+".upstream"):
	case !asked:
		c.bad(path+".upstream", "is missing", "where allowed requests go; only a resource that proxies ask about, at forward_auth or ext_authz, needs none")
	case c.has(path + ".listen"):
		c.bad(path+".listen", "needs upstream", "without one, the resource is only asked about, at forward_auth or ext_authz; remove listen, or say where allowed requests go")
	}
	if d := c.ForwardAuth; d.Listen != "" && (&Door{"", ExtAuthz{Resources: d.Resources}}).Has(r) && r.CORS.Preflight == "answer" {
		c.warn("preflight-not-relayed", path+".cors.preflight", "cannot be kept at forward_auth, where proxies take 204 for leave to forward: preflights are refused there", "write forward, or have the proxy answer preflights")
	}
}
