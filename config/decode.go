package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// decoder turns a parsed document into structs by their tags. It goes on after
// an error, so that all come out at once.
type decoder struct {
	*source
	env func(string) (string, bool)

	literal bool // a dollar sign is one: nothing is expanded
}

// document parses text and returns its only document, or nil with an error
// reported.
func (s *source) document(text string) *yaml.Node {
	loader, err := yaml.NewLoader(strings.NewReader(text))
	if err != nil {
		s.report(mark{}, "", err.Error(), "")
		return nil
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) || err == nil && len(first.Content) == 0 {
		s.report(mark{}, "", "the file is empty", s.whenEmpty)
		return nil
	} else if err != nil {
		s.reportSyntax(err)
		return nil
	}
	if loader.Load(&second) == nil && second.Kind != 0 {
		s.report(mark{second.Line, second.Column}, "", "a second document; the file is one document", "remove what follows ---")
	}
	return first.Content[0]
}

func (s *source) reportSyntax(err error) {
	at, message := mark{}, err.Error()
	hint := syntaxHint(message)
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		at, message = mark{e.Mark.Line, e.Mark.Column}, e.Message
		if begun := e.ContextMark; begun.Line > 0 && (strings.Contains(message, "could not find expected ':'") || strings.Contains(message, "unexpected end of stream")) {
			at = mark{begun.Line, begun.Column} // what is not complete, not what follows
		}
		if e.ContextMsg != "" {
			message = e.ContextMsg + ": " + message
		}
	}
	if at.line > 0 && at.line <= len(s.lines) && strings.HasPrefix(strings.TrimLeft(s.lines[at.line-1], " "), "\t") {
		hint = "indent with spaces, not with tabs"
	}
	s.report(at, "", "not YAML: "+message, hint)
}

func markOf(n *yaml.Node) mark { return mark{n.Line, n.Column} }

// value decodes n, found at path, into v, a field with these tags.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if _, known := d.values[path]; !known {
		d.values[path] = markOf(n)
	}
	own, hasForm := v.Addr().Interface().(ownForm)
	_, nullable := own.(*Wanted)
	if problem, hint := notPlain(n); problem != "" && !(nullable && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null") {
		d.report(d.values[path], path, problem, hint)
		return
	}
	if hasForm {
		own.decode(d, path, n)
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *netip.Prefix:
		d.scalar(path, n, v, tag)
	case *Scopes:
		if n.Kind == yaml.SequenceNode {
			d.list(path, n, reflect.ValueOf(&target.All).Elem(), tag)
			return
		}
		if n.Kind == yaml.ScalarNode {
			d.wrongKind(path, n, "a list, or all and any lists", "write it in brackets, like [orders.read]")
		} else if d.object(path, n, v, "a list, or all and any lists") && len(n.Content) == 0 {
			d.report(d.place(path), path, "asks for no scope", "leave scopes out, or list some")
		}
	case *Claim:
		if n.Kind == yaml.SequenceNode {
			d.list(path, n, reflect.ValueOf(&target.AnyOf).Elem(), tag)
			return
		}
		const want = "a list of values, or keys like any_of and prefix"
		if n.Kind == yaml.ScalarNode {
			d.wrongKind(path, n, want, "write it in brackets, like [value]")
		} else if d.object(path, n, v, want) && len(n.Content) == 0 {
			d.report(d.place(path), path, "asks for nothing", "list some values, or write present: true")
		}
	case *ClaimHeader:
		d.claimHeader(path, n, target, tag)
	case *Only:
		d.only(path, n, target, tag)
	default:
		switch v.Kind() {
		case reflect.Struct:
			d.object(path, n, v, "keys with values")
		case reflect.Map:
			d.table(path, n, v, tag)
		case reflect.Slice:
			d.list(path, n, v, tag)
		default:
			d.scalar(path, n, v, tag)
		}
	}
}

// notPlain says what in n is YAML beyond keys, lists and scalars.
func notPlain(n *yaml.Node) (problem, hint string) {
	switch {
	case n.Kind == yaml.AliasNode:
		return "aliases are not read here", "repeat the value"
	case n.Anchor != "":
		return "anchors are not read here", "remove &" + n.Anchor
	case n.Style&yaml.TaggedStyle != 0:
		return "tags are not read here", "remove " + n.Tag
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return "no value", "give one, or leave the key out for its default"
	}
	return "", ""
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int":
		return "a number"
	case "!!float":
		return "a fraction"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}

func (d *decoder) wrongKind(path string, n *yaml.Node, want, hint string) {
	d.report(d.values[path], path, "wants "+want+", got "+kindName(n), hint)
}

