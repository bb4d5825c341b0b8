package imports

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// neverLooser asks a gate for many requests, and wants those that pass to be
// good. A slash at the end of a path does not count.
func neverLooser(t *testing.T, d *draft, text string, good func(method, path string, c caller) bool) (passed int) {
	t.Helper()
	g := gateOf(t, d)
	for _, path := range []string{"/", "/a", "/b", "/ab", "/a/b", "/a/bc", "/b/c", "/a/x/c", "/a/b/c", "/x/b"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			for _, c := range callers() {
				if !g.allows(method, path, c) {
					continue
				}
				passed++
				if !good(method, path, c) && !good(method, path+"/", c) {
					shown, _ := d.write()
					t.Fatalf("%s %s by %+v passes:\n%s\n%s", method, path, c, text, shown)
				}
			}
		}
	}
	return passed
}

type oathRule struct {
	path     string // in < and >, regular expressions
	methods  []string
	handlers []string
	scope    string
	deny     bool
}

func (o oathRule) json() string {
	var ways []string
	for _, h := range o.handlers {
		config := "{}"
		if h == "jwt" && o.scope != "" {
			config = `{"required_scope": ["` + o.scope + `"]}`
		}
		ways = append(ways, fmt.Sprintf(`{"handler": %q, "config": %s}`, h, config))
	}
	authorizer := map[bool]string{true: "deny", false: "allow"}[o.deny]
	return fmt.Sprintf(`{"id": "r", "match": {"url": "https://a.example%s", "methods": ["%s"]}, "authenticators": [%s], "authorizer": {"handler": %q}}`,
		o.path, strings.Join(o.methods, `", "`), strings.Join(ways, ","), authorizer)
}

// lets goes through the handlers as Oathkeeper does. Who has a token may leave
// it away where nobody needs one.
func (o oathRule) lets(c caller) bool {
	if o.deny {
		return false
	}
	for _, h := range o.handlers {
		switch {
		case h == "noop", h == "anonymous":
			return true
		case h == "unauthorized":
			return false
		case h == "jwt" && c.subject != "":
			return o.scope == "" || slices.Contains(c.roles, o.scope)
		}
	}
	return false
}

// TestOathkeeperNeverLooser: a request passes if exactly one rule fits, and lets
// it.
func TestOathkeeperNeverLooser(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	expressions := make(map[string]*regexp.Regexp)
	passed := 0
	for range 500 {
		var rules []oathRule
		var texts []string
		for range 1 + r.IntN(4) {
			one := oathRule{
				path:    pick(r, "/a", "/a/<.*>", "/<.*>", "/a<.*>", "/a/b", "/<[^/]+>/<(b|c)>", "/a/<[a-b]+>", "/b/<.+>", "/a/<[^/]+>/c"),
				methods: pick(r, []string{"GET"}, []string{"POST", "GET"}, []string{"DELETE"}), deny: r.IntN(6) == 0, scope: pick(r, "", "x", "y"),
				handlers: pick(r, []string{"jwt"}, []string{"jwt"}, []string{"jwt", "anonymous"}, []string{"noop"}, []string{"anonymous"}, []string{"unauthorized"}, []string{"cookie_session"}, []string{"cookie_session", "jwt"}, []string{"jwt", "noop"}),
			}
			if slices.Contains(one.handlers, "anonymous") {
				one.scope = ""
			}
			if expressions[one.path] == nil {
				expressions[one.path] = regexp.MustCompile("^" + strings.NewReplacer("<", "(", ">", ")").Replace(one.path) + "$")
			}
			rules, texts = append(rules, one), append(texts, one.json())
		}
		text := "[" + strings.Join(texts, ",\n") + "]"
		d := &draft{format: "oathkeeper", files: []string{"f"}}
		if err := readOathkeeper(d, []Source{{"f", []byte(text)}}); err != nil {
			t.Fatal(err, text)
		}
		if len(d.resources) == 0 {
			continue
		}
		passed += neverLooser(t, d, text, func(method, path string, c caller) bool {
			fits, lets := 0, false
			for _, one := range rules {
				if slices.Contains(one.methods, method) && expressions[one.path].MatchString(path) {
					fits, lets = fits+1, one.lets(c)
				}
			}
			return fits == 1 && lets
		})
	}
	if passed < 2000 {
		t.Errorf("only %d requests pass: so strict that nothing is tried", passed)
	}
}

type envoyRule struct {
	action, method, role string
	anyToken, network    bool
}

// TestEnvoyGatewayNeverLooser: the first rule that fits decides, and the default
// where none does.
func TestEnvoyGatewayNeverLooser(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	passed := 0
	for range 500 {
		fallback, optional := pick(r, "", "Allow", "Deny"), r.IntN(3) == 0
		text := fmt.Sprintf("kind: SecurityPolicy\nmetadata: {name: p}\nspec:\n  targetRef: {kind: HTTPRoute, name: r}\n  jwt:\n    optional: %v\n    providers: [{name: j, issuer: \"https://i.example\"}]\n  authorization:\n", optional)
		if fallback != "" {
			text += "    defaultAction: " + fallback + "\n"
		}
		text += "    rules:\n"
		var rules []envoyRule
		for range 1 + r.IntN(4) {
			one := envoyRule{action: pick(r, "Allow", "Allow", "Deny"), method: pick(r, "", "", "GET", "POST"), role: pick(r, "x", "y"), anyToken: r.IntN(4) == 0, network: r.IntN(6) == 0}
			principal := `jwt: {provider: j, claims: [{name: role, values: ["` + one.role + `"]}]}`
			if one.anyToken {
				principal = "jwt: {provider: j}"
			}
			if one.network {
				principal += ", clientCIDRs: [10.0.0.0/8]"
			}
			operation := ""
			if one.method != "" {
				operation = ", operation: {methods: [" + one.method + "]}"
			}
			text += "      - {action: " + one.action + ", principal: {" + principal + "}" + operation + "}\n"
			rules = append(rules, one)
		}
		text += "---\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n  rules:\n    - matches: [{path: {value: " + pick(r, "/", "/a") + "}}, {path: {type: Exact, value: /a/b}, method: GET}]\n      backendRefs: [{name: one, port: 80}]\n"
		other := r.IntN(2) == 0
		if other {
			text += "    - matches: [{path: {value: /a/x}}]\n      backendRefs: [{name: two, port: 80}]\n"
		}
		d := &draft{format: "envoy-gateway", files: []string{"f"}}
		if err := readEnvoyGateway(d, []Source{{"f", []byte(text)}}); err != nil {
			t.Fatal(err, text)
		}
		passed += neverLooser(t, d, text, func(method, path string, c caller) bool {
			if c.subject == "" && !optional || other && strings.HasPrefix(path, "/a/x") {
				return false
			}
			for _, one := range rules {
				// Whether the caller is in the network is open: an Allow is then none, a Deny is one.
				fits := (one.method == "" || one.method == method) && c.subject != "" && (one.anyToken || slices.Contains(c.roles, one.role))
				if fits && (!one.network || one.action == "Deny") {
					return one.action == "Allow"
				}
			}
			return fallback == "Allow"
		})
	}
	if passed < 2000 {
		t.Errorf("only %d requests pass: so strict that nothing is tried", passed)
	}
}
