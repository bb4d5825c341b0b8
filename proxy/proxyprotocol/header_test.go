package proxyprotocol

import (
	"encoding/binary"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// binaryHeader makes a header of version 2.
func binaryHeader(command, kind byte, payload string) string {
	h := append([]byte(signature), command, kind)
	return string(binary.BigEndian.AppendUint16(h, uint16(len(payload)))) + payload
}

const (
	four  = "\x06\x06\x06\x06\x0a\x00\x00\x01\x00\x63\x20\xe4"                                                           // 6.6.6.6:99 to 10.0.0.1:8420
	six   = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "0123456789abcdef" + "\x00\x63\x20\xe4" // [2001:db8::1]:99
	four6 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x06\x06\x06\x06" + "0123456789abcdef" + "\x00\x63\x20\xe4" // [::ffff:6.6.6.6]:99
)

// good is headers with what they say: an address, "local" or "unknown".
func good() map[string]string {
	return map[string]string{
		"PROXY TCP4 6.6.6.6 10.0.0.1 99 8420\r\n":                                 "6.6.6.6:99",
		"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n":                          "255.255.255.255:65535",
		"PROXY TCP6 2001:db8::1 fd00::1 99 8420\r\n":                              "[2001:db8::1]:99",
		"PROXY TCP6 2001:0DB8:0:0::1 fd00::1 99 8420\r\n":                         "[2001:db8::1]:99",
		"PROXY TCP6 ::ffff:6.6.6.6 ::ffff:10.0.0.1 99 8420\r\n":                   "6.6.6.6:99",
		"PROXY UNKNOWN\r\n":                                                       "unknown",
		"PROXY UNKNOWN ffff::1 what ever\x00\r\n":                                 "unknown",
		"PROXY UNKNOWN " + strings.Repeat("x", 107-16) + "\r\n":                   "unknown",
		binaryHeader(proxied, stream4, four):                                      "6.6.6.6:99",
		binaryHeader(proxied, stream6, six):                                       "[2001:db8::1]:99",
		binaryHeader(proxied, stream6, four6):                                     "6.6.6.6:99",
		binaryHeader(proxied, stream4, four+strings.Repeat("t", 4<<10-len(four))): "6.6.6.6:99",
		binaryHeader(local, 0, ""):                                                "local",
		binaryHeader(local, stream4, four):                                        "local",
		binaryHeader(local, 0x31, strings.Repeat("t", 4<<10)):                     "local",
		binaryHeader(proxied, 0, ""):                                              "unknown",
		binaryHeader(proxied, 0x31, strings.Repeat("/", 216)):                     "unknown",
		binaryHeader(proxied, 0x12, four):                                         "unknown",
	}
}

func bad() []string {
	list := []string{
		"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "proxy UNKNOWN\r\n", "PROXY\r\n", "PROXY \r\n", "PROXY  UNKNOWN\r\n", "PROXY UNKNOWN\n", "PROXY unknown\r\n",
		"PROXY UNKNOWN\r\r\n", "PROXY UNKNOWNX\r\n", "PROXY TCP5 6.6.6.6 10.0.0.1 99 8420\r\n", "PROXY UDP4 6.6.6.6 10.0.0.1 99 8420\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 99\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 99 8420 1\r\n",
		"PROXY TCP4 6.6.6.6 10.0.0.1  99 8420\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 99 8420 \r\n", "PROXY TCP4\t6.6.6.6 10.0.0.1 99 8420\r\n", "PROXY TCP4 06.6.6.6 10.0.0.1 99 8420\r\n", "PROXY TCP4 6.6.6 10.0.0.1 99 8420\r\n",
		"PROXY TCP4 6.6.6.6 10.0.0 99 8420\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 099 8420\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 65536 8420\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 -1 8420\r\n", "PROXY TCP4 6.6.6.6 10.0.0.1 +9 8420\r\n",
		"PROXY TCP4 6.6.6.6 10.0.0.1 99 99999\r\n", "PROXY TCP4 2001:db8::1 fd00::1 99 8420\r\n", "PROXY TCP6 6.6.6.6 10.0.0.1 99 8420\r\n", "PROXY TCP6 fe80::1%eth0 fd00::1 99 8420\r\n", "PROXY TCP4 6.6.6.6 ::1 99 8420\r\n",
		"PROXY TCP4 6.6.6.6 10.0.0.1 99 8420\n", "PROXY UNKNOWN " + strings.Repeat("x", 107-15) + "\r\n",
		signature[:11] + "\r", binaryHeader(0x10|1, stream4, four), binaryHeader(0x30|1, stream4, four), binaryHeader(version|2, stream4, four), binaryHeader(version|15, 0, ""),
		binaryHeader(proxied, 0x41, four), binaryHeader(proxied, 0x13, four), binaryHeader(local, 0x50, ""), binaryHeader(proxied, stream4, four[:11]), binaryHeader(proxied, stream4, ""),
		binaryHeader(proxied, stream6, six[:35]), binaryHeader(proxied, stream4, strings.Repeat("t", 4<<10+1)), binaryHeader(local, 0, strings.Repeat("t", 65535)),
	}
	return list
}

func (s source) text() string {
	switch {
	case s.local:
		return "local"
	case !s.address.IsValid():
		return "unknown"
	}
	return s.address.String()
}

// feed gives parse an octet more at a time, as it asks for it.
func feed(t *testing.T, text string) (s source, n int, err error) {
	t.Helper()
	for have := 1; have <= len(text); {
		var need int
		s, n, need, err = parse([]byte(text[:have]))
		if err != errShort { //nolint:errorlint // never wrapped
			return s, n, err
		}
		if need <= have || need > fixed+maxTrailer {
			t.Fatalf("%.60q: asks for %d octets, having %d", text, need, have)
		}
		have = need
	}
	return source{}, 0, errShort
}

func TestHeaders(t *testing.T) {
	for header, want := range good() {
		for _, after := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\n", "PROXY UNKNOWN\r\n"} {
			s, n, err := feed(t, header+after)
			if err != nil || n != len(header) || s.text() != want {
				t.Errorf("%.60q: %s, %d octets, %v; want %s, %d octets", header, s.text(), n, err, want, len(header))
			}
		}
		for i := range len(header) {
			if _, _, _, err := parse([]byte(header[:i])); err != errShort { //nolint:errorlint // never wrapped
				t.Errorf("%.60q: %v for its first %d octets", header, err, i)
			}
		}
	}
	for _, header := range bad() {
		if s, _, err := feed(t, header); err != errMalformed { //nolint:errorlint // never wrapped
			t.Errorf("%.60q: %s, %v", header, s.text(), err)
		}
	}
}

