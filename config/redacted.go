package config

import (
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

const redacted = "redacted"

var (
	fallback = regexp.MustCompile(`(\$\{[A-Za-z0-9_]*:-)[^}]*`)
	address  = regexp.MustCompile(`//[^/\s"']*@`)
	query    = regexp.MustCompile(`(://[^?\s]*)\?\S*`) // behind # too: the path on a Unix socket is there
	jwt      = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+[A-Za-z0-9_.-]*`)
)

// Redacted is the file as it was read, to be shown: what ${NAME} stands for is
// not written out and neither is what it falls back to, nor a key that is tagged
// secret, user and query of a URL, what looks like a token, and comments, since
// nobody knows what is in those.
func (f *File) Redacted() ([]byte, error) {
	root := newSource(f.source.name, "").document(strings.Join(f.source.lines, "\n"))
	redact(root, reflect.TypeFor[File](), "")
	return yaml.Dump(root)
}

// redact changes n, which is read into something of type t, or nil where that
// has a form of its own.
func redact(n *yaml.Node, t reflect.Type, tag reflect.StructTag) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	below, own := t, func(string) (reflect.Type, reflect.StructTag) { return nil, tag }
	switch {
	case t == nil:
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
		below = t.Elem()
		own = func(string) (reflect.Type, reflect.StructTag) { return below, tag }
	case t.Kind() == reflect.Struct:
		own = func(key string) (reflect.Type, reflect.StructTag) {
			for f := range fieldsOf(t) {
				if f.Tag.Get("yaml") == key {
					return f.Type, f.Tag
				}
			}
			return nil, tag
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			n.Content[i].HeadComment, n.Content[i].LineComment, n.Content[i].FootComment = "", "", ""
			kind, said := own(n.Content[i].Value)
			redact(n.Content[i+1], kind, said)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			redact(item, below, tag)
		}
	case yaml.ScalarNode:
		n.Value = shown(n.Value, tag)
	case yaml.AliasNode, yaml.DocumentNode, yaml.StreamNode: // there are none in a file that is in force
		*n = yaml.Node{Kind: yaml.ScalarNode, Value: redacted}
	}
}

// shown is the text of one value, less what may be secret.
func shown(text string, tag reflect.StructTag) string {
	if tag.Get("secret") != "" {
		return redacted
	}
	text = fallback.ReplaceAllString(text, "${1}"+redacted)
	text = address.ReplaceAllString(text, "//"+redacted+"@")
	text = query.ReplaceAllString(text, "${1}?"+redacted)
	return jwt.ReplaceAllString(text, redacted)
}
