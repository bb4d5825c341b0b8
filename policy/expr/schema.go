package expr

import (
	"errors"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/wicketgate/wicketgate/token"
)

// The records an expression can name, each its own type.
const (
	requestRecord = "request"
	tokenRecord   = "token"
	pathRecord    = "path"
)

// schema tells the type checker which fields there are, and the program how to
// read them.
type schema struct {
	*types.Registry
	captures []string
}

func (s schema) FindStructType(name string) (*types.Type, bool) {
	switch name {
	case requestRecord, tokenRecord, pathRecord:
		return types.NewTypeTypeWithParam(cel.ObjectType(name)), true
	}
	return s.Registry.FindStructType(name)
}

func (s schema) FindStructFieldNames(name string) ([]string, bool) {
	switch name {
	case pathRecord:
		return s.captures, true
	case requestRecord, tokenRecord:
		var names []string
		for _, f := range fieldsOf(name) {
			names = append(names, f.name)
		}
		return names, true
	}
	return s.Registry.FindStructFieldNames(name)
}

func (s schema) FindStructFieldType(of, name string) (*types.FieldType, bool) {
	switch of {
	case pathRecord:
		if !slices.Contains(s.captures, name) {
			return nil, false
		}
		return reader(cel.StringType, func(e *evaluation) (any, bool) { return e.capture(name) }), true
	case requestRecord, tokenRecord:
		for _, f := range fieldsOf(of) {
			if f.name == name {
				return reader(f.kind, f.read), true
			}
		}
		return nil, false
	}
	return s.Registry.FindStructFieldType(of, name)
}

func (s schema) NewValue(of string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("no value of %s can be made", of)
}

var errAbsent = errors.New("no such key")

// reader makes an absent field what an absent claim is: has() is false, and
// anything else an error.
func reader(kind *types.Type, read func(*evaluation) (any, bool)) *types.FieldType {
	return &types.FieldType{
		Type: kind,
		IsSet: func(target any) bool {
			e, ok := target.(*evaluation)
			if ok {
				_, ok = read(e)
			}
			return ok
		},
		GetFrom: func(target any) (any, error) {
			if e, ok := target.(*evaluation); ok {
				if v, ok := read(e); ok {
					return v, nil
				}
			}
			return nil, errAbsent
		},
	}
}

// field is a field of request or token.
type field struct {
	name string
	kind *types.Type
	read func(*evaluation) (any, bool)
}

func fieldsOf(name string) []field {
	if name == requestRecord {
		return []field{
			{"method", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Method) }},
			{"host", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Host) }},
			{"path", cel.StringType, func(e *evaluation) (any, bool) { return e.path() }},
			{"source", cel.StringType, func(e *evaluation) (any, bool) { return e.source() }},
			{"headers", cel.MapType(cel.StringType, cel.StringType), func(e *evaluation) (any, bool) { return e.fields() }},
		}
	}
	textList := cel.ListType(cel.StringType)
	return []field{
		{"issuer_name", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Principal.Issuer) }},
		{"issuer", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Principal.Claims.Issuer) }},
		{"subject", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Principal.Subject) }},
		{"subject_type", cel.StringType, func(e *evaluation) (any, bool) { return e.in.Principal.SubjectType(), true }},
		{"client_id", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Principal.ClientID) }},
		{"id", cel.StringType, func(e *evaluation) (any, bool) { return present(e.in.Principal.ID) }},
		{"scopes", textList, func(e *evaluation) (any, bool) { return []string(e.in.Principal.Scope), true }},
		{"audience", textList, func(e *evaluation) (any, bool) { return e.in.Principal.Audience, true }},
		{"binding", textList, func(e *evaluation) (any, bool) { return strings.Fields(e.in.Principal.Binding.String()), true }},
		{"acr", cel.StringType, func(e *evaluation) (any, bool) { return textOf(e, "acr") }},
		{"amr", textList, func(e *evaluation) (any, bool) { return textsOf(e, "amr") }},
		{"issued_at", cel.TimestampType, func(e *evaluation) (any, bool) { return date(e.in.Principal.IssuedAt) }},
		{"expires_at", cel.TimestampType, func(e *evaluation) (any, bool) { return date(e.in.Principal.Expiry) }},
		{"not_before", cel.TimestampType, func(e *evaluation) (any, bool) { return date(e.in.Principal.NotBefore) }},
		{"auth_time", cel.TimestampType, func(e *evaluation) (any, bool) { return dateOf(e, "auth_time") }},
	}
}

func present(text string) (any, bool) { return text, text != "" }

func textOf(e *evaluation, claim string) (any, bool) {
	v, _ := e.in.Principal.Lookup(claim)
	return v.Text()
}

// textsOf is empty where the claim is absent, and no list where it is none.
func textsOf(e *evaluation, claim string) (any, bool) {
	v, found := e.in.Principal.Lookup(claim)
	if !found {
		return []string{}, true
	}
	return v.Texts()
}

func dateOf(e *evaluation, claim string) (any, bool) {
	v, _ := e.in.Principal.Lookup(claim)
	at, _ := token.NumericDate(v)
	return date(at)
}
