package policy

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// anything is all that a route can allow.
const anything = EmptySegments | PathParameters | EncodedSlashes

func TestScan(t *testing.T) {
	for raw, want := range map[string]struct {
		path string
		odd  Oddities
		flaw Flaw
	}{
		"/a/b":          {"/a/b", 0, NoFlaw},
		"//a":           {"//a", EmptySegments, NoFlaw},
		"/a//":          {"/a//", EmptySegments, NoFlaw},
		"///":           {"///", EmptySegments, NoFlaw},
		"/a;b=c/d":      {"/a;b=c/d", PathParameters, NoFlaw},
		"/a/;b":         {"/a/;b", PathParameters, NoFlaw},
		"/a/;b/c":       {"/a/;b/c", PathParameters | EmptySegments, NoFlaw},
		"/a%2fb":        {"/a\x00b", EncodedSlashes, NoFlaw},
		"/a%2Fb%2f":     {"/a\x00b\x00", EncodedSlashes, NoFlaw},
		"/a%2f/b":       {"/a\x00/b", EncodedSlashes | EmptySegments, NoFlaw},
		"/%2fa":         {"/\x00a", EncodedSlashes | EmptySegments, NoFlaw},
		"/a%2f;b/c":     {"/a\x00;b/c", EncodedSlashes | PathParameters | EmptySegments, NoFlaw},
		"/a;%2f/b":      {"/a;\x00/b", EncodedSlashes | PathParameters | EmptySegments, NoFlaw},
		"/a%252fb":      {"/a%2fb", 0, NoFlaw},
		"/a%3Bb":        {"/a;b", encodedSemicolons, NoFlaw},
		"/%C3%A9":       {"/é", foreignLetters, NoFlaw},
		"":              {"", 0, NotAbsolute},
		"a":             {"", 0, NotAbsolute},
		"/a/../b":       {"", 0, DotSegment},
		"/a//..":        {"", 0, DotSegment},
		"/..;/a":        {"", 0, DotSegment},
		"/a/.;x":        {"", 0, DotSegment},
		"/a/..%2fb":     {"", 0, DotSegment},
		"/a%2f..":       {"", 0, DotSegment},
		"/a%2f.%2Fb":    {"", 0, DotSegment},
		"/a;x=%2f..":    {"", 0, DotSegment},
		"/a%2f..;x/b":   {"", 0, DotSegment},
		"/a/..;%2fb":    {"", 0, DotSegment},
		"/a;/..%2f;/b":  {"", 0, DotSegment},
		"/%2e":          {"", 0, EncodedDot},
		"/a%2ehtml":     {"", 0, EncodedDot},
		`/a\b`:          {"", 0, Backslash},
		"/a%5cb":        {"", 0, Backslash},
		"/a%00":         {"", 0, Control},
		"/a\x00b":       {"", 0, Control},
		"/a%7F":         {"", 0, Control},
		"/%":            {"", 0, BadEscape},
		"/%u002e":       {"", 0, BadEscape},
		"/a b":          {"", 0, BadCharacter},
		"/a#b":          {"", 0, BadCharacter},
		"/é":            {"", 0, BadCharacter},
		"/%c0%af":       {"", 0, NotUTF8},
		"/a%3bb;c":      {"", 0, MixedSemicolons},
		"/a%3bb/c%2Fd":  {"", 0, MixedSemicolons},
		"/x%2fy//z;v/a": {"/x\x00y//z;v/a", anything, NoFlaw},
	} {
		if path, odd, flaw := Scan(raw); path != want.path || odd != want.odd || flaw != want.flaw {
			t.Errorf("%q: %q %b %v, want %q %b %v", raw, path, odd, flaw, want.path, want.odd, want.flaw)
		}
	}
}

