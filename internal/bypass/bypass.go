// Package bypass finds out whether an upstream that should listen on loopback
// only, so that all must pass the gate, can be reached at other addresses of the
// machine or pod too.
//
// It connects and sends nothing. It cannot know of network policies: what it
// finds is open as far as this machine goes.
package bypass

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	dialTimeout  = time.Second
	mostAddress  = 16 // of a machine; bridges of virtual machines and containers may make hundreds
	firstPause   = 5 * time.Second
	longestPause = 5 * time.Minute
)

// Upstream is one on loopback.
type Upstream struct {
	Name string // for metrics
	at   string // its host: an address or localhost
	port uint16
}

// Find returns the upstream at a URL, unless that is none on loopback over TCP.
func Find(location string) (Upstream, bool) {
	u, err := url.Parse(location)
	if err != nil {
		return Upstream{}, false
	}
	port := u.Port()
	switch {
	case port != "" || u.Scheme == "unix":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	addr, err := netip.ParseAddr(host)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if portErr != nil || n == 0 || host != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
		return Upstream{}, false
	}
	if err == nil {
		host = addr.Unmap().String()
	}
	return Upstream{Name: u.Scheme + "://" + u.Host, at: host, port: uint16(n)}, true
}

// Parse reads addresses that commas or spaces divide, as status.podIPs of the
// downward API has them, and leaves out what is none.
func Parse(text string) []netip.Addr {
	var list []netip.Addr
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		if addr, err := netip.ParseAddr(word); err == nil && !addr.IsUnspecified() {
			list = append(list, addr.Unmap())
		}
	}
	return list
}

// Targets is what is tried.
type Targets struct {
	Upstreams []Upstream
	Addresses []netip.Addr // none for those of the machine's interfaces
	Own       []string     // host:port or :port where the gate itself listens
}

// A Finding is an upstream with the address at which it was reached, or none.
type Finding struct {
	Upstream string
	Address  netip.AddrPort
}

// Open reports whether something accepted the connection.
func (f Finding) Open() bool { return f.Address.IsValid() }

// Look tries each upstream at each address, until one accepts. One try takes a
// second at most.
func Look(ctx context.Context, t Targets) []Finding {
	addresses := t.Addresses
	if len(addresses) == 0 && len(t.Upstreams) > 0 {
		addresses = interfaces()
	}
	if len(addresses) > mostAddress {
		addresses = addresses[:mostAddress]
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	var list []Finding
	for _, u := range t.Upstreams {
		f := Finding{Upstream: u.Name}
		for _, addr := range addresses {
			at := netip.AddrPortFrom(addr, u.port)
			if u.at == addr.String() || u.at == "localhost" && (addr == netip.IPv6Loopback() || addr == loopback4) || t.own(at) {
				continue
			}
			if conn, err := dialer.DialContext(ctx, "tcp", at.String()); err == nil {
				_ = conn.Close()
				f.Address = at
				break
			}
		}
		list = append(list, f)
	}
	return list
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// own tells whether the gate itself answers there.
func (t Targets) own(at netip.AddrPort) bool {
	return slices.ContainsFunc(t.Own, func(listen string) bool {
		host, port, err := net.SplitHostPort(listen)
		if err != nil || port != strconv.Itoa(int(at.Port())) {
			return false
		}
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return host == "" || host == "localhost" && at.Addr().IsLoopback()
		}
		if addr.IsUnspecified() { // 0.0.0.0 has IPv4 alone, :: both
			return addr.Is6() || at.Addr().Is4()
		}
		return addr.Unmap() == at.Addr()
	})
}

// interfaces lists the addresses of this machine that others may reach.
func interfaces() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for _, one := range found {
		prefix, err := netip.ParsePrefix(one.String())
		if err != nil {
			continue
		}
		// One of a link needs the name of its interface, which a pod has no use for.
		if addr := prefix.Addr().Unmap(); addr.IsGlobalUnicast() {
			list = append(list, addr)
		}
	}
	return list
}