// entries calls visit for each entry of a mapping, each key once.
func (d *decoder) entries(path string, n *yaml.Node, visit func(path, key string, n *yaml.Node)) {
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := markOf(key)
		if key.ShortTag() == "!!merge" {
			d.report(at, join(path, "<<"), "merge keys are not read here", "repeat the keys")
			continue
		}
		if problem, hint := notPlain(key); problem != "" || key.Kind != yaml.ScalarNode {
			d.report(at, join(path, "?"), "this key is no plain text", hint)
			continue
		}
		below := join(path, key.Value)
		if line, twice := first[key.Value]; twice {
			d.faulty[below] = false
			d.report(at, below, "this key was given before", "first in line "+strconv.Itoa(line))
			continue
		}
		first[key.Value] = key.Line
		d.keys[below] = at
		d.values[below] = markOf(value)
		if value.Kind != yaml.ScalarNode || value.Value == "" && value.ShortTag() == "!!null" {
			d.values[below] = at
		}
		visit(below, key.Value, value)
	}
}

// join appends a key to a path, quoted unless it is a word.
func join(path, key string) string {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return path + "[" + strconv.Quote(key) + "]"
		}
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// object decodes a mapping into a struct.
func (d *decoder) object(path string, n *yaml.Node, v reflect.Value, want string) bool {
	if n.Kind != yaml.MappingNode {
		d.wrongKind(path, n, want, "")
		return false
	}
	fields := make(map[string]reflect.StructField)
	var names []string
	for f := range fieldsOf(v.Type()) {
		fields[f.Tag.Get("yaml")] = f
		names = append(names, f.Tag.Get("yaml"))
	}
	meant := make(map[string]bool)
	d.entries(path, n, func(path, key string, n *yaml.Node) {
		if f, known := fields[key]; known {
			meant[key] = true
			d.value(path, n, v.FieldByIndex(f.Index), f.Tag)
			return
		}
		meant[Nearest(key, names)] = true
		hint := didYouMean(key, names)
		if there := elsewhere(key); there != "" && Nearest(key, names) == "" {
			hint = there
		}
		d.report(d.keys[path], path, "unknown key", hint)
	})
	for _, name := range names {
		if fields[name].Tag.Get("required") != "" && !meant[name] {
			d.report(d.place(path), join(path, name), "is missing", missing(fields[name].Tag))
		}
	}
	return true
}

// table decodes a mapping with free keys into a map.
func (d *decoder) table(path string, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.MappingNode {
		d.wrongKind(path, n, "keys with values", "")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.entries(path, n, func(path, key string, n *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(path, n, element, tag)
		v.SetMapIndex(reflect.ValueOf(key), element)
	})
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode {
			hint = "write it in brackets, like [value]"
		} else if tag.Get("yaml") != "" {
			hint = "begin each item with a dash"
		}
		d.wrongKind(path, n, "a list", hint)
		return
	}
	if len(n.Content) == 0 && tag.Get("empty") == "" {
		d.report(d.values[path], path, "the list is empty", "add to it, or leave the key out")
	}
	v.SetZero()
	first := make(map[string]int)
	for i, item := range n.Content {
		below := path + "[" + strconv.Itoa(i) + "]"
		element := reflect.New(v.Type().Elem()).Elem()
		setDefaults(element)
		d.value(below, item, element, tag)
		v.Set(reflect.Append(v, element))
		if text, ok := element.Interface().(string); ok && text != "" {
			if line, twice := first[text]; twice {
				d.report(d.values[below], below, d.quote(below, text)+" is listed twice", "first in line "+strconv.Itoa(line))
			}
			first[text] = item.Line
		}
	}
}

// scalar decodes one value and holds it against the enum, min and max tags.
func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value, tag reflect.StructTag) {
	_, isText := v.Interface().(string)
	form := formOf(v)
	if _, isShare := v.Interface().(Share); isShare && n.ShortTag() == "!!bool" {
		form.tag = "!!bool"
	}
	if n.Kind != yaml.ScalarNode {
		d.wrongKind(path, n, form.name, "write one value, without brackets and braces")
		return
	}
	if n.ShortTag() != form.tag {
		hint := form.hint
		if isText {
			hint = "put it in quotes"
		} else if form.tag == "!!bool" && n.ShortTag() == "!!str" {
			hint = "write true or false, without quotes"
		}
		d.wrongKind(path, n, form.name, hint)
		return
	}
	text := n.Value
	if form.tag == "!!str" && !d.literal {
		if strings.HasPrefix(text, "<fill in: ") {
			d.report(d.values[path], path, "is still to be filled in", "wicketgate import could not know it")
			return
		}
		var problem, hint string
		if tag.Get("verbatim") != "" {
			problem, hint = d.keep(path, n)
		} else {
			text, problem, hint = d.expand(path, text)
		}
		if problem != "" {
			d.report(d.values[path], path, problem, hint)
			return
		}
	}
	if err := parseScalar(text, v); err != nil {
		d.report(d.values[path], path, d.quote(path, text)+" "+err.Error(), form.hint)
		return
	}
	if enum := tag.Get("enum"); enum != "" && isText {
		d.enum(path, text, strings.Split(enum, ","))
	}
	d.bounds(path, v, tag)
}

