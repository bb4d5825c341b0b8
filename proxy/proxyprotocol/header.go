// Package proxyprotocol takes connections from balancers that pass on octets
// and say in front of them who connected: the PROXY protocol of HAProxy,
// versions 1 and 2.
package proxyprotocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds on a header, in octets.
const (
	maxLine    = 107     // version 1, with its end
	fixed      = 16      // version 2, before what its length counts
	maxTrailer = 4 << 10 // of that
)

var (
	errShort     = errors.New("the header goes on")
	errMalformed = errors.New("no PROXY header")
)

// signature begins a header of version 2. It is no HTTP and no TLS.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Source is who connected to a balancer.
type source struct {
	local   bool           // the balancer itself, to see whether somebody listens
	address netip.AddrPort // the zero AddrPort where it is not told
}

// parse reads the header that data begins with. It is n octets long. Its error
// is errShort while data is the beginning of one, and need how many octets there
// must be at least before it is asked again.
func parse(data []byte) (s source, n, need int, err error) {
	const line = "PROXY "
	switch {
	case len(data) >= len(signature) && string(data[:len(signature)]) == signature:
		return parseBinary(data)
	case len(data) >= len(line) && string(data[:len(line)]) == line:
		return parseLine(data)
	case strings.HasPrefix(signature, string(data)) || strings.HasPrefix(line, string(data)):
		return source{}, 0, len(data) + 1, errShort
	}
	return source{}, 0, 0, errMalformed
}

// parseLine reads version 1.
func parseLine(data []byte) (s source, n, need int, err error) {
	end := bytes.IndexByte(data[:min(len(data), maxLine)], '\n')
	switch {
	case end < 0 && len(data) >= maxLine:
		return source{}, 0, 0, errMalformed
	case end < 0:
		return source{}, 0, len(data) + 1, errShort
	case data[end-1] != '\r':
		return source{}, 0, 0, errMalformed
	}
	words := strings.Split(string(data[:end-1]), " ")
	if words[1] == "UNKNOWN" { // whatever follows
		return source{}, end + 1, 0, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return source{}, 0, 0, errMalformed
	}
	four := words[1] == "TCP4"
	from, ok := parseEnd(words[2], words[4], four)
	_, okTo := parseEnd(words[3], words[5], four)
	if !ok || !okTo {
		return source{}, 0, 0, errMalformed
	}
	return source{address: from}, end + 1, 0, nil
}

// parseEnd reads one end of a connection in its canonical form.
func parseEnd(address, port string, four bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is4() != four {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// What the octets 13 and 14 of version 2 say.
const (
	version   = 0x20
	local     = version
	proxied   = version | 1
	stream4   = 0x11 // TCP over IPv4
	stream6   = 0x21 // TCP over IPv6
	families  = 3    // the last address family there is: Unix sockets
	protocols = 2    // the last transport protocol there is: datagrams
)

// parseBinary reads version 2. What follows the addresses (TLVs) is skipped.
func parseBinary(data []byte) (s source, n, need int, err error) {
	if len(data) < fixed {
		return source{}, 0, fixed, errShort
	}
	command, kind := data[12], data[13]
	length := int(binary.BigEndian.Uint16(data[14:fixed]))
	if command != local && command != proxied || kind>>4 > families || kind&15 > protocols || length > maxTrailer {
		return source{}, 0, 0, errMalformed
	}
	size := 0 // of one address
	switch {
	case command == local:
	case kind == stream4:
		size = 4
	case kind == stream6:
		size = 16
	}
	if size > 0 && length < 2*size+4 {
		return source{}, 0, 0, errMalformed
	}
	n = fixed + length
	if len(data) < n {
		return source{}, 0, n, errShort
	}
	if size == 0 { // also what is no TCP: nothing here can have come that way
		return source{local: command == local}, n, 0, nil
	}
	a, _ := netip.AddrFromSlice(data[fixed : fixed+size])
	port := binary.BigEndian.Uint16(data[fixed+2*size:])
	return source{address: netip.AddrPortFrom(a.Unmap(), port)}, n, 0, nil
}
