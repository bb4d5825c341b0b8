package recorded

import (
	"net/http"
	"strconv"
	"strings"
)

// request finds a request in a line: a path, a URL, a method with either, a
// request line, or the first quoted field of an access log (nginx's and
// Apache's "combined" and "common").
func request(line string) (method, target string, ok bool) {
	if isTarget(line) {
		return http.MethodGet, line, true
	}
	if method, target, ok = requestLine(line); ok {
		return method, target, true
	}
	_, quoted, found := strings.Cut(line, `"`)
	if !found {
		return "", "", false
	}
	return requestLine(unquoted(quoted))
}

// requestLine reads METHOD TARGET, with or without HTTP/1.1 behind it.
func requestLine(text string) (method, target string, ok bool) {
	method, target, found := strings.Cut(text, " ")
	if !found || !isMethod(method) {
		return "", "", false
	}
	versioned := false
	if at := strings.LastIndex(target, " HTTP/"); at >= 0 {
		target, versioned = target[:at], true
	}
	return method, target, versioned || isTarget(target)
}

func isMethod(text string) bool {
	return text != "" && len(text) <= 20 && !strings.ContainsFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' })
}

func isTarget(text string) bool {
	_, _, absolute := cutOrigin(text)
	return absolute || strings.HasPrefix(text, "/") || text == "*"
}

// cutOrigin cuts a URL in front of its path. The origin is in lower case and
// has no default port.
func cutOrigin(target string) (origin, rest string, ok bool) {
	scheme, rest, found := strings.Cut(target, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" {
		return "", target, false
	}
	host := rest
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		host, rest = rest[:at], rest[at:]
	} else {
		rest = "/"
	}
	host = strings.ToLower(host)
	if port := map[string]string{"http": ":80", "https": ":443"}[scheme]; strings.HasSuffix(host, port) {
		host = strings.TrimSuffix(host, port)
	}
	return scheme + "://" + host, rest, true
}

// unquoted takes a quoted field up to its end and undoes what servers write for
// octets that would break the line.
func unquoted(field string) string {
	var out strings.Builder
	for i := 0; i < len(field) && field[i] != '"'; i++ {
		c := field[i]
		if c != '\\' || i+1 == len(field) {
			out.WriteByte(c)
			continue
		}
		i++
		switch c = field[i]; c {
		case 'x':
			if n, err := strconv.ParseUint(field[i+1:min(i+3, len(field))], 16, 8); err == nil {
				out.WriteByte(byte(n))
				i += 2
				continue
			}
			out.WriteString(`\x`)
		case 't', 'n', 'r', 'v', 'b':
			out.WriteByte(map[byte]byte{'t': '\t', 'n': '\n', 'r': '\r', 'v': '\v', 'b': '\b'}[c])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// maxShown is how much of a path is shown, in octets.
const maxShown = 200

// visible is the path of a target without the values of parameters: what is
// behind a question mark or a number sign, encoded or not, is left out, and
// what is behind a semicolon up to the next slash.
func visible(target string) string {
	_, path, _ := cutOrigin(target)
	if !strings.HasPrefix(path, "/") {
		return "-"
	}
	lower := strings.ToLower(path)
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		escape := lower[i:min(i+3, len(lower))]
		switch {
		case path[i] == '?' || path[i] == '#' || escape == "%3f" || escape == "%23":
			return shown(out.String())
		case path[i] == ';' || escape == "%3b":
			out.WriteString(";*")
			for i+1 < len(path) && path[i+1] != '/' && path[i+1] != '?' && path[i+1] != '#' {
				i++
			}
		default:
			out.WriteByte(path[i])
		}
	}
	return shown(out.String())
}

// shown makes text safe for a terminal and short enough for a line.
func shown(text string) string {
	var out strings.Builder
	for _, c := range []byte(text[:min(len(text), maxShown)]) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			out.WriteString(`\x` + strconv.FormatUint(uint64(c)+0x100, 16)[1:])
			continue
		}
		out.WriteByte(c)
	}
	if len(text) > maxShown {
		out.WriteString("...")
	}
	return out.String()
}
