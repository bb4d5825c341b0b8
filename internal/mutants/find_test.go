package main

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// mutations lists what find makes of the body of
//
//	func f(a, b, c bool, err error) <results> { <body> }
//
// as key and changed body, the parts every key shares left out.
func mutations(t *testing.T, results, body string) []string {
	t.Helper()
	head := "package p\n\nfunc f(a, b, c bool, err error) " + results + " {\n"
	source := []byte(head + body + "\n}\n")
	found, err := find("p/p.go", source)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range found {
		changed := string(switchable(source, []mutant{m}, []int{0}))
		if _, err := parser.ParseFile(token.NewFileSet(), "", changed, 0); err != nil {
			t.Errorf("%s: %v\n%s", m.key(), err, changed)
		}
		changed = strings.TrimSuffix(strings.TrimPrefix(changed, head), "\n}\n")
		changed = strings.ReplaceAll(changed, switchName, "out")
		got = append(got, strings.TrimPrefix(m.key(), "p/p.go f: ")+" => "+changed)
	}
	return got
}

func TestFindTakesOutOneCheckAtATime(t *testing.T) {
	for _, test := range []struct {
		name, results, body string
		want                []string
	}{
		{
			"if that returns an error", "error", "if a { return err }; return nil",
			[]string{"a => if ((a) && !out(0)) { return err }; return nil"},
		},
		{
			"error among other results", "(n int, e error)", "if a { return 0, err }; return 1, nil",
			[]string{"a => if ((a) && !out(0)) { return 0, err }; return 1, nil"},
		},
		{
			"pointer to an error type", "*token.Error", "if a { return refuse(1) }; return nil",
			[]string{"a => if ((a) && !out(0)) { return refuse(1) }; return nil"},
		},
		{
			"fault", "*Fault", "if a { return new(Fault) }; return nil",
			[]string{"a => if ((a) && !out(0)) { return new(Fault) }; return nil"},
		},
		{
			"false", "(int, bool)", "if a { return 0, false }; return 1, true",
			[]string{"a => if ((a) && !out(0)) { return 0, false }; return 1, true"},
		},
		{
			"else if", "error", "if a { return err } else if b { return err }; return nil",
			[]string{
				"a => if ((a) && !out(0)) { return err } else if b { return err }; return nil",
				"b => if a { return err } else if ((b) && !out(0)) { return err }; return nil",
			},
		},
		{
			"initialiser", "error", "if err := g(); err != nil { return err }; return nil",
			[]string{"err := g(); err != nil => if err := g(); ((err != nil) && !out(0)) { return err }; return nil"},
		},
		{
			"operands of or", "error", "if a || b && (a || c) { return err }; return nil",
			[]string{
				"a || b && (a || c) => if ((a || b && (a || c)) && !out(0)) { return err }; return nil",
				"a || b && (a || c) | without a => if ((a) && !out(0)) || b && (a || c) { return err }; return nil",
				"a || b && (a || c) | without b && (a || c) => if a || ((b && (a || c)) && !out(0)) { return err }; return nil",
				"a || b && (a || c) | without a | number 2 => if a || b && (((a) && !out(0)) || c) { return err }; return nil",
				"a || b && (a || c) | without c => if a || b && (a || ((c) && !out(0))) { return err }; return nil",
			},
		},
		{
			"operands of and before it is allowed", "error", "if a && b { return nil }; return err",
			[]string{
				"a && b => if ((a && b) || out(0)) { return nil }; return err",
				"a && b | without a => if ((a) || out(0)) && b { return nil }; return err",
				"a && b | without b => if a && ((b) || out(0)) { return nil }; return err",
			},
		},
		{
			"operands of and returned", "bool", "return a && b",
			[]string{"a && b | without a => return ((a) || out(0)) && b", "a && b | without b => return a && ((b) || out(0))"},
		},
		{
			"operands of and assigned", "bool", "ok := a && b; return ok",
			[]string{"a && b | without a => ok := ((a) || out(0)) && b; return ok", "a && b | without b => ok := a && ((b) || out(0)); return ok"},
		},
		{
			"cases without a tag", "error", "switch { case a, b: return err; case c: panic(1) }; return nil",
			[]string{
				"a => switch { case ((a) && !out(0)), b: return err; case c: panic(1) }; return nil",
				"b => switch { case a, ((b) && !out(0)): return err; case c: panic(1) }; return nil",
			},
		},
		{
			"default the function can do without", "error", "switch x() { case 1: default: return err }; return nil",
			[]string{"default: return err => switch x() { case 1: default: if !out(0) { return err } }; return nil"},
		},
		{
			"equal checks are counted", "error", "if a { return err }; if a { return err }; return nil",
			[]string{
				"a => if ((a) && !out(0)) { return err }; if a { return err }; return nil",
				"a | number 2 => if a { return err }; if ((a) && !out(0)) { return err }; return nil",
			},
		},
		{
			"function literal has its own results", "int", "g := func() error { if a { return err }; return nil }; _ = g(); return 1",
			[]string{"a => g := func() error { if ((a) && !out(0)) { return err }; return nil }; _ = g(); return 1"},
		},
		{
			"if that allows before a refusal", "error", "if a { return nil }; switch { case b: return nil }; return err",
			[]string{
				"a => if ((a) || out(0)) { return nil }; switch { case b: return nil }; return err",
				"b => if a { return nil }; switch { case ((b) || out(0)): return nil }; return err",
			},
		},
		{
			"complaint", "", "if a || b { c.bad(1) }; switch { case c: warn() }; switch x() { case 1: s.report() }",
			[]string{
				"a || b => if ((a || b) && !out(0)) { c.bad(1) }; switch { case c: warn() }; switch x() { case 1: s.report() }",
				"a || b | without a => if ((a) && !out(0)) || b { c.bad(1) }; switch { case c: warn() }; switch x() { case 1: s.report() }",
				"a || b | without b => if a || ((b) && !out(0)) { c.bad(1) }; switch { case c: warn() }; switch x() { case 1: s.report() }",
				"c => if a || b { c.bad(1) }; switch { case ((c) && !out(0)): warn() }; switch x() { case 1: s.report() }",
				"s.report() => if a || b { c.bad(1) }; switch { case c: warn() }; switch x() { case 1: if !out(0) { s.report() } }",
			},
		},
		{
			"stripping and other calls", "", "if a { delete(h, k); h.Del(k) }; for ; ; next() { strip(h) }",
			[]string{
				"a => if ((a) && !out(0)) { delete(h, k); h.Del(k) }; for ; ; next() { strip(h) }",
				"delete(h, k) => if a { if !out(0) { delete(h, k) }; h.Del(k) }; for ; ; next() { strip(h) }",
				"strip(h) => if a { delete(h, k); h.Del(k) }; for ; ; next() { if !out(0) { strip(h) } }",
			},
		},
		{"calls nobody misses", "", "x.Lock(); trace.Text(1, 2); func() { }(); go f(); defer f()", nil},
		{"if that allows before more", "error", "if a { return nil }; return nil", nil},
		{"no result", "", "if a { return }", nil},
		{"nothing returned", "error", "if a { b = c }; return nil", nil},
		{"hands on a call", "(int, error)", "if a { return g() }; return 0, nil", nil},
		{"other results", "int", "if a { return 1 }; return 2", nil},
		{"case of a tag", "error", "switch x() { case 1: return err }; return nil", nil},
		{"default at the end", "error", "switch x() { default: return err }", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := mutations(t, test.results, test.body)
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func TestFindNamesThePlace(t *testing.T) {
	source := "package p\n\nfunc (x *T) F() error {\n\tif x.\n\t\ta { // why\n\t\treturn e\n\t}\n\treturn nil\n}\n"
	found, err := find("p/p.go", []byte(source))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if m := found[0]; m.key() != "p/p.go (T).F: x. a" || m.line != 4 || m.source != "if x." {
		t.Errorf("%q at %d: %q", m.key(), m.line, m.source)
	}
	if _, err := find("p/p.go", []byte("package")); err == nil {
		t.Error("a file that does not parse has no mutants")
	}
}
