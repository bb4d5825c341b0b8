package config

import (
	"reflect"
	"strings"
)

// syntax tells what was most likely meant where a text is no YAML, by what the
// parser says of it. None of the parser's own words tell a user what to write.
var syntax = [...]struct{ said, hint string }{
	{"did not find expected '-' indicator", "indent it like the keys above it"},
	{"did not find expected key", "indent it like the keys above it"},
	{"could not find expected ':'", "write a colon and a space behind the key"},
	{"did not find expected node content", "close the bracket or brace before it"},
	{"did not find expected ',' or", `close the bracket or brace before it; put text that holds one in quotes, like "/orders/{id}"`},
	{"mapping values are not allowed", "put text with a colon and a space in quotes; indent keys alike"},
	{"unknown anchor", "put text that begins with a star in quotes"},
	{"cannot start any token", "put the text in quotes"},
	{"found unexpected end of stream", "close the quotes"},
}

func syntaxHint(message string) string {
	for _, s := range syntax {
		if strings.Contains(message, s.said) {
			return s.hint
		}
	}
	return ""
}

// elsewhere is the hint for a key that is known, but not where it was found.
func elsewhere(key string) string {
	var places []string
	var walk func(reflect.Type, string)
	walk = func(t reflect.Type, path string) {
		if t.Kind() == reflect.Slice {
			t, path = t.Elem(), path+"[]"
		}
		if !isObject(t) {
			return
		}
		for f := range fieldsOf(t) {
			if name := f.Tag.Get("yaml"); name == key && path != "" {
				places = append(places, path)
			} else if name == key {
				places = append(places, "the file itself")
			}
			walk(f.Type, strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), "."))
		}
	}
	walk(reflect.TypeFor[File](), "")
	if len(places) == 0 || len(places) > 2 {
		return ""
	}
	return "it is a key of " + strings.Join(places, " and of ")
}

// missing is the hint for a key that must be there: what it is.
func missing(tag reflect.StructTag) string {
	doc := strings.TrimSuffix(tag.Get("doc"), ".")
	if strings.ToUpper(doc[:2]) == doc[:2] {
		return doc // it begins with an abbreviation
	}
	return strings.ToLower(doc[:1]) + doc[1:]
}
