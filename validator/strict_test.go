package validator

import (
	"os"
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

func TestEveryClaimOfTheProfileIsRequired(t *testing.T) {
	w := newWorld(t, Options{}, 0)
	for _, claim := range []string{"exp", "sub", "client_id", "jti", "iat"} {
		if got := w.judge(w.mint(devissuer.Token{Claims: map[string]any{claim: nil}})); got != token.ReasonClaim {
			t.Errorf("without %s: got %q", claim, got)
		}
	}
}

func TestBoundToOneCertificate(t *testing.T) {
	const mine, other = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", "v68ffgcPn6jdYpBfFY2nP4ShE2Yk-6_Mk5PI9yh6aes"
	w := newWorld(t, Options{}, 0)
	raw := w.mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": mine}}})
	r := w.validator.For(Audience{Any: []string{"https://rs.example.com"}})
	for _, test := range []struct {
		name string
		cred token.Credential
		want token.Reason
	}{
		{"its certificate", token.Credential{Scheme: token.Bearer, Raw: raw, Certificate: mine}, ""},
		{"another certificate", token.Credential{Scheme: token.Bearer, Raw: raw, Certificate: other}, token.ReasonMTLSBinding},
		{"no certificate", token.Credential{Scheme: token.Bearer, Raw: raw}, token.ReasonMTLSBinding},
		{"the DPoP scheme", token.Credential{Scheme: token.DPoP, Raw: raw, Certificate: mine}, token.ReasonDPoPBinding},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.reason(r.Validate(t.Context(), test.cred)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A token bound in both ways is not half bound: the certificate alone does not
// do, and neither does the scheme that asks for no proof.
func TestBoundTwiceNeedsBoth(t *testing.T) {
	const mine = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	w := newWorld(t, Options{}, 0)
	raw := w.mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": mine, "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}})
	r := w.validator.For(Audience{Any: []string{"https://rs.example.com"}})
	for _, test := range []struct {
		name string
		cred token.Credential
		want token.Reason
	}{
		{"the certificate as bearer", token.Credential{Scheme: token.Bearer, Raw: raw, Certificate: mine}, token.ReasonDPoPBinding},
		{"the certificate without a proof", token.Credential{Scheme: token.DPoP, Raw: raw, Certificate: mine}, token.ReasonDPoPMissing},
		{"no certificate", token.Credential{Scheme: token.DPoP, Raw: raw}, token.ReasonMTLSBinding},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.reason(r.Validate(t.Context(), test.cred)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSchemeAndBindingGoTogether(t *testing.T) {
	w := newWorld(t, Options{}, 0)
	unbound := w.mint(devissuer.Token{})
	bound := w.mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}})
	v, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName}}, Keys: w.keys})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		validator *Validator
		cred      token.Credential
		want      token.Reason
	}{
		{"nothing presented", w.validator, token.Credential{}, token.ReasonMissing},
		{"unbound under DPoP", w.validator, token.Credential{Scheme: token.DPoP, Raw: unbound}, token.ReasonDPoPBinding},
		{"bound as bearer", w.validator, token.Credential{Scheme: token.Bearer, Raw: bound}, token.ReasonDPoPBinding},
		{"bound without a proof", w.validator, token.Credential{Scheme: token.DPoP, Raw: bound}, token.ReasonDPoPMissing},
		{"bound where nobody checks proofs", v, token.Credential{Scheme: token.DPoP, Raw: bound}, token.ReasonDPoPBinding},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := w.reason(test.validator.For(Audience{Any: []string{"https://rs.example.com"}}).Validate(t.Context(), test.cred))
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A good signature over claims of the wrong type is not told as a bad one.
func TestClaimsAreToldApartFromTheSignature(t *testing.T) {
	w := newWorld(t, Options{}, 0)
	if got := w.judge(w.mint(devissuer.Token{Claims: map[string]any{"sub": 1}})); got != token.ReasonClaim {
		t.Errorf("got %q", got)
	}
}

// Without keys nobody can tell: that is no refusal.
func TestWithoutKeysNobodyCanTell(t *testing.T) {
	w := newWorld(t, Options{}, 0)
	if err := os.Remove(w.file); err != nil {
		t.Fatal(err)
	}
	if got := w.judge(w.mint(devissuer.Token{})); got != token.ReasonKeysUnavailable {
		t.Errorf("got %q", got)
	}
}

func TestBoundTwiceWithBothIsToldSo(t *testing.T) {
	const mine = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	w := newWorld(t, Options{}, 0)
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	raw := w.mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"x5t#S256": mine, "jkt": key.Thumbprint()}}})
	proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: "https://rs.example.com/read", AccessToken: raw})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.validator.For(Audience{Any: []string{"https://rs.example.com"}}).Validate(t.Context(), token.Credential{
		Scheme: token.DPoP, Raw: raw, Certificate: mine, Proofs: []string{proof},
		Method: "GET", Origins: []string{"https://rs.example.com"}, Path: "/read",
	})
	if err != nil || p.Binding != token.BoundDPoP|token.BoundMTLS {
		t.Errorf("got %v, %v", p, err)
	}
}
