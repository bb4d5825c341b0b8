package policy

import "strings"

// A reading is one way in which a server might read a decoded path. Three
// things are done to paths, each or not, in any order: slashes that came
// encoded are decoded, parameters are cut off segments, and empty segments are
// left out. The zero reading is ours: none of them.
type reading struct {
	split bool // an encoded slash separates
	cut   bool // a segment ends at its first semicolon
	fine  bool // cut after split; else what follows the semicolon is gone up to the next plain slash
	merge bool // empty segments are left out

	mergeSplit bool // merge after split: those beside an encoded slash too
	mergeCut   bool // merge after cut: those that were parameters only, too
	wide       bool // letters beyond ASCII that some take for ASCII letters are those
}

// readings are all orders of the three, ours first.
var readings = []reading{
	{},
	{split: true},
	{cut: true},
	{merge: true},
	{split: true, cut: true},
	{split: true, cut: true, fine: true},
	{split: true, merge: true},
	{split: true, merge: true, mergeSplit: true},
	{cut: true, merge: true},
	{cut: true, merge: true, mergeCut: true},
	{split: true, cut: true, merge: true},
	{split: true, cut: true, merge: true, mergeCut: true},
	{split: true, cut: true, merge: true, mergeCut: true, mergeSplit: true},
	{split: true, cut: true, fine: true, merge: true},
	{split: true, cut: true, fine: true, merge: true, mergeSplit: true},
	{split: true, cut: true, fine: true, merge: true, mergeSplit: true, mergeCut: true},
}

// applies tells whether a path with these oddities can differ in the reading
// from what it is in simpler ones.
func (r reading) applies(odd Oddities) bool {
	return (!r.split || odd&EncodedSlashes != 0) && (!r.cut || odd&(PathParameters|encodedSemicolons) != 0) && (!r.merge || odd&EmptySegments != 0)
}

// next takes the first segment off rest, which begins with its separator. It is
// not ok at the end, and a slash there does not count.
func (r reading) next(rest string) (segment, after string, ok bool) {
	for rest != "" {
		end, was := r.separator(rest), false
		segment = rest[1:end]
		if r.cut {
			if segment, _, was = strings.Cut(segment, ";"); was && r.split && !r.fine {
				end = reading{}.separator(rest)
			}
		}
		after = rest[end:]
		switch {
		case segment != "":
			return segment, after, true
		case after == "":
			return "", "", false
		case !r.merge || was && !r.mergeCut || !r.mergeSplit && (rest[0] == innerSlash || after[0] == innerSlash):
			return "", after, true
		}
		rest = after
	}
	return "", "", false
}

// separator finds where the first segment of rest ends.
func (r reading) separator(rest string) int {
	if r.split { // segments are short where there are many
		for at := 1; at < len(rest); at++ {
			if isSlash(rest[at]) {
				return at
			}
		}
		return len(rest)
	}
	if at := strings.IndexByte(rest[1:], '/'); at >= 0 {
		return at + 1
	}
	return len(rest)
}
