package policy

import "strings"

// rewritings lists what a server might make of a decoded path before it looks
// for segments: what is behind a semicolon, a question mark or a number sign is
// gone, two slashes at the front begin a host (RFC 3986 section 4.2), and
// segments have no spaces around them and no dots at their end. It appends to
// list.
func rewritings(list []string, path string) []string {
	list = append(list, path)
	for _, end := range []byte(";?#") {
		if at := strings.IndexByte(path, end); at >= 0 {
			list = append(list, path[:at])
		}
	}
	if rest, found := behindHost(path); found {
		list = append(list, rest)
	}
	for _, one := range list {
		if bare := trimmed(one); bare != one {
			list = append(list, bare)
		}
	}
	return list[1:]
}

const slashes = "/\x00" // plain and encoded

// behindHost is the path of what begins with two slashes to those who resolve
// it as a reference.
func behindHost(path string) (rest string, found bool) {
	host := strings.TrimLeft(path, slashes)
	if len(path)-len(host) < 2 {
		return "", false
	}
	if at := strings.IndexAny(host, slashes); at >= 0 {
		return "/" + host[at+1:], true
	}
	return "/", true
}

// trimmed is path without what is dropped at the edges of segments. It is path
// itself where nothing is.
func trimmed(path string) string {
	for at := range len(path) {
		if isLoose(path, at) {
			return trimmedFrom(path, at)
		}
	}
	return path
}

// isLoose tells the last octet of what is dropped before an edge, or the first
// behind a slash.
func isLoose(path string, at int) bool {
	switch path[at] {
	case ' ':
		return isSlash(path[at-1]) || at+1 == len(path) || isEdge(path[at+1])
	case '.':
		return at+1 == len(path) || isEdge(path[at+1])
	}
	return false
}

func isSlash(c byte) bool { return c == '/' || c == innerSlash }

func isEdge(c byte) bool { return isSlash(c) || c == ';' }

// trimmedFrom is trimmed of a path with the first such octet at at.
func trimmedFrom(path string, at int) string {
	out := make([]byte, 0, len(path))
	out = append(out, path[:at]...)
	for _, c := range []byte(path[at:]) {
		switch {
		case c == ' ' && isSlash(out[len(out)-1]):
			continue
		case isEdge(c):
			out = shorn(out)
		}
		out = append(out, c)
	}
	return string(shorn(out))
}

func shorn(out []byte) []byte {
	for end := out[len(out)-1]; end == ' ' || end == '.'; end = out[len(out)-1] {
		out = out[:len(out)-1]
	}
	return out
}

// isHiddenDots tells a dot segment, also to those who drop spaces.
func isHiddenDots(s string) bool {
	if s == "" || s[0] != '.' && s[0] != ' ' {
		return false
	}
	return isBadSegment(s) || strings.Trim(s, " .") == "" && strings.Contains(s, " ") && strings.Contains(s, ".")
}

// endsInDots tells whether the path ends in a dot segment to those for whom a
// question mark or a number sign ends it.
func endsInDots(path string) bool {
	for _, end := range []byte("?#") {
		at := strings.IndexByte(path, end)
		if at < 0 {
			continue
		}
		front := path[:at]
		if isHiddenDots(front[strings.LastIndexByte(front, '/')+1:]) || isHiddenDots(front[strings.LastIndexAny(front, slashes)+1:]) {
			return true
		}
	}
	return false
}