// slowLine is a line of version 1 as its specification has it (section 2.1).
var slowLine = regexp.MustCompile(`^PROXY (?:UNKNOWN(?: [^\n]*)?|(TCP[46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (0|[1-9][0-9]*) (0|[1-9][0-9]*))\r\n`)

// slowParse reads a header the plain way, once it is all there.
func slowParse(text string) (want string, n int, ok bool) {
	if m := slowLine.FindStringSubmatch(text); m != nil && len(m[0]) <= 107 {
		if m[1] == "" {
			return "unknown", len(m[0]), true
		}
		from, err := netip.ParseAddrPort("[" + m[2] + "]:" + m[4])
		to, errTo := netip.ParseAddrPort("[" + m[3] + "]:" + m[5])
		if m[1] == "TCP4" {
			from, err = netip.ParseAddrPort(m[2] + ":" + m[4])
			to, errTo = netip.ParseAddrPort(m[3] + ":" + m[5])
		}
		if four := m[1] == "TCP4"; err != nil || errTo != nil || from.Addr().Is4() != four || to.Addr().Is4() != four {
			return "", 0, false
		}
		return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String(), len(m[0]), true
	}
	if len(text) < 16 || text[:12] != "\r\n\r\n\x00\r\nQUIT\n" {
		return "", 0, false
	}
	length := int(text[14])*256 + int(text[15])
	known := slices.Contains([]byte{0x00, 0x01, 0x02, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x30, 0x31, 0x32}, text[13])
	if length > 4096 || len(text) < 16+length || !known {
		return "", 0, false
	}
	body, n := text[16:16+length], 16+length
	switch {
	case text[12] == 0x20:
		return "local", n, true
	case text[12] != 0x21:
		return "", 0, false
	case text[13] == 0x11 && length >= 12:
		a := netip.AddrFrom4([4]byte([]byte(body[:4])))
		return netip.AddrPortFrom(a, uint16(body[8])<<8|uint16(body[9])).String(), n, true
	case text[13] == 0x21 && length >= 36:
		a := netip.AddrFrom16([16]byte([]byte(body[:16]))).Unmap()
		return netip.AddrPortFrom(a, uint16(body[32])<<8|uint16(body[33])).String(), n, true
	case text[13] == 0x11 || text[13] == 0x21:
		return "", 0, false
	}
	return "unknown", n, true
}

func FuzzHeader(f *testing.F) {
	for header := range good() {
		f.Add([]byte(header + "GET"))
	}
	for _, header := range bad() {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, n, err := feed(t, string(data))
		want, end, ok := slowParse(string(data))
		if ok != (err == nil) || ok && (s.text() != want || n != end) {
			t.Fatalf("%q: %s, %d octets, %v; want %s, %d octets, %v", data, s.text(), n, err, want, end, ok)
		}
	})
}
