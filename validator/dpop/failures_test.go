package dpop

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/budget"
	"github.com/wicketgate/wicketgate/validator/replay"
)

type sender string

func (s sender) Payer() netip.Addr { return netip.MustParseAddr(string(s)) }

// TestUsedProofsCostNothing: the octets of a proof that was accepted are refused
// without a look at their signature, as long as they would be at all.
func TestUsedProofsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checked := 0
		v := newVerifier(t, Options{OnSignature: func(bool) { checked++ }})
		h := newClient(t)
		jkt, now := h.jkt(t), time.Now()
		proof := h.proof(h.header(), claimsAt(now, "a"))
		want(t, confirm(v, jkt, now, proof), "", "")
		for range 3 {
			want(t, confirm(v, jkt, now, proof), token.InvalidDPoPProof, token.ReasonDPoPReplay)
		}
		if checked != 1 {
			t.Errorf("%d signatures were checked", checked)
		}
		want(t, confirm(v, jkt, now, malleated(t, proof)), token.InvalidDPoPProof, "")
		want(t, confirm(v, jkt, now, h.proof(h.header(), claimsAt(now, "b"))), "", "")
		want(t, confirm(v, jkt, now, h.proof(h.header(), claimsAt(now, "a"))), token.InvalidDPoPProof, token.ReasonDPoPReplay)
		if checked != 4 {
			t.Errorf("%d signatures were checked", checked)
		}
	})
}

// A store that others share has the last word about what was used.
func TestSharedStoresAreAsked(t *testing.T) {
	v, err := New(Options{}, forgetful{})
	if err != nil {
		t.Fatal(err)
	}
	if v.used != nil {
		t.Error("what is known here would be told for what all know")
	}
	if v, err = New(Options{}, replay.NewMemory(10)); err != nil || v.used == nil {
		t.Errorf("what is known here is of no use: %v", err)
	}
}

func TestForgedProofsSpendABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checked := 0
		v := newVerifier(t, Options{
			Failures:    budget.NewSources(budget.Options{Burst: 5, PerSecond: 1, Count: 100}),
			OnSignature: func(bool) { checked++ },
		})
		h, other := newClient(t), newClient(t)
		jkt, now := h.jkt(t), time.Now()
		send := func(h *holder, jkt, from string, forge bool) error {
			proof := h.proof(h.header(), claimsAt(now, time.Now().String()+from))
			if forge {
				proof = malleated(t, proof)
				proof = proof[:len(proof)-8] + "AAAAAAAA"[:7] + "A"
			}
			cred := credentialWith(proof)
			cred.Sender = sender(from)
			time.Sleep(time.Millisecond)
			return confirmed(v, t.Context(), cred, tokenDigest, jkt, now)
		}
		for range 5 {
			want(t, send(h, jkt, "192.0.2.1", true), token.InvalidDPoPProof, token.ReasonDPoPSignature)
		}
		want(t, send(h, jkt, "192.0.2.1", true), token.TooManyRequests, token.ReasonFailures)
		want(t, send(h, jkt, "192.0.2.1", false), token.TooManyRequests, token.ReasonFailures)
		if checked != 5 {
			t.Errorf("%d signatures were checked", checked)
		}
		want(t, send(h, jkt, "192.0.2.2", false), "", "")
		want(t, send(other, other.jkt(t), "192.0.2.1", false), "", "")
		short := credentialWith(h.proof(h.header(), claimsAt(now, "short")))
		short.Proofs[0] = short.Proofs[0][:len(short.Proofs[0])-86] + "AAAA"
		before := checked
		want(t, confirmed(v, t.Context(), short, tokenDigest, jkt, now), token.InvalidDPoPProof, token.ReasonDPoPSignature)
		if checked != before {
			t.Error("a signature of the wrong length was checked")
		}
		time.Sleep(time.Second)
		want(t, send(h, jkt, "192.0.2.1", false), "", "")
	})
}
