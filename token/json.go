package token

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on any JSON text this package reads (RFC 7515 section 10 leaves them
// to the implementation). They are checked while scanning, before anything is
// stored.
const (
	MaxDepth   = 20  // nested arrays and objects, the outermost included
	MaxMembers = 256 // members of all objects of one text together
	maxNumber  = 32  // characters of one number
)

var (
	errSyntax    = errors.New("not a JSON object by RFC 8259")
	errTrailing  = errors.New("text before or after the JSON object")
	errEncoding  = errors.New("string is not valid UTF-8 or holds a lone surrogate")
	errDuplicate = errors.New("member name appears twice")
	errDepth     = errors.New("nested too deep")
	errMembers   = errors.New("too many members")
	errNumber    = errors.New("number too long")
)

// A Value is the text of one JSON value, undecoded: no number in it was ever
// rounded. Values come out of an Object, whose text was validated as a whole.
type Value string

// A Member is one name of an Object with its value.
type Member struct {
	Name  string
	Value Value
}

// An Object is a JSON object that passed the strict scan of ParseObject.
type Object struct {
	members []Member
	packed  Packed // instead of members, in what a Dictionary made
}

// ParseObject reads text as exactly one JSON object: valid UTF-8 without byte
// order mark or lone surrogates, nothing before or after it, no name twice in
// any of its objects (RFC 7515 section 4, RFC 7519 section 4), and within
// MaxDepth and MaxMembers. Its cost is linear in the length of text.
func ParseObject(text string) (*Object, error) {
	o := &Object{}
	if err := o.parse(text); err != nil {
		return nil, err
	}
	return o, nil
}

// usualMembers is what an object hardly ever exceeds: so many are gathered on
// the stack before they are kept in the room they need.
const usualMembers = 32

func (o *Object) parse(text string) error {
	if len(text) == 0 || text[0] != '{' {
		return errTrailing
	}
	s := scanner{text: text}
	members, err := s.object(1, make([]Member, 0, usualMembers))
	if err != nil {
		return err
	}
	if s.pos != len(text) {
		return errTrailing
	}
	o.members = slices.Clone(members)
	return nil
}

// beginning is what a text that begins like this is refused for, however it goes
// on: being no object, or going beyond a bound. It is nil where nobody knows yet.
func beginning(text string) error {
	_, err := ParseObject(text)
	if slices.Contains([]error{errTrailing, errDuplicate, errDepth, errMembers, errNumber}, err) {
		return err
	}
	return nil
}

// Get returns the value of the member called name, compared code point for
// code point.
func (o *Object) Get(name string) (Value, bool) {
	return o.find(func(other string) bool { return other == name })
}

func (o *Object) find(wanted func(name string) bool) (Value, bool) {
	if o.packed.shape != nil {
		return o.packed.find(wanted)
	}
	for i := range o.members {
		if wanted(o.members[i].Name) {
			return o.members[i].Value, true
		}
	}
	return "", false
}

// Members returns the members in the order of the text. The slice is shared:
// callers must not change it.
func (o *Object) Members() []Member {
	if o.packed.shape != nil {
		return o.packed.appendMembers(make([]Member, 0, len(o.packed.shape.names)))
	}
	return o.members
}

// Lookup follows a dotted path through nested objects. A member whose own name
// is the whole remaining path wins over a step into an object, so that names
// with dots in them can be reached. A path that holds a backslash has no such
// doubt: in it, \. is a dot within a name, \\ a backslash, and every other dot
// a step.
func (o *Object) Lookup(path string) (Value, bool) {
	if o == nil {
		return "", false
	}
	if strings.IndexByte(path, '\\') >= 0 {
		return o.lookupExact(path)
	}
	if v, found := o.Get(path); found {
		return v, true
	}
	name, rest, _ := strings.Cut(path, ".")
	v, _ := o.Get(name)
	return v.lookup(rest)
}

func (v Value) lookup(path string) (Value, bool) {
	if m, found := v.Member(path); found {
		return m, true
	}
	name, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		return "", false
	}
	m, _ := v.Member(name)
	return m.lookup(rest)
}

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v == "null" }

// Object reads the value as an object; ok is false for any other type.
func (v Value) Object() (o *Object, ok bool) {
	o, err := ParseObject(string(v))
	return o, err == nil
}

// Text decodes a JSON string; ok is false for any other type.
func (v Value) Text() (text string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	return unquote(string(v)), true
}

// Number returns the text of a JSON number; ok is false for any other type.
func (v Value) Number() (text string, ok bool) {
	if v == "" || (v[0] != '-' && (v[0] < '0' || v[0] > '9')) {
		return "", false
	}
	return string(v), true
}

