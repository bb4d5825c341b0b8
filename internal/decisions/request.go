package decisions

import (
	"net/http"
	"strings"

	"github.com/wicketgate/wicketgate/internal/masked"
)

const (
	maxPath   = 2 << 10 // octets of a path
	maxHost   = 255     // octets, RFC 1035 section 2.3.4
	maxMethod = 20      // octets
	maxHeader = 1 << 10 // octets of the value of a recorded field
)

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

// pathOf is the path of a request target as it was sent, less what may be a token.
// whole is false where something is missing.
func pathOf(target string, h http.Header) (path string, whole bool) {
	return masked.Path(rawPath(target), h, maxPath)
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
