package dpop

import (
	"crypto/elliptic"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// TestCostlyProofsCostNothing is H-80: an algorithm that is not switched on is
// refused before its key is read and before anything is computed, and so is a
// key that is too large. The trace says how far the proof came.
func TestCostlyProofsCostNothing(t *testing.T) {
	p384, p521, p256 := newEC(t, "ES384", elliptic.P384()), newEC(t, "ES512", elliptic.P521()), newClient(t)
	large := members{"kty": "RSA", "e": "AQAB", "n": b64([]byte("\xff" + strings.Repeat("\xff", 4096/8)))}
	for name, c := range map[string]struct {
		h                *holder
		header           members
		want             token.Reason
		parsed, verified bool
	}{
		"ES256":                {p256, nil, token.ReasonNone, true, true},
		"ES384":                {p384, nil, token.ReasonDPoPAlgorithm, false, false},
		"ES512":                {p521, nil, token.ReasonDPoPAlgorithm, false, false},
		"RS512":                {newRSA(t, "RS256"), members{"alg": "RS512"}, token.ReasonDPoPAlgorithm, false, false},
		"P-521 called ES256":   {p256, members{"jwk": p521.jwk}, token.ReasonDPoPAlgorithm, true, false},
		"RSA over 4096 bits":   {p256, members{"alg": "RS256", "jwk": large}, token.ReasonDPoPKey, true, false},
		"a key of nobody here": {newClient(t), nil, token.ReasonDPoPBinding, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			cred := credentialWith(c.h.proof(c.h.header().with(c.header), claimsAt(noon, "a")))
			cred.Trace = &token.Trace{}
			jkt := c.h.jkt(t)
			if c.want == token.ReasonDPoPBinding {
				jkt = p256.jkt(t)
			}
			err := confirmed(newVerifier(t, Options{}), t.Context(), cred, tokenDigest, jkt, noon)
			if c.want == token.ReasonNone {
				want(t, err, "", "")
			} else if refusal, refused := errors.AsType[*token.Error](err); !refused || refusal.Reason != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
			for reason, want := range map[token.Reason]bool{token.ReasonDPoPKey: c.parsed, token.ReasonDPoPSignature: c.verified} {
				if got := slices.ContainsFunc(cred.Trace.Steps, func(s token.Step) bool { return s.Reason == reason }); got != want {
					t.Errorf("it came to %q: %v, want %v", reason, got, want)
				}
			}
		})
	}
}
