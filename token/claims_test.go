package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func open(t testing.TB, payload string) (*Claims, error) {
	t.Helper()
	u, err := ParseJWT(compact(sampleHeader, payload), 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return u.Open(&judge{})
}

func TestClaims(t *testing.T) {
	c, err := open(t, sampleClaims)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Issuer, " ", c.Subject, " ", c.ClientID, " ", c.ID, " ", c.Audience, " ", c.Expiry.Unix(), " ", c.IssuedAt.Unix(), " ", c.NotBefore.IsZero(), " ", c.Confirm)
	want := "https://as.example.com user-1 client-1 0f8fad5b-d9cb-469f-a165-70867728950e [https://rs.example.com] 1800000600 1800000000 true " +
		"{true 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I }"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if v, found := c.Lookup("cnf.jkt"); !found || v != `"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"` {
		t.Errorf("cnf.jkt is %s", v)
	}

	c, err = open(t, `{"ISS":"a","Sub":"b","EXP":1,"Aud":"c","Cnf":{}}`) // JWS-09
	if err != nil || c.Issuer != "" || c.Subject != "" || !c.Expiry.IsZero() || c.Audience != nil || c.Confirm.Present {
		t.Errorf("other cases count: %+v, %v", c, err)
	}
}

// J-26, J-30, J-31, J-36: a registered claim has its own type or the token is
// refused.
func TestClaimsOfTheWrongType(t *testing.T) {
	for _, name := range []string{"iss", "sub", "client_id", "jti"} {
		for _, value := range []string{`null`, `1`, `true`, `[]`, `["a"]`, `{}`, `""`} {
			checkClaim(t, name, value, ReasonClaim)
		}
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		for _, value := range []string{`null`, `true`, `[]`, `[1]`, `{}`, `"123"`, `"2027-01-01T00:00:00Z"`, `""`, `-1`, `-0.5`, `1e400`, `1e18`, `9223372036854775807`} {
			checkClaim(t, name, value, ReasonClaim)
		}
	}
	for _, value := range []string{`null`, `1`, `{}`, `["a",1]`, `[["a"]]`, `[null]`, `true`} {
		checkClaim(t, "aud", value, ReasonAudience)
	}
}

func checkClaim(t *testing.T, name, value string, reason Reason) {
	t.Helper()
	c, err := open(t, `{"x":1,"`+name+`":`+value+`}`)
	refusal, ok := errors.AsType[*Error](err)
	if c != nil || !ok || refusal.Code != InvalidToken || refusal.Reason != reason {
		t.Errorf("%s %s: got %v, want %s", name, value, err, reason)
	}
}

func TestAudience(t *testing.T) {
	for value, want := range map[string][]string{
		`"a"`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: {}, `""`: {""}, `["a","a"]`: {"a", "a"}, `["\u0061"]`: {"a"},
	} {
		c, err := open(t, `{"aud":`+value+`}`)
		if err != nil || !slices.Equal(c.Audience, want) {
			t.Errorf("%s: got %q, %v", value, c.Audience, err)
		}
	}
}

func TestNumericDate(t *testing.T) {
	for _, row := range []struct {
		text string
		nano int64 // -1: not ok
	}{
		{`0`, 0},
		{`1`, 1e9},
		{`1800000000`, 1800000000e9},
		{`1800000000.5`, 1800000000_500000000},
		{`1800000000.0`, 1800000000e9},
		{`0.25`, 250_000_000},
		{`1.8e9`, 1800000000e9},
		{`18E8`, 1800000000e9},
		{`1800000000000e-3`, 1800000000e9},
		{`1e-400`, 0},
		{`9007199254`, 9007199254e9},
		{`-1`, -1},
		{`-0`, -1},
		{`-0.0`, -1},
		{`-1e9`, -1},
		{`253402300800`, -1},
		{`253402300799.5`, -1},
		{`9007199254740993`, -1},
		{`9223372036854775807`, -1},
		{`9223372036854775808`, -1},
		{`18446744073709551616`, -1},
		{`99999999999999999999999999999999`, -1},
		{`1e18`, -1},
		{`1e308`, -1},
		{`1e400`, -1},
		{`"1800000000"`, -1},
		{`"2027-01-15T08:00:00Z"`, -1},
		{`true`, -1},
		{`null`, -1},
		{`[1800000000]`, -1},
		{`{}`, -1},
		{``, -1},
	} {
		date, ok := NumericDate(Value(row.text))
		if ok != (row.nano >= 0) || ok && date.UnixNano() != row.nano {
			t.Errorf("%s: got %v %v, want %d", row.text, date, ok, row.nano)
		}
	}
	if date, ok := NumericDate("253402300799"); !ok || date.UTC().Format(time.RFC3339) != "9999-12-31T23:59:59Z" {
		t.Errorf("the last second is %v %v", date, ok)
	}
	// exp 0 is a date long past, not "no expiry".
	if date, ok := NumericDate("0"); !ok || date.IsZero() {
		t.Errorf("0 reads as no date: %v %v", date, ok)
	}
}

