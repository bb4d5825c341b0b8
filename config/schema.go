package config

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// node is one schema; encoding/json sorts its keys.
type node map[string]any

// fromEnvironment matches text that is known only once it is expanded.
var fromEnvironment = node{"type": "string", "pattern": `\$\{`}

// Schema is the JSON Schema (draft 2020-12) of the file, for editors. The same
// program always makes the same text.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[File](), "")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "wicketgate configuration"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // maps, lists, text and numbers always marshal
	}
	return append(text, '\n')
}

func schemaOf(t reflect.Type, tag reflect.StructTag) node {
	if t == reflect.TypeFor[Scopes]() {
		return node{"anyOf": []node{schemaOf(reflect.TypeFor[[]string](), tag), objectSchema(t)}}
	}
	if isObject(t) {
		return objectSchema(t)
	}
	if scalar := scalarSchema(t, tag); scalar != nil {
		return scalar
	}
	if t.Kind() == reflect.Map {
		return node{"type": "object", "additionalProperties": schemaOf(t.Elem(), tag)}
	}
	s := node{"type": "array", "items": schemaOf(t.Elem(), tag), "uniqueItems": true}
	if tag.Get("empty") == "" {
		s["minItems"] = 1
	}
	return s
}

func objectSchema(t reflect.Type) node {
	properties, required := node{}, []string{}
	for f := range fieldsOf(t) {
		name := f.Tag.Get("yaml")
		s := schemaOf(f.Type, f.Tag)
		s["description"] = f.Tag.Get("doc")
		if text := f.Tag.Get("default"); text != "" {
			s["default"] = defaultOf(f.Type, text)
		}
		properties[name] = s
		if f.Tag.Get("required") != "" {
			required = append(required, name)
		}
	}
	s := node{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// scalarSchema is nil for what is no scalar.
func scalarSchema(t reflect.Type, tag reflect.StructTag) node {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return node{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|\$\{`}
	case reflect.TypeFor[Size]():
		return node{"type": "string", "pattern": `^[0-9]+(B|KiB|MiB|GiB)$|\$\{`}
	case reflect.TypeFor[Share]():
		return node{"anyOf": []node{{"type": "boolean"}, {"type": "string", "pattern": `^(true|false|[0-9]{1,3}%)$|\$\{`}}}
	case reflect.TypeFor[netip.Prefix]():
		return node{"type": "string", "minLength": 2}
	}
	switch t.Kind() {
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Int:
		s := node{"type": "integer", "minimum": 0}
		for key, text := range map[string]string{"minimum": tag.Get("min"), "maximum": tag.Get("max")} {
			if n, err := strconv.Atoi(text); err == nil {
				s[key] = n
			}
		}
		return s
	case reflect.String:
		if enum := tag.Get("enum"); enum != "" {
			return node{"anyOf": []node{{"enum": strings.Split(enum, ",")}, fromEnvironment}}
		}
		return node{"type": "string", "minLength": 1}
	}
	return nil
}

func defaultOf(t reflect.Type, text string) any {
	if t.Kind() == reflect.Slice {
		return strings.Split(text, ",")
	}
	if n, err := strconv.Atoi(text); err == nil && t.Kind() == reflect.Int {
		return n
	}
	if t.Kind() == reflect.Bool {
		return text == "true"
	}
	return text
}
