package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const exampleFile = "../config.example.yaml"

func nothing(string) (string, bool) { return "", false }

func TestExampleLoads(t *testing.T) {
	f, err := Load(exampleFile, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if w := f.Warnings(); len(w) != 0 || len(f.Insecure()) != 0 {
		t.Errorf("the example is warned about: %v", w)
	}
}

// TestExampleDocumentsEveryKey goes through the structs, and looks for each key
// in the example at its depth, with a comment on it or above it.
func TestExampleDocumentsEveryKey(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=") {
		t.Error("editors are not told the schema in the first line")
	}
	have := exampleKeys(t, string(text))
	eachKey(reflect.TypeFor[File](), "", func(path string, f reflect.StructField) {
		if !have[path] {
			t.Errorf("%s is not in the example", path)
		}
		delete(have, path)
	})
	for path := range have {
		free := func(table string) bool { return strings.Contains(path, table+".") }
		if !slices.ContainsFunc([]string{"headers", "audiences_by_issuer", "scope_hierarchy", "claims", "required_claims", "machine_claims", "probes", "attributes"}, free) {
			t.Errorf("%s is in the example, but is no key", path)
		}
	}
}

func TestEveryKeyHasItsDocument(t *testing.T) {
	eachKey(reflect.TypeFor[File](), "", func(path string, f reflect.StructField) {
		doc := f.Tag.Get("doc")
		if !strings.HasSuffix(doc, ".") || len(doc) < 20 {
			t.Errorf("%s: %q is no sentence", path, doc)
		}
		if text := f.Tag.Get("default"); text != "" && f.Type.Kind() != reflect.Slice && !strings.Contains(doc, "default "+text) {
			t.Errorf("%s: the sentence does not name the default %s", path, text)
		}
	})
}

// eachKey calls visit for every key; those of list items have the list's path.
func eachKey(t reflect.Type, path string, visit func(string, reflect.StructField)) {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range fieldsOf(t) {
		below := strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), ".")
		visit(below, f)
		eachKey(f.Type, below, visit)
	}
}

// exampleKeys lists the keys of the example, also those that are commented out.
func exampleKeys(t *testing.T, text string) map[string]bool {
	commented := regexp.MustCompile(`(?m)^( *)# ( *(?:- )?(?:tls:|forward_auth:|ext_authz:|token_sources:|introspection:|status_list:|shared:|redis:|database: 0, |revocation:|signals:|transmitters:|[a-z_]+: [^ ]+  ).*)$`)
	text = commented.ReplaceAllString(text, "$1$2")
	var root yaml.Node
	if err := yaml.Load([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	var walk func(string, *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		for i, c := range n.Content {
			if n.Kind != yaml.MappingNode {
				walk(path, c)
			} else if i%2 == 1 {
				below := strings.TrimPrefix(path+"."+n.Content[i-1].Value, ".")
				keys[below] = true
				walk(below, c)
			}
		}
	}
	walk("", &root)
	return keys
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestSchemaAcceptsGoodFiles(t *testing.T) {
	s := schema(t)
	files, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range append(files, exampleFile) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := yaml.Load(text, &v); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses names the bad files whose fault an editor can show.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	for _, name := range []string{
		"typos", "later-step-keys", "null-item", "null-value", "bare-numbers", "bad-units", "wrong-types", "scalar-for-list",
		"missing-keys", "missing-in-items", "version", "empty-lists", "algorithms", "enums", "list-at-top",
	} {
		text, err := os.ReadFile("testdata/" + name + ".bad.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := yaml.Load(text, &v); err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("%s is good by the schema", name)
		}
	}
}

func TestSchemaIsOneText(t *testing.T) {
	if !bytes.Equal(Schema(), Schema()) {
		t.Error("two calls, two texts")
	}
}
