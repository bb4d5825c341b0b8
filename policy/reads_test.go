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
			Name: "all", Path: "/all", Claims: map[string][]string{"b.c": {"1"}, "a": {"1"}}, ACR: []string{"gold"}, AMR: []string{"pwd"},
			MaxAge: time.Minute, Actors: []string{"x"}, Details: []Detail{{Type: "t"}},
		},
	}, Resource{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{nil, {"act.sub", "act.iss", "a", "b.c", "authorization_details", "acr", "amr", "auth_time", "iat"}} {
		if got := set.Routes()[i].Reads(); !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", set.Routes()[i].Name, got, want)
		}
	}
}
