package dpop

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// unsure is a store that is somewhere else and cannot say.
type unsure struct{ err error }

func (u unsure) First(context.Context, string, string, time.Time, time.Duration) (bool, error) {
	return false, u.err
}

// What began to remember too late is the client's to mend, with another proof
// or nonce; what cannot be asked is nobody's fault.
func TestStoreElsewhere(t *testing.T) {
	h := newClient(t)
	proof := h.proof(h.header(), claimsAt(noon, "a"))
	late, err := New(Options{}, unsure{replay.ErrForgotten})
	if err != nil {
		t.Fatal(err)
	}
	want(t, confirm(late, h.jkt(t), noon, proof), token.InvalidDPoPProof, token.ReasonDPoPTime)
	for name, wait := range map[error]time.Duration{replay.ErrUnavailable: 2 * time.Second, replay.ErrFull: 30 * time.Second} {
		gone, err := New(Options{}, unsure{fmt.Errorf("%w: cause", name)})
		if err != nil {
			t.Fatal(err)
		}
		fault, ok := errors.AsType[*token.Fault](confirm(gone, h.jkt(t), noon, proof))
		if !ok || fault.Reason != token.ReasonReplayUnavailable || fault.RetryAfter != wait {
			t.Errorf("%v: %v", name, fault)
		}
	}
	nonces := NewNonces()
	if late, err = New(Options{Nonces: nonces}, unsure{replay.ErrForgotten}); err != nil {
		t.Fatal(err)
	}
	claims := claimsAt(noon, "a")
	claims["nonce"] = nonces.At(noon) // its own nonce is no excuse: this process outlives the memory
	cred := credentialWith(h.proof(h.header(), claims))
	cred.NonceNeeded = true
	want(t, confirmed(late, context.Background(), cred, tokenDigest, h.jkt(t), noon), token.UseDPoPNonce, token.ReasonDPoPTime)
}
