package dpop

import (
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// TestKnownHeader has a client send the header that is known of it with whatever
// else may be wrong: all is judged but the header itself.
func TestKnownHeader(t *testing.T) {
	v, h, other := newVerifier(t, Options{}), newClient(t), newClient(t)
	want(t, confirm(v, other.jkt(t), noon, h.proof(h.header(), claimsAt(noon, "0"))), token.InvalidToken, token.ReasonDPoPBinding)
	stolen := other.proof(h.header(), claimsAt(noon, "s"))
	want(t, confirm(v, h.jkt(t), noon, stolen), token.InvalidDPoPProof, token.ReasonDPoPSignature)
	first := h.proof(h.header(), claimsAt(noon, "1"))
	if v.keys.Head(first).Key != nil {
		t.Error("the header of a stranger is remembered")
	}
	want(t, confirm(v, h.jkt(t), noon, first), "", "")
	if v.keys.Head(first).Key == nil {
		t.Fatal("the header of a client is not remembered")
	}
	next := h.proof(h.header(), claimsAt(noon, "2"))
	for _, c := range []struct {
		proof  string
		holder *holder
		code   token.Code
		reason token.Reason
	}{
		{next, other, token.InvalidToken, token.ReasonDPoPBinding},
		{first, h, token.InvalidDPoPProof, token.ReasonDPoPReplay},
		{next[:len(next)-86] + first[len(first)-86:], h, token.InvalidDPoPProof, token.ReasonDPoPSignature},
		{other.proof(h.header(), claimsAt(noon, "3")), h, token.InvalidDPoPProof, token.ReasonDPoPSignature},
		{h.proof(h.header(), claimsAt(noon, "4").with(members{"htm": "PUT"})), h, token.InvalidDPoPProof, token.ReasonDPoPMethod},
		{h.proof(h.header(), claimsAt(noon, "5").with(members{"ath": "x"})), h, token.InvalidDPoPProof, token.ReasonDPoPToken},
		{h.proof(h.header(), claimsAt(noon.Add(-DefaultMaxAge*2), "6")), h, token.InvalidDPoPProof, token.ReasonDPoPTime},
		{token.Segment(next) + ".e30", h, token.InvalidDPoPProof, token.ReasonDPoPMalformed},
		{next, h, "", ""},
	} {
		want(t, confirm(v, c.holder.jkt(t), noon, c.proof), c.code, c.reason)
	}
}
