package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// crowded are claims as long as a token may be: a list of numbers, a list of
// lists, and a long string.
func crowded(t testing.TB) *token.Principal {
	return principal(t, `{"iss":"a","n":[`+strings.Repeat(`1,`, 8000)+`1],"l":[`+strings.Repeat(`["a",["b"]],`, 2000)+`1],"s":"`+strings.Repeat("a", 20000)+`"}`)
}

// Nothing a caller brings makes an expression run long.
func TestCostsTooMuch(t *testing.T) {
	var c Compiler
	in := input(t)
	in.Principal = crowded(t)
	for _, source := range []string{
		`claims.n.all(a, claims.n.all(b, true))`,
		`claims.n.all(a, claims.n == claims.n)`,
		`claims.n.all(a, claims.l == claims.l)`,
		`claims.n.all(a, !has(claims.nobody))`,
		`claims.n.all(a, !(2 in claims.n))`,
		`claims.n.all(a, !('x' in claims.l))`,
		`claims.n.all(a, claims.s != claims.s + 'a')`,
		`claims.n.all(a, !(claims.s in [claims.s + 'a']))`,
		`claims.n.all(a, !claims.s.matches('^(a?){20}(a*)*b$'))`,
		`claims.n.all(a, !claims.s.contains('aaaaaaaaaaaaaaaaaaaaab'))`,
		`claims.n.map(a, string(a) + claims.s).size() > 1`,
		`claims.n.map(a, claims.n + claims.n).size() > 1`,
		`sets.contains(claims.n, claims.n)`,
		`claims.l == claims.l` + strings.Repeat(` && claims.l == claims.l`, 5), // which cel-go counts as six comparisons
	} {
		p, err := c.Compile(source, nil)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		holds, err := p.Holds(in)
		failure, failed := errors.AsType[*Failure](err)
		if holds || !failed || failure.Message != "costs too much" {
			t.Errorf("%s: %v, %v", source, holds, err)
		}
	}
}

// TestFieldsAsTheUpstreamHasThem: a field is absent where the upstream does not
// get it, or may get another.
func TestFieldsAsTheUpstreamHasThem(t *testing.T) {
	var c Compiler
	p, err := c.Compile(`request.headers["x-tenant"] == "acme" || size(request.headers["x-tenant"]) > 100`, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		header map[string][]string
		want   bool
	}{
		"plain":            {map[string][]string{"X-Tenant": {"acme"}, "Connection": {"close"}}, true},
		"hop by hop":       {map[string][]string{"X-Tenant": {"acme"}, "Connection": {"close, x-TENANT"}}, false},
		"hop by hop, late": {map[string][]string{"X-Tenant": {"acme"}, "Connection": {"close", "x-tenant"}}, false},
		"another spelling": {map[string][]string{"X-Tenant": {"acme"}, "X_tenant": {"evil"}}, false},
		"a dot":            {map[string][]string{"X-Tenant": {"acme"}, "X.tenant": {"evil"}}, false},
		"long":             {map[string][]string{"X-Tenant": {strings.Repeat("a", maxField)}}, true},
		"too long":         {map[string][]string{"X-Tenant": {strings.Repeat("a", maxField+1)}}, false},
		"too long in all":  {map[string][]string{"X-Tenant": {strings.Repeat("a", maxField), "b"}}, false},
	} {
		in := input(t)
		in.Header = row.header
		if holds, err := p.Holds(in); holds != row.want || holds != (err == nil) {
			t.Errorf("%s: %v, %v", name, holds, err)
		}
	}
}

// TestNothingIsOverlooked: where a comparison fails, nothing that is made of it
// holds, whatever way cel-go goes on.
func TestNothingIsOverlooked(t *testing.T) {
	const huge = "123456789012345678901"
	long := strings.Repeat("x", 3000)
	fillers := `"banned"`
	for i := range 450 {
		fillers = fmt.Sprintf(`"%d",`, i) + fillers
	}
	in := input(t)
	in.Principal = principal(t, `{"iss":"https://as.example","a":{"id":`+huge+`},"b":{"id":`+huge+`},"l":[`+huge+`],"m":[`+huge+`],"d":{"x":[1,`+huge+`]},`+
		`"n":1,"blocked":["`+long+`","banned"],"groups":[`+fillers+`]}`)
	var c Compiler
	for _, source := range []string{
		`claims.a != claims.b`, `!(claims.a == claims.b)`, `claims.l != claims.m`, `claims.d.x != [1, 2]`,
		`!(claims.a in [claims.b])`, `!(2 in claims.l)`, `!sets.intersects(claims.l, claims.m)`, `!sets.contains(claims.l, claims.m)`, `!sets.equivalent(claims.l, claims.m)`,
		`!sets.intersects(claims.groups, claims.blocked)`, `claims.l + claims.m == [1, 2]`, `claims.l.all(x, x != 1)`, `claims.n == 1 && claims.a != claims.b`,
	} {
		p, err := c.Compile(source, nil)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if holds, err := p.Holds(in); holds || err == nil {
			t.Errorf("%s: %v, %v", source, holds, err)
		}
	}
	p, err := c.Compile(`claims.n == 1`, nil) // nothing of it stays
	if err != nil {
		t.Fatal(err)
	}
	if holds, err := p.Holds(in); !holds || err != nil {
		t.Errorf("%v, %v", holds, err)
	}
}

