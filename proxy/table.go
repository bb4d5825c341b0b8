package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wicketgate/wicketgate/internal/spans"
	"github.com/wicketgate/wicketgate/proxy/clientcert"
	"github.com/wicketgate/wicketgate/proxy/forwarded"
)

// A Table is everything that changes with the configuration: the gates by
// listener and host, and what is believed of peers. It is immutable.
type Table struct {
	Sites   map[string]*Site // by the address of the listener as configured
	Trusted forwarded.Rules  // whose forwarding fields are believed, and which
	Limits  Limits
	Streams StreamLimits

	// Certificates reads the client's certificate from what a trusted peer
	// says; nil takes the certificate of the TLS connection.
	Certificates *clientcert.Reader
	Name         string // in Via; empty for DefaultName
	Interactions bool   // every request and answer carries HeaderInteraction

	Tracing *spans.Sampler // which requests get spans; nil: none
}

// Limits bounds a request's head.
type Limits struct {
	HeaderFields  int // field lines
	HeaderSection int // octets of names and values, four more a line
	Target        int // octets

	InFlight   int           // requests at once, on all listeners together; 0 for any number
	Upstream   int           // requests at once at each upstream, see Upstreams.Bound; 0 for any number
	BodyStall  time.Duration // for the next octet of a body; 0 for ever
	WriteStall time.Duration // for a client to take more of an answer; 0 for ever
}

// DefaultLimits are the limits of the manual.
var DefaultLimits = Limits{HeaderFields: 100, HeaderSection: 64 << 10, Target: 16 << 10}

// A Site is the gates behind one listener.
type Site struct {
	Only  *Gate            // every host, when there is one resource that lists none
	Hosts map[string]*Gate // by normalised host

	// Peers are the proxies that may ask a Checker about requests they hold. Nil
	// where requests come from their clients.
	Peers []netip.Prefix
}

// mayAsk reports whether the proxy at an address may ask about requests.
func (s *Site) mayAsk(asker netip.Addr) bool {
	asker = asker.Unmap().WithZone("")
	return slices.ContainsFunc(s.Peers, func(p netip.Prefix) bool { return p.Contains(asker) })
}

// gate returns the gate for a normalised host, or nil.
func (s *Site) gate(host string) *Gate {
	if g := s.Hosts[host]; g != nil {
		return g
	}
	return s.Only
}

// A Switch holds the table in force. A request takes it once and keeps it to
// its end.
type Switch struct {
	table    atomic.Pointer[Table]
	inFlight atomic.Int64
}

// Set puts t in force.
func (s *Switch) Set(t *Table) { s.table.Store(t) }

// Table returns the table in force, or nil before the first.
func (s *Switch) Table() *Table { return s.table.Load() }

// NormalHost brings a Host field value into the one form hosts are compared
// in: lower case, without a dot at the end or a default port (RFC 3986 section
// 6.2). It is not ok for what is no host and port.
func NormalHost(host string) (string, bool) {
	name, port := host, ""
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		name, port = host[:at], host[at+1:]
		if !isPort(port) {
			return "", false
		}
	}
	// ToLower takes some letters beyond ASCII to letters in it.
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", false
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if strings.HasSuffix(name, ".") || strings.HasPrefix(port, "0") { // another spelling, for those who read it as a number
		return "", false
	}
	if strings.HasPrefix(name, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(name[1:], "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(name, "]") {
			return "", false
		}
	} else if !isName(name) {
		return "", false
	}
	if port == "" || port == "80" || port == "443" {
		return name, true
	}
	return name + ":" + port, true
}

func isPort(port string) bool {
	n := 0
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return false
		}
		n = min(n*10+int(c-'0'), 1<<16)
	}
	return n > 0 && n < 1<<16
}

func isName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name != "" && name[0] != '.'
}
