package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAttackProbe(t *testing.T) {
	var c Compiler
	many := `{"iss":"a","l":[` + strings.Repeat(`1,`, 20000) + `1],"s":"` + strings.Repeat("a", 20000) + `","m":[` + strings.Repeat(`["a",["b"]],`, 2000) + `1]}`
	in := input(t)
	in.Principal = principal(t, many)
	double := func(n int) string { return strings.Repeat(".map(x, x + x)", n) }
	for _, source := range []string{
		`[claims.s]` + double(2) + `[0].size() > 1`,
		`[claims.l]` + double(8) + `[0].size() > 1`,
		`[claims.l]` + double(2) + `[0].size() > 1`,
		`[claims.l]` + double(24) + `[0].size() > 1`,
		`[claims.l]` + double(24) + `[0] == []`,
		`claims.l.all(a, claims.l.all(b, a == b))`,
		`claims.l.all(a, claims.m == claims.m)`,
		`claims.l.all(a, !claims.s.matches('^(a?){20}(a*)*b$'))`,
		`claims.l.all(a, !claims.s.contains('aaaaaaaaaaaaaaaaaaaaaab'))`,
		`claims.l.all(a, !has(claims.nope))`,
		`!claims.s.matches('^(a?){40}(a*)*[^b]*(a|aa|aaa)*(a?){90}b$')`,
		`claims.l.all(a, claims.l.all(b, true))`,
		`claims.l.all(a, a in claims.l)`,
		`claims.l.all(a, !(2 in claims.l))`,
		`claims.l.all(a, claims.l == claims.l)`,
		`claims.l.exists_one(a, a == claims.l)`,
		`claims.s + claims.s + claims.s + claims.s == claims.s + claims.s`,
		`claims.l.all(a, size(claims.m) > 1)`,
		`claims.l.all(a, size(claims.m + claims.m) > 1)`,
		`claims.l.all(a, claims.s != claims.s + 'a')`,
		`claims.l.all(a, !('x' in claims.m))`,
		`claims.l.all(a, !(a in claims.l.filter(b, b > 2)))`,
		`claims.m.all(a, !sets.contains(claims.m, claims.m))`,
		`claims.l.map(a, string(a) + claims.s).size() > 1`,
	} {
		begin := time.Now()
		p, err := c.Compile(source, nil)
		fmt.Printf("%-70.70s compile %v %.80v\n", source, time.Since(begin), err)
		if err != nil {
			continue
		}
		begin = time.Now()
		ok, err := p.Holds(in)
		fmt.Printf("%70s run %v %v %v\n", "", time.Since(begin), ok, errors.Unwrap(err))
		if err != nil {
			fmt.Println(err)
		}
	}
}