// What every request goes through allocates nothing.
func TestOrdinaryPathsAllocateNothing(t *testing.T) {
	s := compile(t, Options{Path: "/api/**", Allow: anything, CaseInsensitive: true}, Options{Path: "/**", CaseInsensitive: true})
	if n := testing.AllocsPerRun(100, func() {
		path, odd, flaw := Scan("/api/v1/customers/42/orders")
		if flaw != NoFlaw || s.Bears("", path, odd) != nil || s.Route("GET", "", path).index != 0 {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A hostile path costs a copy of itself at most, and each reading one pass.
func TestOddPathsAllocateLittle(t *testing.T) {
	s := compile(t, Options{Path: "/api/**", Allow: anything}, Options{Path: "/api/*/*/x", Public: true})
	for _, unit := range []string{"/", "a;/", "%2f", "/;", "%2fa;b/", "//%2f;"} {
		raw := "/api/x" + strings.Repeat(unit, 16<<10/len(unit))
		if n := testing.AllocsPerRun(10, func() {
			if path, odd, flaw := Scan(raw); flaw == NoFlaw {
				s.Bears("", path, odd)
			}
		}); n > 8 {
			t.Errorf("%q: %v allocations", unit, n)
		}
	}
}

// borne are sets of routes that allow what they can, with paths that pass and
// paths that do not.
var borne = []struct {
	name    string
	options []Options
	passes  []string
	refused map[string]Flaw
}{
	{
		"all", []Options{{Path: "/**", Allow: anything}},
		[]string{"/", "//", "//a", "/a//b", "/a;v=1/b", "/a%2fb", "/%2f", "/a%2f%2f;x//", "/;", "/a/;jsessionid=1"},
		map[string]Flaw{"/a/../b": DotSegment, "/a%2f..%2fb": DotSegment},
	},
	{
		"none", []Options{{Path: "/**"}},
		[]string{"/", "/a", "/a%3bb", "/%C3%A9"},
		map[string]Flaw{"/a//b": EmptySegment, "/a;b": PathParameter, "/a%2fb": EncodedSlash},
	},
	{
		"a strict one below", []Options{{Path: "/**", Allow: anything}, {Path: "/admin/**"}, {Path: "/a/*/c"}, {Path: "/deep/b/*/c"}, {Path: "/cut/*/*/x"}},
		[]string{"/x//admin", "/x;/admin", "/x%2fadmin", "/a/b/d", "/a/b//d", "/b;x/c%2fd", "/administrator;x"},
		map[string]Flaw{
			"//admin": OtherRoute, "/admin;x": OtherRoute, "/admin;": OtherRoute, "/admin;x/y": OtherRoute, "/admin%2fy": OtherRoute, "/%2fadmin": OtherRoute,
			"/;x/admin": OtherRoute, "/%2f;x/admin": OtherRoute, "//%61dmin": OtherRoute, "/;/%2f;/admin;x": OtherRoute, "/admin%3bx": OtherRoute,
			"/admin//x": EmptySegment, "/admin/x;y": PathParameter, "/admin/x%2fy": EncodedSlash,
			"/a%2fb/c": OtherRoute, "/a%2fb%2fc": OtherRoute, "/a//b/c": OtherRoute, "/a;/b;/c;": OtherRoute, "/a;/b%2fc": OtherRoute,
			"/a/b;%2fx/c": PathParameter,
			"/a//c":       EmptySegment,
			"/a//x/%2fc":  OtherRoute,
			// Only who merges slashes before decoding others reads these so.
			"/deep//b/%2fc": OtherRoute,
			// And only who cuts parameters before decoding slashes, these.
			"/cut/a%2fb;%2fq/x": OtherRoute,
		},
	},
	{
		"a wide one behind", []Options{{Path: "/files/**", Allow: anything, Public: true}, {Path: "/**"}},
		[]string{"/files/a//b", "/files/a%2fb;c", "/files//", "/files/;x"},
		map[string]Flaw{"//files/a": EmptySegment, "/files;x/a": PathParameter, "/files%2fa": EncodedSlash, "/a//b": EmptySegment},
	},
	{
		"parameters", []Options{{Path: "/orders/{id}", Allow: PathParameters}, {Path: "/orders/special"}},
		[]string{"/orders/1;v=2", "/orders/1;v=2/", "/orders/x;a;b"},
		map[string]Flaw{"/orders/special;v=2": OtherRoute, "/orders;x/1": PathParameter, "/orders/;x": OtherRoute, "/none;x": PathParameter, "/orders/1%3b2": NoFlaw},
	},
	{
		"rewritten before they are read", []Options{
			{Path: "/**", Allow: anything, Public: true}, {Path: "/admin"}, {Path: "/host/**"}, {Path: "/of/{id}"},
		},
		[]string{"/what%3F", "/a%23b/c", "/c%20d", "/x.", "/%20/x", "/...", "/a./b", "/x;y/z", "//a/b", "/administrator%3Fx", "/hosts//admin/x"},
		map[string]Flaw{
			// PHP behind Apache, and whatever resolves the target as a reference.
			"/admin%3Fx.php": OtherRoute, "/admin%23/x": OtherRoute, "/admin%3f": OtherRoute, "/admin/%3Fx": OtherRoute, "/a%2fb/..%3Fx": DotSegment, "/a%2f.%23": DotSegment,
			// Old servlet containers end the path at its first semicolon.
			"/admin;x/y": OtherRoute, "/of/1;x/y/z": OtherRoute, "/admin%3Bx/y": OtherRoute,
			// Node's new URL(request.url, base), Python's urlsplit.
			"//x/admin": OtherRoute, "///x/admin": OtherRoute, "//x/host/y": OtherRoute, "//x%2fadmin": OtherRoute, "/%2fx/admin": OtherRoute,
			// Windows, and matchers that trim segments.
			"/admin.": OtherRoute, "/admin%20": OtherRoute, "/%20admin": OtherRoute, "/admin%20./": OtherRoute, "/admin.%20..": OtherRoute, "/admin%20;x": OtherRoute,
			"/admin./;x": OtherRoute, "/host./x": OtherRoute, "/host.%2fx": OtherRoute, "/host%20": OtherRoute, "/of/%20": OtherRoute, "/admin.%3Fx": OtherRoute,
			"/of%20;v/1": OtherRoute, "/%20/admin": OtherRoute,
			"/..%20/x": DotSegment, "/a/%20..": DotSegment, "/a/.%20./x": DotSegment, "/a%2f..%20": DotSegment,
		},
	},
	{
		"stripped", []Options{{Path: "/ext/**", StripPrefix: "/ext", Allow: anything}},
		[]string{"/ext/a//b", "/ext/a%2fb", "/ext/a;b", "/ext/;x", "/ext/"},
		map[string]Flaw{"/ext/%20/evil.example/x": BareSlash, "/ext//evil.example/x": BareSlash, "/ext/%2fevil.example": BareSlash, "/ext/;x/evil.example": BareSlash, "/ext//": BareSlash, "/ext;x/a": PathParameter},
	},
	{
		"case", []Options{{Path: "/**", Allow: anything, CaseInsensitive: true}, {Path: "/Keys/**", CaseInsensitive: true}},
		[]string{"/x/KEYS", "/KEYS", "/keys/x", "/%C3%A9", "/m;x"},
		map[string]Flaw{"/KEYS;x": OtherRoute, "/%E2%84%AAeys": OtherRoute, "/%e2%84%aaEY%c5%bf/x": OtherRoute, "/%E2%84%AAEYS;x": OtherRoute, "//kEYS": OtherRoute},
	},
}

func TestBears(t *testing.T) {
	for _, row := range borne {
		t.Run(row.name, func(t *testing.T) {
			s := compile(t, row.options...)
			for _, raw := range row.passes {
				path, odd, flaw := Scan(raw)
				if e := s.Bears("", path, odd); flaw != NoFlaw || e != nil {
					t.Errorf("%s: %v, %v", raw, flaw, e)
				}
			}
			for raw, want := range row.refused {
				path, odd, flaw := Scan(raw)
				if flaw == NoFlaw {
					if e := s.Bears("", path, odd); e != nil {
						flaw = e.Flaw
					}
				}
				if flaw != want {
					t.Errorf("%s: %v, want %v", raw, flaw, want)
				}
			}
		})
	}
}

// Each reading finds a route that no other does: none of them is there in vain.
func TestEveryReadingCounts(t *testing.T) {
	for _, row := range [][2]string{
		{"/w/*/a/ac", "/w//a/ac%2f"}, {"/w/cc", "/w/cc;c/"}, {"/w/*/*", "/w/;///;a"}, {"/w/*/c", "/w//c%2f;%2f"}, {"/w/b/a", "/w/b;b%2fa"},
		{"/w/*/a/*", "/w//%2fa//%2f"}, {"/w/a/c", "/w/a%2f/c"}, {"/w/*", "/w/;///;a"}, {"/w", "/w/;ac/"}, {"/w/*/*/b", "/w/;%2f//%2fb"},
		{"/w/bb/*", "/w/;a/bb%2f/"}, {"/w", "/w/%2f;%2fa"}, {"/w/b/*/ac", "/w//b;%2f/ac"}, {"/w/*/c", "/w/;/c;//%2f"}, {"/w/a", "/w/%2f;%2fa"},
	} {
		s := compile(t, Options{Path: "/w/**", Allow: anything}, Options{Path: row[0], Public: true})
		path, odd, flaw := Scan(row[1])
		if e := s.Bears("", path, odd); flaw != NoFlaw || e == nil || e.Flaw != OtherRoute || e.Other == nil || e.Other.Path != row[0] {
			t.Errorf("%s: %v, %v, want a reading that leads to %s", row[1], flaw, e, row[0])
		}
	}
}

func TestPathErrorsSayWhatToDo(t *testing.T) {
	s := compile(t, Options{Name: "orders", Path: "/orders/**"}, Options{Name: "one", Path: "/one/{id}"}, Options{Name: "wide", Path: "/w/**", Allow: anything}, Options{Name: "strict", Path: "/w/admin"})
	for raw, want := range map[string]string{
		"/orders/a//b":    "empty segment: allow with allow: [empty_segments] on route orders",
		"/orders/a;b//c":  "empty segment: allow with allow: [empty_segments, path_parameters] on route orders",
		"/one/a;b":        "path parameter: allow with allow: [path_parameters] on route one",
		"/one/a%2fb":      "encoded slash: route one cannot allow it, as its path does not end in **",
		"/none//":         "empty segment, and no route as it stands",
		"/w//admin":       "for route wide as it stands, for strict as others would read it",
		"/w/x%2f/a":       "",
		"/orders/x%2fy;z": "path parameter: allow with allow: [path_parameters, encoded_slash] on route orders",
	} {
		path, odd, _ := Scan(raw)
		got := ""
		if e := s.Bears("", path, odd); e != nil {
			got = e.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	only := compile(t, Options{Name: "files", Path: "/files/*/**", Allow: anything})
	if e := only.Bears("", "/files//x", EmptySegments); e != nil {
		t.Errorf("/files//x: %v", e)
	}
	if e := only.Bears("", "/files//", EmptySegments); e == nil || e.Error() != "for route files as it stands, for none as others would read it" {
		t.Errorf("/files//: %v", e)
	}
}

// servers are orders in which a server may do what it does to a path, by
// letter: D decodes slashes, C cuts parameters, M merges slashes.
var servers = []string{"", "D", "C", "M", "DC", "CD", "DM", "MD", "CM", "MC", "DCM", "CDM", "DMC", "CMD", "MDC", "MCD"}

var (
	slowParameter = regexp.MustCompile(`(;|%3[bB])[^/]*`)
	slowSlashes   = regexp.MustCompile(`/+`)
	slowEncoded   = regexp.MustCompile(`%2[fF]`)
)

// slowRewritings are what servers make of a path before they read it.
func slowRewritings(raw string) []string {
	list := []string{raw}
	for _, end := range []*regexp.Regexp{slowSemicolon, slowQuestion, slowNumber, slowHost} {
		if at := end.FindStringIndex(raw); at != nil {
			list = append(list, raw[:at[0]])
			if end == slowHost {
				list[len(list)-1] = "/" + slowSlash.ReplaceAllString(raw[at[1]:], "")
			}
		}
	}
	for _, one := range list {
		list = append(list, slowBehind.ReplaceAllString(slowBefore.ReplaceAllString(one, "$1"), "$1"))
	}
	return list
}

var (
	slowSemicolon = regexp.MustCompile(`;|%3[bB]`)
	slowQuestion  = regexp.MustCompile(`%3[fF]`)
	slowNumber    = regexp.MustCompile(`%23`)
	slowHost      = regexp.MustCompile(`^(?:/|%2[fF]){2,}(?:[^/%]|%[^2]|%2[^fF])*`)
	slowSlash     = regexp.MustCompile(`^(?:/|%2[fF])`)
	slowBefore    = regexp.MustCompile(`(?:%20|\.)+(/|;|%2[fF]|%3[bB]|$)`)
	slowBehind    = regexp.MustCompile(`(/|%2[fF])(?:%20)+`)
)

// slowSegments reads a path as such a server does, by rewriting its text.
func slowSegments(t *testing.T, raw, order string) []string {
	t.Helper()
	for _, step := range order {
		switch step {
		case 'D':
			raw = slowEncoded.ReplaceAllString(raw, "/")
		case 'C':
			raw = slowParameter.ReplaceAllString(raw, "")
		case 'M':
			raw = slowSlashes.ReplaceAllString(raw, "/")
		}
	}
	segments := strings.Split(raw[1:], "/")
	if segments[len(segments)-1] == "" {
		segments = segments[:len(segments)-1]
	}
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		segments[i] = decoded
	}
	return segments
}

// slowRoute holds segments against each pattern, and returns the index of the
// most specific that matches, or -1.
func slowRoute(options []Options, segments []string, same func(a, b string) bool) int {
	best, rank := -1, ""
	for i, o := range options {
		if got, ok := slowMatch(o, segments, same); ok && (best < 0 || got < rank) {
			best, rank = i, got
		}
	}
	return best
}

// slowMatch ranks a match: by segment a for a literal, b for any, d for the
// rest; c is the end.
func slowMatch(o Options, segments []string, fold func(a, b string) bool) (rank string, ok bool) {
	pattern := strings.FieldsFunc(o.Path, func(r rune) bool { return r == '/' })
	for i, p := range pattern {
		same := i < len(segments) && (p == segments[i] || o.CaseInsensitive && fold(p, segments[i]))
		switch {
		case p == "**":
			return rank + "d", true
		case i >= len(segments):
			return "", false
		case p == "*" || p[0] == '{':
			rank += "b"
		case same:
			rank += "a"
		default:
			return "", false
		}
	}
	return rank + "c", len(pattern) == len(segments)
}

// asciiFold compares as an upstream does that knows no other letters.
func asciiFold(a, b string) bool {
	return len(a) == len(b) && strings.EqualFold(a, b)
}

// FuzzReadings: what passes leads to one route in every order, and what is
// refused for another reading has one.
func FuzzReadings(f *testing.F) {
	for i, row := range borne {
		for _, raw := range row.passes {
			f.Add(raw, uint8(i))
		}
		for raw := range row.refused {
			f.Add(raw, uint8(i))
		}
	}
	f.Add("/a%2f;x/b", uint8(2))
	f.Add("/a/%2f;%2fc;/", uint8(2))
	f.Fuzz(func(t *testing.T, raw string, which uint8) {
		path, odd, flaw := Scan(raw)
		if flaw != NoFlaw {
			return
		}
		options := borne[int(which)%len(borne)].options
		s := compile(t, options...)
		stands := slowRoute(options, slowSegments(t, raw, ""), asciiFold)
		if got := s.Route("GET", "", path).index; got != stands {
			t.Fatalf("%q: route %d, the reference finds %d", raw, got, stands)
		}
		var differs []string
		for _, one := range slowRewritings(raw) {
			for _, order := range servers {
				segments := slowSegments(t, one, order)
				if slices.ContainsFunc(segments, isBadSegment) {
					t.Fatalf("%q passes, and %s makes %q of it", raw, order, segments)
				}
				for _, fold := range []func(a, b string) bool{asciiFold, strings.EqualFold} {
					if slowRoute(options, segments, fold) != stands {
						differs = append(differs, order+" of "+one)
					}
				}
				if stands >= 0 && options[stands].StripPrefix != "" && len(segments) > 1 && segments[1] == "" {
					differs = append(differs, "stripped "+order+" of "+one)
				}
			}
		}
		e := s.Bears("", path, odd)
		if e == nil && len(differs) > 0 {
			t.Fatalf("%q passes as route %d; %q read another", raw, stands, differs)
		}
		if e != nil && (e.Flaw == OtherRoute || e.Flaw == BareSlash) && len(differs) == 0 {
			t.Fatalf("%q is refused: %v; no reading differs", raw, e)
		}
		if e == nil && stands >= 0 {
			up := s.Route("GET", "", path).UpstreamPath(raw)
			if _, more, flaw := Scan(up); flaw != NoFlaw || more&^odd != 0 || !strings.HasSuffix(raw, up) && up != "/" {
				t.Fatalf("%q: the upstream is asked for %q", raw, up)
			}
		}
		if e == nil && odd&Allowable != 0 && (stands < 0 || options[stands].Allow&odd&Allowable != odd&Allowable) {
			t.Fatalf("%q passes with %s, which route %d does not allow", raw, odd, stands)
		}
	})
}
