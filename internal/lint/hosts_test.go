package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestHosts: the routes of a host go before those of wider ones, and those of
// hosts that never meet are not compared.
func TestHosts(t *testing.T) {
	const p, q = "hosts: [p.example.com]", "hosts: [q.example.com]"
	const under, deep = `hosts: ["*.example.com"]`, `hosts: ["*.eu.example.com"]`
	for name, c := range map[string]struct {
		routes []string
		want   []string
	}{
		"other hosts, methods":   {[]string{"{path: /x/**, methods: [GET], " + p + "}", "{path: /x/y, methods: [POST], " + q + "}"}, nil},
		"one host, methods":      {[]string{"{path: /x/**, methods: [GET], " + p + "}", "{path: /x/y, methods: [POST], " + p + "}"}, []string{"lost-methods@routes[1].methods"}},
		"second host, methods":   {[]string{"{path: /x/**, methods: [GET], " + q + "}", "{path: /x/y, methods: [POST], hosts: [p.example.com, q.example.com]}"}, []string{"lost-methods@routes[1].methods"}},
		"other hosts, one path":  {[]string{"{path: /x/**, methods: [GET, PUT]}", "{path: /x/y, methods: [GET], " + p + "}", "{path: /x/y, methods: [PUT], " + q + "}"}, []string{"lost-methods@routes[1].methods", "lost-methods@routes[2].methods"}},
		"told beside, elsewhere": {[]string{"{path: /x/**, methods: [GET]}", "{path: /x/y, methods: [PUT]}", "{path: /x/y, methods: [GET], " + p + "}"}, []string{"lost-methods@routes[1].methods", "lost-methods@routes[2].methods"}},

		"one path, all hosts":            {[]string{"{path: /o, methods: [GET], " + p + "}", "{path: /o}"}, []string{"lost-methods@routes[0].methods"}},
		"one path, method of all hosts":  {[]string{"{path: /o, methods: [GET], " + p + "}", "{path: /o, methods: [POST]}"}, []string{"lost-methods@routes[0].methods"}},
		"one path, told":                 {[]string{"{path: /o, methods: [GET], " + p + "}", "{path: /o, methods: [POST], " + p + "}", "{path: /o, methods: [POST, GET]}"}, nil},
		"one path, all methods":          {[]string{"{path: /o, " + p + "}", "{path: /o, methods: [POST]}"}, nil},
		"one path, wildcard":             {[]string{"{path: /o, methods: [GET], " + p + "}", "{path: /o, " + under + "}"}, []string{"lost-methods@routes[0].methods"}},
		"one path, longer wildcard":      {[]string{"{path: /o, methods: [GET], " + deep + "}", "{path: /o, " + under + "}"}, []string{"lost-methods@routes[0].methods"}},
		"one path, name of the wildcard": {[]string{"{path: /o, methods: [GET], " + under + "}", "{path: /o, hosts: [example.com]}"}, nil},
		"one path, other wildcard":       {[]string{"{path: /o, methods: [GET], " + p + "}", "{path: /o, " + deep + "}"}, nil},
		"path within":                    {[]string{"{path: /o/**, methods: [GET], " + p + "}", "{path: /o/x, methods: [POST]}"}, []string{"lost-methods@routes[0].methods"}},
		"path within, of the host too":   {[]string{"{path: /o/**, methods: [GET], " + p + "}", "{path: /o/x, methods: [POST, GET], " + p + "}", "{path: /o/x, methods: [POST]}"}, nil},
		"path around":                    {[]string{"{path: /o/x, methods: [GET], " + p + "}", "{path: /o/**, methods: [POST]}"}, []string{"lost-methods@routes[0].methods"}},
		"path around, of the host too":   {[]string{"{path: /o/x, methods: [GET], " + p + "}", "{path: /o/**, scopes: [a], " + p + "}", "{path: /o/**, methods: [POST]}"}, nil},
		"path around, all methods":       {[]string{"{path: /o/x, methods: [GET], " + p + "}", "{path: /o/**}"}, nil},
		"path aside":                     {[]string{"{path: /o/x, methods: [GET], " + p + "}", "{path: /o/y, methods: [POST]}"}, nil},

		"shadowed at the first host": {[]string{"{path: /a, " + p + "}", `{path: "/a/{x}/**", ` + p + "}", "{path: /a/**, hosts: [p.example.com, q.example.com]}"}, nil},
		"shadowed at both hosts": {[]string{"{path: /a, hosts: [p.example.com, q.example.com]}", `{path: "/a/{x}/**", ` + p + "}", `{path: "/a/*/**", ` + q + "}", "{path: /a/**, hosts: [p.example.com, q.example.com]}"},
			[]string{"shadowed-route@routes[3].path"}},
		"not below": {[]string{"{path: /a, " + p + "}", "{path: /a, " + under + "}", "{path: /a}"}, nil},

		"fallback of another host":   {[]string{"{path: /**, " + p + "}", "{path: /a, scopes: [a], " + q + "}"}, nil},
		"fallback of one host":       {[]string{"{path: /**, " + p + "}", "{path: /a, scopes: [a], " + p + "}"}, []string{"open-fallback@routes[0].path"}},
		"fallback of all hosts":      {[]string{"{path: /**}", "{path: /a, scopes: [a], " + p + "}"}, []string{"open-fallback@routes[0].path"}},
		"fallback that is not asked": {[]string{"{path: /**}", "{path: /a, scopes: [a], " + p + "}", "{path: /**, scopes: [b], " + p + "}"}, nil},
		"fallback of two hosts":      {[]string{"{path: /**, hosts: [p.example.com, q.example.com]}", "{path: /a, scopes: [a], hosts: [q.example.com, p.example.com]}"}, []string{"open-fallback@routes[0].path"}},
		"wildcard of another host":   {[]string{`{path: "/a/{x}", ` + p + "}", "{path: /a/b, scopes: [a], " + q + "}"}, nil},

		"opened":               {[]string{"{path: /a/**, " + p + "}", "{path: /a/b, scopes: [a]}"}, []string{"opened-by-host@routes[0].hosts"}},
		"opened to everybody":  {[]string{"{path: /a/**, methods: [GET], public: true, " + p + "}", "{path: /a/b, methods: [GET], scopes: [a]}"}, []string{"opened-by-host@routes[0].hosts"}},
		"opened by a wildcard": {[]string{"{path: /a/*, " + under + "}", "{path: /a/b, scopes: [a]}"}, []string{"opened-by-host@routes[0].hosts"}},
		"opened at two hosts":  {[]string{"{path: /a/**, hosts: [p.example.com, q.example.com]}", "{path: /a/b, scopes: [a]}"}, []string{"opened-by-host@routes[0].hosts"}},
		"opened elsewhere":     {[]string{"{path: /a/**, " + p + "}", "{path: /a/b, scopes: [a], " + q + "}"}, nil},
		"opened, one path":     {[]string{"{path: /a/b, " + p + "}", "{path: /a/b, scopes: [a]}"}, nil},
		"opened, asked again":  {[]string{"{path: /a/**, " + p + "}", "{path: /a/b, scopes: [a]}", "{path: /a/b, scopes: [b], " + p + "}"}, []string{"open-fallback@routes[0].path"}},
		"opened, asks itself":  {[]string{"{path: /a/**, scopes: [b], " + p + "}", "{path: /a/b, scopes: [a]}"}, nil},
		"opened, by methods":   {[]string{"{path: /a/**, methods: [GET], " + p + "}", "{path: /a/b, methods: [PUT], scopes: [a]}"}, []string{"lost-methods@routes[0].methods"}},

		"among those of another host": {[]string{"{path: /o/x, public: true, " + p + "}", `{path: "/o/{x}", scopes: [a], ` + q + "}"}, nil},
		"among those of a wildcard":   {[]string{"{path: /o/x, public: true, " + p + "}", "{path: /o/y, scopes: [a], " + under + "}"}, []string{"public-among-scoped@routes[0].path"}},
		"among those of one name":     {[]string{"{path: /o/x, public: true, " + under + "}", "{path: /o/y, scopes: [a], " + p + "}"}, []string{"public-among-scoped@routes[0].path"}},
		"among, open elsewhere":       {[]string{"{path: /o/x, public: true, " + p + "}", "{path: /o/y, scopes: [a]}", "{path: /o/z, " + q + "}"}, []string{"public-among-scoped@routes[0].path"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rulesAt(t, head+"    routes:\n      - "+strings.Join(c.routes, "\n      - ")+"\n"); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestHostsOfResource: where a resource lists its hosts there are no others.
func TestHostsOfResource(t *testing.T) {
	const hosts = "    hosts: [p.example.com, q.example.com]\n"
	for routes, want := range map[string][]string{
		"{path: /a, hosts: [p.example.com]}, {path: /a}":                                     nil,
		"{path: /a, hosts: [p.example.com]}, {path: /a, hosts: [q.example.com]}, {path: /a}": {"shadowed-route@routes[2].path"},
		`{path: /a, hosts: ["*.example.com"]}, {path: /a}`:                                   {"shadowed-route@routes[1].path"},
		`{path: /a, methods: [GET], hosts: ["*.example.com"]}, {path: /a, methods: [PUT]}`:   {"lost-methods@routes[0].methods", "shadowed-route@routes[1].path"},
	} {
		if got := rulesAt(t, head+hosts+"    routes: ["+routes+"]\n"); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", routes, got, want)
		}
	}
}

func TestLostAtHost(t *testing.T) {
	all := Check(parse(t, head+"    routes:\n      - {path: /o, hosts: [\"*.example.com\"], methods: [GET]}\n      - {path: /o}\n"))
	const want = "c.yaml:9:46 resources[0].routes[0].methods: warning: refuses POST, PUT, PATCH, DELETE at *.example.com on paths that routes[1] seems to take it for: " +
		"the routes of a host go before those of wider ones, whatever their methods (list it here, or add a route for it with that path for this host) [lost-methods]\n"
	if len(all.Open) != 1 || !strings.HasPrefix(all.Open[0].String(), want) {
		t.Errorf("got %v, want %s", all.Open, want)
	}
}

// TestShadowedByMethods: where nothing governs in its place, none is named.
func TestShadowedByMethods(t *testing.T) {
	all := Check(parse(t, head+"    routes: [{path: /a, methods: [GET]}, {path: '/a/*/**', methods: [GET]}, {path: /a/**, methods: [POST]}]\n"))
	const want = "no request reaches this route: more specific ones take all of its paths (remove it, or list its methods in those) [shadowed-route]\n"
	if !slices.ContainsFunc(all.Open, func(f Finding) bool { return strings.Contains(f.String(), want) }) {
		t.Errorf("got %v, want %s", all.Open, want)
	}
}

// TestExactAsPolicy: the most exact route of a view is the one that governs.
func TestExactAsPolicy(t *testing.T) {
	text := head + "    routes:\n      - {path: /**, scopes: [a]}\n"
	for i, host := range []string{"example.com", "*.example.com", "*.eu.example.com", "p.eu.example.com", "*.com:8443", "p.example.com:8443", "q.example.com.", "*.q.example.com"} {
		text += fmt.Sprintf("      - {path: /**, scopes: [a], hosts: [%q, %q]}\n", host, fmt.Sprintf("*.u%d.%s", i, strings.TrimPrefix(host, "*.")))
	}
	f := parse(t, text)
	l := &linter{File: f}
	views := l.views("resources[0]", &f.Resources[0])
	if len(views) != 17 {
		t.Errorf("%d views, want one for each host and that of all others", len(views))
	}
	for _, v := range views {
		best := slices.MaxFunc(v.routes, func(a, b route) int { return a.rank - b.rank })
		if got := v.set.Route("GET", v.host, "/x").Index(); got != best.index {
			t.Errorf("%s: routes[%d] governs, and routes[%d] is the most exact", v.host, got, best.index)
		}
	}
}
