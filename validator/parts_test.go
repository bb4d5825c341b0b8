package validator

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// An issuer that is to be asked about tokens needs somebody who asks.
func TestNewWantsAnIntrospector(t *testing.T) {
	for name, how := range map[string]Introspection{"opaque tokens": {Opaque: true}, "JWTs": {JWT: true}, "both": {Opaque: true, JWT: true}} {
		if _, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName, Introspection: how}}}); err == nil {
			t.Errorf("%s: no complaint", name)
		}
	}
	if _, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName}}}); err != nil {
		t.Error(err)
	}
}

// What an issuer's answers may leave out, its tokens may not.
func TestTrustInAnswersIsNoneInTokens(t *testing.T) {
	w := newWorld(t, Options{Leeway: 30 * time.Second, Introspection: Introspection{TrustAudience: true}}, 0)
	if got := w.judge(w.mint(devissuer.Token{Claims: map[string]any{"aud": nil}})); got != token.ReasonAudience {
		t.Errorf("a token without aud: %q", got)
	}
	if got := w.judge(w.mint(devissuer.Token{})); got != "" {
		t.Errorf("a good token: %q", got)
	}
}
