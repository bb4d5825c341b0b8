package forwarded

import (
	"net/netip"
	"strings"
)

// lastElement cuts the last element off a Forwarded field. It goes backwards,
// so that nothing before an element, an unclosed quote for one, changes how the
// element is read: what is last was written by whoever is nearest.
func lastElement(line string) (rest, element string) {
	for i := len(line) - 1; i >= 0; i-- {
		switch line[i] {
		case ',':
			return line[:i], line[i+1:]
		case '"':
			i = opening(line, i)
		}
	}
	return "", line
}

// opening is where the quoted string begins that closes at end, or -1.
func opening(line string, end int) int {
	for i := end - 1; i >= 0; i-- {
		if line[i] != '"' {
			continue
		}
		at := i
		for i > 0 && line[i-1] == '\\' {
			i--
		}
		if (at-i)%2 == 0 {
			return at
		}
	}
	return -1
}

// element is what is read of a forwarded-element.
type element struct {
	node, host, proto string
}

// parseElement reads RFC 7239 section 4. Spaces are forgiven around semicolons,
// and an address or host may lack its quotes, as some proxies write them: there
// is but one way to read that.
func parseElement(text string) (e element, ok bool) {
	var seen [3]bool
	for rest, more := text, true; more; {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			break
		}
		if rest[0] == ';' { // an empty pair
			rest = rest[1:]
			continue
		}
		var name, value string
		if name, value, rest, ok = parsePair(rest); !ok {
			return element{}, false
		}
		if i, to := e.field(name); to != nil {
			if seen[i] {
				return element{}, false
			}
			*to, seen[i] = value, true
		}
		rest = strings.TrimLeft(rest, " \t")
		if more = rest != ""; more && rest[0] != ';' {
			return element{}, false
		}
	}
	return e, true
}

// field is where the value of a parameter goes; nil for those nobody reads.
func (e *element) field(name string) (int, *string) {
	switch {
	case strings.EqualFold(name, "for"):
		return 0, &e.node
	case strings.EqualFold(name, "host"):
		return 1, &e.host
	case strings.EqualFold(name, "proto"):
		return 2, &e.proto
	}
	return 0, nil
}

// parsePair reads one parameter at the beginning of text.
func parsePair(text string) (name, value, rest string, ok bool) {
	name, value, found := strings.Cut(text, "=")
	if !found || name == "" || !all(name, isTokenOctet) || value == "" {
		return "", "", "", false
	}
	if value[0] == '"' {
		value, rest, ok = unquote(value[1:])
		return name, value, rest, ok
	}
	end := strings.IndexAny(value, "; \t")
	if end < 0 {
		end = len(value)
	}
	value, rest = value[:end], value[end:]
	return name, value, rest, value != "" && all(value, isBareOctet)
}

// unquote reads a quoted-string (RFC 9110 section 5.6.4) after its first quote.
func unquote(text string) (value, rest string, ok bool) {
	if at := strings.IndexAny(text, `"\`); at >= 0 && text[at] == '"' {
		return text[:at], text[at+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

func all(text string, is func(byte) bool) bool {
	for i := range len(text) {
		if !is(text[i]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// isTokenOctet is tchar of RFC 9110 section 5.6.2.
func isTokenOctet(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isBareOctet(c byte) bool { return isTokenOctet(c) || c == ':' || c == '[' || c == ']' }

// maxName is the longest name that is passed on for an address, in octets.
const maxName = 64

// parseNode reads a node of RFC 7239 section 6, or an IPv6 address without its
// brackets, as X-Forwarded-For has them. Ports are not kept.
func parseNode(text string) (hop Hop, ok bool) {
	if strings.Count(text, ":") > 1 && text[0] != '[' {
		return address(text)
	}
	if text != "" && text[0] == '[' {
		inside, port, closed := strings.Cut(text[1:], "]")
		if !closed || port != "" && (port[0] != ':' || !isNodePort(port[1:])) {
			return Hop{}, false
		}
		hop, ok = address(inside)
		return hop, ok && strings.Contains(inside, ":")
	}
	name, port, ported := strings.Cut(text, ":")
	if ported && !isNodePort(port) {
		return Hop{}, false
	}
	switch {
	case strings.EqualFold(name, "unknown"):
		return Hop{}, true
	case isObfuscated(name):
		return Hop{Name: name}, true
	}
	return address(name)
}

func address(text string) (Hop, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return Hop{}, false
	}
	return Hop{Addr: a.Unmap()}, true
}

// isObfuscated tells a word that stands for an address or a port.
func isObfuscated(text string) bool {
	return len(text) > 1 && len(text) <= maxName && text[0] == '_' && all(text[1:], func(c byte) bool {
		return isAlphanumeric(c) || c == '.' || c == '_' || c == '-'
	})
}

func isNodePort(text string) bool {
	digits := all(text, func(c byte) bool { return c >= '0' && c <= '9' })
	return digits && text != "" && len(text) <= 5 || isObfuscated(text)
}
