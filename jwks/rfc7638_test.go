package jwks

import (
	"encoding/json"
	"testing"
)

// TestRFC7638 is section 3.1, and TP-01: the other members change nothing.
func TestRFC7638(t *testing.T) {
	v := readVectors(t)
	want := v.text(t, "rfc7638_thumbprint")
	jwk := string(v.RFC["rfc7638_jwk"])
	k, err := ParseProofKey(jwk)
	if err != nil || k.Thumbprint() != want {
		t.Errorf("got %v, %v, want %s", k, err, want)
	}
	set, skipped, err := ParseSet(setOf(jwk), nil)
	if err != nil || set.Len() != 1 {
		t.Fatal(err, skipped)
	}
	if got := set.Find("2011-04-29", "RS256")[0].Thumbprint(); got != want {
		t.Errorf("in a set: %s", got)
	}
	var all members
	if err := json.Unmarshal([]byte(jwk), &all); err != nil {
		t.Fatal(err)
	}
	more := all.with(members{"kid": "x", "use": "sig", "alg": nil, "x5t": "AAAA", "zz": 1})
	if k, err := ParseProofKey(more.text()); err != nil || k.Thumbprint() != want {
		t.Errorf("with other members: %v, %v", k, err)
	}
}

// TestRFC9449 is the key of the examples of RFC 9449 and its jkt (Figure 9).
func TestRFC9449(t *testing.T) {
	v := readVectors(t)
	k, err := ParseProofKey(string(v.RFC["rfc9449_jwk"]))
	if err != nil || k.Thumbprint() != v.text(t, "rfc9449_jkt") {
		t.Errorf("got %v, %v", k, err)
	}
	for _, name := range []string{"fig2_proof_POST_token", "fig7_proof_same_jti_as_fig2", "fig13_proof_GET_protectedresource_iat_1562262618"} {
		if err := verifyCompact(k, v.text(t, "rfc9449_"+name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
