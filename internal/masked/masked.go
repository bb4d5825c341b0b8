// Package masked keeps tokens out of what logs say of a request: segments of its
// path that may be one, or hold one. It writes nothing itself, and judges no token.
package masked

import (
	"net/http"
	"net/url"
	"strings"
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
)

// Path is the path of a request with this header as it was sent, without anything
// that some reader could take for a query, parameters or a fragment, and without
// segments that may be tokens, the presented ones among them. whole is false where
// something but a query is missing.
func Path(sent string, h http.Header) (path string, whole bool) {
	path, whole = before(sent)
	var room [2]string
	presented := presentedIn(h, room[:0])
	if !strings.Contains(path, "%") && !mayHide(path, presented) {
		return path, whole
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if mayHide(segment, presented) {
			segments[i], whole = Mask, false
		}
	}
	if path = strings.Join(segments, "/"); mayHide(path, presented) { // a token with a slash in it
		return "/" + Mask, false
	}
	return path, whole
}

// before ends a path where a query, parameters or a fragment may begin.
func before(path string) (_ string, whole bool) {
	whole = true
	if end := strings.IndexAny(path, "?#;"); end >= 0 {
		path, whole = path[:end], path[end] == '?'
	}
	for i := 0; i+2 < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		switch strings.ToLower(path[i+1 : i+3]) {
		case "3f", "23", "3b":
			return path[:i], false
		}
	}
	return path, whole
}

// MayHide tells whether a text holds what may be a token by its form: what begins
// as every JWT does, or a run too long for a name.
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

// mayHide also looks for what was presented, however it is encoded.
func mayHide(text string, presented []string) bool {
	plain, err := url.PathUnescape(text)
	if err != nil {
		plain = text
	}
	for _, credential := range presented {
		if strings.Contains(text, credential) || strings.Contains(plain, credential) {
			return true
		}
	}
	return MayHide(text) || plain != text && MayHide(plain)
}

func isRun(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '~' || c == '+' || c == '='
}

// presentedIn adds to list the credentials in Authorization fields, however they
// are written, and the proofs.
func presentedIn(h http.Header, list []string) []string {
	for _, line := range h["Authorization"] {
		_, credential, _ := strings.Cut(line, " ")
		list = add(list, credential)
	}
	for _, line := range h["Dpop"] {
		list = add(list, line)
	}
	return list
}

func add(list []string, credential string) []string {
	if credential = strings.TrimSpace(credential); len(credential) >= shortest {
		return append(list, credential)
	}
	return list
}
