package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bears holds a path and its oddities, as Scan returned them, against the
// routes. It returns nil if the route that governs the path allows what is odd
// about it, and everybody else who reads the path, in whatever way, would look
// for the same route. What is not odd it bears without a look.
func (s *Set) Bears(host, path string, odd Oddities) *PathError {
	if odd&^foreignLetters == 0 && (odd == 0 || !s.folds) {
		return nil
	}
	trees := s.hosts.trees(host)
	leaf := find(trees, path, reading{})
	if missing := odd & Allowable; missing != 0 {
		switch {
		case len(leaf) == 0:
			return &PathError{Flaw: missing.first()}
		case missing&^leaf[0].Allow != 0:
			missing &^= leaf[0].Allow
			e := &PathError{Flaw: missing.first(), Route: leaf[0]}
			if checkAllow(missing, leaf[0].pattern) == "" {
				e.Missing = missing
			}
			return e
		}
	}
	return s.agree(trees, leaf, path, odd)
}

// WouldBear is Bears of a path whose route allows everything.
func (s *Set) WouldBear(host, path string, odd Oddities) *PathError {
	trees := s.hosts.trees(host)
	return s.agree(trees, find(trees, path, reading{}), path, odd)
}

// agree wants every reading of a path, and of what some make of it before they
// read it, to lead to leaf.
func (s *Set) agree(trees []*node, leaf []*Route, path string, odd Oddities) *PathError {
	if e := s.agreeOn(trees, leaf, path, odd); e != nil {
		return e
	}
	var buffer [10]string
	for _, other := range rewritings(buffer[:0], path) {
		if e := s.agreeOn(trees, leaf, other, odd|EmptySegments); e != nil {
			return e
		}
	}
	return nil
}

func (s *Set) agreeOn(trees []*node, leaf []*Route, path string, odd Oddities) *PathError {
	for _, how := range readings {
		if !how.applies(odd) {
			continue
		}
		if e := s.leads(trees, leaf, path, how); e != nil {
			return e
		}
	}
	if odd&foreignLetters == 0 || !s.folds {
		return nil
	}
	for _, how := range readings {
		if how.wide = true; how.applies(odd) {
			if e := s.leads(trees, leaf, path, how); e != nil {
				return e
			}
		}
	}
	return nil
}

// leads wants one reading of a path to lead to leaf, also where its prefix is
// stripped.
func (s *Set) leads(trees []*node, leaf []*Route, path string, how reading) *PathError {
	if found := find(trees, path, how); !sameRoutes(found, leaf) {
		e := &PathError{Flaw: OtherRoute, Route: s.nowhere}
		if len(leaf) > 0 {
			e.Route = leaf[0]
		}
		if len(found) > 0 {
			e.Other = found[0]
		}
		return e
	}
	// What begins with two slashes is a host and a path to some (RFC 3986
	// section 4.2): the gate makes no such thing of a path that was none.
	for _, r := range leaf {
		if r.StripPrefix == "" || how.merge {
			continue
		}
		if segment, _, ok := how.next(path[len(r.StripPrefix):]); ok && segment == "" {
			return &PathError{Flaw: BareSlash, Route: r}
		}
	}
	return nil
}

func sameRoutes(a, b []*Route) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Governs tells whether a route governs a path, whatever its methods.
func (s *Set) Governs(host, path string) bool {
	return len(find(s.hosts.trees(host), path, reading{})) > 0
}

// checkAllowed finds what a route says of its paths in vain.
func checkAllowed(r *Route, segments []string) (field, message string) {
	if message := checkAllow(r.Allow, segments); message != "" {
		return "allow", message
	}
	for _, seg := range segments {
		if r.CaseInsensitive && strings.ContainsFunc(seg, func(c rune) bool { return c >= utf8.RuneSelf }) {
			return "case_insensitive", "compares ASCII letters only, and the path has others"
		}
	}
	return "", ""
}

