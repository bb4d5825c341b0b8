package imports

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
)

// caller is who sends a request; without a subject, nobody.
type caller struct {
	subject string
	roles   []string
}

func (c caller) is(n needs) bool {
	if n.none() {
		return true
	}
	for _, one := range n.claims {
		if one.path != "role" || !slices.ContainsFunc(c.roles, func(r string) bool { return slices.Contains(one.values, r) }) {
			return false
		}
	}
	has := func(s string) bool { return slices.Contains(c.roles, s) } // for scopes too
	return !slices.ContainsFunc(n.all, func(s string) bool { return !has(s) }) && (len(n.any) == 0 || slices.ContainsFunc(n.any, has)) &&
		(len(n.subjects) == 0 || slices.Contains(n.subjects, c.subject))
}

func callers() []caller {
	return []caller{{}, {"alice", []string{"x"}}, {"bob", []string{"y"}}, {"bob", nil}, {"alice", []string{"x", "y"}}}
}

// gate is a draft's first resource as package policy compiles it.
type gate struct {
	t   *testing.T
	api *resource
	set *policy.Set
}

func gateOf(t *testing.T, d *draft) gate {
	t.Helper()
	r := d.resources[0]
	d.settle(r)
	var options []policy.Options
	for i, o := range r.routes {
		if len(o.needs.claims) > 0 && o.optional {
			t.Errorf("an optional route asks for claims: %+v", o)
		}
		one := policy.Options{Name: fmt.Sprint(i), Path: o.path.String(), Methods: o.methods, Public: o.public}
		if o.closed {
			one.Methods = []string{"CLOSED"}
		}
		options = append(options, one)
	}
	set, err := policy.Compile(options, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	return gate{t, r, set}
}

func (g gate) allows(method, path string, c caller) bool {
	found := g.set.Route(method, "", path)
	if !found.Matched() {
		return false
	}
	if len(g.api.routes) == 0 {
		return c.subject != ""
	}
	o := g.api.routes[found.Index()]
	switch {
	case o.closed:
		return false
	case o.public, c.subject == "" && o.optional:
		return true
	}
	return c.subject != "" && c.is(o.needs)
}

// mesh is an Istio policy, as its reference says it is judged.
type mesh struct {
	action string
	rules  []meshRule
}

type meshRule struct {
	paths, notPaths, methods, notMethods []string
	principals                           []string
	without                              bool // notRequestPrincipals: ["*"]
	roles, notRoles                      []string
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomMesh(r *rand.Rand, action string) mesh {
	m := mesh{action: action}
	for range 1 + r.IntN(3) {
		var rule meshRule
		paths := []string{"/a", "/a/*", "/a*", "/a/b", "*/b", "/b/{**}", "/a/{*}/c", "/a/b*", "/*", "/b/c"}
		for range r.IntN(3) {
			rule.paths = append(rule.paths, pick(r, paths...))
		}
		if r.IntN(4) == 0 {
			rule.notPaths = []string{pick(r, paths...)}
		}
		switch r.IntN(4) {
		case 0:
			rule.methods = []string{pick(r, "GET", "POST", "DELETE")}
		case 1:
			rule.notMethods = []string{pick(r, "GET", "POST")}
		}
		switch r.IntN(5) {
		case 0:
			rule.principals = []string{"*"}
		case 1:
			rule.principals = []string{"https://i.example//alice"}
		case 2:
			rule.without = action == "DENY"
		}
		switch r.IntN(4) {
		case 0:
			rule.roles = []string{pick(r, "x", "y")}
		case 1:
			rule.notRoles = []string{pick(r, "x", "y")}
		}
		m.rules = append(m.rules, rule)
	}
	return m
}

func (m mesh) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  action: %s\n  rules:\n", m.action)
	list := func(key string, values []string) string {
		if len(values) == 0 {
			return ""
		}
		return fmt.Sprintf("%s: [\"%s\"], ", key, strings.Join(values, `", "`))
	}
	for _, r := range m.rules {
		fmt.Fprintf(&b, "    - to: [{operation: {%s%s%s%s}}]\n", list("paths", r.paths), list("notPaths", r.notPaths), list("methods", r.methods), list("notMethods", r.notMethods))
		if r.without {
			b.WriteString("      from: [{source: {notRequestPrincipals: [\"*\"]}}]\n")
		} else if len(r.principals) > 0 {
			fmt.Fprintf(&b, "      from: [{source: {%s}}]\n", list("requestPrincipals", r.principals))
		}
		if len(r.roles)+len(r.notRoles) > 0 {
			fmt.Fprintf(&b, "      when: [{key: \"request.auth.claims[role]\", %s%s}]\n", list("values", r.roles), list("notValues", r.notRoles))
		}
	}
	return b.String()
}

func meshPath(pattern, path string) bool {
	switch {
	case strings.Contains(pattern, "{"):
		text := strings.NewReplacer("{**}", ".*", "{*}", "[^/]+").Replace(pattern)
		return regexp.MustCompile("^" + text + "$").MatchString(path)
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(path, pattern[1:])
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(path, pattern[:len(pattern)-1])
	}
	return path == pattern
}

func (r meshRule) fits(method, path string, c caller) bool {
	in := func(p string) bool { return meshPath(p, path) }
	has := func(role string) bool { return slices.Contains(c.roles, role) }
	switch {
	case len(r.paths) > 0 && !slices.ContainsFunc(r.paths, in), slices.ContainsFunc(r.notPaths, in),
		len(r.methods) > 0 && !slices.Contains(r.methods, method), slices.Contains(r.notMethods, method),
		r.without && c.subject != "",
		!r.without && len(r.principals) > 0 && (c.subject == "" || r.principals[0] != "*" && c.subject != "alice"),
		len(r.roles) > 0 && !slices.ContainsFunc(r.roles, has), slices.ContainsFunc(r.notRoles, has):
		return false
	}
	return true
}

func judged(all []mesh, method, path string, c caller) bool {
	allowed, some := false, false
	for _, m := range all {
		fits := slices.ContainsFunc(m.rules, func(r meshRule) bool { return r.fits(method, path, c) })
		if m.action == "DENY" && fits {
			return false
		}
		some, allowed = some || m.action == "ALLOW", allowed || m.action == "ALLOW" && fits
	}
	return allowed || !some
}

// TestIstioNeverLooser holds random policies against what the reference of Istio
// says of them. A slash at the end of a path does not count here, so what either
// spelling may do is good.
func TestIstioNeverLooser(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	passed, asked := 0, 0
	for range 300 {
		var all []mesh
		text := "kind: RequestAuthentication\nmetadata: {name: a}\nspec: {jwtRules: [{issuer: \"https://i.example/\"}]}\n"
		for range 1 + r.IntN(3) {
			m := randomMesh(r, pick(r, "ALLOW", "ALLOW", "DENY"))
			all = append(all, m)
			text += m.yaml()
		}
		d := &draft{format: "istio", files: []string{"f"}}
		if err := readIstio(d, []Source{{"f", []byte(text)}}); err != nil {
			t.Fatal(err, text)
		}
		g := gateOf(t, d)
		for _, path := range []string{"/", "/a", "/b", "/ab", "/a/b", "/a/bc", "/b/c", "/a/x/c", "/a/b/c", "/x/b", "/b/x/y", "/a/b/b"} {
			for _, method := range []string{"GET", "POST", "DELETE", "PUT"} {
				for _, c := range callers() {
					asked++
					if !g.allows(method, path, c) {
						continue
					}
					passed++
					if !judged(all, method, path, c) && !judged(all, method, path+"/", c) {
						shown, _ := d.write()
						t.Fatalf("%s %s by %+v passes:\n%s\n%s", method, path, c, text, shown)
					}
				}
			}
		}
	}
	if passed*20 < asked {
		t.Errorf("of %d requests only %d pass: so strict that nothing is tried", asked, passed)
	}
}

// TestExpressionsNeverLooser: what a pattern matches, the expression did.
func TestExpressionsNeverLooser(t *testing.T) {
	words := []string{"a", "b", "ab", "a.b", "7", "-"}
	paths := []string{"/"}
	for _, one := range words {
		paths = append(paths, "/"+one)
		for _, two := range words {
			paths = append(paths, "/"+one+"/"+two, "/"+one+"/"+two+"/a")
		}
	}
	governs := func(p pattern, path string) bool {
		set, err := policy.Compile([]policy.Options{{Path: p.String()}}, policy.Resource{})
		if err != nil {
			t.Fatal(p, err)
		}
		return set.Route("GET", "", path).Matched()
	}
	for text, some := range map[string]bool{
		"^/a$": true, "^/a/": true, "^/a": true, "^/a/b(/.*)?$": true, "^/a(/|$)": true, "^/a/?$": true, "^/": true, "^/a\\.b$": true, "^/a/.*$": true,
		"/a": false, "^/a.b$": false, "^/(a|b)$": false, "^/a|^/b": false, "^/[ab]": false, "(?i)^/a$": false, "^/a/.+$": false, "^/a$|/b$": false,
	} {
		p, _ := regexPattern(text)
		if (p != nil) != some {
			t.Errorf("%s becomes %v", text, p)
		}
		for _, path := range paths {
			if re := regexp.MustCompile(text); p != nil && governs(p, path) && !re.MatchString(path) && !re.MatchString(path+"/") {
				t.Errorf("%s becomes %s, which %s matches", text, p, path)
			}
		}
	}
	for text, some := range map[string]bool{
		"/a": true, "/a/<.*>": true, "/a/<.+>": true, "/<[^/]+>/a": true, "/<(a|b)>/<.*>": true, "/<a|7>": true, "/": true,
		"/a<.*>": false, "/<[0-9]+>": false, "/<.*>/a": false, "/<(?!a).*>": false, "/a/<.*>b": false,
	} {
		list, wide, problem := rulePaths(text)
		if (problem == "") != some {
			t.Errorf("%s becomes %v: %s", text, list, problem)
		}
		re, err := regexp.Compile("^" + strings.NewReplacer("<", "(", ">", ")", "(?!a)", "", ".b", `\.b`).Replace(text) + "$")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			matches := re.MatchString(path) || re.MatchString(path+"/")
			for _, p := range list {
				if governs(p, path) && !matches {
					t.Errorf("%s becomes %s, which %s matches", text, p, path)
				}
			}
			if problem != "" && matches && !governs(wide, path) {
				t.Errorf("%s is within %s, which %s does not match", text, wide, path)
			}
		}
	}
}
