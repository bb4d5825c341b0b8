package token

import "testing"

func TestLookupWithDotsInNames(t *testing.T) {
	o := object(t, `{"kubernetes.io":{"namespace":"a","pod":{"name":"p"},"x.y":{"z":1}},"kubernetes":{"io":{"namespace":"b"}},"a":{"b.c":2,"b":{"c":3}},"a.b":{"c":4},"a.b.c":5,"\\":6,"back\\slash":{"a":7},"https://example.com/roles":8,"":{"":9}}`)
	for path, want := range map[string]Value{
		`kubernetes\.io.namespace`: `"a"`, `kubernetes\.io.pod.name`: `"p"`, `kubernetes\.io.x\.y.z`: "1", `kubernetes.io.namespace`: `"b"`,
		`a.b\.c`: "2", `a\.b.c`: "4", `a\.b\.c`: "5", `a.b.c`: "5", `\\`: "6", `back\\slash.a`: "7",
		`https://example.com/roles`: "8", `https://example\.com/roles`: "8",
		`kubernetes\.io.none`: "", `kubernetes\.io.namespace.x`: "", `kubernetes\.i`: "", `kubernetes\.iox`: "", `a\.b.c.d`: "", `\.`: "", `x\.y`: "",
	} {
		if got, found := o.Lookup(path); got != want || found != (want != "") {
			t.Errorf("%s: %q %t, want %q", path, got, found, want)
		}
	}
}

func TestLookupWithDotsAllocatesNothing(t *testing.T) {
	o := object(t, `{"kubernetes.io":{"namespace":"a","pod":{"x.y":"p"}}}`)
	if n := testing.AllocsPerRun(100, func() {
		if v, _ := o.Lookup(`kubernetes\.io.pod.x\.y`); v != `"p"` {
			t.Fatal(v)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
