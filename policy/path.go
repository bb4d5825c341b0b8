package policy

import (
	"strings"
	"unicode/utf8"

	"github.com/wicketgate/wicketgate/token"
)

// Canonical decodes the path of a request target once, or refuses it. A path
// passes only if every reader reads it the same way: no dot segments, no empty
// segments, no encoded slash, backslash or dot, no semicolon, no control
// octet, nothing outside the characters of RFC 3986 section 3.3, valid UTF-8
// once decoded. What passes is matched in its decoded form and forwarded as it
// came.
func Canonical(raw string) (path string, ok bool) {
	if raw == "" || raw[0] != '/' {
		return "", false
	}
	encoded := false
	start := 1
	for i := 1; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '/':
			if isBadSegment(raw[start:i]) || i == start {
				return "", false
			}
			start = i + 1
		case c == '%':
			if !isGoodEscape(raw, i) {
				return "", false
			}
			encoded = true
			i += 2
		case !pathChar[c]:
			return "", false
		}
	}
	if isBadSegment(raw[start:]) {
		return "", false
	}
	if !encoded {
		return raw, true
	}
	if path = token.Unescape(raw); !utf8.ValidString(path) || hidesDots(path) {
		return "", false
	}
	return path, true
}

// hidesDots tells whether a decoded path holds a segment that some servers
// would cut at a semicolon and then take for a dot segment or an empty one.
func hidesDots(path string) bool {
	if strings.IndexByte(path, ';') < 0 {
		return false
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if before, _, found := strings.Cut(segment, ";"); found && (before == "" || isBadSegment(before)) {
			return true
		}
	}
	return false
}

func isBadSegment(s string) bool { return s == "." || s == ".." }

// pathChar holds the pchar of RFC 3986 section 3.3 that stand for themselves,
// less the semicolon: servers differ about where a segment with one ends.
var pathChar = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@") {
		t[c] = true
	}
	return t
}()

func isGoodEscape(raw string, at int) bool {
	c, ok := token.PercentOctet(raw, at)
	return ok && c >= ' ' && c != 0x7f && c != '/' && c != '\\' && c != '.'
}

// cutPrefix removes prefix, given decoded, from the front of raw, which may
// spell it with escapes. The rest keeps its octets and begins with a slash.
func cutPrefix(raw, prefix string) string {
	at := 0
	for range len(prefix) {
		if raw[at] == '%' {
			at += 2
		}
		at++
	}
	if rest := raw[at:]; strings.HasPrefix(rest, "/") {
		return rest
	}
	return "/" + raw[at:]
}