// D-10, DPOP-52: a confirmation nobody can check refuses the token.
func TestConfirmation(t *testing.T) {
	const jkt, x5t = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	for _, row := range []struct {
		text string
		want Confirmation // not Present: refused
	}{
		{`{"jkt":"` + jkt + `"}`, Confirmation{true, jkt, ""}},
		{`{"x5t#S256":"` + x5t + `"}`, Confirmation{true, "", x5t}},
		{`{"jkt":"` + jkt + `","x5t#S256":"` + x5t + `"}`, Confirmation{true, jkt, x5t}},
		{`{"kc-jkt-type":"x","jkt":"` + jkt + `"}`, Confirmation{true, jkt, ""}},
		{`{"kid":"x","jwk":{},"jkt":"` + jkt + `"}`, Confirmation{true, jkt, ""}},
		{`{}`, Confirmation{}},
		{`null`, Confirmation{}},
		{`[]`, Confirmation{}},
		{`[{"jkt":"` + jkt + `"}]`, Confirmation{}},
		{`"` + jkt + `"`, Confirmation{}},
		{`1`, Confirmation{}},
		{`{"kid":"x"}`, Confirmation{}},
		{`{"jwk":{"kty":"EC"}}`, Confirmation{}},
		{`{"JKT":"` + jkt + `"}`, Confirmation{}},
		{`{"x5t":"` + x5t + `"}`, Confirmation{}},
		{`{"jkt":""}`, Confirmation{}},
		{`{"jkt":null}`, Confirmation{}},
		{`{"jkt":1}`, Confirmation{}},
		{`{"jkt":["` + jkt + `"]}`, Confirmation{}},
		{`{"jkt":"` + jkt + `="}`, Confirmation{}},
		{`{"jkt":"` + jkt[:42] + `"}`, Confirmation{}},
		{`{"jkt":"` + jkt + `A"}`, Confirmation{}},
		{`{"jkt":"` + jkt[:42] + `J"}`, Confirmation{}}, // same octets, other spelling
		{`{"jkt":"` + strings.ReplaceAll(jkt, "-", "+") + `"}`, Confirmation{}},
		{`{"jkt":"` + jkt[:41] + `\r\n"}`, Confirmation{}},
		{`{"jkt":"` + jkt[:40] + `\n` + jkt[40:42] + `"}`, Confirmation{}},
		{`{"jkt":" ` + jkt[1:] + `"}`, Confirmation{}},
		{`{"jkt":"` + strings.Repeat("0123456789abcdef", 4) + `"}`, Confirmation{}},
		{`{"jkt":"` + jkt + `","x5t#S256":"x"}`, Confirmation{}},
		{`{"jkt":"x","x5t#S256":"` + x5t + `"}`, Confirmation{}},
		{`{"jkt":"` + jkt + `","x5t#S256":null}`, Confirmation{}},
	} {
		c, err := open(t, `{"cnf":`+row.text+`}`)
		if !row.want.Present {
			refusal, ok := errors.AsType[*Error](err)
			if c != nil || !ok || refusal.Code != InvalidToken || refusal.Reason != ReasonConfirmation {
				t.Errorf("%s: got %v, %v", row.text, c, err)
			}
			continue
		}
		if err != nil || c.Confirm != row.want {
			t.Errorf("%s: got %v, want %v", row.text, err, row.want)
		}
	}
}

// J-35: scopes are split on single spaces only and compared for equality only.
func TestScopes(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " ": "", "a": "a", "a b": "a|b", " a  b ": "a|b", "a\tb": "a\tb", "a,b": "a,b", "a\nb": "a\nb", "a a": "a|a", "a\u00a0b": "a\u00a0b",
	} {
		if got := strings.Join(ParseScopes(text), "|"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	s := ParseScopes("read  write:own")
	if !s.Has("read") || !s.Has("write:own") || s.String() != "read write:own" {
		t.Errorf("got %q", s)
	}
	for _, other := range []string{"", "rea", "readonly", "Read", "write", "read write:own", " read"} {
		if s.Has(other) {
			t.Errorf("%q has %q", s, other)
		}
	}
}

func TestBinding(t *testing.T) {
	if Unbound.String() != "" || BoundDPoP.String() != "dpop" || BoundMTLS.String() != "mtls" || (BoundDPoP|BoundMTLS).String() != "dpop mtls" || Binding(9).String() != "" {
		t.Error("a binding is called something else")
	}
	var zero Principal
	if zero.Binding != Unbound {
		t.Error("the zero principal is bound")
	}
}

// HDR-06: a client that acts for itself is told from a user.
func TestSubjectType(t *testing.T) {
	for _, row := range []struct{ payload, want string }{
		{`{"sub":"u","client_id":"c"}`, "user"}, {`{"sub":"c","client_id":"c"}`, "client"}, {`{"client_id":"c"}`, "client"}, {`{"sub":"u"}`, "user"}, {`{}`, "client"},
	} {
		c, err := open(t, row.payload)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Principal{Claims: c}).SubjectType(); got != row.want {
			t.Errorf("%s: got %s", row.payload, got)
		}
	}
}
