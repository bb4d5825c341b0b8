package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func names(list ...string) []string { return list }

// The host comes before the path: what a host is given of its own governs there
// whatever wider hosts have.
func TestRouteByHost(t *testing.T) {
	options := []Options{
		{Name: "all orders", Path: "/orders/{id}"},
		{Name: "all", Path: "/**"},
		{Name: "api", Hosts: names("api.example.com"), Path: "/orders/**"},
		{Name: "api port", Hosts: names("api.example.com:8443"), Path: "/**"},
		{Name: "below", Hosts: names("*.example.com"), Path: "/**", Methods: []string{"GET"}},
		{Name: "below eu", Hosts: names("*.eu.example.com", "*.us.example.com"), Path: "/orders/**"},
		{Name: "below eu 8443", Hosts: names("*.eu.example.com:8443"), Path: "/**"},
		{Name: "shop", Hosts: names("shop.eu.example.com", "[2001:db8::1]"), Path: "/cart"},
	}
	orders := [][]Options{options, slices.Clone(options)}
	slices.Reverse(orders[1])
	for _, row := range []struct{ host, path, want string }{
		{"api.example.com", "/orders/1", "api"},
		{"api.example.com", "/other", "below"},
		{"api.example.com:8443", "/orders/1", "api port"},
		{"x.example.com", "/orders/1", "below"},
		{"x.y.z.example.com", "/orders/1", "below"},
		{"a.eu.example.com", "/orders/1", "below eu"},
		{"a.us.example.com", "/orders/1", "below eu"},
		{"a.eu.example.com", "/cart", "below"},
		{"a.b.eu.example.com", "/orders/1", "below eu"},
		{"eu.example.com", "/orders/1", "below"},
		{"shop.eu.example.com", "/cart", "shop"},
		{"shop.eu.example.com", "/orders/1", "below eu"},
		{"shop.eu.example.com", "/x", "below"},
		{"a.eu.example.com:8443", "/orders/1", "below eu 8443"},
		{"a.us.example.com:8443", "/orders/1", "below eu"}, // nobody names it with a port
		{"api.example.com:9000", "/orders/1", "api"},
		{"example.com:8443", "/orders/1", "all orders"},
		{"[2001:db8::1]:8443", "/cart", "shop"},
		{"example.com", "/orders/1", "all orders"},
		{"example.com", "/x", "all"},
		{"aexample.com", "/x", "all"},
		{".example.com", "/x", "all"},
		{"x.example.com.org", "/x", "all"},
		{"[2001:db8::1]", "/cart", "shop"},
		{"[2001:db8::1]", "/x", "all"},
		{"192.0.2.1", "/x", "all"},
		{"", "/x", "all"},
		{strings.Repeat("a.", 30_000) + "eu.example.com", "/orders/1", "below eu"},
		{strings.Repeat(".", 60_000), "/orders/1", "all orders"},
	} {
		for _, o := range orders {
			s := compile(t, o...)
			if got := s.Route("GET", row.host, row.path).Name; got != row.want {
				t.Errorf("%.40s%s: %q, want %q", row.host, row.path, got, row.want)
			}
			if !s.Governs(row.host, row.path) {
				t.Errorf("nothing governs %.40s%s", row.host, row.path)
			}
		}
	}
	s := compile(t, options...)
	if r := s.Route("PUT", "x.example.com", "/orders/1"); r.Matched() {
		t.Errorf("a method that the nearest route does not list goes to %q", r.Name)
	}
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"api.example.com", "api.example.com", true}, {"x.example.com", "y.example.com", true}, {"example.com", "other.org", true},
		{"api.example.com", "x.example.com", false}, {"a.us.example.com", "a.eu.example.com", false}, {"api.example.com", "example.com", false},
	} {
		if got := s.SameRoutes(row.a, row.b); got != row.same {
			t.Errorf("%s and %s: same %v", row.a, row.b, got)
		}
	}
	reads := compile(t, Options{Path: "/**", When: "request.host == claims.host"})
	if reads.SameRoutes("a.example.com", "b.example.com") || !reads.SameRoutes("a.example.com", "a.example.com") {
		t.Error("an expression looks at the host, and another may be told to the upstream")
	}
	if blind := compile(t, Options{Path: "/**", When: "claims.sub != ''"}); !blind.SameRoutes("a.example.com", "b.example.com") {
		t.Error("an expression that looks at no host keeps two apart")
	}
	only := compile(t, options[2])
	if name := options[2].Hosts[0]; only.SameRoutes(name, "none.example.net") || only.SameRoutes("none.example.net", name) {
		t.Error("a host without routes has those of another")
	}
	if only.Governs("other.example.com", "/orders/1") || only.Route("GET", "", "/orders/1").Matched() {
		t.Error("a route is for a host that it does not name")
	}
}

