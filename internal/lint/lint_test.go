package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
)

const head = `version: 1
issuers:
  - issuer: https://login.example.com/
resources:
  - identifier: https://api.example.com
    behind_tls: true
    upstream: http://127.0.0.1:3000
`

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Parse("c.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rulesAt lists the findings as rule@place.
func rulesAt(t *testing.T, text string) (list []string) {
	t.Helper()
	for _, f := range Check(parse(t, text)).Open {
		list = append(list, f.Rule+"@"+strings.TrimPrefix(f.At.Path, "resources[0]."))
	}
	return list
}

func TestRoutes(t *testing.T) {
	for name, c := range map[string]struct {
		routes []string
		want   []string
	}{
		"nothing":                 {[]string{"{path: /a}", "{path: /b}"}, nil},
		"rest is left":            {[]string{"{path: /a}", "{path: '/a/{x}'}", "{path: /a/**}"}, nil},
		"rest is gone":            {[]string{"{path: /a}", "{path: '/a/{x}/**'}", "{path: /a/**}"}, []string{"shadowed-route@routes[2].path"}},
		"rest of one is left":     {[]string{"{path: /a/b}", "{path: '/a/*/**'}", "{path: /a/**}"}, nil},
		"rest in two steps":       {[]string{"{path: /}", "{path: '/*'}", "{path: '/*/*/**'}", "{path: /**}"}, []string{"shadowed-route@routes[3].path"}},
		"rest where two are left": {[]string{"{path: /}", "{path: '/*/*/**'}", "{path: /**}"}, nil},
		"rest by methods":         {[]string{"{path: /, methods: [GET]}", "{path: '/*/**', methods: [POST]}", "{path: /**}"}, []string{"shadowed-route@routes[2].path"}},
		"case":                    {[]string{"{path: /A, case_insensitive: true}", "{path: '/a/{x}/**', case_insensitive: true}", "{path: /a/**, case_insensitive: true}"}, []string{"shadowed-route@routes[2].path"}},
		"all usual methods": {[]string{"{path: /a, methods: [GET, POST, PUT]}", "{path: /a/, methods: [PATCH, DELETE, OPTIONS]}", "{path: /a}"},
			[]string{"shadowed-route@routes[2].path"}},
		"one usual method left": {[]string{"{path: /a, methods: [GET, POST, PUT]}", "{path: /a, methods: [PATCH, OPTIONS]}", "{path: /a}"}, nil},
		"HEAD of its own":       {[]string{"{path: /a, methods: [HEAD]}", "{path: /a, methods: [GET]}"}, nil},
		"methods lost":          {[]string{"{path: /a/**, methods: [GET]}", "{path: /a/b, methods: [POST]}"}, []string{"lost-methods@routes[1].methods"}},
		"methods told beside":   {[]string{"{path: /a/**, methods: [GET]}", "{path: /a/b, methods: [POST]}", "{path: /a/b, methods: [GET]}"}, nil},
		"methods told by all":   {[]string{"{path: /a/**, methods: [GET]}", "{path: /a/b, methods: [POST]}", "{path: /a/b}"}, nil},
		"methods of all paths":  {[]string{"{path: /a/**}", "{path: /a/b, methods: [POST]}"}, nil},
		"methods elsewhere":     {[]string{"{path: /a/**, methods: [GET]}", "{path: /b/a, methods: [POST]}"}, nil},
		"HEAD is GET":           {[]string{"{path: /a/**, methods: [GET, HEAD]}", "{path: /a/b, methods: [GET]}"}, nil},

		"fallback":               {[]string{"{path: /**}", "{path: /a, scopes: [a]}"}, []string{"open-fallback@routes[0].path"}},
		"fallback asks":          {[]string{"{path: /**, subject_type: user}", "{path: /a, scopes: [a]}"}, nil},
		"fallback of others":     {[]string{"{path: /b/**}", "{path: /a, scopes: [a]}"}, nil},
		"fallback by method":     {[]string{"{path: /**, methods: [GET]}", "{path: /a, methods: [GET, PUT], scopes: [a]}"}, []string{"open-fallback@routes[0].path"}},
		"fallback, other method": {[]string{"{path: /a/*, methods: [PUT], scopes: [a]}", "{path: /a/*, methods: [GET]}"}, nil},
		"wildcard":               {[]string{"{path: '/a/{x}'}", "{path: /a/b, claims: {groups: [ops]}}"}, []string{"open-wildcard@routes[0].path"}},
		"wildcard of longer":     {[]string{"{path: '/a/{x}'}", "{path: /a/b/c, scopes: [a]}"}, nil},
		"wildcard beside rest":   {[]string{"{path: '/a/{x}'}", "{path: /a/**, scopes: [a]}"}, nil},

		"fallback, no method shared": {[]string{"{path: /**, methods: [GET]}", "{path: /a, methods: [PUT], scopes: [a]}"}, []string{"lost-methods@routes[1].methods"}},
		"fallback around some":       {[]string{"{path: /**}", "{path: /a, optional: true, scopes: [a]}"}, []string{"optional-scopes@routes[1].scopes"}},
		"fallback, case":             {[]string{"{path: /A/**, case_insensitive: true}", "{path: /a/b, scopes: [a], case_insensitive: true}"}, []string{"open-fallback@routes[0].path"}},
		"methods left":               {[]string{"{path: '/a/*', methods: [GET], scopes: [a]}", "{path: '/a/{x}'}"}, nil},
		"OPTIONS lost":               {[]string{"{path: /a/**, methods: [GET, OPTIONS]}", "{path: /a/b, methods: [GET]}"}, nil},

		"admin":               {[]string{"{path: /Admin/x, public: true}"}, []string{"public-private-path@routes[0].path"}},
		"admin for some":      {[]string{"{path: /x/metrics, optional: true}"}, []string{"public-private-path@routes[0].path"}},
		"administrators":      {[]string{"{path: /administrators, public: true}", "{path: /admin}"}, nil},
		"everything":          {[]string{"{path: /**, public: true}"}, []string{"public-everything@routes[0].path"}},
		"every second":        {[]string{"{path: '/{x}/**', public: true, methods: [GET]}"}, []string{"public-everything@routes[0].path"}},
		"everything, maybe":   {[]string{"{path: /**, optional: true}"}, nil},
		"writes":              {[]string{"{path: /x/**, public: true}", "{path: /y, public: true, methods: [DELETE]}"}, []string{"public-unsafe@routes[0].path", "public-unsafe@routes[1].methods"}},
		"reads":               {[]string{"{path: /x/**, public: true, methods: [GET, OPTIONS]}", "{path: /y, public: true}"}, nil},
		"among":               {[]string{"{path: /o/x, public: true}", "{path: '/o/{x}', scopes: [a]}"}, []string{"public-among-scoped@routes[0].path"}},
		"among open ones":     {[]string{"{path: /o/x, public: true}", "{path: /o/y}", "{path: /o/z, scopes: [a]}"}, nil},
		"among other methods": {[]string{"{path: /o/x, public: true, methods: [GET]}", "{path: /o/y, methods: [PUT], scopes: [a]}"}, nil},
		"among, twice": {[]string{"{path: /o/x, public: true}", "{path: /o/y, public: true}", "{path: /o/z, scopes: [a]}"},
			[]string{"public-among-scoped@routes[0].path", "public-among-scoped@routes[1].path"}},
		"among, for some": {[]string{"{path: /o/x, optional: true}", "{path: /o/z, scopes: [a]}"}, nil},
		"above":           {[]string{"{path: /o/**, public: true, methods: [GET]}", "{path: /o/admin/**, scopes: [a]}"}, nil},
		"at the top":      {[]string{"{path: /x, public: true}", "{path: /o, scopes: [a]}"}, nil},
		"health":          {[]string{"{path: /o/health, public: true}", "{path: /o/**, scopes: [a]}"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rulesAt(t, head+"    routes:\n      - "+strings.Join(c.routes, "\n      - ")+"\n"); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestNoRoutes: what the file leaves to its defaults is not doubted.
func TestNoRoutes(t *testing.T) {
	if got := rulesAt(t, head); got != nil {
		t.Error(got)
	}
}

func TestScopes(t *testing.T) {
	const routes = "    routes: [{path: /a, scopes: {any: [read]}}]\n"
	for hierarchy, want := range map[string][]string{
		"{write: [read]}":                 nil,
		"{all: [write], write: [read]}":   nil,
		"{a: [b, read], b: [a]}":          nil, // a circle, which holds read
		"{a: [b], b: [a]}":                {"unused-scope@scope_hierarchy.a", "unused-scope@scope_hierarchy.b"},
		"{write: [read, list]}":           {"unused-scope@scope_hierarchy.write[1]"},
		"{write: [raed], delete: [read]}": {"unused-scope@scope_hierarchy.write"},
	} {
		if got := rulesAt(t, head+"    scope_hierarchy: "+hierarchy+"\n"+routes); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", hierarchy, got, want)
		}
	}
}

func TestProxies(t *testing.T) {
	for block, doubted := range map[string]bool{
		"10.0.0.0/8": false, "172.16.0.0/12": false, "192.168.0.0/16": false, "fd00::/8": false, "fc00::/7": false, "fe80::/10": false, "127.0.0.0/8": false,
		"104.16.0.0/13": false, "96.0.0.0/10": false, "2400:cb00::/32": false, "2a00:1000::/20": false, "192.0.2.1": false,
		"96.0.0.0/9": true, "10.0.0.0/7": true, "8.0.0.0/5": true, "128.0.0.0/1": true, "2000::/3": true, "2600::/12": true,
	} {
		got := rulesAt(t, "trusted_proxies: [\""+block+"\"]\n"+head)
		if want := fmt.Sprint([]string{"wide-proxies@trusted_proxies[0]"}); doubted != (len(got) > 0) || doubted && fmt.Sprint(got) != want {
			t.Errorf("%s: %v", block, got)
		}
	}
}

func TestEverybodyIsToldOnce(t *testing.T) {
	if got := rulesAt(t, "trusted_proxies: [0.0.0.0/0]\n"+head); !slices.Equal(got, []string{"trust-all-proxies@trusted_proxies[0]"}) {
		t.Error(got)
	}
}

func TestHeaders(t *testing.T) {
	for headers, want := range map[string][]string{
		"X-Auth-Email: mail":        nil,
		"x-auth-email: mail":        {"header-twins@routes[0].forward.headers.x-auth-email"},
		"X_Auth_Name: name":         {"folded-header@routes[0].forward.headers.X_Auth_Name"},
		"X.Auth.Name: name":         {`folded-header@routes[0].forward.headers["X.Auth.Name"]`},
		"If-Match: etag":            {"spoken-header@routes[0].forward.headers.If-Match"},
		"x-original-url: url":       {"spoken-header@routes[0].forward.headers.x-original-url"},
		"X-Auth-Name: n, X-Team: t": nil,
	} {
		got := rulesAt(t, head+"    forward: {headers: {X-Auth-Email: email}}\n    routes:\n      - {path: /a, forward: {headers: {"+headers+"}}}\n      - {path: /b}\n")
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", headers, got, want)
		}
	}
}

// TestOtherHeaders: claims_header and assertion.header name headers, too.
func TestOtherHeaders(t *testing.T) {
	const assertion = "assertion: {audience: orders"
	for _, c := range []struct {
		resource, route string
		want            []string
	}{
		{"claims_header: X-Auth-Claims, claims: [a], " + assertion + ", header: X-Auth-Proof}", "headers: {X-Auth-Email: email}", nil},
		{"claims_header: X_Claims, claims: [a]", "headers: {X-Auth-Email: email}", []string{"folded-header@forward.claims_header"}},
		{assertion + ", header: X_Proof}", "claims_header: X-Auth-Claims, claims: [a]", []string{"folded-header@forward.assertion.header"}},
		{"claims_header: Prefer, claims: [a], " + assertion + ", header: Origin}", "headers: {}", []string{"spoken-header@forward.claims_header", "spoken-header@forward.assertion.header"}},
		{"headers: {}", "claims_header: If-Match, claims: [a], " + assertion + ", header: Age}", []string{"spoken-header@routes[0].forward.claims_header", "spoken-header@routes[0].forward.assertion.header"}},
		{"claims_header: X-Auth-Claims, claims: [a]", "claims_header: x-auth-claims", []string{"header-twins@routes[0].forward.claims_header"}},
		{assertion + "}", "assertion: {header: x-auth-assertion}", []string{"header-twins@routes[0].forward.assertion.header"}},
		{assertion + ", header: Origin}", "assertion: {audience: others}", []string{"spoken-header@forward.assertion.header"}},
		{"headers: {x-auth-assertion: a}", "headers: {X-Auth-Email: a}, " + assertion + ", header: X-Proof}", nil},
		{assertion + "}", "assertion: {enabled: false}, headers: {x-auth-assertion: a}", []string{"header-twins@routes[0].forward.headers.x-auth-assertion"}},
		{assertion + ", enabled: false, header: Origin}", "headers: {X-Auth-Email: a}", nil},
		{assertion + ", header: authorization}", "assertion: {header: Authorization}", nil},
		{assertion + "}", "assertion: {audience: others}", nil},
		{"headers: {x-auth-assertion: a}", "headers: {X-Auth-Email: a}, " + assertion + "}", []string{"header-twins@routes[0].forward.assertion"}},
	} {
		got := rulesAt(t, head+"    forward: {"+c.resource+"}\n    routes:\n      - {path: /a, forward: {"+c.route+"}}\n      - {path: /b}\n")
		if !slices.Equal(got, c.want) {
			t.Errorf("%s and %s: got %v, want %v", c.resource, c.route, got, c.want)
		}
	}
}

func TestAllowances(t *testing.T) {
	const doubtful = "{path: /hooks/payment, public: true, methods: [POST]}"
	for name, c := range map[string]struct {
		routes  string
		want    []string
		allowed int
	}{
		"none":               {"- " + doubtful, []string{"public-unsafe"}, 0},
		"behind":             {"- " + doubtful + " # check: allow public-unsafe", nil, 1},
		"without a space":    {"- " + doubtful + "   #check: allow public-unsafe   ", nil, 1},
		"with a reason":      {"- " + doubtful + " # check: allow public-unsafe (signed, see RFC 9421)", nil, 1},
		"above":              {"# check: allow public-unsafe\n\n      # more words\n      - " + doubtful, nil, 1},
		"for one line only":  {"# check: allow public-unsafe\n      - {path: /x}\n      - " + doubtful, []string{"unused-allow", "public-unsafe"}, 0},
		"another rule":       {"- " + doubtful + " # check: allow open-fallback", []string{"public-unsafe", "unused-allow"}, 0},
		"no rule":            {"- " + doubtful + " # check: allow public-unsave", []string{"public-unsafe", "unused-allow"}, 0},
		"two":                {"- {path: /admin, public: true, methods: [POST]} # check: allow public-unsafe, public-private-path", nil, 2},
		"one of two":         {"- " + doubtful + " # check: allow public-unsafe,public-private-path", []string{"unused-allow"}, 1},
		"twice":              {"# check: allow public-unsafe\n      - " + doubtful + " # check: allow public-unsafe", nil, 1},
		"within a word":      {"- " + doubtful + " # recheck: allow public-unsafe", []string{"public-unsafe"}, 0},
		"with nothing":       {"- " + doubtful + " # check: allow", []string{"public-unsafe"}, 0},
		"in a block, above":  {"- path: /hooks/x\n        public: true\n        # check: allow public-unsafe\n        methods:\n          - POST", nil, 1},
		"in a block, behind": {"- path: /hooks/x\n        public: true\n        methods: # check: allow public-unsafe\n          - POST", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			all := Check(parse(t, head+"    routes:\n      "+c.routes+"\n"))
			var got []string
			for _, f := range all.Open {
				got = append(got, f.Rule)
			}
			if !slices.Equal(got, c.want) || all.Allowed != c.allowed {
				t.Errorf("got %v and %d allowed, want %v and %d", got, all.Allowed, c.want, c.allowed)
			}
		})
	}
}

func TestMisspeltAllowance(t *testing.T) {
	all := Check(parse(t, head+"    routes:\n      - {path: /x}  # check: allow public-unsave (#5)\n"))
	if want := "c.yaml:9:21: warning: allows public-unsave, which is no rule (did you mean `public-unsafe`?) [unused-allow]"; !strings.HasPrefix(all.Open[0].String(), want+"\n") {
		t.Errorf("got %s, want %s", all.Open[0], want)
	}
}

func TestRulesHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || r.What == "" || strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q: %q", r.ID, r.What)
		}
		seen[r.ID] = true
	}
}
