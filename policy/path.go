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
	path, odd, flaw := Scan(raw)
	if flaw != NoFlaw || odd&Allowable != 0 {
		return "", false
	}
	return path, true
}

// Oddities is a set of what makes servers read a path in several ways.
type Oddities uint8

// What a route may allow in its paths, and what needs no leave but a look at
// how else the path could be read.
const (
	EmptySegments  Oddities = 1 << iota // two slashes in a row, or what others would take for that
	PathParameters                      // a semicolon
	EncodedSlashes                      // %2F

	encodedSemicolons
	foreignLetters // anything but ASCII
	encodedEnds    // %3F or %23, where some take the path to end
	looseEdges     // a space, or a dot at the end of a segment, which some drop

	Allowable = EmptySegments | PathParameters | EncodedSlashes
)

// innerSlash stands in a decoded path for a slash that came encoded: within a
// segment, and no separator. No path holds this octet otherwise.
const innerSlash = '\x00'

// Scan decodes the path of a request target once and notes its oddities. What
// no route can allow is a flaw, and then there is no path. For a path without
// escapes it allocates nothing.
func Scan(raw string) (path string, odd Oddities, flaw Flaw) {
	if raw == "" || raw[0] != '/' {
		return "", 0, NotAbsolute
	}
	encoded := false
	start := 1
	for i := 1; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '/':
			if isBadSegment(raw[start:i]) {
				return "", 0, DotSegment
			}
			if i == start {
				odd |= EmptySegments
			}
			if raw[i-1] == '.' {
				odd |= looseEdges
			}
			start = i + 1
		case c == '%':
			oddity, flaw := judgeEscape(raw, i)
			if flaw != NoFlaw {
				return "", 0, flaw
			}
			odd |= oddity
			encoded = true
			i += 2
		case c == ';':
			odd |= PathParameters
		case !pathChar[c]:
			return "", 0, flawOf(c)
		}
	}
	if isBadSegment(raw[start:]) {
		return "", 0, DotSegment
	}
	if raw[len(raw)-1] == '.' {
		odd |= looseEdges
	}
	if path = raw; encoded {
		if path = decode(raw, odd); !utf8.ValidString(path) {
			return "", 0, NotUTF8
		}
	}
	return lookBehind(path, odd)
}

// lookBehind finds the dot segments and the empty segments that a path has for
// those who cut its parameters, decode its slashes or drop spaces.
func lookBehind(path string, odd Oddities) (string, Oddities, Flaw) {
	if odd&^(EmptySegments|foreignLetters) == 0 {
		return path, odd, NoFlaw
	}
	if odd&encodedEnds != 0 && endsInDots(path) {
		return "", 0, DotSegment
	}
	if odd&encodedSemicolons != 0 {
		if odd&(PathParameters|EncodedSlashes) != 0 {
			return "", 0, MixedSemicolons
		}
		if strings.Contains(path, "/;") {
			odd |= EmptySegments
		}
	}
	for _, how := range readings {
		if how.merge || !how.applies(odd) {
			continue
		}
		for segment, rest, ok := how.next(path); ok; segment, rest, ok = how.next(rest) {
			if isHiddenDots(segment) {
				return "", 0, DotSegment
			}
			if segment == "" {
				odd |= EmptySegments
			}
		}
	}
	return path, odd, NoFlaw
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

func judgeEscape(raw string, at int) (Oddities, Flaw) {
	switch c, ok := token.PercentOctet(raw, at); {
	case !ok:
		return 0, BadEscape
	case c < ' ' || c == 0x7f:
		return 0, Control
	case c == '\\':
		return 0, Backslash
	case c == '.':
		return 0, EncodedDot
	case c == '/':
		return EncodedSlashes, NoFlaw
	case c == ';':
		return encodedSemicolons, NoFlaw
	case c == '?' || c == '#':
		return encodedEnds, NoFlaw
	case c == ' ':
		return looseEdges, NoFlaw
	case c >= utf8.RuneSelf:
		return foreignLetters, NoFlaw
	}
	return 0, NoFlaw
}

func flawOf(c byte) Flaw {
	switch {
	case c < ' ' || c == 0x7f:
		return Control
	case c == '\\':
		return Backslash
	}
	return BadCharacter
}

// decode decodes escapes that were judged before.
func decode(raw string, odd Oddities) string {
	if odd&EncodedSlashes != 0 {
		for _, slash := range []string{"%2f", "%2F"} {
			raw = strings.ReplaceAll(raw, slash, string(innerSlash))
		}
	}
	return token.Unescape(raw)
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
