package imports_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/wicketgate/wicketgate/internal/imports"
)

// TestRefused: what cannot be read is told with its line, and nothing is made.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ format, text, want string }{
		"no such format":     {"kong", "a: b", "no such format: kong; there are openapi"},
		"not YAML":           {"openapi", "openapi: 3.0.0\npaths: [", "f:3: is not YAML"},
		"not UTF-8":          {"openapi", "openapi: 3.0.0\ninfo: \xff", "f:2: is not UTF-8"},
		"empty":              {"istio", "---\n---\n", "f: is empty"},
		"huge":               {"openapi", strings.Repeat("#", 4<<20+1), "longer than 4 MiB"},
		"deep":               {"openapi", "a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "f:1: has more than 64 levels"},
		"very deep":          {"openapi", "a: " + strings.Repeat("[", 200000), "f"},
		"alias bomb":         {"istio", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "f:2: has an alias"},
		"merge key":          {"istio", "a: &a {x: 1}\nb:\n  <<: {y: 1}\n", "f:3: has a key that is no plain text"},
		"key twice":          {"openapi", "openapi: 3.0.0\npaths: {}\npaths: {}\n", "f:3: has a key for the second time; first in line 2"},
		"no description":     {"openapi", "asyncapi: 3.0.0\n", "f:1: is no OpenAPI 3 description"},
		"Swagger":            {"openapi", "\nswagger: \"2.0\"\n", "f:2: is Swagger 2.0"},
		"text for a list":    {"openapi", "openapi: 3.0.0\npaths:\n  /a:\n    get:\n      security: none\n", "f:5: wants a list"},
		"list for keys":      {"openapi", "openapi: 3.0.0\npaths:\n  - /a\n", "f:3: wants keys with values"},
		"no object":          {"istio", "a: b\n", "f:1: is no Kubernetes object"},
		"other objects":      {"istio", "kind: Service\n", "f:1: there is neither a RequestAuthentication nor an AuthorizationPolicy"},
		"unknown action":     {"istio", "kind: AuthorizationPolicy\nspec: {action: MAYBE, rules: [{}]}\n", "f:2: is no action"},
		"two workloads":      {"istio", "kind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: a}}}\n---\nkind: AuthorizationPolicy\nmetadata: {name: b}\nspec: {selector: {matchLabels: {app: b}}}\n", "name one with --workload, like app=b"},
		"no policy":          {"envoy-gateway", "kind: HTTPRoute\n", "f:1: there is no SecurityPolicy"},
		"no rule":            {"oathkeeper", "- id: a\n", "f:1: is no access rule"},
		"half a rule":        {"oathkeeper", "[{\"id\": \"a\", \"match\": {\"url\": [1]}}]", "f:1: wants text"},
		"table":              {"oauth2-proxy", "a = 1\n[b]\n", "f:2: has a table"},
		"setting twice":      {"oauth2-proxy", "a = 1\nb = 2\na = 3\n", "f:3: has a for the second time; first in f:1"},
		"no equals":          {"oauth2-proxy", "a 1\n", "f:1: wants = behind a"},
		"open text":          {"oauth2-proxy", "a = \"b\n", "f:1: has text without its closing quote"},
		"open list":          {"oauth2-proxy", "a = [\"b\",\n\"c\"\n", "f:3: wants , or ] in a list"},
		"bare word":          {"oauth2-proxy", "\na = yes\n", "f:2: wants text in quotes"},
		"several lines":      {"oauth2-proxy", "a = \"\"\"b\n\"\"\"", "f:1: has text over several lines"},
		"odd escape":         {"oauth2-proxy", `a = "\u0041"`, "f:1: has an escape other than"},
		"more behind":        {"oauth2-proxy", "a = 1 2\n", "f:1: has more behind the value of a"},
		"binary":             {"oauth2-proxy", "\x00\x01", "f:1: wants key = value"},
		"identifier for two": {"oathkeeper", "[" + plainRule("a.example") + "," + plainRule("b.example") + "]", "has a second API, so one identifier is not enough"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := imports.Import(c.format, []imports.Source{{Name: "f", Text: []byte(c.text)}}, imports.Options{Identifier: "https://api.example.com"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("says %v, want %q", err, c.want)
			}
			if got != nil {
				t.Errorf("makes\n%s", got.Text)
			}
			if _, placed := errors.AsType[*imports.Error](err); !placed && c.format != "kong" {
				t.Errorf("%T has no place", err)
			}
		})
	}
}

