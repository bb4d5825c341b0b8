package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCompileRefusesWhatIsAllowedInVain(t *testing.T) {
	for name, row := range map[string]struct {
		options []Options
		want    string
	}{
		"empty segments in a literal":  {[]Options{{Path: "/a", Allow: EmptySegments}}, "routes[0].allow: empty_segments wants a path that ends in **"},
		"encoded slash in one segment": {[]Options{{Path: "/a/{id}/b", Allow: EncodedSlashes | PathParameters}}, "routes[0].allow: encoded_slash wants a path that ends in **"},
		"parameters of a literal":      {[]Options{{Path: "/a/b", Allow: PathParameters}}, "routes[0].allow: path_parameters wants a path with *, {name} or **"},
		"anything at the root":         {[]Options{{Path: "/", Allow: EmptySegments}}, "routes[0].allow: empty_segments wants"},
		"one path, two sets":           {[]Options{{Path: "/a/**", Methods: []string{"GET"}, Allow: EmptySegments}, {Path: "/a/**"}}, "routes[1].allow: must be the same as that of routes[0]"},
		"one spelling strict":          {[]Options{{Path: "/**", CaseInsensitive: true}, {Path: "/admin"}}, "routes[1].case_insensitive: must be true here too: routes[0]"},
		"two spellings":                {[]Options{{Path: "/Admin"}, {Path: "/admin", CaseInsensitive: true}}, "routes[0].case_insensitive: must be true"},
		"a wild one beside":            {[]Options{{Path: "/api/{id}"}, {Path: "/*/x", CaseInsensitive: true}}, "routes[0].case_insensitive: must be true"},
		"a wide strict one":            {[]Options{{Path: "/legacy/**"}, {Path: "/LEGACY/x", CaseInsensitive: true}}, "routes[0].case_insensitive: must be true"},
		"one path, two methods":        {[]Options{{Path: "/a", Methods: []string{"GET"}, CaseInsensitive: true}, {Path: "/a", Methods: []string{"PUT"}}}, "routes[1].case_insensitive: must be true"},
		"the same but for case":        {[]Options{{Path: "/A/b", CaseInsensitive: true}, {Path: "/a/B", CaseInsensitive: true}}, "routes[1].path: governs the same requests as routes[0]"},
		"letters beyond ASCII":         {[]Options{{Path: "/médical", CaseInsensitive: true}}, "routes[0].case_insensitive: compares ASCII letters only"},
		"a literal beyond ASCII":       {[]Options{{Path: "/**", CaseInsensitive: true}, {Path: "/é"}}, "routes[1].case_insensitive: must be true"},
		"a Kelvin sign":                {[]Options{{Path: "/key", CaseInsensitive: true}, {Path: "/\u212aey"}}, "routes[1].case_insensitive: must be true"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(row.options, Resource{})
			if e, ok := errors.AsType[*Error](err); !ok || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("%v (%v), want %s", err, e, row.want)
			}
		})
	}
}

