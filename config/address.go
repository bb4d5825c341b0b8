package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// listener is where something listens.
type listener struct {
	path, text, host string // host is empty for all addresses
	port             int
}

// overlaps tells whether two listeners cannot both be opened.
func (l listener) overlaps(o listener) bool {
	return l.port != 0 && l.port == o.port && (l.host == o.host || l.host == "" || o.host == "")
}

// listeners checks every address, and that resources on one are told apart by
// their hosts.
func (c *checker) listeners() {
	admin := c.adminListen()
	c.address("listen", c.Listen)
	var open []listener
	sites := make(map[string]*site)
	for i := range c.Resources {
		r, path := &c.Resources[i], fmt.Sprintf("resources[%d]", i)
		at := path + ".listen"
		if !c.has(at) {
			at = "listen"
		}
		l, ok := c.address(at, r.Listen)
		if !ok || !r.Served() {
			continue
		}
		if !c.TLS.On() && !r.BehindTLS && !isLoopback(l.host) {
			c.warn("plain-listener", path+".listen", "clients reach "+r.Listen+" without TLS, and tokens can be read on the way", "set tls with cert_file and key_file, or behind_tls: true on the resource if TLS ends in front")
		}
		if s := sites[l.text]; s != nil {
			c.share(s, i)
			continue
		}
		open = c.alone(admin, open, l, at)
		sites[l.text] = &site{first: i, hosts: make(map[string]int)}
		sites[l.text].add(r.Hosts, i)
	}
	for _, d := range c.Doors() {
		if l, ok := c.address(d.Key+".listen", d.Listen); ok {
			open = c.alone(admin, open, l, d.Key+".listen")
		}
	}
}

// alone wants l, of which the file says at at, to overlap no listener, and adds it
// to open.
func (c *checker) alone(admin listener, open []listener, l listener, at string) []listener {
	if l.overlaps(admin) && c.has("admin.listen") {
		c.bad("admin.listen", "is the address of traffic too", "give it another port")
	} else if l.overlaps(admin) {
		c.bad(at, "is the address of admin too", "give it another port, or set admin.listen")
	}
	if j := slices.IndexFunc(open, l.overlaps); j >= 0 {
		c.bad(at, "overlaps the address of "+open[j].path, "write both the same, or change a port")
	}
	return append(open, l)
}

// proxyProtocol holds the listeners that balancers connect to against those
// there are.
func (c *checker) proxyProtocol() {
	for i, address := range c.ProxyProtocol {
		if !slices.ContainsFunc(c.Resources, func(r Resource) bool { return r.Served() && r.Listen == address }) {
			c.bad(fmt.Sprintf("proxy_protocol[%d]", i), "is not where a resource listens", "write it as listen has it")
		}
	}
	if len(c.ProxyProtocol) > 0 && len(c.TrustedProxies) == 0 {
		c.bad("proxy_protocol", "needs trusted_proxies", "list the balancers that connect there: nobody else can")
	}
}

// site is the resources on one listener.
type site struct {
	first int
	hosts map[string]int // the resource each belongs to
}

func (s *site) add(hosts []string, n int) {
	for _, h := range hosts {
		s.hosts[h] = n
	}
}

// share holds resource n against those before it on the same listener.
func (c *checker) share(s *site, n int) {
	hint := fmt.Sprintf("resources[%d] and resources[%d] listen on the same address, so each needs its hosts", s.first, n)
	for _, i := range []int{s.first, n} {
		if len(c.Resources[i].Hosts) == 0 {
			c.bad(fmt.Sprintf("resources[%d].hosts", i), "is missing", hint)
		}
	}
	for h, host := range c.Resources[n].Hosts {
		if other, taken := s.hosts[host]; taken && host != "" {
			c.bad(fmt.Sprintf("resources[%d].hosts[%d]", n, h), fmt.Sprintf("is a host of resources[%d] already", other), "")
		}
	}
	s.add(c.Resources[n].Hosts, n)
}

// address reads host:port. A host is an IP address or localhost, so that the
// file says who can connect.
func (c *checker) address(path, text string) (listener, bool) {
	if text == "" {
		return listener{}, false
	}
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	addr, addrErr := netip.ParseAddr(host)
	hint := "write it like :8420, 127.0.0.1:8420 or [::1]:8420"
	switch {
	case err != nil || portErr != nil:
		c.bad(path, "is no address with a port", hint)
	case host != "" && host != "localhost" && addrErr != nil:
		c.bad(path, "is no IP address", hint)
	default:
		if addrErr == nil && addr.IsUnspecified() {
			host = ""
		}
		return listener{path, text, host, int(n)}, true
	}
	return listener{}, false
}

// host returns the name of a virtual host in the form they are compared in:
// lower case, no dot at the end, no default port.
func (c *checker) host(path, text string) string {
	if text == "" {
		return ""
	}
	host := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text), ":80"), ":443")
	if !isHost(host) {
		hint := "write it like api.example.com or api.example.com:8443"
		if strings.HasPrefix(text, "*") {
			hint = "list every host; only routes have wildcards, like *.example.com"
		}
		c.bad(path, "is no host", hint)
	}
	return strings.TrimSuffix(host, ".")
}

// isHost reports whether text is a host name or address with or without a port.
func isHost(text string) bool {
	name := text
	if at := strings.LastIndexByte(text, ':'); at > strings.LastIndexByte(text, ']') {
		if n, err := strconv.ParseUint(text[at+1:], 10, 16); err != nil || n == 0 {
			return false
		}
		name = text[:at]
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && addr.Is6() && addr.Zone() == "" && strings.HasSuffix(name, "]")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, label := range strings.Split(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(name) <= 253
}

func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.Unmap().IsLoopback()
}

// originOf writes the origin of a URL in lower case without its default port.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

// normalName is the form in which servers may fold header names onto each
// other: lower case, hyphens for all but letters and digits.
func normalName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}
