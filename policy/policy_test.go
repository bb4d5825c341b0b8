package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

func compile(t testing.TB, options ...Options) *Set {
	t.Helper()
	s, err := Compile(options, Resource{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCompileComplains(t *testing.T) {
	for _, row := range []struct {
		name    string
		options []Options
		want    []string
	}{
		{"no slash", []Options{{Path: "a"}}, []string{"routes[0].path: must begin with a slash"}},
		{"nothing", []Options{{}}, []string{"routes[0].path: must begin with a slash"}},
		{"rest in the middle", []Options{{Path: "/a/**/b"}}, []string{"routes[0].path: ** may only be the last segment"}},
		{"half a wildcard", []Options{{Path: "/a*"}}, []string{"routes[0].path: a segment is a literal"}},
		{"three stars", []Options{{Path: "/***"}}, []string{"routes[0].path: a segment is a literal"}},
		{"unnamed", []Options{{Path: "/{}"}}, []string{"routes[0].path: a segment is a literal"}},
		{"half a name", []Options{{Path: "/{a"}}, []string{"routes[0].path: a segment is a literal"}},
		{"name and more", []Options{{Path: "/{a}b"}}, []string{"routes[0].path: a segment is a literal"}},
		{"name in name", []Options{{Path: "/{{a}}"}}, []string{"routes[0].path: a segment is a literal"}},
		{"empty segment", []Options{{Path: "/a//b"}}, []string{"routes[0].path: an empty segment matches no request"}},
		{"two slashes", []Options{{Path: "//"}}, []string{"routes[0].path: an empty segment matches no request"}},
		{"query", []Options{{Path: "/a?b"}}, []string{"routes[0].path: the segment a?b matches no request"}},
		{"fragment", []Options{{Path: "/a#b"}}, []string{"routes[0].path: the segment a#b matches no request"}},
		{"parameter", []Options{{Path: "/a;b"}}, []string{"routes[0].path: the segment a;b matches no request"}},
		{"escape", []Options{{Path: "/%61"}}, []string{"routes[0].path: the segment %61 matches no request"}},
		{"backslash", []Options{{Path: `/a\b`}}, []string{`routes[0].path: the segment a\b matches no request`}},
		{"dot", []Options{{Path: "/a/./b"}}, []string{"routes[0].path: the segment . matches no request"}},
		{"dot at the end", []Options{{Path: "/a./b"}}, []string{"routes[0].path: the segment a. matches no request"}},
		{"space at the end", []Options{{Path: "/a "}}, []string{"routes[0].path: the segment a  matches no request"}},
		{"space in front", []Options{{Path: "/ a/b"}}, []string{"routes[0].path: the segment  a matches no request"}},
		{"dots", []Options{{Path: "/.."}}, []string{"routes[0].path: the segment .. matches no request"}},

		{"prefix of another path", []Options{{Path: "/a/**", StripPrefix: "/b"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix within a segment", []Options{{Path: "/abc/**", StripPrefix: "/ab"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix with a wildcard", []Options{{Path: "/*/b", StripPrefix: "/*"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix with a name", []Options{{Path: "/{x}/b", StripPrefix: "/{x}"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix with the rest", []Options{{Path: "/a/**", StripPrefix: "/a/**"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix longer than the path", []Options{{Path: "/a", StripPrefix: "/a/b"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix with a slash behind", []Options{{Path: "/a/**", StripPrefix: "/a/"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix without a slash", []Options{{Path: "/a/**", StripPrefix: "a"}}, []string{"routes[0].strip_prefix:"}},
		{"prefix of nothing", []Options{{Path: "/a/**", StripPrefix: "/"}}, []string{"routes[0].strip_prefix:"}},

		{"a name twice", []Options{{Path: "/{a}/{b}/{a}"}}, []string{"routes[0].path: captures {a} twice"}},
		{"twice", []Options{{Path: "/a"}, {Path: "/a"}}, []string{"routes[1].path: governs the same requests as routes[0]"}},
		{"twice with a slash", []Options{{Path: "/a"}, {Path: "/a/"}}, []string{"routes[1].path: governs the same requests as routes[0]"}},
		{"twice by other names", []Options{{Path: "/{a}"}, {Path: "/*"}}, []string{"routes[1].path: governs the same requests as routes[0]"}},
		{"one method twice", []Options{{Path: "/a", Methods: []string{"GET", "PUT"}}, {Path: "/a", Methods: []string{"PUT"}}}, []string{"routes[1].path: governs the same requests as routes[0]"}},
		{"all at once", []Options{{Path: "a"}, {Path: "/b"}, {Path: "/c;"}, {Path: "/b"}}, []string{"routes[0].path", "routes[2].path", "routes[3].path"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Compile(row.options, Resource{})
			if err == nil || s != nil {
				t.Fatalf("got %v, %v", s, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(row.want) {
				t.Fatalf("got %q, want %q", lines, row.want)
			}
			for i, want := range row.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("got %q, want %q", lines[i], want)
				}
			}
			if one, ok := errors.AsType[*Error](err); !ok || one.Field == "" || one.Message == "" {
				t.Errorf("no *Error in %v", err)
			}
		})
	}
}

func TestCompileTakes(t *testing.T) {
	s := compile(t,
		Options{Path: "/"}, Options{Path: "/**"}, Options{Path: "/a", Methods: []string{"GET"}}, Options{Path: "/a", Methods: []string{"HEAD", "PUT"}},
		Options{Path: "/a"}, Options{Path: "/{x}/y"}, Options{Path: "/*/z"}, Options{Path: "/é b"}, Options{Path: "/..a", StripPrefix: "/..a"},
	)
	if len(s.Routes()) != 9 {
		t.Fatalf("%d routes", len(s.Routes()))
	}
	for i, r := range s.Routes() {
		if r.Index() != i || !r.Matched() {
			t.Errorf("routes[%d] has index %d, matched %v", i, r.Index(), r.Matched())
		}
	}
}

// specificity is in an order that no first-match reading would pass.
var specificity = []Options{
	{Name: "rest", Path: "/**"},
	{Name: "api rest", Path: "/api/**"},
	{Name: "api one", Path: "/api/*"},
	{Name: "api one orders", Path: "/api/{id}/orders"},
	{Name: "api me", Path: "/api/me"},
	{Name: "api me rest", Path: "/api/me/**"},
	{Name: "one x", Path: "/*/x"},
	{Name: "a", Path: "/a/"},
	{Name: "a get", Path: "/a/b", Methods: []string{"GET"}},
	{Name: "a put", Path: "/a/b", Methods: []string{"PUT", "PATCH"}},
	{Name: "c get", Path: "/c", Methods: []string{"GET"}},
	{Name: "c any", Path: "/c"},
	{Name: "d head", Path: "/d", Methods: []string{"HEAD"}},
	{Name: "d get", Path: "/d", Methods: []string{"GET"}},
	{Name: "admin", Path: "/admin/{x}"},
}

func TestRoute(t *testing.T) {
	orders := [][]Options{specificity, slices.Clone(specificity)}
	slices.Reverse(orders[1])
	for _, row := range []struct{ method, path, want string }{
		{"GET", "/", "rest"},
		{"GET", "/zzz", "rest"},
		{"GET", "/zzz/y/z", "rest"},
		{"GET", "/API", "rest"},
		{"GET", "/api", "api rest"},
		{"GET", "/api/", "api rest"},
		{"GET", "/api/1", "api one"},
		{"GET", "/api/1/", "api one"},
		{"GET", "/api/1/orders", "api one orders"},
		{"GET", "/api/1/orders/", "api one orders"},
		{"GET", "/api/1/orders/2", "api rest"},
		{"GET", "/api/1/other", "api rest"},
		{"GET", "/api/me", "api me"},
		{"GET", "/api/me/", "api me"},
		{"GET", "/api/me/x", "api me rest"},
		{"GET", "/api/me/orders", "api me rest"}, // literal me before any {id}
		{"GET", "/api/x", "api one"},             // literal api before one x
		{"GET", "/q/x", "one x"},
		{"GET", "/q/x/y", "rest"},
		{"GET", "/a", "a"},
		{"GET", "/a/", "a"},
		{"GET", "/admin/x", "admin"},
		{"GET", "/admin", "rest"},
		{"GET", "/admin/", "rest"},
		{"GET", "/admin/x/y", "rest"},

		{"GET", "/a/b", "a get"},
		{"HEAD", "/a/b", "a get"},
		{"PUT", "/a/b", "a put"},
		{"PATCH", "/a/b", "a put"},
		// What the most specific path does not list is refused, not handed to
		// a wider route.
		{"POST", "/a/b", "none"},
		{"DELETE", "/a/b/", "none"},
		{"get", "/a/b", "none"},
		{"OPTIONS", "/a/b", "none"},
		{"M-SEARCH", "/a/b", "none"},
		{"", "/a/b", "none"},

		{"GET", "/c", "c get"},
		{"HEAD", "/c", "c get"},
		{"POST", "/c", "c any"},
		{"get", "/c", "none"}, // some servers take it for GET, and that is "c get"
		{"hEAD", "/c", "none"},
		{"post", "/c", "c any"},
		{"put", "/zzz", "rest"},
		{"HEAD", "/d", "d head"},
		{"GET", "/d", "d get"},
		{"POST", "/d", "none"},
	} {
		for i, options := range orders {
			r := compile(t, options...).Route(row.method, row.path)
			if r.Name != row.want || r.Matched() != (row.want != "none") {
				t.Errorf("order %d, %s %s: got %q, want %q", i, row.method, row.path, r.Name, row.want)
			}
		}
	}
}

func TestRouteWithoutRoutes(t *testing.T) {
	r := compile(t).Route("BREW", "/any/thing")
	if !r.Matched() || r.Public || r.Optional || r.Schemes() != token.Bearer|token.DPoP {
		t.Errorf("got %+v", r)
	}
}

func TestRouteDeniesByDefault(t *testing.T) {
	s := compile(t, Options{Name: "only", Path: "/only"})
	for _, path := range []string{"/", "/other", "/only/more", "/Only", "/onl", "/onlyx"} {
		if r := s.Route("GET", path); r.Matched() || r.Index() != -1 {
			t.Errorf("%s is governed by %q", path, r.Name)
		}
	}
}

func TestSchemes(t *testing.T) {
	s := compile(t, Options{Path: "/any"}, Options{Path: "/dpop", Binding: DPoPBinding})
	if got := s.Route("GET", "/any").Schemes(); got != token.Bearer|token.DPoP {
		t.Errorf("got %s", got)
	}
	if got := s.Route("GET", "/dpop").Schemes(); got != token.DPoP {
		t.Errorf("got %s", got)
	}
}

func TestUpstreamPath(t *testing.T) {
	s := compile(t, Options{Path: "/ext/v1/**", StripPrefix: "/ext"}, Options{Path: "/**"})
	for raw, want := range map[string]string{
		"/ext/v1/a%20b": "/v1/a%20b",
		"/%65xt/v1/":    "/v1/",
		"/ext/v1":       "/v1",
		"/other/ext":    "/other/ext",
		"/%6Fther":      "/%6Fther",
	} {
		path, ok := Canonical(raw)
		if got := s.Route("GET", path).UpstreamPath(raw); !ok || got != want {
			t.Errorf("%s: got %s %v, want %s", raw, got, ok, want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	for _, row := range []struct {
		name           string
		all, any, have string
		need           string // "" allows
	}{
		{"nothing asked", "", "", "", ""},
		{"all there", "a b", "", "b c a", ""},
		{"one of two", "a b", "", "a", "a b"},
		{"none of two", "a b", "", "", "a b"},
		{"any there", "", "a b", "b", ""},
		{"none of any", "", "a b", "c", "a"},
		{"all and any", "a", "b c", "a c", ""},
		{"all but no any", "a", "b c", "a", "a b"},
		{"any but not all", "a", "b c", "c", "a c"},
		{"any is one of all", "a", "a b", "", "a"},
		{"longer", "read", "", "readonly", "read"},
		{"shorter", "readonly", "", "read", "readonly"},
		{"case", "read", "", "Read", "read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := compile(t, Options{Path: "/**", All: token.ParseScopes(row.all), Any: token.ParseScopes(row.any)}).Route("GET", "/")
			refusal := r.Authorize(&Request{}, &token.Principal{Scope: token.ParseScopes(row.have)}, time.Now())
			if row.need == "" {
				if refusal != nil {
					t.Errorf("refused: %v", refusal)
				}
				return
			}
			if refusal == nil || refusal.Code != token.InsufficientScope || refusal.Scope.String() != row.need {
				t.Errorf("got %v, want scope %q", refusal, row.need)
			}
			if r.All.String() != row.all || r.Any.String() != row.any {
				t.Error("the route changed")
			}
		})
	}
}

// FuzzRoute: every path that passed finds a route without a panic, and what
// the upstream is asked for is a path that would pass again.
func FuzzRoute(f *testing.F) {
	for _, raw := range []string{"/", "/ext", "/ext/", "/%65xt/a", "/a/b/c", "/%C3%A9/x", "/a%20b", "/ext/%2525"} {
		f.Add(raw, "GET", "/ext")
		f.Add(raw, "PUT", "/é")
	}
	f.Fuzz(func(t *testing.T, raw, method, prefix string) {
		path, ok := Canonical(raw)
		if !ok {
			return
		}
		options := append(slices.Clone(specificity), Options{Name: "stripped", Path: prefix + "/**", StripPrefix: prefix})
		s, err := Compile(options, Resource{})
		if err != nil {
			return
		}
		r := s.Route(method, path)
		if r == nil {
			t.Fatal("no route")
		}
		up := r.UpstreamPath(raw)
		if !strings.HasPrefix(up, "/") || !strings.HasSuffix(raw, up) && up != "/" {
			t.Fatalf("%q less %q is %q", raw, r.StripPrefix, up)
		}
		decoded, ok := Canonical(up)
		if !ok {
			t.Fatalf("%q less %q is %q, which is not canonical", raw, r.StripPrefix, up)
		}
		if r.StripPrefix != "" && r.StripPrefix+decoded != path && r.StripPrefix != path {
			t.Fatalf("%q less %q is %q", path, r.StripPrefix, decoded)
		}
		if slash := strings.HasSuffix(path, "/"); !slash && s.Route(method, path+"/") != r {
			t.Fatalf("%q and %q/ are governed by different routes", path, path)
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	s := compile(b, specificity...)
	b.ReportAllocs()
	for b.Loop() {
		s.Route("GET", "/api/42/orders")
	}
}
