package token

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Bounds on a Dictionary. What goes beyond is kept with its token, and costs more.
const (
	maxShapes     = 64        // lists of claim names
	maxWords      = 255       // values of one claim that are shared: a reference is one octet, and 0 means none
	maxWordLength = 512       // octets of such a value
	maxVocabulary = 512 << 10 // octets of all of them

	usualNames = 512 // octets of the names of a token's claims, hardly ever more
)

// A Dictionary holds what the tokens of one issuer have in common, for those who
// keep many of them: the names of their claims, and the values that come again. A
// claim with ever new values, as jti, is told by that they are too many. The zero
// Dictionary is empty. It is safe for concurrent use and never shrinks.
type Dictionary struct {
	mu     sync.Mutex // guards all but the words in shapes
	shapes map[string]*shape
	octets int

	audiences, scopes lists // apart, as the same text is not the same in both
}

// lists is lists of strings by what they were read from.
type lists map[string][]string

// A shape is the names of a token's claims, in its order, with the values that
// each of them has had.
type shape struct {
	of      *Dictionary
	names   []string
	columns []column
}

type column struct {
	words atomic.Pointer[[]Value] // only ever longer
	known map[Value]byte          // their references; guarded by Dictionary.mu
}

// Packed is claims in the form in which many of them are kept: an object by
// reference to a shape. Its text is an octet for each member, then the length of
// each value that is in no Dictionary, then those values.
type Packed struct {
	shape *shape
	text  string
}

// Packed is what c can be made from again. It is not ok where c came from no
// Dictionary.
func (c *Claims) Packed() (p Packed, ok bool) {
	if c.object == nil {
		return Packed{}, false
	}
	return c.object.packed, c.object.packed.shape != nil
}

// Claims makes the claims again. The error is that of Open.
func (p Packed) Claims() (*Claims, error) { return decodeClaims(&Object{packed: p}) }

// pack returns o in a form that keeps nothing of its text alive. Its members are
// the same.
func (d *Dictionary) pack(o *Object) *Object {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.find(o.members)
	var room [MaxMembers]byte
	refs := room[:len(o.members)]
	own, lengths := 0, make([]byte, 0, MaxMembers)
	for i := range o.members {
		if s.columns != nil {
			refs[i] = d.refer(&s.columns[i], o.members[i].Value)
		}
		if refs[i] == 0 {
			own += len(o.members[i].Value)
			lengths = appendLength(lengths, len(o.members[i].Value))
		}
	}
	var text strings.Builder
	text.Grow(len(refs) + len(lengths) + own)
	text.Write(refs)
	text.Write(lengths)
	for i, ref := range refs {
		if ref == 0 {
			text.WriteString(string(o.members[i].Value))
		}
	}
	return &Object{packed: Packed{s, text.String()}}
}

// find returns the shape of members. One that nobody else will share has no columns.
func (d *Dictionary) find(members []Member) *shape {
	id := make([]byte, 0, usualNames)
	for i := range members {
		id = append(append(id, members[i].Name...), 0xff) // is in no UTF-8
	}
	if s := d.shapes[string(id)]; s != nil {
		return s
	}
	s := &shape{of: d, names: make([]string, len(members))}
	for i := range members {
		s.names[i] = strings.Clone(members[i].Name)
	}
	if len(d.shapes) == maxShapes {
		return s
	}
	s.columns = make([]column, len(members))
	for i := range s.columns {
		s.columns[i].words.Store(&[]Value{})
	}
	if d.shapes == nil {
		d.shapes = make(map[string]*shape)
	}
	d.shapes[string(id)] = s
	return s
}

// refer returns the reference to v, or 0 where it is not shared.
func (d *Dictionary) refer(c *column, v Value) byte {
	if ref := c.known[v]; ref != 0 {
		return ref
	}
	words := *c.words.Load()
	if len(words) == maxWords || len(v) > maxWordLength || d.octets+len(v) > maxVocabulary {
		return 0
	}
	if c.known == nil {
		c.known = make(map[Value]byte)
	}
	v = Value(strings.Clone(string(v)))
	words = append(words, v)
	c.words.Store(&words)
	c.known[v] = byte(len(words))
	d.octets += len(v)
	return c.known[v]
}

// Scopes is ParseScopes, made once for all tokens with the same text. Nobody may
// change it.
func (d *Dictionary) Scopes(text string) Scopes {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.scopes.get(text, func(text string) []string { return ParseScopes(text) })
}

// readAudience is TextOrList for a claim of o, which tokens with the same text share.
func (o *Object) readAudience(v Value) (list []string, ok bool) {
	if o.packed.shape == nil {
		return TextOrList(v)
	}
	d := o.packed.shape.of
	d.mu.Lock()
	defer d.mu.Unlock()
	list = d.audiences.get(string(v), func(text string) []string {
		list, _ := TextOrList(Value(text))
		return list
	})
	return list, list != nil
}

// get returns read(text), which is remembered while there is room.
func (l *lists) get(text string, read func(string) []string) []string {
	if list, known := (*l)[text]; known {
		return list
	}
	if len(*l) == maxWords || len(text) > maxWordLength {
		return read(text)
	}
	if *l == nil {
		*l = make(lists)
	}
	text = strings.Clone(text)
	(*l)[text] = read(text)
	return (*l)[text]
}

// get returns the value of the member at place i.
func (p Packed) get(i int) Value {
	if ref := p.text[i]; ref != 0 {
		return (*p.shape.columns[i].words.Load())[ref-1]
	}
	at, before, length := len(p.shape.names), 0, 0
	for other := range p.shape.names {
		if p.text[other] != 0 {
			continue
		}
		var n int
		n, at = lengthAt(p.text, at)
		switch {
		case other < i:
			before += n
		case other == i:
			length = n
		}
	}
	return Value(p.text[at+before : at+before+length])
}

// appendMembers adds what the object had before it was packed.
func (p Packed) appendMembers(out []Member) []Member {
	lengths := len(p.shape.names)
	at, n := lengths, 0
	for i := range p.shape.names {
		if p.text[i] == 0 {
			_, at = lengthAt(p.text, at)
		}
	}
	for i, name := range p.shape.names {
		if p.text[i] != 0 {
			out = append(out, Member{name, p.get(i)})
			continue
		}
		n, lengths = lengthAt(p.text, lengths)
		out = append(out, Member{name, Value(p.text[at : at+n])})
		at += n
	}
	return out
}

func (p Packed) find(wanted func(name string) bool) (Value, bool) {
	if i := slices.IndexFunc(p.shape.names, wanted); i >= 0 {
		return p.get(i), true
	}
	return "", false
}

// appendLength writes seven bits an octet, the lowest first; all octets but the last
// have their highest bit set.
func appendLength(out []byte, n int) []byte {
	for ; n > 0x7f; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

func lengthAt(text string, at int) (n, after int) {
	for shift := 0; ; shift += 7 {
		octet := text[at]
		at++
		n |= int(octet&0x7f) << shift
		if octet < 0x80 {
			return n, at
		}
	}
}
