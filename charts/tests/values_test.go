package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/yaml"
	plainyaml "sigs.k8s.io/yaml"
)

// schema is a node of values.schema.json.
type schema map[string]any

func (s schema) at(keys ...string) schema {
	for _, k := range keys {
		next, _ := s[k].(map[string]any)
		s = next
	}
	return s
}

func valuesSchema(t *testing.T) schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal(read(t, chart+"/values.schema.json"), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// resolve follows a reference.
func (s schema) resolve(root schema) schema {
	if ref, ok := s["$ref"].(string); ok {
		return root.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return s
}

// TestValuesAndSchemaAgree: each value has its place in the schema, and the schema
// knows none that values.yaml does not show.
func TestValuesAndSchemaAgree(t *testing.T) {
	root := valuesSchema(t)
	var values map[string]any
	if err := plainyaml.UnmarshalStrict(read(t, chart+"/values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	unshown := map[string]bool{
		"/enabled":          true, // Helm's
		"/config":           true, // the gate's
		"/resources/claims": true,
	}
	var agree func(path string, value map[string]any, s schema)
	agree = func(path string, value map[string]any, s schema) {
		s = s.resolve(root)
		known := s.at("properties")
		if known == nil {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if _, ok := known[name]; !ok {
				t.Errorf("%s/%s is not in the schema", path, name)
			}
			if below, ok := value[name].(map[string]any); ok {
				agree(path+"/"+name, below, known.at(name))
			}
		}
		if strings.HasSuffix(path, "Probe") || strings.HasSuffix(path, "/httpGet") {
			return // what a probe may say is the kubelet's affair
		}
		for name := range known {
			if _, ok := value[name]; !ok && !unshown[path] && !unshown[path+"/"+name] {
				t.Errorf("%s/%s of the schema is not in values.yaml", path, name)
			}
		}
	}
	agree("", values, root)
}

// TestSchemaIsClosed: an object takes keys that it does not name only where
// Kubernetes, the gate or another chart says what they are.
func TestSchemaIsClosed(t *testing.T) {
	root := valuesSchema(t)
	if root["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", root["$schema"])
	}
	open := []string{
		"/properties/global", "/properties/config",
		"/properties/config/properties/dpop", "/properties/config/properties/dpop/properties/replay", "/properties/config/properties/drain",
		"/properties/config/properties/resources/items", "/properties/config/properties/tls", "/$defs/listener",
		"/properties/podSecurityContext", "/properties/podSecurityContext/properties/seccompProfile",
		"/properties/securityContext", "/properties/securityContext/properties/capabilities", "/properties/affinity",
		"/properties/autoscaling/properties/behavior", "/properties/extraEnv/items/properties/valueFrom",
		"/$defs/objects/items",
	}
	seen := []string{}
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case map[string]any:
			if _, said := node["additionalProperties"]; node["type"] == "object" && !said {
				seen = append(seen, path)
			}
			for name, below := range node {
				walk(path+"/"+name, below)
			}
		case []any:
			for i, below := range node {
				walk(fmt.Sprintf("%s/%d", path, i), below)
			}
		}
	}
	walk("", map[string]any(root))
	slices.Sort(open)
	slices.Sort(seen)
	if !slices.Equal(open, seen) {
		t.Errorf("open objects are %q, meant are %q", seen, open)
	}
}

// TestValuesAreShort: whoever installs the chart can read all of them.
func TestValuesAreShort(t *testing.T) {
	if n := bytes.Count(read(t, chart+"/values.yaml"), []byte("\n")); n >= 250 {
		t.Errorf("values.yaml has %d lines, 250 are too many", n)
	}
}

// TestReadme: the table of values in the chart's README is made from the comments
// of values.yaml.
func TestReadme(t *testing.T) {
	file := chart + "/README.md"
	readme := read(t, file)
	table := valuesTable(t, read(t, chart+"/values.yaml"))
	between := regexp.MustCompile(`(?s)(<!-- values -->\n).*(<!-- /values -->)`)
	if !between.Match(readme) {
		t.Fatal("no place for the table in the README")
	}
	want := between.ReplaceAllFunc(readme, func([]byte) []byte { return []byte("<!-- values -->\n" + table + "<!-- /values -->") })
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(readme, want) {
		t.Error("the README's table is not that of values.yaml; go test -run TestReadme -update")
	}
}

// valuesTable has a row for each value that is no map written over several lines,
// and one for such a map when it is described.
func valuesTable(t *testing.T, text []byte) string {
	t.Helper()
	doc, err := yaml.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString("| value | default | meaning |\n|---|---|---|\n")
	var rows func(prefix string, m *yaml.Node)
	rows = func(prefix string, m *yaml.Node) {
		for i := 0; i+1 < len(m.Content); i += 2 {
			key, value := m.Content[i], m.Content[i+1]
			name, meaning := prefix+key.Value, described(key.HeadComment)
			if value.Kind == yaml.MappingNode && value.Style&yaml.FlowStyle == 0 && len(value.Content) > 0 {
				if meaning != "" {
					fmt.Fprintf(&out, "| `%s` | | %s |\n", name, meaning)
				}
				rows(name+".", value)
				continue
			}
			fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", name, inline(t, value), meaning)
		}
	}
	rows("", doc.YNode())
	return out.String()
}

// described is what follows the last "# --" of a comment.
func described(comment string) string {
	at := strings.LastIndex(comment, "# -- ")
	if at < 0 {
		return ""
	}
	lines := strings.Split(comment[at+len("# -- "):], "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(l, "#"))
	}
	return strings.ReplaceAll(strings.Join(lines, " "), "|", `\|`)
}

// inline is a value on one line.
func inline(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}
