package validator

import (
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// MTLS-01, MTLS-02, J-44: a token bound to a certificate is judged by the
// certificate of each request, also when its signature is remembered.
func TestCertificateBinding(t *testing.T) {
	w := newWorld(t, Options{}, 10)
	mine, other := strings.Repeat("A", 43), strings.Repeat("A", 42)+"E"
	raw := w.mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": mine}}})
	for _, c := range []struct {
		scheme token.Scheme
		cert   string
		want   token.Reason
	}{
		{token.Bearer, mine, ""}, {token.Bearer, other, token.ReasonMTLSBinding}, {token.Bearer, "", token.ReasonMTLSBinding},
		{token.Bearer, mine + "A", token.ReasonMTLSBinding}, {token.DPoP, mine, token.ReasonDPoPBinding}, {token.Bearer, mine, ""},
	} {
		resource := w.validator.For(Audience{Any: []string{"https://rs.example.com"}})
		p, err := resource.Validate(t.Context(), token.Credential{Scheme: c.scheme, Raw: raw, Certificate: c.cert})
		if got := w.reason(p, err); got != c.want {
			t.Errorf("%v with %q: %q, want %q", c.scheme, c.cert, got, c.want)
		}
		if err == nil && p.Binding != token.BoundMTLS {
			t.Errorf("binding %q", p.Binding)
		}
	}
}