// Texts decodes an array that holds nothing but strings; ok is false for any
// other type and for an array with any other element.
func (v Value) Texts() (list []string, ok bool) {
	if len(v) < 2 || v[0] != '[' {
		return nil, false
	}
	list = make([]string, 0, v.count())
	for element := range v.Each() {
		text, ok := element.Text()
		if !ok {
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

// Elements returns the elements of an array; ok is false for any other type.
func (v Value) Elements() (elements []Value, ok bool) {
	if len(v) < 2 || v[0] != '[' {
		return nil, false
	}
	s := scanner{text: string(v), pos: 1}
	s.space()
	if s.next() == ']' {
		return nil, true
	}
	for s.pos < len(s.text) {
		s.space()
		from := s.pos
		if s.value(1) != nil {
			return nil, false
		}
		elements = append(elements, Value(s.text[from:s.pos]))
		s.space()
		if s.next() == ']' {
			return elements, true
		}
		s.pos++
	}
	return nil, false
}

// scanner walks over text once. names is a stack of the names of the objects
// that are open at pos, but for the one whose members are stored.
type scanner struct {
	text    string
	pos     int
	members int
	names   []string
}

// next is the byte at pos, or 0 at the end: 0 is legal nowhere outside a
// string, so the end needs no case of its own.
func (s *scanner) next() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) error {
	switch c := s.next(); c {
	case '{':
		_, err := s.object(depth, nil)
		return err
	case '[':
		return s.array(depth)
	case '"':
		return s.string()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

// object scans the object at pos. The members are added to into when it is
// not nil; nested objects are only checked.
func (s *scanner) object(depth int, into []Member) ([]Member, error) {
	if depth > MaxDepth {
		return nil, errDepth
	}
	base := len(s.names)
	s.pos++
	s.space()
	if s.next() == '}' {
		s.pos++
		return into, nil
	}
	for {
		m, err := s.member(depth, into, base)
		if err != nil {
			return nil, err
		}
		if into != nil {
			into = append(into, m)
		}
		s.space()
		switch s.next() {
		case '}':
			s.pos++
			s.names = s.names[:base]
			return into, nil
		case ',':
			s.pos++
			s.space()
		default:
			return nil, errSyntax
		}
	}
}

// member scans one name and its value. The names before it in its object are
// those of into, or where that is nil, those on the stack from base on.
func (s *scanner) member(depth int, into []Member, base int) (Member, error) {
	if s.members++; s.members > MaxMembers {
		return Member{}, errMembers
	}
	if s.next() != '"' {
		return Member{}, errSyntax
	}
	from := s.pos
	if err := s.string(); err != nil {
		return Member{}, err
	}
	name := unquote(s.text[from:s.pos])
	if slices.ContainsFunc(into, func(m Member) bool { return m.Name == name }) || slices.Contains(s.names[base:], name) {
		return Member{}, errDuplicate
	}
	if into == nil {
		s.names = append(s.names, name)
	}
	s.space()
	if s.next() != ':' {
		return Member{}, errSyntax
	}
	s.pos++
	s.space()
	from = s.pos
	if err := s.value(depth + 1); err != nil {
		return Member{}, err
	}
	return Member{Name: name, Value: Value(s.text[from:s.pos])}, nil
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return errDepth
	}
	s.pos++
	s.space()
	if s.next() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.next() {
		case ']':
			s.pos++
			return nil
		case ',':
			s.pos++
			s.space()
		default:
			return errSyntax
		}
	}
}

func (s *scanner) literal(word string) error {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		return errSyntax
	}
	s.pos += len(word)
	return nil
}

// number scans RFC 8259 section 6: no leading zero, no plus, no bare point.
func (s *scanner) number() error {
	from := s.pos
	if s.next() == '-' {
		s.pos++
	}
	switch c := s.next(); {
	case c == '0':
		s.pos++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return errSyntax
	}
	if s.next() == '.' {
		s.pos++
		if !s.digits() {
			return errSyntax
		}
	}
	if c := s.next(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.next(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return errSyntax
		}
	}
	if s.pos-from > maxNumber {
		return errNumber
	}
	return nil
}

func (s *scanner) digits() bool {
	from := s.pos
	for c := s.next(); c >= '0' && c <= '9'; c = s.next() {
		s.pos++
	}
	return s.pos > from
}

// plainInString marks the octets that stand for themselves in a string and end
// nothing: all of ASCII but controls, quotes and backslashes.
var plainInString = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) string() error {
	s.pos++
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case plainInString[c]:
			s.pos++
		case c == '"':
			s.pos++
			return nil
		case c < 0x20:
			return errSyntax
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			r, size := utf8.DecodeRuneInString(s.text[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return errEncoding
			}
			s.pos += size
		}
	}
	return errSyntax
}

func (s *scanner) escape() error {
	if s.pos+1 >= len(s.text) {
		return errSyntax
	}
	switch s.text[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
		r, ok := hex4(s.text, s.pos+2)
		if !ok {
			return errSyntax
		}
		s.pos += 6
		if !utf16.IsSurrogate(r) {
			return nil
		}
		low, ok := rune(0), false
		if strings.HasPrefix(s.text[s.pos:], `\u`) {
			low, ok = hex4(s.text, s.pos+2)
		}
		if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
			return errEncoding
		}
		s.pos += 6
		return nil
	default:
		return errSyntax
	}
}

func hex4(text string, at int) (rune, bool) {
	if at+4 > len(text) {
		return 0, false
	}
	n, err := strconv.ParseUint(text[at:at+4], 16, 32)
	return rune(n), err == nil
}

// unquote decodes a string literal that the scanner has validated. A literal
// without escapes is a part of the text itself and costs nothing.
func unquote(literal string) string {
	body := literal[1 : len(literal)-1]
	at := strings.IndexByte(body, '\\')
	if at < 0 {
		return body
	}
	out := make([]byte, 0, len(body))
	for at >= 0 {
		out = append(out, body[:at]...)
		body = body[at:]
		switch body[1] {
		case 'u':
			r, _ := hex4(body, 2)
			body = body[6:]
			if utf16.IsSurrogate(r) {
				low, _ := hex4(body, 2)
				r = utf16.DecodeRune(r, low)
				body = body[6:]
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, unescaped(body[1]))
			body = body[2:]
		}
		at = strings.IndexByte(body, '\\')
	}
	return string(append(out, body...))
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default: // '"', '\\' and '/' stand for themselves
		return c
	}
}
