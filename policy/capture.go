package policy

import (
	"slices"
	"strings"
)

// A capture is the name of a segment, counted from 0.
type capture struct {
	name string
	at   int
}

func capturesOf(segments []string) (list []capture) {
	for at, seg := range segments {
		if isCapture(seg) {
			list = append(list, capture{seg[1 : len(seg)-1], at})
		}
	}
	return list
}

// repeated is the first name that was there before, or "".
func repeated(names []string) string {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return name
		}
	}
	return ""
}

// Captures lists the names that the path gives to segments, in its order.
func (o *Options) Captures() (names []string) {
	for _, c := range capturesOf(segmentsOf(o.Path)) {
		names = append(names, c.name)
	}
	return names
}

// Capture is the decoded segment of path that the route calls name. path is what
// Set.Route was asked for. It is not ok where the route has no such name, and
// where somebody else might take another segment, or a part of this one, for
// it: who decides by a segment must know what the upstream will see. It costs
// nothing but to those who call it, and them no allocation.
func (r *Route) Capture(path, name string) (segment string, ok bool) {
	i := slices.IndexFunc(r.captures, func(c capture) bool { return c.name == name })
	if i < 0 {
		return "", false
	}
	for range r.captures[i].at + 1 {
		if segment, path, ok = (reading{}).next(path); !ok || !isPlain(segment) {
			return "", false
		}
	}
	return segment, true
}

// isPlain tells whether everybody takes a decoded segment for the same one.
func isPlain(segment string) bool {
	return segment != "" && !strings.ContainsAny(segment, ";?#"+string(innerSlash)) && strings.Trim(segment, " ") == segment && !strings.HasSuffix(segment, ".")
}
