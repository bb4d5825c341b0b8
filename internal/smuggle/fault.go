package smuggle

import (
	"net/url"
	"path"
	"strings"

	"github.com/wicketgate/wicketgate/proxy"
)

// Fault says what is wrong with the head of a request that an upstream got, ""
// for nothing: it must be framed in one way, name subject as its caller exactly
// once ("" for a request that nobody had to sign), and carry no identity of the
// client's making. Marked with the word evil is what clients made up.
func Fault(head, subject string) string {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	count := map[string]int{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		normal := proxy.NormalName(name)
		count[normal]++
		switch {
		case strings.ContainsAny(line, "\r\n\x00"), strings.TrimSpace(name) != name:
			return "a line that two readers end differently"
		case normal == "x-auth-subject" && strings.TrimSpace(value) != subject:
			return "another subject"
		case isOurs(normal) && strings.Contains(value, "evil"):
			return "an identity that a client made up"
		}
	}
	switch {
	case count["content-length"]+count["transfer-encoding"] > 1:
		return "two framings"
	case subject != "" && count["x-auth-subject"] != 1, subject == "" && count["x-auth-subject"] != 0:
		return "not the one subject"
	case count["host"] != 1:
		return "not one Host"
	case strings.ContainsAny(lines[0], "\r\n\x00"):
		return "a request line that two readers end differently"
	}
	return ""
}

// isOurs holds for the names that only what stands in front may set, written as
// [proxy.NormalName] writes them.
func isOurs(normal string) bool {
	return strings.HasPrefix(normal, "x-auth-") || normal == "x-http-method-override" || normal == "x-original-url" || normal == "x-rewrite-url"
}

// Wanders reports whether some upstream would take the target's path for
// another than was decided about: it has dot segments, empty segments,
// parameters, separators in disguise or control octets once it is decoded.
func Wanders(target string) bool {
	raw, _, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(decoded, "/") || strings.ContainsAny(decoded, "\\;#\x00\r\n\t\x7f") {
		return true
	}
	return strings.Contains(strings.ToLower(raw), "%2f") || strings.TrimSuffix(decoded, "/") != strings.TrimSuffix(path.Clean(decoded), "/")
}
