package dpop

import (
	"errors"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

var errNoTarget = errors.New("not an absolute http or https URI")

// Origin normalises the origin of an absolute http or https URI as proofs are
// compared: scheme and host in lower case, no default or empty port (RFC 3986
// sections 6.2.2 and 6.2.3).
func Origin(uri string) (string, error) {
	origin, _, ok := split(uri)
	if !ok {
		return "", errNoTarget
	}
	return origin, nil
}

// split normalises uri by syntax and scheme and cuts it into origin and path;
// query and fragment are passed over (RFC 9449 section 4.3, check 9). It is
// not ok for a URI that is relative, opaque, names a user, or holds what no
// URI may hold.
func split(uri string) (origin, path string, ok bool) {
	scheme, rest, found := strings.Cut(uri, "://")
	scheme = strings.ToLower(scheme)
	if !found || (scheme != "https" && scheme != "http") {
		return "", "", false
	}
	if at := strings.IndexAny(rest, "?#"); at >= 0 {
		rest = rest[:at]
	}
	authority := rest
	if at := strings.IndexByte(rest, '/'); at >= 0 {
		authority, path = rest[:at], rest[at:]
	}
	host, ok := normalHost(authority, scheme)
	if !ok {
		return "", "", false
	}
	path, ok = normalPath(path)
	return scheme + "://" + host, path, ok
}

func normalHost(authority, scheme string) (host string, ok bool) {
	host, port := authority, ""
	if at := strings.LastIndexByte(authority, ':'); at > strings.LastIndexByte(authority, ']') {
		host, port = authority[:at], authority[at+1:]
	}
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	if port == "443" && scheme == "https" || port == "80" && scheme == "http" {
		port = ""
	}
	if !isHost(host) {
		return "", false
	}
	host = strings.ToLower(host)
	if port != "" {
		host += ":" + port
	}
	return host, true
}

// isHost accepts names, IPv4 addresses and bracketed IPv6 addresses.
// Percent-encoded and internationalised names are spelled as A-labels in a
// URI that is compared by its octets.
func isHost(host string) bool {
	allowed := "-._"
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host, allowed = host[1:len(host)-1], ":."
	}
	for _, c := range []byte(host) {
		if !isAlphanumeric(c) && strings.IndexByte(allowed, c) < 0 {
			return false
		}
	}
	return host != ""
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// normalPath decodes the unreserved octets, writes all other percent-encodings
// in upper case, removes dot segments and makes an empty path "/" (RFC 3986
// sections 6.2.2.1 to 6.2.3).
func normalPath(path string) (string, bool) {
	if path == "" {
		return "/", true
	}
	plain := true
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>':
			return "", false
		case c == '%' || c == '.':
			plain = false
		}
	}
	if plain {
		return path, true
	}
	decoded, ok := decodeUnreserved(path)
	if !ok {
		return "", false
	}
	return removeDotSegments(decoded), true
}

const upperHex = "0123456789ABCDEF"

func decodeUnreserved(path string) (string, bool) {
	if strings.IndexByte(path, '%') < 0 {
		return path, true
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			out = append(out, path[i])
			continue
		}
		c, ok := token.PercentOctet(path, i)
		if !ok {
			return "", false
		}
		i += 2
		if isAlphanumeric(c) || strings.IndexByte("-._~", c) >= 0 {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out), true
}

// removeDotSegments is RFC 3986 section 5.2.4 for a path that begins with a
// slash. Unlike path.Clean it keeps empty segments and a trailing slash.
func removeDotSegments(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path[1:], "/")
	kept := make([]string, 0, len(segments))
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}
