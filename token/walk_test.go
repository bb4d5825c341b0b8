package token

import (
	"slices"
	"testing"
)

// sameWalk compares what Each and Member find in v, and in all below it, with
// what the scanner makes of the same text.
func sameWalk(t *testing.T, v Value) {
	t.Helper()
	elements, _ := v.Elements()
	if walked := slices.Collect(v.Each()); !slices.Equal(walked, elements) {
		t.Fatalf("%q: walked %q, scanned %q", v, walked, elements)
	}
	for _, e := range elements {
		sameWalk(t, e)
	}
	o, ok := v.Object()
	if !ok {
		if m, found := v.Member("a"); found {
			t.Fatalf("%q has a member %q", v, m)
		}
		return
	}
	for _, m := range o.Members() {
		if got, found := v.Member(m.Name); !found || got != m.Value {
			t.Fatalf("%q: member %q is %q %v, want %q", v, m.Name, got, found, m.Value)
		}
		if _, both := o.Get(m.Name + "\x01"); !both {
			if got, found := v.Member(m.Name + "\x01"); found {
				t.Fatalf("%q: a member that is not there is %q", v, got)
			}
		}
		sameWalk(t, m.Value)
	}
}

func TestWalk(t *testing.T) {
	for _, text := range []string{
		`[]`, `{}`, `[ ]`, "{\n}", `[1]`, `[ 1 , 2 ]`, `["a]","b\"","\\","{"]`, `[[],[[]],{}]`, `[{"a":[1,{"b":2}]},{"a":"}"}]`, `"[1]"`, `1`, `null`, `true`,
		`{"a":1}`, `{ "a" : [ 1 , 2 ] , "b" : { "a" : "x" } }`, `{"a":"{\"b\":1}","b":2}`, `{"\u0061":1,"b":null}`, `{"a":{"c":3},"c":{"a":4}}`, `[null,true,-1.5e3,"x"]`,
		"{\t\"a\"\r\n:\t[\"é\",\"\\u00e9\"]\n}", `{"":1}`, `{"a,b":":","x":","}`,
	} {
		o := object(t, `{"v":`+text+`}`)
		v, _ := o.Get("v")
		sameWalk(t, v)
	}
	var none Value
	if _, found := none.Member("a"); found || slices.Collect(none.Each()) != nil {
		t.Error("the zero Value holds something")
	}
}

func TestWalkStops(t *testing.T) {
	for e := range Value(`[1,2,3]`).Each() {
		if e == "2" {
			return
		}
		if e != "1" {
			t.Fatalf("walked on to %s", e)
		}
	}
	t.Error("nothing was walked")
}

func TestLookupAllocatesNothing(t *testing.T) {
	o := object(t, `{"a":{"b":{"c.d":["x","y",{"value":"z"}]}},"e":1}`)
	allocations := testing.AllocsPerRun(100, func() {
		v, _ := o.Lookup("a.b.c.d")
		found := false
		for e := range v.Each() {
			inner, _ := e.Member("value")
			text, ok := inner.Text()
			found = found || ok && text == "z"
		}
		if !found {
			t.Error("not found")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
