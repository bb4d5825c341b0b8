package policy

import "strings"

// A Flaw is what is wrong with a path.
type Flaw uint8

// The flaws. None of those up to MixedSemicolons is ever allowed.
const (
	NoFlaw Flaw = iota
	NotAbsolute
	DotSegment
	EncodedDot
	Backslash
	Control
	BadEscape
	BadCharacter
	NotUTF8
	MixedSemicolons

	EmptySegment  // the route does not allow it
	PathParameter // the route does not allow it
	EncodedSlash  // the route does not allow it
	OtherRoute    // somebody else would read it as a path of another route, or of none
	BareSlash     // it would begin with two slashes once its prefix is stripped
)

// flaws has the words for each.
var flaws = [...]string{
	NoFlaw: "none", NotAbsolute: "no slash at its front", DotSegment: "dot segment", EncodedDot: "encoded dot", Backslash: "backslash",
	Control: "control character", BadEscape: "malformed escape", BadCharacter: "character that must be encoded", NotUTF8: "not UTF-8",
	MixedSemicolons: "encoded semicolon beside a plain one or an encoded slash",
	EmptySegment:    "empty segment", PathParameter: "path parameter", EncodedSlash: "encoded slash",
	OtherRoute: "can be read as a path of another route", BareSlash: "begins with two slashes once strip_prefix is gone",
}

// String is the flaw in words.
func (f Flaw) String() string { return flaws[f] }

// AllowNames are the names that routes allow oddities by.
var allowNames = []struct {
	name   string
	oddity Oddities
	flaw   Flaw
}{
	{"empty_segments", EmptySegments, EmptySegment},
	{"path_parameters", PathParameters, PathParameter},
	{"encoded_slash", EncodedSlashes, EncodedSlash},
}

// Allow is the set of oddities with these names; what is no name is none.
func Allow(names []string) (set Oddities) {
	for _, name := range names {
		for _, n := range allowNames {
			if n.name == name {
				set |= n.oddity
			}
		}
	}
	return set
}

// String lists what a route would have to allow, separated by commas.
func (o Oddities) String() string {
	var names []string
	for _, n := range allowNames {
		if o&n.oddity != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// first is the flaw that the first of the oddities is.
func (o Oddities) first() Flaw {
	for _, n := range allowNames {
		if o&n.oddity != 0 {
			return n.flaw
		}
	}
	return NoFlaw
}

// A PathError says why a path is refused. It quotes nothing of the path.
type PathError struct {
	Flaw    Flaw
	Missing Oddities // what Route would have to allow, if it may
	Route   *Route   // the one the path is for as it stands; nil for none
	Other   *Route   // with OtherRoute, the one it is for as others would read it; nil for none
}

// Error is for the log.
func (e *PathError) Error() string {
	switch {
	case e.Flaw == OtherRoute && e.Other != nil:
		return "for route " + e.Route.Name + " as it stands, for " + e.Other.Name + " as others would read it"
	case e.Flaw == OtherRoute:
		return "for route " + e.Route.Name + " as it stands, for none as others would read it"
	case e.Missing != 0 && e.Route != nil:
		return e.Flaw.String() + ": allow with allow: [" + e.Missing.String() + "] on route " + e.Route.Name
	case e.Flaw >= EmptySegment && e.Flaw <= EncodedSlash && e.Route != nil:
		return e.Flaw.String() + ": route " + e.Route.Name + " cannot allow it, as its path does not end in **"
	case e.Flaw >= EmptySegment && e.Flaw <= EncodedSlash:
		return e.Flaw.String() + ", and no route as it stands"
	}
	return e.Flaw.String()
}
