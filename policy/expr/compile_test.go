package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCompileComplains(t *testing.T) {
	nested := strings.Repeat("(", 300) + "claims.a == 1" + strings.Repeat(")", 300)
	nots := strings.Repeat("!", 3000) + "claims.a"
	lists := strings.Repeat("[", 200) + "claims.a" + strings.Repeat("]", 200) + " == 1"
	loops := "claims.a.all(a, claims.b.all(b, claims.c.all(c, a == b && b == c)))"
	doubled := "claims.a"
	for i := range 14 {
		doubled = fmt.Sprintf("[%s].map(x%d, x%d + x%d)[0]", doubled, i, i, i)
	}
	var c Compiler
	for _, row := range []struct{ source, want string }{
		{``, "0: "},
		{`claims.a ==`, "11: syntax error"},
		{`claims.a = 1`, "9: syntax error|11: syntax error"},
		{"claims.a == 1 &&\n  claim.b == 2", "19: undeclared reference to 'claim'"},
		{"\"ä\" == claims.a &&\n claim.b == 2", "20: undeclared reference to 'claim'"},
		{`clams.a == 1 && claim.b == 2`, "0: undeclared reference to 'clams' (did you mean 'claims'?)|16: undeclared reference to 'claim'"},
		{`path.other == '1'`, "4: undefined field 'other'"},
		{`token.subjct == '1'`, "5: undefined field 'subjct'"},
		{`request.body == ''`, "7: undefined field 'body'"},
		{`token.subject == 1`, "14: found no matching overload for '_==_' applied to '(string, int)'"},
		{`token.binding == 'dpop'`, "14: found no matching overload"},
		{`claims.a`, "0: gives a value of any type, and must give a bool"},
		{`token.subject`, "0: gives string, and must give a bool"},
		{`true`, "0: is the same for every request"},
		{`1 + 1 == 2`, "6: is the same for every request"},
		{`claims.a.matches(claims.b)`, "16: matches wants a constant pattern"},
		{`matches(claims.a, token.subject)`, "7: matches wants a constant pattern"},
		{`claims.a.matches('` + strings.Repeat("a", MaxPattern+1) + `')`, "16: a pattern of matches may be 256 octets long"},
		{`claims.a.matches('(a+')`, "17: invalid matches argument"},
		{`claims.a.matches('(((a{100}){100}){100})')`, "17: "},
		{`claims.a.matches('((a{25}){25})')`, "17: "},
		{`now.getHours('Europe/Berlin') < 12`, "12: getHours reads UTC here"},
		{`now < timestamp('yesterday')`, "16: invalid timestamp argument"},
		{`now - token.issued_at < duration('1 day')`, "33: invalid duration argument"},
		{`request.headers[claims.a] == 'x'`, "7: wants the name of a field"},
		{`size(request.headers) > 0`, "12: wants the name of a field"},
		{`request.headers.exists(h, h == 'x')`, "7: wants the name of a field"},
		{`[request.headers] == [{'a': 'b'}]`, "8: wants the name of a field"},
		{`request.headers['X-Tenant'] == 'x'`, "15: a field's name is written in lower case"},
		{`request.headers['x tenant'] == 'x'`, "15: a field's name is written in lower case"},
		{`request.headers['authorization'] == 'x'`, "15: authorization is a credential"},
		{`'cookie' in request.headers`, "9: cookie is a credential"},
		{`has(request.headers.dpop)`, "3: dpop is a credential"},
		{`request.headers['x-auth-subject'] == 'x'`, "15: what a client says of itself"},
		{`request.headers.host == 'x'`, "15: write request.host"},
		{`request{method: 'GET'} == request`, "7: makes a message"},
		{`google.protobuf.Int32Value{value: 1} == claims.a`, "26: makes a message"},
		{strings.Repeat("claims.a == 1 && ", 300) + "claims.a == 1", "0: "},
		{nested, "0: "},
		{nots, "0: "},
		{lists, ""},
		{loops, ""},
		{doubled + " == claims.a", ""},
	} {
		t.Run(row.source[:min(len(row.source), 60)], func(t *testing.T) {
			_, err := c.Compile(row.source, captures)
			if err == nil {
				t.Fatal("compiles")
			}
			wants := strings.Split(row.want, "|")
			for i, e := range listed(err) {
				complaint, ok := errors.AsType[*Error](e)
				if !ok {
					t.Fatalf("%T: %v", e, e)
				}
				got := fmt.Sprintf("%d: %s", complaint.Offset, complaint.Message)
				if !strings.HasPrefix(got, wants[min(i, len(wants)-1)]) {
					t.Errorf("%s, want %s", got, row.want)
				}
			}
		})
	}
}

// listed are the errors that one joins.
func listed(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
