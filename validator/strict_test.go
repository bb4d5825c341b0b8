package validator

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// What a token says of itself may refuse it before anybody looks for its key:
// nobody has the key of these.
func TestRefusedBeforeItsKeyIsLookedFor(t *testing.T) {
	type m = map[string]any
	now := time.Now().Unix()
	for _, test := range []struct {
		name    string
		options Options
		claims  m
		want    token.Reason
	}{
		{"nothing wrong but the key", Options{}, m{}, token.ReasonUnknownKey},
		{"expired", Options{}, m{"exp": now - 3600}, token.ReasonExpired},
		{"exp as text", Options{}, m{"exp": "tomorrow"}, token.ReasonClaim},
		{"issued ahead of us", Options{}, m{"iat": now + 3600}, token.ReasonIssuedAt},
		{"iat as text", Options{}, m{"iat": "today"}, token.ReasonClaim},
		{"for another resource", Options{}, m{"aud": "https://other.example.com"}, token.ReasonAudience},
		{"aud as number", Options{}, m{"aud": 1}, token.ReasonAudience},
		{"aud as number where any will do", Options{AnyAudience: true}, m{"aud": 1}, token.ReasonAudience},
		{"any audience", Options{AnyAudience: true}, m{"aud": "https://other.example.com"}, token.ReasonUnknownKey},
		{"another claim is the audience", Options{AudienceClaim: "azp"}, m{"aud": "https://other.example.com"}, token.ReasonUnknownKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.options, 0)
			got := w.judge(w.mint(devissuer.Token{Header: m{"kid": "nobody's"}, Claims: test.claims}))
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAudienceClaimHasAType(t *testing.T) {
	type m = map[string]any
	w := newWorld(t, Options{AudienceClaim: "azp", AnyAudience: true}, 0)
	for name, value := range map[string]any{"number": 1, "object": m{"a": "b"}, "list with a number": []any{"https://rs.example.com", 1}} {
		if got := w.judge(w.mint(devissuer.Token{Claims: m{"azp": value}})); got != token.ReasonAudience {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got := w.judge(w.mint(devissuer.Token{Claims: m{"azp": "anybody"}})); got != "" {
		t.Errorf("a text: got %q", got)
	}
}