// checkAllow finds what no path of a pattern could need: with empty segments
// left out and encoded slashes decoded a path has another number of segments,
// and a literal holds no parameter.
func checkAllow(allow Oddities, segments []string) string {
	open := len(segments) > 0 && segments[len(segments)-1] == "**"
	switch {
	case allow&(EmptySegments|EncodedSlashes) != 0 && !open:
		return (allow & (EmptySegments | EncodedSlashes)).String() + " wants a path that ends in **: read in another way, a path has more segments or fewer"
	case allow&PathParameters != 0 && !slices.ContainsFunc(segments, isWild):
		return "path_parameters wants a path with *, {name} or **: literal segments have no parameters"
	}
	return ""
}

func isWild(seg string) bool { return seg == "**" || seg == "*" || isCapture(seg) }

// spellings keeps routes apart that differ by case. Where one is compared
// without case, another that takes some of the same paths and is compared with
// case would govern one spelling of them and lose the others.
func (s *Set) spellings() (problems []error) {
	if !s.folds {
		return nil
	}
	for _, r := range s.routes {
		if r.CaseInsensitive || !hasSpellings(r.pattern) {
			continue
		}
		for _, other := range s.routes {
			if other.CaseInsensitive && shareHost(r, other) && meet(r.pattern, other.pattern) {
				problems = append(problems, &Error{Index: r.index, Field: "case_insensitive", Message: fmt.Sprintf("must be true here too: routes[%d] takes other spellings of the same paths", other.index), Hint: "add case_insensitive: true", Other: other})
				break
			}
		}
	}
	return problems
}

// Doubts lists what is allowed and probably not meant: a route that is compared
// with case while others are not, where a wider one takes its other spellings.
func (s *Set) Doubts() (doubts []*Error) {
	if !s.folds {
		return nil
	}
	for _, r := range s.routes {
		if r.CaseInsensitive || !hasSpellings(r.pattern) {
			continue
		}
		for _, other := range s.routes {
			if shareHost(r, other) && takesSpellings(other.pattern, r.pattern) {
				doubts = append(doubts, &Error{Index: r.index, Field: "path", Message: fmt.Sprintf("is compared with case, unlike other routes: its other spellings go to routes[%d]", other.index), Hint: "if the upstream ignores case, set case_insensitive here too", Other: other})
				break
			}
		}
	}
	return doubts
}

// takesSpellings tells whether wide takes paths that differ from those of
// narrow by the case of a literal.
func takesSpellings(wide, narrow []string) bool {
	if !meet(wide, narrow) {
		return false
	}
	for i, seg := range narrow {
		if (i >= len(wide) || isWild(wide[i])) && !isWild(seg) && hasLetters(seg) {
			return true
		}
	}
	return false
}

// hasSpellings tells whether case makes a difference to a pattern.
func hasSpellings(pattern []string) bool {
	return slices.ContainsFunc(pattern, func(seg string) bool { return !isWild(seg) && hasLetters(seg) })
}

func hasLetters(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf })
}

// meet tells whether some path, in some case, matches both patterns.
func meet(a, b []string) bool {
	for i := 0; ; i++ {
		switch {
		case i < len(a) && a[i] == "**" || i < len(b) && b[i] == "**":
			return true
		case i == len(a) || i == len(b):
			return len(a) == len(b)
		case !isWild(a[i]) && !isWild(b[i]) && lower(a[i], true) != lower(b[i], true):
			return false
		}
	}
}

// lower folds the ASCII letters of text. wide takes along the letters that some
// case mapping takes to one of them.
func lower(text string, wide bool) string {
	if wide {
		text = wideLetters.Replace(text)
	}
	for i := range len(text) {
		if c := text[i]; c >= 'A' && c <= 'Z' {
			return lowered(text)
		}
	}
	return text
}

func lowered(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

// wideLetters are the long s, the Kelvin sign, and the letters i of Turkish.
var wideLetters = strings.NewReplacer("\u017f", "s", "\u212a", "k", "\u0130", "i", "\u0131", "i")
