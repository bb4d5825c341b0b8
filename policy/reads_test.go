package policy

import (
	"slices"
	"testing"
	"time"
)

// TestReads holds that no requirement is forgotten: what a replay does not know
// of, it would guess.
func TestReads(t *testing.T) {
	for _, q := range requirements {
		if _, told := reads[q.reason]; !told {
			t.Errorf("nothing says which claims the requirement %s looks at", q.reason)
		}
	}
	set, err := Compile([]Options{
		{Name: "none", Path: "/none", All: []string{"a"}, Clients: []string{"c"}, Subjects: []string{"s"}, Binding: DPoPBinding},
		{
			Name: "all", Path: "/all", Claims: map[string]ClaimRule{"b.c": {AnyOf: []string{"1"}}, "a": {AnyOf: []string{"1"}}}, ACR: []string{"gold"}, AMR: []string{"pwd"},
			MaxAge: time.Minute, Actors: []string{"x"}, Details: []Detail{{Type: "t"}},
		},
	}, Resource{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{nil, {"act.sub", "act.iss", "a", "b.c", "authorization_details", "acr", "amr", "auth_time", "iat"}} {
		if got, ok := set.Routes()[i].Reads(); !ok || !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", set.Routes()[i].Name, got, want)
		}
	}
}

// TestReadsOfExpressions: what an expression names is known, and where it may look
// at more, that is known too.
func TestReadsOfExpressions(t *testing.T) {
	for when, want := range map[string]struct {
		claims, headers []string
		open            bool
	}{
		`claims.a == "x" && claims["https://b/c"] == 1 && "d" in claims`: {claims: []string{"a", "https://b/c", "d"}},
		`claims.a.b == "x" || has(claims.a.c)`:                           {claims: []string{"a"}},
		`token.subject == request.headers["x-tenant"]`:                   {headers: []string{"X-Tenant"}},
		`claims[token.subject] == true && claims.a == 1`:                 {claims: []string{"a"}, open: true},
		`claims.exists(name, name == "admin")`:                           {open: true},
		`size(claims) > 3`:                                               {open: true},
	} {
		set, err := Compile([]Options{{Path: "/a", When: when}}, Resource{})
		if err != nil {
			t.Fatal(err)
		}
		r := set.Routes()[0]
		if claims, ok := r.Reads(); ok == want.open || !slices.Equal(claims, want.claims) {
			t.Errorf("%s reads %v, and no more: %v", when, claims, ok)
		}
		if headers := r.ReadsHeaders(); !slices.Equal(headers, want.headers) {
			t.Errorf("%s reads the headers %v", when, headers)
		}
	}
}