// What one path means to others is asked of the routes of its host only.
func TestBearsByHost(t *testing.T) {
	s := compile(t,
		Options{Name: "free", Path: "/free/**", Allow: anything},
		Options{Name: "strict", Hosts: names("strict.example.com"), Path: "/free/admin"},
		Options{Name: "folded", Hosts: names("folded.example.com"), Path: "/Folded", CaseInsensitive: true},
	)
	path, odd, _ := Scan("/free//admin")
	if e := s.Bears("api.example.com", path, odd); e != nil {
		t.Errorf("api: %v", e)
	}
	if e := s.Bears("strict.example.com", path, odd); e == nil || e.Other == nil || e.Other.Name != "strict" {
		t.Errorf("strict: %v", e)
	}
	if e := s.WouldBear("strict.example.com", path, odd); e == nil {
		t.Error("strict would bear it")
	}
	if e := s.WouldBear("api.example.com", path, odd); e != nil {
		t.Errorf("api would not bear it: %v", e)
	}
	if got := s.Route("GET", "folded.example.com", "/FOLDED").Name; got != "folded" {
		t.Errorf("folded: %q", got)
	}
}

func TestHostComplaints(t *testing.T) {
	for name, row := range map[string]struct {
		options []Options
		want    string
		other   int
	}{
		"same host":        {[]Options{{Hosts: names("a.org", "b.org"), Path: "/x"}, {Hosts: names("c.org", "b.org"), Path: "/x"}}, "routes[1].path: governs the same requests as routes[0]", 0},
		"same wildcard":    {[]Options{{Path: "/y"}, {Hosts: names("*.b.org"), Path: "/{a}"}, {Hosts: names("*.b.org"), Path: "/*"}}, "routes[2].path: governs the same requests as routes[1]", 1},
		"twice in a route": {[]Options{{Hosts: names("a.org", "a.org"), Path: "/x"}}, "routes[0].path: governs the same requests as routes[0]", 0},
		"allows":           {[]Options{{Path: "/x/**", Hosts: names("a.org"), Methods: []string{"GET"}}, {Path: "/x/**", Hosts: names("a.org"), Methods: []string{"PUT"}, Allow: EmptySegments}}, "routes[1].allow: must be the same as that of routes[0]", 0},
		"spellings":        {[]Options{{Path: "/x", Hosts: names("*.a.org")}, {Path: "/X", Hosts: names("b.a.org"), CaseInsensitive: true}}, "routes[0].case_insensitive: must be true here too: routes[1]", 1},
		"star":             {[]Options{{Hosts: names("*"), Path: "/x"}}, "routes[0].hosts: a host is a name", -1},
		"star within":      {[]Options{{Hosts: names("a.*.org"), Path: "/x"}}, "routes[0].hosts: a host is a name", -1},
		"upper case":       {[]Options{{Hosts: names("A.org"), Path: "/x"}}, "routes[0].hosts: the host A.org matches no request", -1},
		"dot at the end":   {[]Options{{Hosts: names("a.org."), Path: "/x"}}, "routes[0].hosts: the host a.org. matches no request", -1},
		"empty":            {[]Options{{Hosts: names(""), Path: "/x"}}, "routes[0].hosts: a host is a name", -1},
	} {
		_, err := Compile(row.options, Resource{})
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if e.Other == nil && row.other >= 0 || e.Other != nil && e.Other.Index() != row.other {
			t.Errorf("%s: the other route is %v", name, e.Other)
		}
	}
	for name, options := range map[string][]Options{
		"hosts":     {{Hosts: names("a.org"), Path: "/x"}, {Hosts: names("b.org"), Path: "/x"}, {Path: "/x"}, {Hosts: names("*.org"), Path: "/x"}, {Hosts: names("*.a.org"), Path: "/x"}},
		"spellings": {{Path: "/x", Hosts: names("a.org")}, {Path: "/X", Hosts: names("*.a.org", "b.org"), CaseInsensitive: true}},
	} {
		s, err := Compile(options, Resource{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if doubts := s.Doubts(); len(doubts) > 0 {
			t.Errorf("%s: %v", name, doubts)
		}
	}
}

func TestGRPCRoutes(t *testing.T) {
	s := compile(t,
		Options{Name: "list", Path: "/shop.v1.Orders/List", Methods: []string{"POST"}}, Options{Name: "orders", Path: "/shop.v1.Orders/*", Methods: []string{"POST"}},
		Options{Name: "reflection", Path: "/grpc.reflection.v1.ServerReflection/**"},
	)
	for path, want := range map[string]string{
		"/shop.v1.Orders/List": "list", "/shop.v1.Orders/Get": "orders", "/shop.v1.Orders/list": "orders", "/shop.v1.orders/List": "none", "/shop.v1.Orders": "none",
		"/shop.v1.Orders/List/": "list", "/shop.v1.Orders/List/x": "none", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "reflection",
	} {
		if got := s.Route("POST", "", path).Name; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if s.Route("GET", "", "/shop.v1.Orders/List").Matched() {
		t.Error("a method of HTTP that no call has is let through")
	}
}

// effort is the most nodes that one lookup can visit: it goes to one literal,
// one folded literal and the wildcard below each, and to each of them once.
func effort(n *node) int {
	most := func(children map[string]*node) (sum int) {
		for _, child := range children {
			sum = max(sum, effort(child))
		}
		return sum
	}
	sum := 1 + most(n.literals) + most(n.folded)
	if n.one != nil {
		sum += effort(n.one)
	}
	return sum
}

func size(n *node) int {
	sum := 1
	for _, children := range []map[string]*node{n.literals, n.folded, {"*": n.one}} {
		for _, child := range children {
			if child != nil {
				sum += size(child)
			}
		}
	}
	return sum
}

// visits walks as find does and counts.
func visits(n *node, path string) (count int, found bool) {
	segment, after, ok := (reading{}).next(path)
	if !ok {
		return 1, len(n.here) > 0 || n.rest != nil
	}
	count = 1
	for _, child := range []*node{n.literals[segment], n.folded[lower(segment, false)], n.one} {
		if child == nil {
			continue
		}
		more, found := visits(child, after)
		if count += more; found {
			return count, true
		}
	}
	return count, n.rest != nil
}

// A path cannot make a lookup try the ways through one pattern one after the
// other: each node of the tree of patterns is reached in one way, so none is
// visited twice, and a tree has no more nodes than its patterns have segments.
func TestNoBacktracking(t *testing.T) {
	for name, patterns := range map[string][]string{
		"stars":       {"/a" + strings.Repeat("/*/a", 30) + "/b"},
		"names":       {"/{x}/a" + strings.Repeat("/{y}/a", 30) + "/b"},
		"both":        {"/a" + strings.Repeat("/*/a", 30) + "/b", "/*" + strings.Repeat("/a/*", 30) + "/b", strings.Repeat("/a", 60) + "/b", strings.Repeat("/*", 60) + "/b"},
		"rest behind": {"/a" + strings.Repeat("/*/a", 30) + "/b/**", strings.Repeat("/a", 50) + "/**"},
	} {
		var options []Options
		segments := 1
		for i, p := range patterns {
			options = append(options, Options{Path: distinct(p, i)})
			segments += len(segmentsOf(p))
		}
		s := compile(t, options...)
		root := s.hosts.other[0]
		for _, length := range []int{1, 20, 60, 61, 62, 1000} {
			path := strings.Repeat("/a", length)
			count, found := visits(root, path)
			if got := len(root.find(path, reading{})) > 0; got != found {
				t.Fatalf("%s: the count is of another walk: %v, want %v", name, found, got)
			}
			if count > effort(root) || effort(root) > size(root) || size(root) > segments {
				t.Errorf("%s: %d segments make %d visits, at most %d of %d nodes for %d segments of patterns", name, length, count, effort(root), size(root), segments)
			}
		}
	}
}

// distinct gives the names of a pattern numbers, as none may come twice.
func distinct(pattern string, n int) string {
	parts := strings.Split(pattern, "{")
	for i := 1; i < len(parts); i++ {
		parts[i] = fmt.Sprintf("n%d_%d_%s", n, i, parts[i])
	}
	return strings.Join(parts, "{")
}

// manyRoutes are n routes as an API has them, half of them with names.
func manyRoutes(n int) (options []Options) {
	for i := range n / 2 {
		options = append(options,
			Options{Path: fmt.Sprintf("/v1/things%d", i)},
			Options{Path: fmt.Sprintf("/v1/{tenant}/things%d/{id}", i), Hosts: names("api.example.com", "*.example.com")})
	}
	return options
}

// What a lookup costs at most does not grow with the routes.
func TestEffortOfManyRoutes(t *testing.T) {
	for _, n := range []int{10, 1_000, 10_000} {
		s := compile(t, manyRoutes(n)...)
		sum := 0
		for _, tree := range s.hosts.trees("api.example.com") {
			sum += effort(tree)
		}
		if sum != 13 {
			t.Errorf("%d routes: up to %d nodes, want 13", n, sum)
		}
	}
}

func BenchmarkRouteOfMany(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		s := compile(b, manyRoutes(n)...)
		for name, row := range map[string]struct{ host, path string }{
			"literal": {"other.org", fmt.Sprintf("/v1/things%d", n/2-1)}, "named": {"x.example.com", fmt.Sprintf("/v1/acme/things%d/77", n/2-1)}, "none": {"api.example.com", "/v1/acme/other/77"},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if r := s.Route("GET", row.host, row.path); r.Matched() == (name == "none") {
						b.Fatal(r.Name)
					}
				}
			})
		}
	}
}