func plainRule(host string) string {
	return `{"id":"a","match":{"url":"https://` + host + `/a","methods":["GET"]},"authenticators":[{"handler":"noop"}],"authorizer":{"handler":"allow"}}`
}

// TestHostileText: names and values of the files stay within what they are.
func TestHostileText(t *testing.T) {
	const hostile = `x\n  - path: /**\n    public: true\u0085\u2028\"'#: ${HOME} %`
	for format, text := range map[string]string{
		"openapi":       `{"openapi":"3.0.0","paths":{"/` + hostile + `":{"get":{"operationId":"` + hostile + `"}},"/ok":{"get":{"operationId":"` + hostile + `","security":[{"a":["` + hostile + `"]}]}}},"components":{"securitySchemes":{"a":{"type":"oauth2"}}}}`,
		"istio":         `{"kind":"AuthorizationPolicy","spec":{"rules":[{"when":[{"key":"request.auth.claims[` + hostile + `]","values":["` + hostile + `"]}]}]}}`,
		"oathkeeper":    `[{"id":"` + hostile + `","match":{"url":"https://a.example/a","methods":["GET"]},"authenticators":[{"handler":"jwt","config":{"target_audience":["` + hostile + `"]}}],"authorizer":{"handler":"allow"},"upstream":{"url":"` + hostile + `"}}]`,
		"envoy-gateway": `{"kind":"SecurityPolicy","metadata":{"name":"` + hostile + `"},"spec":{"jwt":{"providers":[{"issuer":"` + hostile + `","audiences":["` + hostile + `"]}]}}}`,
	} {
		got, err := imports.Import(format, []imports.Source{{Name: "f\n# g", Text: []byte(text)}}, imports.Options{})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		sound(t, got)
	}
}

// sound wants a file that is YAML with the keys that are written, and no public
// route.
func sound(t *testing.T, got *imports.Result) {
	t.Helper()
	var file struct {
		Version   int
		Listen    string
		TLS       map[string]string
		Issuers   []map[string]any
		Resources []struct {
			Routes []map[string]any
			Rest   map[string]any `yaml:",inline"`
		}
	}
	loader, err := yaml.NewLoader(bytes.NewReader(got.Text), yaml.WithKnownFields())
	if err == nil {
		err = loader.Load(&file)
	}
	if err != nil || file.Version != 1 || len(file.Issuers) == 0 || len(file.Resources) == 0 {
		t.Fatalf("%v:\n%s", err, got.Text)
	}
	for _, r := range file.Resources {
		for _, o := range r.Routes {
			if o["path"] == nil || o["public"] != nil && !bytes.Contains(got.Text, []byte("# needs no token")) {
				t.Errorf("a route %v:\n%s", o, got.Text)
			}
		}
	}
}

// FuzzImport: whatever the file, the answer is an error with a place or a sound
// configuration.
func FuzzImport(f *testing.F) {
	for name := range flags() {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		format, file := filepath.Split(name)
		f.Add(strings.TrimSuffix(format, "/"), filepath.Ext(file), string(text))
	}
	f.Fuzz(func(t *testing.T, format, ext, text string) {
		got, err := imports.Import(format, []imports.Source{{Name: "f" + ext, Text: []byte(text)}}, imports.Options{})
		if err == nil {
			sound(t, got)
		}
	})
}