func TestCaseInsensitive(t *testing.T) {
	s := compile(t,
		Options{Name: "admin", Path: "/Admin/{id}/**", CaseInsensitive: true},
		Options{Name: "one", Path: "/admin/7/users", CaseInsensitive: true},
		Options{Name: "number", Path: "/admin/7/**", CaseInsensitive: true},
		Options{Name: "all", Path: "/**"},
		Options{Name: "other", Path: "/api/users"},
	)
	for path, want := range map[string]string{
		"/admin/1": "admin", "/ADMIN/1/x": "admin", "/Admin/x/Y": "admin", "/aDMIN/7/USERS": "one", "/ADMIN/7/users/": "one", "/admin/7/x": "number",
		"/admin": "all", "/ADMIN": "all", "/administrator": "all", "/api/users": "other", "/API/users": "all", "/api/Users": "all", "/Admin\x00/x": "all",
	} {
		if got := s.Route("GET", "", path).Name; got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	mixed := compile(t, Options{Path: "/7/**"}, Options{Path: "/7/{id}/x", CaseInsensitive: true})
	if got := mixed.Route("GET", "", "/7/a/X").index; got != 1 {
		t.Errorf("route %d, not the most specific", got)
	}
	doubts := s.Doubts()
	if len(doubts) != 1 || doubts[0].Index != 4 || !strings.Contains(doubts[0].Message, "routes[3]") {
		t.Errorf("doubts: %v", doubts)
	}
	// What has no letters of its own has no other spellings, whatever its segments are called.
	wide := compile(t, Options{Path: "/Menu", CaseInsensitive: true}, Options{Path: "/{id}"}, Options{Path: "/{id}/{Part}"}, Options{Path: "/**"}, Options{Path: "/2024/**"})
	same := compile(t, Options{Path: "/x", CaseInsensitive: true}, Options{Path: "/menu/**"}, Options{Path: "/menu/{id}/a"}, Options{Path: "/menu/2024"})
	if more := slices.Concat(wide.Doubts(), same.Doubts()); len(more) != 1 || more[0].Index != 2 {
		t.Errorf("doubts, want one about the last a of routes[2]: %v", more)
	}
	number := compile(t, Options{Path: "/x", CaseInsensitive: true}, Options{Path: "/menu/**"}, Options{Path: "/menu/{id}"}, Options{Path: "/menu/2024"})
	if more := number.Doubts(); len(more) != 0 {
		t.Errorf("doubts about patterns without letters: %v", more)
	}
	if more := compile(t, Options{Path: "/**"}, Options{Path: "/api/users"}).Doubts(); len(more) != 0 {
		t.Errorf("doubts without a route that ignores case: %v", more)
	}
}

func TestCaseInsensitivePrefixes(t *testing.T) {
	s := compile(t, Options{Path: "/Ext/v1/**", StripPrefix: "/Ext", CaseInsensitive: true})
	for raw, want := range map[string]string{"/ext/V1/a": "/V1/a", "/%45XT/v1": "/v1", "/EXT/v1/%61": "/v1/%61"} {
		path, _, _ := Scan(raw)
		if r := s.Route("GET", "", path); !r.Matched() || r.UpstreamPath(raw) != want {
			t.Errorf("%s: %s, want %s", raw, r.UpstreamPath(raw), want)
		}
	}
}

// FuzzSpellings: where a route ignores case, no spelling of its paths leads to
// another.
func FuzzSpellings(f *testing.F) {
	sets := [][]Options{
		{{Path: "/**", CaseInsensitive: true}, {Path: "/admin/**", CaseInsensitive: true}, {Path: "/Admin/{id}/x", CaseInsensitive: true}},
		{{Path: "/**"}, {Path: "/legacy/**", CaseInsensitive: true}, {Path: "/api/**"}, {Path: "/LEGACY/*/7", CaseInsensitive: true}, {Path: "/7/*"}},
		{{Path: "/*/x", CaseInsensitive: true}, {Path: "/*/*"}, {Path: "/a/**", CaseInsensitive: true}},
	}
	for i, raw := range []string{"/ADMIN", "/admin/1/X", "/Legacy/a/7", "/API/x", "/A/x", "/7/X", "/b/X"} {
		f.Add(raw, uint8(i), uint64(0x5555))
	}
	f.Fuzz(func(t *testing.T, raw string, which uint8, mask uint64) {
		s := compile(t, sets[int(which)%len(sets)]...)
		path, odd, flaw := Scan(raw)
		if flaw != NoFlaw || s.Bears("", path, odd) != nil {
			return
		}
		r := s.Route("GET", "", path)
		if !r.CaseInsensitive {
			return
		}
		other := []byte(path)
		for i, c := range other {
			if c|0x20 >= 'a' && c|0x20 <= 'z' && mask>>(i%64)&1 == 1 {
				other[i] ^= 0x20
			}
		}
		if got := s.Route("GET", "", string(other)); got != r {
			t.Errorf("%q leads to %s, %q to %s", path, r.Path, other, got.Path)
		}
	})
}
