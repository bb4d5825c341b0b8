package imports

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	maxText  = 4 << 20 // octets of a file
	maxDepth = 64      // of values in it
)

// document is a YAML or JSON document. Its first mistake ends the import.
type document struct {
	file  string
	wrong *Error
}

// value is a part of a document; without a node it is not there.
type value struct {
	doc  *document
	node *yaml.Node
}

// documents parses a file. JSON is read as the YAML it is.
func documents(s Source) ([]value, error) {
	if err := readable(s); err != nil {
		return nil, err
	}
	text := string(s.Text)
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		text = surrogates.ReplaceAllStringFunc(text, joined)
	}
	loader, err := yaml.NewLoader(strings.NewReader(text))
	if err != nil {
		return nil, &Error{Place{File: s.Name}, err.Error()}
	}
	var out []value
	for {
		var root yaml.Node
		if err := loader.Load(&root); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, syntax(s.Name, err)
		}
		if len(root.Content) == 0 {
			continue
		}
		v := value{&document{file: s.Name}, root.Content[0]}
		v.judge(0)
		if v.doc.wrong != nil {
			return nil, v.doc.wrong
		}
		if !v.isNull() {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, &Error{Place{File: s.Name}, "is empty"}
	}
	return out, nil
}

// surrogates are escapes of JSON that YAML does not have: characters beyond 16
// bits in two halves. What a backslash escapes goes first, so that it is not
// taken for the begin of one.
var surrogates = regexp.MustCompile(`\\(?:[^u]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})`)

func joined(escape string) string {
	if len(escape) != 12 {
		return escape
	}
	high, _ := strconv.ParseUint(escape[2:6], 16, 16)
	low, _ := strconv.ParseUint(escape[8:], 16, 16)
	return string(utf16.DecodeRune(rune(high), rune(low)))
}

func readable(s Source) error {
	if len(s.Text) > maxText {
		return &Error{Place{File: s.Name}, "is longer than 4 MiB"}
	}
	for i, line := range strings.Split(string(s.Text), "\n") {
		if !utf8.ValidString(line) {
			return &Error{Place{s.Name, i + 1}, "is not UTF-8"}
		}
	}
	return nil
}

func syntax(file string, err error) error {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		return &Error{Place{file, e.Mark.Line}, "is not YAML: " + OneLine(e.Message)}
	}
	return &Error{Place{File: file}, "is not YAML: " + OneLine(err.Error())}
}

// judge finds what could be read in two ways or would not end.
func (v value) judge(depth int) {
	switch n := v.node; {
	case v.doc.wrong != nil:
	case depth > maxDepth:
		v.fail(fmt.Sprintf("has more than %d levels of values", maxDepth))
	case n.Kind == yaml.AliasNode:
		v.fail("has an alias, which is not read here; repeat the value")
	case n.Kind == yaml.MappingNode:
		first := make(map[string]int)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := value{v.doc, n.Content[i]}
			if key.node.Kind != yaml.ScalarNode || key.node.ShortTag() == "!!merge" {
				key.fail("has a key that is no plain text")
				return
			}
			if line, twice := first[key.node.Value]; twice {
				key.fail(fmt.Sprintf("has a key for the second time; first in line %d", line))
				return
			}
			first[key.node.Value] = key.node.Line
			value{v.doc, n.Content[i+1]}.judge(depth + 1)
		}
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			value{v.doc, item}.judge(depth + 1)
		}
	}
}

func (v value) fail(message string) {
	if v.doc.wrong == nil {
		v.doc.wrong = &Error{v.at(), message}
	}
}

// err is the first mistake of the document.
func (v value) err() error {
	if v.doc != nil && v.doc.wrong != nil {
		return v.doc.wrong
	}
	return nil
}

func (v value) at() Place {
	if v.node == nil {
		return Place{File: v.doc.file}
	}
	return Place{v.doc.file, v.node.Line}
}

func (v value) isNull() bool {
	return v.node == nil || v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null"
}

// has tells whether there is something.
func (v value) has() bool { return !v.isNull() }

func (v value) isMap() bool { return v.node != nil && v.node.Kind == yaml.MappingNode }

func (v value) isList() bool { return v.node != nil && v.node.Kind == yaml.SequenceNode }

// get is the value of a key, which may not be there.
func (v value) get(path ...string) value {
	for _, key := range path {
		found := value{v.doc, nil}
		for k, inner := range v.fields() {
			if k.node.Value == key {
				found = inner
				break
			}
		}
		v = found
	}
	return v
}

// fields goes through a mapping.
func (v value) fields() iter.Seq2[value, value] {
	return func(yield func(value, value) bool) {
		if v.isNull() {
			return
		}
		if !v.isMap() {
			v.fail("wants keys with values")
			return
		}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if !yield(value{v.doc, v.node.Content[i]}, value{v.doc, v.node.Content[i+1]}) {
				return
			}
		}
	}
}

// items are the elements of a list.
func (v value) items() (out []value) {
	if v.isNull() {
		return nil
	}
	if !v.isList() {
		v.fail("wants a list")
		return nil
	}
	for _, n := range v.node.Content {
		out = append(out, value{v.doc, n})
	}
	return out
}

// text is a scalar as it is written.
func (v value) text() string {
	if v.isNull() {
		return ""
	}
	if v.node.Kind != yaml.ScalarNode {
		v.fail("wants text")
		return ""
	}
	return v.node.Value
}

// texts are a list of scalars.
func (v value) texts() (out []string) {
	for _, item := range v.items() {
		out = append(out, item.text())
	}
	return out
}

// truth is a boolean, false if it is not there.
func (v value) truth() bool {
	switch text := v.text(); strings.ToLower(text) {
	case "true":
		return true
	case "false", "":
		return false
	}
	v.fail("wants true or false")
	return false
}

// rest notes all keys of a mapping but those that were read.
func (d *draft) rest(v value, name, why string, read ...string) {
keys:
	for k, inner := range v.fields() {
		for _, r := range read {
			if k.node.Value == r {
				continue keys
			}
		}
		if inner.has() {
			d.leave(k.at(), name+k.node.Value, why)
		}
	}
}

const noEquivalent = "wicketgate has no equivalent"
