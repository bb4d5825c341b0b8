package config

import (
	"errors"
	"iter"
	"reflect"
	"strconv"
	"strings"
)

// Size is a number of octets. It is written with a unit: 512B, 64KiB, 1MiB, 2GiB.
type Size int64

var units = []struct {
	name   string
	octets int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units {
		if n := int64(s); n%u.octets == 0 && (n != 0 || u.octets == 1) {
			return strconv.FormatInt(n/u.octets, 10) + u.name
		}
	}
	return ""
}

func (s *Size) parse(text string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			break
		}
		*s = Size(int64(n) * u.octets)
		return nil
	}
	return errors.New("is no size")
}

// fieldsOf lists the fields of a struct that the file can set.
func fieldsOf(t reflect.Type) iter.Seq[reflect.StructField] {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("yaml") != "" && !yield(f) {
				return
			}
		}
	}
}

// isObject tells structs that the file spells as keys from those it spells as
// one value.
func isObject(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for range fieldsOf(t) {
		return true
	}
	return false
}

// setDefaults fills v from the default tags below it, where v is a struct.
func setDefaults(v reflect.Value) {
	if !isObject(v.Type()) {
		return
	}
	for f := range fieldsOf(v.Type()) {
		field, text := v.FieldByIndex(f.Index), f.Tag.Get("default")
		switch {
		case isObject(f.Type):
			setDefaults(field)
		case text == "":
		case f.Type.Kind() == reflect.Slice:
			field.Set(reflect.ValueOf(strings.Split(text, ",")))
		default:
			parseBound(text, field)
		}
	}
}

// parseBound sets v from the text of a tag. That every tag parses is a test's
// to prove.
func parseBound(text string, v reflect.Value) {
	if text == "0" {
		v.SetZero()
		return
	}
	if err := parseScalar(text, v); err != nil {
		panic("config: a tag says " + strconv.Quote(text) + ", which " + err.Error())
	}
}
