package tests

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

// inFile are the keys of the gate's own file that templates of the chart read,
// each with a value of the right type.
const inFile = `
version: 1
listen: ":8420"
admin: {listen: ":8421"}
tls: {cert_file: /run/secrets/wicketgate/tls/tls.crt}
trusted_proxies: [10.0.0.0/8]
ext_authz: {listen: ":8440"}
forward_auth: {listen: ":8450"}
resources: [{listen: ":8430"}]
dpop: {replay: {store: redis}}
drain: {delay: 5s, timeout: 25s}
`

// everything is a release in which whatever reads a value reads it. Rules and
// dashboard are left out: they only repeat files, which takes long.
const everything = `
ports: {extra: [{name: grpc, port: 8440}, {name: asks, port: 8450}, {name: more, port: 8430}]}
tls: {existingSecret: tls}
replicaCount: 2
ingress: {enabled: true, hosts: [{host: api.example.com, paths: [{path: /}]}], tls: [{secretName: tls}]}
httpRoute: {enabled: true, parentRefs: [{name: public}]}
networkPolicy: {enabled: true, upstream: {podLabels: {app: api}}}
metrics: {serviceMonitor: {enabled: true}, nativeHistograms: true}
autoscaling: {enabled: true}
injector: {enabled: true}
`

// wrong are values of all the types that YAML has.
var wrong = map[string]any{
	"text": "wrong", "number": 5, "truth": true, "null": nil,
	"list of texts": []any{"wrong"}, "list of maps": []any{map[string]any{"wrong": "wrong"}}, "map": map[string]any{"wrong": "wrong"},
}

// unforeseen is what helm's engine says of an error that no template ends with
// fail, and what a template prints of a value that is not what it took it for.
var unforeseen = regexp.MustCompile(`error calling (?:[a-df-z]|e[^r])|wrong type for value|nil pointer|can't evaluate|can't iterate|interface conversion|incompatible types|%!|<nil>|<no value>|map\[`)

// TestWrongTypes: a value of whatever type in whatever place gives objects that
// Kubernetes reads, or a sentence that names the place.
func TestWrongTypes(t *testing.T) {
	values := map[string]any{}
	for _, text := range []string{string(read(t, chart+"/values.yaml")), everything} {
		var one map[string]any
		if err := yaml.Unmarshal([]byte(text), &one); err != nil {
			t.Fatal(err)
		}
		values = merged(values, one)
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(inFile), &config); err != nil {
		t.Fatal(err)
	}
	values["config"] = config
	if err := tried(values); err != nil {
		t.Fatalf("with the right types: %v", err)
	}
	for _, place := range places(nil, values) {
		t.Run(strings.Join(place, "."), func(t *testing.T) {
			t.Parallel()
			for _, what := range slices.Sorted(maps.Keys(wrong)) {
				err := tried(replaced(values, place, wrong[what]))
				if err != nil && !names(err.Error(), place) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// tried renders and decodes. What neither the schema nor a template foresaw is
// told by an error that starts with "unforeseen".
func tried(values map[string]any) error {
	r, err := judge.Render(judge.Install{Chart: chart, Set: values})
	if err != nil {
		if unforeseen.MatchString(err.Error()) {
			return fmt.Errorf("unforeseen: %w", err)
		}
		return err
	}
	for name, text := range r.Manifests {
		if found := unforeseen.FindString(text); found != "" {
			return fmt.Errorf("unforeseen: %s prints %s", name, found)
		}
	}
	if _, err := r.Objects(); err != nil && !strings.Contains(err.Error(), `.wrong"`) { // Kubernetes names what it does not know
		return fmt.Errorf("unforeseen: %w", err)
	}
	return nil
}

// names reports whether an error tells the place: as the chart writes it, as the
// gate's own file does, or as the schema does, which names the place around it
// when something is missing.
func names(text string, place []string) bool {
	last := len(place) - 1
	path := strings.TrimSuffix(strings.TrimPrefix(strings.Join(place, "."), "config."), ".enabled")
	return !strings.HasPrefix(text, "unforeseen") && (strings.Contains(text, path) || strings.Contains(text, "/"+strings.Join(place, "/")) ||
		strings.Contains(text, "/"+strings.Join(place[:last], "/")+"': missing property '"+place[last]+"'"))
}

// places are the paths of all values.
func places(above []string, values map[string]any) (out [][]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		place := append(slices.Clone(above), name)
		out = append(out, place)
		if below, ok := values[name].(map[string]any); ok {
			out = append(out, places(place, below)...)
		}
	}
	return out
}

// replaced is a copy with another value in a place.
func replaced(values map[string]any, place []string, with any) map[string]any {
	out := maps.Clone(values)
	if len(place) == 1 {
		out[place[0]] = with
		return out
	}
	below, _ := values[place[0]].(map[string]any)
	out[place[0]] = replaced(below, place[1:], with)
	return out
}

// merged is a over which b is laid.
func merged(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	for name, value := range b {
		below, is := value.(map[string]any)
		under, was := out[name].(map[string]any)
		if is && was {
			out[name] = merged(under, below)
			continue
		}
		out[name] = value
	}
	return out
}
