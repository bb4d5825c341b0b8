// Package masked keeps tokens out of what logs say of a request: segments of its
// path that may be one, or hold one. It writes nothing itself, and judges no token.
package masked

import (
	"net/http"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// Mask stands for a segment that may be a token. No path that is let in holds a
// brace, so that it stands for nothing else.
const Mask = "{masked}"

const (
	// longRun is how many letters and digits in a row, with what base64url and hex
	// have beside them, nobody takes for a word, a UUID or a hash any more.
	longRun = 65

	// shortest is how long a credential is whose text is looked for: else who
	// presents a letter would hide all paths with it.
	shortest = 8

	// shortestPiece is how long one with slashes is, and each piece between them
	// that is looked for: else who presents a path would hide it.
	shortestPiece = 20

	// most is how many texts are looked for.
	most = 4
)

// Path is the path of a request with this header as it was sent, without anything
// that some reader could take for a query, parameters or a fragment, and without
// segments that may be tokens, the presented ones among them, up to so many octets.
// Nothing is looked at beyond them. whole is false where something but a query is
// missing.
func Path(sent string, h http.Header, octets int) (path string, whole bool) {
	path, whole = before(sent)
	var s search
	s.read(h["Authorization"])
	path, all := s.mask(path, octets)
	return path, whole && all
}

// before ends a path where a query, parameters or a fragment may begin.
func before(path string) (_ string, whole bool) {
	whole = true
	if end := strings.IndexAny(path, "?#;"); end >= 0 {
		path, whole = path[:end], path[end] == '?'
	}
	for at := 0; ; at++ {
		next := strings.IndexByte(path[at:], '%')
		if next < 0 {
			return path, whole
		}
		at += next
		switch c, _ := token.PercentOctet(path, at); c {
		case '?', '#', ';':
			return path[:at], false
		}
	}
}

// MayHide tells whether a text holds what may be a token by its form: what begins
// as every JWT does, or a run too long for a name. So it tells every proof, whose
// signature is longer than that.
func MayHide(text string) bool {
	run := 0
	for i := range len(text) {
		if run++; !isRun(text[i]) {
			run = 0
		}
		if run == longRun || run > 12 && text[i+1-run:i+4-run] == "eyJ" {
			return true
		}
	}
	return false
}

func isRun(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '~' || c == '+' || c == '='
}

// A search is for what one request presents.
type search struct {
	texts [most]string
	n     int
	more  bool // there were more than it can hold
	plain strings.Builder
}

// read takes the credentials in Authorization fields, however they are written.
// Proofs are told by their form. With a Bearer token nobody looks at the field
// they are in, so that clients could hide by it what they do.
func (s *search) read(lines []string) {
	for _, line := range lines {
		_, credential, _ := strings.Cut(line, " ")
		credential = strings.Trim(credential, " \t")
		switch {
		case len(credential) < shortest, credential[0] == '/': // a path
		case strings.IndexByte(credential, '/') < 0:
			s.add(credential)
		case len(credential) >= shortestPiece:
			s.add(credential)
			for piece := range strings.SplitSeq(credential, "/") {
				if len(piece) >= shortestPiece {
					s.add(piece)
				}
			}
		}
		if s.more {
			return
		}
	}
}

func (s *search) add(text string) {
	switch {
	case slices.Contains(s.texts[:s.n], text):
	case s.n == most:
		s.more = true
	default:
		s.texts[s.n] = text
		s.n++
	}
}

// mask masks segments of a path and cuts it. It stops where it cuts.
func (s *search) mask(path string, octets int) (_ string, whole bool) {
	whole = true
	var masked []byte
	copied := 0 // octets of the path that are in masked, or for which it has a mask
	for at := 0; at <= len(path); {
		end := len(path)
		if next := strings.IndexByte(path[at:], '/'); next >= 0 {
			end = at + next
		}
		if s.hides(path[at:end]) {
			masked, whole = append(append(masked, path[copied:at]...), Mask...), false
			copied = end
		}
		if len(masked)+end-copied >= octets {
			path, whole = path[:end], whole && end == len(path)
		}
		at = end + 1
	}
	if masked != nil {
		path = string(append(masked, path[copied:]...))
	}
	if len(path) > octets {
		path, whole = path[:octets], false
	}
	return path, whole
}

// hides tells whether a segment may be a token, or hold one, however it is encoded.
// One that is shorter than all tokens is not looked at. Of a request with more
// credentials than anybody has, all others may: what they are is not worth a search.
func (s *search) hides(segment string) bool {
	if len(segment) < shortest {
		return false
	}
	if s.more || s.finds(segment) {
		return true
	}
	if strings.IndexByte(segment, '%') < 0 {
		return false
	}
	return s.finds(s.decode(segment))
}

func (s *search) finds(text string) bool {
	for _, credential := range s.texts[:s.n] {
		if strings.Contains(text, credential) {
			return true
		}
	}
	return MayHide(text)
}

// decode leaves what is no octet as it is.
func (s *search) decode(segment string) string {
	s.plain.Grow(len(segment))
	begin := s.plain.Len()
	for i := 0; i < len(segment); i++ {
		c, ok := token.PercentOctet(segment, i)
		if ok {
			i += 2
		} else {
			c = segment[i]
		}
		s.plain.WriteByte(c)
	}
	return s.plain.String()[begin:]
}