// What could run long with claims of ordinary size is refused before.
func TestWouldCostTooMuch(t *testing.T) {
	var c Compiler
	long := "claims.a.all(a, " + strings.Repeat("claims.s.contains(claims.t) || ", 100) + "a == 1)"
	for _, source := range []string{
		`claims.a.all(a, claims.b.all(b, claims.c.all(c, a == b && b == c)))`,
		`claims.a.all(a, claims.b.all(b, a + b == claims.c && b + a != claims.d))`,
		`claims.a.all(a, sets.intersects(claims.b, claims.c))`,
		long,
	} {
		if _, err := c.Compile(source, nil); err == nil || !strings.HasPrefix(err.Error(), "would cost too much") {
			t.Errorf("%.80s: %v", source, err)
		}
	}
}

// A string that doubles with each step is refused for its steps.
func TestDoubling(t *testing.T) {
	var c Compiler
	for steps := range 40 {
		source := `[claims.s]` + strings.Repeat(".map(x, x + x)", steps) + `[0].size() > 1`
		p, err := c.Compile(source, nil)
		if steps > MaxNesting {
			if err == nil {
				t.Fatalf("%d steps compile", steps)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d steps: %v", steps, err)
		}
		in := input(t)
		in.Principal = crowded(t)
		if _, err := p.Holds(in); err != nil {
			t.Errorf("%d steps: %v", steps, err)
		}
	}
}

// FuzzCompile tries any source; what compiles is run.
func FuzzCompile(f *testing.F) {
	for _, source := range []string{
		`claims.tenant == path.tenant`, `request.headers['x'] == "a" ? true : false`, `claims.l.exists(x, x.matches('^a+$'))`,
		`size(claims) > 1u || -1 in [1, 2.5, null, b'x']`, "claims.`a-b` == {'a': 1}.a", `token.issued_at + duration('1h') > now`, `cidr('::/0').containsIP(ip('::1'))`,
		`google.protobuf.Any{} == dyn(type(claims))`, `sets.contains([[]], claims.l)`, `((((((`, "\x00'''", `claims.l.map(x, x, [x]).filter(y, has(y.z))[0] == 1`,
	} {
		f.Add(source)
	}
	var c Compiler
	in := input(f)
	f.Fuzz(func(t *testing.T, source string) {
		p, err := c.Compile(source, captures)
		if err != nil {
			for _, e := range listed(err) {
				complaint, ok := errors.AsType[*Error](e)
				if !ok || complaint.Message == "" || complaint.Offset < 0 || complaint.Offset > len([]rune(source)) {
					t.Fatalf("%q: %#v", source, e)
				}
			}
			return
		}
		first, err := p.Holds(in)
		again, _ := p.Holds(in)
		if first != again || first && err != nil {
			t.Fatalf("%q: %v, then %v (%v)", source, first, again, err)
		}
		if part := p.Part(in); part == "" {
			t.Fatalf("%q: no part", source)
		}
	})
}

// FuzzHolds runs expressions over any claims.
func FuzzHolds(f *testing.F) {
	var c Compiler
	var programs []*Program
	for _, source := range []string{
		`claims.a == claims.b`, `claims.a in claims.b`, `claims.a.b.c == 1`, `claims.exists(k, claims[k] == claims.a)`, `claims.a < claims.b`, `string(claims.a) == 'x'`,
		`size(claims.a) > 0`, `claims.a.all(x, x in claims.b)`, `(claims.a + claims.b) == claims.a`, `sets.intersects(claims.a, claims.b)`, `claims.a[claims.b] == null`,
		`claims == {'a': claims.a, 'b': claims.b}`, `claims.a.matches('^.*$') && has(claims.a.b)`, `token.auth_time < now && 'x' in token.amr && token.acr == 'y'`,
	} {
		p, err := c.Compile(source, nil)
		if err != nil {
			f.Fatal(err)
		}
		programs = append(programs, p)
	}
	for _, claims := range []string{sample, `{"a":1,"b":1.0}`, `{"a":[1,"x",{}],"b":[[1]]}`, `{"a":{"b":{"c":1}},"b":null}`, `{"a":1e400,"b":-0,"auth_time":1,"amr":1,"acr":[]}`} {
		f.Add(claims)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		o, err := token.ParseObject(claims)
		if err != nil {
			return
		}
		read, err := token.ReadClaims(o)
		if err != nil {
			return
		}
		in := input(t)
		in.Principal = &token.Principal{Claims: read}
		for _, p := range programs {
			holds, err := p.Holds(in)
			if again, _ := p.Holds(in); holds != again || holds && err != nil {
				t.Fatalf("%s over %s: %v (%v)", p, claims, holds, err)
			}
			if failure, failed := errors.AsType[*Failure](err); failed && failure.Message == "fails inside" {
				t.Fatalf("%s over %s: %s", p, claims, fmt.Sprint(failure))
			}
		}
	})
}
