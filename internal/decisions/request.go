package decisions

import (
	"net/http"
	"strings"
)

const (
	maxPath   = 2 << 10 // octets of a path
	maxHost   = 255     // octets, RFC 1035 section 2.3.4
	maxMethod = 20      // octets
	maxHeader = 1 << 10 // octets of the value of a recorded field
)

// masked stands for a segment that may be a token. No path that is let in holds
// a brace, so that it stands for nothing else.
const masked = "{masked}"

// longRun is how many letters and digits in a row, with what base64url and hex
// have beside them, nobody takes for a word, a UUID or a hash any more.
const longRun = 65

// methodOf keeps what a client made up out of the line.
func methodOf(method string) string {
	plain := len(method) <= maxMethod && method != ""
	for _, c := range []byte(method) {
		plain = plain && (c >= 'A' && c <= 'Z' || c == '-' || c == '_')
	}
	if !plain {
		return Other
	}
	return method
}

// pathOf is the path of a request target as it was sent, without anything that
// some reader could take for a query, parameters or a fragment, and without
// segments that may be tokens, the presented one among them. whole is false
// where something is missing.
func pathOf(target, presented string) (path string, whole bool) {
	path, whole = rawPath(target), true
	if end := strings.IndexAny(path, "?#;"); end >= 0 {
		path, whole = path[:end], path[end] == '?'
	}
	for i := 0; i+2 < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		switch strings.ToLower(path[i+1 : i+3]) {
		case "3f", "23", "3b":
			path, whole = path[:i], false
		}
	}
	if len(path) > maxPath {
		path, whole = path[:maxPath], false
	}
	if !mayHide(path, presented) {
		return path, whole
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if mayHide(segment, presented) {
			segments[i], whole = masked, false
		}
	}
	return strings.Join(segments, "/"), whole
}

// rawPath is a request target (RFC 9112 section 3.2) less what stands before its
// path.
func rawPath(target string) string {
	if _, rest, found := strings.Cut(target, "://"); found && !strings.HasPrefix(target, "/") {
		at := strings.IndexAny(rest, "/?")
		switch {
		case at < 0:
			return "/"
		case rest[at] == '?':
			return "/" + rest[at:]
		}
		return rest[at:]
	}
	return target
}

// mayHide tells whether a text holds what may be a token: the one that was
// presented, what begins as every JWT does, or a run too long for a name.
func mayHide(text, presented string) bool {
	if presented != "" && strings.Contains(text, presented) {
		return true
	}
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

// presentedIn is the credential in the Authorization field, however it is written.
func presentedIn(h http.Header) string {
	lines := h["Authorization"]
	if len(lines) != 1 {
		return ""
	}
	_, credential, _ := strings.Cut(lines[0], " ")
	return strings.TrimSpace(credential)
}

// traceOf is the trace-id of a traceparent field (W3C Trace Context section 3.2),
// or empty.
func traceOf(h http.Header) string {
	lines := h["Traceparent"]
	if len(lines) != 1 || len(lines[0]) < 55 || lines[0][2] != '-' || lines[0][35] != '-' {
		return ""
	}
	id := lines[0][3:35]
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return id
}
