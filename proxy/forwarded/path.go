// Package forwarded finds out who sent a request from what proxies in front say
// of it, in Forwarded (RFC 7239) or X-Forwarded-For, and tells the next server
// in both.
//
// A list is read from its end. Its last entry is the word of the peer; an entry
// counts only when whoever wrote it is trusted, so that nothing a client put
// into the list before it came to the first trusted proxy is believed.
package forwarded

import (
	"net/netip"
	"slices"
	"strings"
)

// MaxHops is how many entries of a list are looked at.
const MaxHops = 32

// Rules say what is believed.
type Rules struct {
	Trusted []netip.Prefix // peers that may say who asked them

	// Standard reads Forwarded, else X-Forwarded-For is read. The other field
	// never counts, since proxies that do not write it let it through as it came.
	Standard bool
}

// Trusts reports whether what the server at address says of its client counts.
func (r *Rules) Trusts(address netip.Addr) bool {
	address = address.Unmap()
	for _, p := range r.Trusted {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// Single is client where it may be held to what it did before, else the zero Addr:
// what a trusted server did not tell the client of, and what came from this very
// host, may be from anybody. So may what comes from a private network as long as
// nobody is trusted: servers in front are there, and they were not named.
func (r *Rules) Single(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	switch {
	case !client.IsValid(), client.IsLoopback(), client.IsUnspecified(), r.Trusts(client):
		return netip.Addr{}
	case len(r.Trusted) == 0 && (client.IsPrivate() || client.IsLinkLocalUnicast() || shared.Contains(client)):
		return netip.Addr{}
	}
	return client
}

// shared is the address space of carriers and of clouds within (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// A Hop is one end of a connection on a request's way.
type Hop struct {
	Addr netip.Addr // the zero Addr where it is not told
	Name string     // what stands for the address (RFC 7239 section 6.3), with its underscore
}

// A Path is the way of a request to the gate.
type Path struct {
	Client netip.Addr // the farthest address on it that is known; the zero Addr when not even the peer's is
	Peer   netip.Addr // the other end of our connection
	Told   []Hop      // those before the peer, from the client on, as trusted proxies told them

	// Host and Proto are what the trusted proxy nearest to the client was asked
	// for, and empty when it did not say, or not once. They are not checked.
	Host, Proto string
}

// Trace finds the way of a request with the fields of header that came from
// peer. Its answer depends on nothing that an untrusted server wrote.
func (r *Rules) Trace(header map[string][]string, peer netip.Addr) Path {
	p := Path{Client: peer, Peer: peer}
	if !peer.IsValid() || !r.Trusts(peer) {
		return p
	}
	if r.Standard {
		r.walk(&p, newList(header["Forwarded"], lastElement))
		return p
	}
	p.Host, p.Proto = only(header["X-Forwarded-Host"]), only(header["X-Forwarded-Proto"])
	r.walk(&p, newList(header["X-Forwarded-For"], lastMember))
	return p
}

func only(lines []string) string {
	if len(lines) != 1 {
		return ""
	}
	return lines[0]
}

// walk goes from the last entry to the first that was not written by a trusted
// server.
func (r *Rules) walk(p *Path, entries list) {
	for range MaxHops {
		text, more := entries.next()
		if !more {
			break
		}
		if text == "" { // an empty element is none (RFC 9110 section 5.6.1.2)
			continue
		}
		hop, ok := r.read(p, text)
		if !ok {
			break
		}
		p.Told = append(p.Told, hop)
		if !hop.Addr.IsValid() {
			break
		}
		p.Client = hop.Addr
		if !r.Trusts(hop.Addr) {
			break
		}
	}
	slices.Reverse(p.Told)
}

func (r *Rules) read(p *Path, text string) (hop Hop, ok bool) {
	if !r.Standard {
		return parseNode(text)
	}
	e, ok := parseElement(text)
	if !ok {
		return Hop{}, false
	}
	p.Host, p.Proto = e.host, e.proto
	if e.node == "" {
		return Hop{}, true // as good as unknown
	}
	return parseNode(e.node)
}

// list is the elements of a list-based field, from its last.
type list struct {
	lines []string
	rest  string
	last  func(string) (rest, element string)
}

func newList(lines []string, last func(string) (rest, element string)) list {
	l := list{lines: lines, last: last}
	l.line()
	return l
}

// line goes on to the line before. An exhausted list has the rest "".
func (l *list) line() {
	l.rest = ""
	if n := len(l.lines); n > 0 {
		l.rest, l.lines = l.lines[n-1], l.lines[:n-1]
	}
}

func (l *list) next() (element string, more bool) {
	if l.rest == "" && len(l.lines) == 0 {
		return "", false
	}
	if l.rest, element = l.last(l.rest); l.rest == "" {
		l.line()
	}
	return strings.Trim(element, " \t"), true
}

// lastMember cuts the last element off a list without quoted strings.
func lastMember(line string) (rest, element string) {
	at := strings.LastIndexByte(line, ',')
	return line[:max(at, 0)], line[at+1:]
}

// usualLength is room for what most paths become, in octets.
const usualLength = 256

// For is the path as X-Forwarded-For tells it.
func (p *Path) For() string {
	if len(p.Told) == 0 {
		return plain(p.Peer)
	}
	var buffer [usualLength]byte
	text := buffer[:0]
	for _, hop := range p.Told {
		text = append(appendPlain(text, hop.Addr), ", "...)
	}
	return string(appendPlain(text, p.Peer))
}

// Forwarded is the path as RFC 7239 tells it. host and proto are what the gate
// was asked for. They, Host and Proto must have been checked: what is not fit to
// be passed on is empty by now.
func (p *Path) Forwarded(host, proto string) string {
	var buffer [usualLength]byte
	text := buffer[:0]
	for i, hop := range p.Told {
		told, by := "", ""
		if i == 0 {
			told, by = p.Host, p.Proto
		}
		text = append(appendElement(text, hop, told, by), ", "...)
	}
	return string(appendElement(text, Hop{Addr: p.Peer}, host, proto))
}

// appendElement writes a forwarded-element; host and proto are left out where they
// are empty.
func appendElement(text []byte, hop Hop, host, proto string) []byte {
	text = appendNode(append(text, "for="...), hop)
	if host != "" {
		text = append(append(append(text, `;host="`...), host...), '"')
	}
	if proto != "" {
		text = append(append(text, ";proto="...), proto...)
	}
	return text
}

// plain writes an address without port, as X-Forwarded-For has it.
func plain(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.WithZone("").String()
}

// appendPlain is plain, at the end of text.
func appendPlain(text []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(text, "unknown"...)
	}
	return a.WithZone("").AppendTo(text)
}

// appendNode writes a node as RFC 7239 section 6 wants it. It ends in the log of
// somebody else, so it is built from what was parsed only.
func appendNode(text []byte, h Hop) []byte {
	switch {
	case h.Name != "":
		return append(text, h.Name...)
	case !h.Addr.IsValid():
		return append(text, "unknown"...)
	case h.Addr.Is6():
		return append(appendPlain(append(text, `"[`...), h.Addr), `]"`...)
	}
	return appendPlain(text, h.Addr)
}
