package expr

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/wicketgate/wicketgate/token"
)

var errNative = errors.New("no such overload")

// value makes a claim's text a value of the language, objects and lists not
// before somebody looks into them. Whole numbers are exact.
func (e *evaluation) value(v token.Value) ref.Val {
	if text, ok := v.Text(); ok {
		return types.String(text)
	}
	if number, ok := v.Number(); ok {
		return numberOf(number)
	}
	switch {
	case v == "true":
		return types.True
	case v == "false":
		return types.False
	case v.IsNull():
		return types.NullValue
	case strings.HasPrefix(string(v), "["):
		return &list{of: e, text: v, length: -1}
	}
	o, ok := v.Object()
	if !ok {
		return types.NewErr("no such overload: not JSON")
	}
	return &object{of: e, members: o.Members()}
}

// numberOf refuses whole numbers that no type here holds exactly.
func numberOf(text string) ref.Val {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return types.Int(n)
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return types.Uint(n)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".eE") {
		return types.NewErr("range: a number that is not exact")
	}
	return types.Double(f)
}

// object is a JSON object of the claims.
type object struct {
	of      *evaluation
	members []token.Member
	made    []made
}

// made is a value that was made before: nothing is decoded twice in one
// evaluation.
type made struct {
	member int
	value  ref.Val
}

// FindStringKey is how cel-go asks for a constant name.
func (o *object) FindStringKey(name string) (any, bool) {
	v := o.get(name)
	return v, v != nil
}

func (o *object) get(name string) ref.Val {
	for i := range o.members {
		if o.members[i].Name == name {
			return o.member(i)
		}
	}
	return nil
}

func (o *object) member(i int) ref.Val {
	for _, m := range o.made {
		if m.member == i {
			return m.value
		}
	}
	v := o.of.value(o.members[i].Value)
	o.made = append(o.made, made{i, v})
	return v
}

// Find implements traits.Mapper. No member has a name that is no string.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	v := o.get(string(name))
	return v, v != nil
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if !found && v == nil {
		return types.NewErr("no such key")
	}
	return v
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if !found && v != nil {
		return v
	}
	return types.Bool(found)
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return types.Int(len(o.members)) }

// Iterator implements traits.Iterable: over the names.
func (o *object) Iterator() traits.Iterator {
	names := make([]string, len(o.members))
	for i, m := range o.members {
		names[i] = m.Name
	}
	return types.NewStringList(types.DefaultTypeAdapter, names).Iterator()
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for i := range o.members {
		if !o.of.charge(1) {
			return types.WrapErr(errWork)
		}
		theirs, found := m.Find(types.String(o.members[i].Name))
		if !found {
			return types.False
		}
		if equal := o.of.equal(o.member(i), theirs); equal != types.True {
			return o.of.sure(equal)
		}
	}
	return types.True
}

// sure notes a value that is an error, where cel-go may overlook it.
func (e *evaluation) sure(v ref.Val) ref.Val {
	e.unsure = e.unsure || types.IsUnknownOrError(v)
	return v
}

// equal compares two values, strings at their length.
func (e *evaluation) equal(a, b ref.Val) ref.Val {
	if s, ok := a.(types.String); ok && !e.charge(len(s)/perUnit) {
		return types.WrapErr(errWork)
	}
	return types.Equal(a, b)
}

// ConvertToNative implements ref.Val, for nobody.
func (o *object) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(to ref.Type) ref.Val { return converted(o, to) }

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o }

// converted knows no conversion but to the same type and to the type itself.
func converted(v ref.Val, to ref.Type) ref.Val {
	switch {
	case to.TypeName() == v.Type().TypeName():
		return v
	case to == types.TypeType:
		kind, _ := v.Type().(ref.Val)
		return kind
	}
	return types.NewErr("unsupported conversion")
}

// list is a JSON array of the claims.
type list struct {
	of       *evaluation
	text     token.Value
	length   int // -1 until it was counted
	elements traits.Lister
}

// decoded makes the elements, once.
func (l *list) decoded() traits.Lister {
	if l.elements == nil {
		var all []ref.Val
		for v := range l.text.Each() {
			all = append(all, l.of.sure(l.of.value(v)))
		}
		l.elements = types.NewRefValList(types.DefaultTypeAdapter, all)
	}
	return l.elements
}

// Size implements traits.Sizer.
func (l *list) Size() ref.Val {
	if l.length < 0 {
		l.length = 0
		for range l.text.Each() {
			l.length++
		}
	}
	return types.Int(l.length)
}

// Contains implements traits.Container. A string is looked for without decoding
// the list.
func (l *list) Contains(wanted ref.Val) ref.Val {
	if text, ok := wanted.(types.String); ok {
		for v := range l.text.Each() {
			if !l.of.charge(1 + len(v)/perUnit) {
				return types.WrapErr(errWork)
			}
			if one, ok := v.Text(); ok && one == string(text) {
				return types.True
			}
		}
		return types.False
	}
	for it := l.Iterator(); it.HasNext() == types.True; {
		if !l.of.charge(1) {
			return types.WrapErr(errWork)
		}
		if equal := types.Equal(it.Next(), wanted); equal != types.False {
			return l.of.sure(equal)
		}
	}
	return types.False
}

// Equal implements ref.Val.
func (l *list) Equal(other ref.Val) ref.Val {
	theirs, ok := other.(traits.Lister)
	if !ok || theirs.Size() != l.Size() {
		return types.False
	}
	for a, b := l.Iterator(), theirs.Iterator(); a.HasNext() == types.True; {
		if !l.of.charge(1) {
			return types.WrapErr(errWork)
		}
		if equal := l.of.equal(a.Next(), b.Next()); equal != types.True {
			return l.of.sure(equal)
		}
	}
	return types.True
}

// Add implements traits.Adder.
func (l *list) Add(other ref.Val) ref.Val { return l.decoded().Add(other) }

// Get implements traits.Indexer.
func (l *list) Get(index ref.Val) ref.Val { return l.decoded().Get(index) }

// Iterator implements traits.Iterable.
func (l *list) Iterator() traits.Iterator { return l.decoded().Iterator() }

// ConvertToNative implements ref.Val, for nobody.
func (l *list) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType implements ref.Val.
func (l *list) ConvertToType(to ref.Type) ref.Val { return converted(l, to) }

// Type implements ref.Val.
func (l *list) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (l *list) Value() any { return l }

// Equal implements ref.Val: two records are never compared.
func (r *record) Equal(ref.Val) ref.Val { return r.of.sure(types.NewErr("no such overload")) }

// ConvertToNative implements ref.Val, for nobody.
func (r *record) ConvertToNative(reflect.Type) (any, error) { return nil, errNative }

// ConvertToType implements ref.Val.
func (r *record) ConvertToType(to ref.Type) ref.Val { return converted(r, to) }

// Type implements ref.Val.
func (r *record) Type() ref.Type { return cel.ObjectType(r.kind) }

// Value implements ref.Val: what schema reads from.
func (r *record) Value() any { return r.of }
