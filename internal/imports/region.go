package imports

import (
	"regexp"
	"slices"
	"strings"
)

// pattern is a path of a route by its segments: a literal, * or {name} for one,
// ** at the end for the rest.
type pattern []string

func everything() pattern { return pattern{"**"} }

// String is the pattern as a route has it.
func (p pattern) String() string { return "/" + strings.Join(p, "/") }

// shape is the same for patterns that match the same paths.
func (p pattern) shape() string { return p.plain().String() }

func isOne(segment string) bool { return segment == "*" || segment != "" && segment[0] == '{' }

// plain is the pattern without names.
func (p pattern) plain() pattern {
	out := slices.Clone(p)
	for i, s := range out {
		if isOne(s) {
			out[i] = "*"
		}
	}
	return out
}

// split cuts a path at its slashes, of which one at the end does not count.
func split(path string) pattern {
	if path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"); path == "" {
		return pattern{}
	}
	return strings.Split(path, "/")
}

// literal is a path in which nothing stands for something else. problem says
// why no route can have it.
func literal(path string) (p pattern, problem string) {
	if !strings.HasPrefix(path, "/") {
		return nil, "it does not begin with a slash"
	}
	p = split(path)
	for _, s := range p {
		if problem = unfit(s); problem != "" {
			return nil, problem
		}
	}
	return p, ""
}

// unfit says why a segment can be no literal of a route.
func unfit(s string) string {
	switch {
	case s == "":
		return "it has an empty segment"
	case s == "." || s == "..":
		return "it has a dot segment"
	case strings.ContainsAny(s, "*{}"):
		return "it has *, { or } within a segment"
	case strings.ContainsAny(s, "?#;%\\\"<>^`|") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' }):
		return "it has a character that no path bears in its canonical form"
	case strings.HasSuffix(s, ".") || strings.Trim(s, " ") != s:
		return "it has a segment that ends in a dot, or a space at an edge"
	}
	return ""
}

var captureName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// capture names the segment {name}, if the name is good and new.
func (p pattern) capture(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return r
	}, name)
	if segment := "{" + name + "}"; captureName.MatchString(name) && !slices.Contains(p, segment) {
		return segment
	}
	return "*"
}

// intersect is the pattern of the paths that both match, if there are any.
func intersect(a, b pattern) (out pattern, ok bool) {
	a, b = a.plain(), b.plain()
	for i := 0; ; i++ {
		switch {
		case i == len(a) && i == len(b):
			return out, true
		case i < len(a) && a[i] == "**":
			return append(out, b[i:]...), true
		case i < len(b) && b[i] == "**":
			return append(out, a[i:]...), true
		case i == len(a) || i == len(b):
			return nil, false
		case a[i] == "*":
			out = append(out, b[i])
		case b[i] == "*" || a[i] == b[i]:
			out = append(out, a[i])
		default:
			return nil, false
		}
	}
}

// covers tells whether every path of b is one of a.
func (p pattern) covers(b pattern) bool {
	common, ok := intersect(p, b)
	return ok && common.shape() == b.shape()
}

// before tells whether p governs what both match, as package policy has it.
func (p pattern) before(b pattern) bool {
	rank := func(p pattern, i int) int {
		switch {
		case i >= len(p):
			return 2
		case p[i] == "**":
			return 3
		case isOne(p[i]):
			return 1
		}
		return 0
	}
	for i := range max(len(p), len(b)) {
		if mine, other := rank(p, i), rank(b, i); mine != other {
			return mine < other
		}
	}
	return false
}

// region is a set of requests. Its pattern may be wider than what is meant:
// then start or end narrow it.
type region struct {
	at      Place
	pattern pattern
	start   string // of the segment before **, which stands for it as *
	end     string // of the path
	methods []string
	exact   bool              // the other program refuses exactly these
	change  func(*route) bool // what becomes of a route there; without it, or if false, nobody passes
}

// touches tells whether a path of p may be in the region.
func (g *region) touches(p pattern) bool {
	if _, ok := intersect(g.pattern, p); !ok {
		return false
	}
	if at := len(g.pattern) - 2; g.start != "" && at >= 0 {
		if len(p) > at && !slices.Contains(p[:at+1], "**") && !isOne(p[at]) && !strings.HasPrefix(p[at], g.start) {
			return false
		}
	}
	if exact := !slices.ContainsFunc(p, func(s string) bool { return s == "**" || isOne(s) }); exact && g.end != "" {
		return strings.HasSuffix(p.String(), strings.TrimSuffix(g.end, "/"))
	}
	return true
}

// known are the methods that a list is made of where all but some are meant.
func known() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// without takes methods away; none at all stands for every one. A route for GET
// answers HEAD too, so it goes with HEAD.
func without(have, gone []string) []string {
	if len(gone) == 0 {
		return nil
	}
	if len(have) == 0 {
		have = known()
	}
	return slices.DeleteFunc(slices.Clone(have), func(m string) bool {
		return slices.Contains(gone, m) || m == "GET" && slices.Contains(gone, "HEAD")
	})
}

// within keeps the methods that are in both.
func within(have, wanted []string) []string {
	switch {
	case len(wanted) == 0:
		return have
	case len(have) == 0:
		return wanted
	}
	var out []string
	for _, m := range have {
		if slices.Contains(wanted, m) || m == "GET" && slices.Contains(wanted, "HEAD") {
			out = append(out, m)
		}
	}
	return out
}

// meet tells whether two routes of one pattern claim the same requests. One that
// lists methods goes before one that takes them all.
func meet(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(m string) bool { return slices.Contains(b, m) })
}
