package policy

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

func TestBinding(t *testing.T) {
	for _, test := range []struct {
		name  string
		route Binding
		good  []token.Binding
	}{
		{"any", AnyBinding, []token.Binding{token.Unbound, token.BoundDPoP, token.BoundMTLS, token.BoundDPoP | token.BoundMTLS}},
		{"dpop", DPoPBinding, []token.Binding{token.BoundDPoP, token.BoundDPoP | token.BoundMTLS}},
		{"mtls", MTLSBinding, []token.Binding{token.BoundMTLS, token.BoundDPoP | token.BoundMTLS}},
		{"required", BoundBinding, []token.Binding{token.BoundDPoP, token.BoundMTLS, token.BoundDPoP | token.BoundMTLS}},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := Compile([]Options{{Path: "/**", Binding: test.route}}, Resource{})
			if err != nil {
				t.Fatal(err)
			}
			good := make(map[token.Binding]bool)
			for _, b := range test.good {
				good[b] = true
			}
			for _, b := range []token.Binding{token.Unbound, token.BoundDPoP, token.BoundMTLS, token.BoundDPoP | token.BoundMTLS} {
				refusal := set.Routes()[0].Authorize(&Request{}, &token.Principal{Claims: &token.Claims{}, Binding: b}, time.Now())
				if good[b] != (refusal == nil) {
					t.Errorf("%q: %v", b, refusal)
				}
				if refusal != nil && (refusal.Code != token.InvalidToken || refusal.Reason != token.ReasonBinding) {
					t.Errorf("%q: refused with %v", b, refusal)
				}
			}
		})
	}
}

// A semicolon is refused bare. Escaped it is one character among others, but
// for what would be left of the segment in front of it.
func TestEscapedSemicolons(t *testing.T) {
	for raw, want := range map[string]string{"/a%3Bb": "/a;b", "/a%3bb/": "/a;b/", "/x/a%3B/y": "/x/a;/y", "/a.%3Bb": "/a.;b"} {
		if path, ok := Canonical(raw); !ok || path != want {
			t.Errorf("%s: %q, %v", raw, path, ok)
		}
	}
	for _, raw := range []string{"/%3Bb", "/a/%3B/", "/..%3Bb", "/.%3B/a"} {
		if path, ok := Canonical(raw); ok {
			t.Errorf("%s passes as %q", raw, path)
		}
	}
}

func TestCompileRefusesHalfACaptureAndHalfAPrefix(t *testing.T) {
	for name, o := range map[string]Options{
		"no brace in front":      {Path: "/ab}"},
		"no brace at the end":    {Path: "/{ab"},
		"prefix without a slash": {Path: "/ext/**", StripPrefix: "xext"},
		"prefix with two":        {Path: "/ext/**", StripPrefix: "/ext/"},
	} {
		if _, err := Compile([]Options{o}, Resource{}); err == nil {
			t.Errorf("%s: no complaint", name)
		}
	}
}

// A value the operator left empty is not what a claim that is not there says.
func TestAbsentClaimsAreNotEmptyOnes(t *testing.T) {
	actor, class := routeOf(t, Options{Actors: []string{""}}, Resource{}), routeOf(t, Options{ACR: []string{""}}, Resource{})
	for _, members := range []string{``, `"act":1,"acr":1`, `"act":{},"acr":null`, `"act":{"sub":1},"acr":[""]`} {
		p := callerOf(t, members)
		if refusal := actor.Authorize(&Request{}, p, t0); refusal == nil || refusal.Reason != token.ReasonActor {
			t.Errorf("actor of {%s}: %v", members, refusal)
		}
		if refusal := class.Authorize(&Request{}, p, t0); refusal == nil || refusal.Reason != token.ReasonACR {
			t.Errorf("acr of {%s}: %v", members, refusal)
		}
	}
}