func (d *decoder) enum(path, text string, allowed []string) {
	for _, one := range allowed {
		if text == one {
			return
		}
	}
	hint := didYouMean(text, allowed)
	if strings.HasSuffix(path[:strings.LastIndexByte(path, '[')+1], "algorithms[") {
		switch {
		case strings.HasPrefix(text, "HS"):
			hint = "HMAC needs a shared secret, with which whoever checks tokens could also make them"
		case strings.EqualFold(text, "none"):
			hint = "a token without a signature proves nothing"
		}
	}
	d.report(d.values[path], path, d.quote(path, text)+" is not known here", hint)
}

// bounds holds a number, duration or size against its tags.
func (d *decoder) bounds(path string, v reflect.Value, tag reflect.StructTag) {
	if !v.CanInt() {
		return
	}
	bound := reflect.New(v.Type()).Elem()
	least, most := cmp.Or(tag.Get("min"), "0"), tag.Get("max")
	parseBound(least, bound)
	switch below := v.Int() < bound.Int(); {
	case least == most && v.Int() != bound.Int():
		d.report(d.values[path], path, "must be "+least, "")
	case below:
		d.report(d.values[path], path, "must be at least "+least, "")
	case most != "":
		if parseBound(most, bound); v.Int() > bound.Int() {
			d.report(d.values[path], path, "must be at most "+most, "")
		}
	}
}

// form is how a type is written.
type form struct{ name, tag, hint string }

func formOf(v reflect.Value) form {
	switch v.Interface().(type) {
	case time.Duration:
		return form{"a duration", "!!str", `write a number with its unit, like "30s", "5m" or "24h"`}
	case Size:
		return form{"a size", "!!str", `write a number with its unit, like "64KiB" or "10MiB"`}
	case Share:
		return form{"a share", "!!str", "write " + shareForm}
	case netip.Prefix:
		return form{"an address or CIDR block", "!!str", `write it like "10.0.0.0/8"`}
	case int:
		return form{"a whole number", "!!int", "write decimal digits only, without quotes"}
	case bool:
		return form{"true or false", "!!bool", "write true or false"}
	}
	return form{"text", "!!str", "write something, or leave the key out"}
}

// parseScalar sets v from its text. The error completes a sentence.
func parseScalar(text string, v reflect.Value) error {
	switch target := v.Addr().Interface().(type) {
	case *string:
		if text == "" {
			return errors.New("is empty")
		}
		*target = text
	case *bool:
		if text != "true" && text != "false" {
			return errors.New("is not how true and false are written")
		}
		*target = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(n) != text {
			return errors.New("is no whole number")
		}
		*target = n
	case *time.Duration:
		t, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("is no duration")
		}
		*target = t
	case *Size:
		return target.parse(text)
	case *Share:
		return target.parse(text)
	case *netip.Prefix:
		return parsePrefix(text, target)
	}
	return nil
}

func parsePrefix(text string, target *netip.Prefix) error {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		*target = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return errors.New("is no address and no CIDR block")
	}
	if p != p.Masked() {
		return fmt.Errorf("has bits behind its length; the block is %v", p.Masked())
	}
	*target = p
	return nil
}

// expand replaces ${NAME} and ${NAME:-text} with what the environment has, and
// $$ with a dollar sign. What comes in is not expanded again.
func (d *decoder) expand(path, text string) (out, problem, hint string) {
	var b strings.Builder
	for rest := text; rest != ""; {
		at := strings.IndexByte(rest, '$')
		if at < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:at])
		rest = rest[at+1:]
		if strings.HasPrefix(rest, "$") {
			b.WriteByte('$')
			rest = rest[1:]
			continue
		}
		inner, after, closed := strings.Cut(rest, "}")
		name, fallback, hasFallback := strings.Cut(strings.TrimPrefix(inner, "{"), ":-")
		if !closed || !strings.HasPrefix(rest, "{") || !isVariable(name) {
			return "", "a dollar sign that begins no ${NAME}", "write $$ for a dollar sign"
		}
		value, found := d.env(name)
		if hasFallback && value == "" {
			value = fallback
		} else if !found {
			return "", "the environment variable " + name + " is not set", "set it, or write ${" + name + ":-default}"
		}
		d.expanded[path] = true
		b.WriteString(value)
		rest = after
	}
	out = b.String()
	if i := strings.IndexFunc(out, isControl); i >= 0 {
		return "", "holds a line break or another control character", "the value of a key is one line"
	}
	return strings.ToValidUTF8(out, "\uFFFD"), "", ""
}

func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
