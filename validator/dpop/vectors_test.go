package dpop

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// TestConformanceVectors runs the shared vectors. The one of DPOP-41 is for a
// server with a nonce of its own; it leaves the nonce out, so ours do as well.
func TestConformanceVectors(t *testing.T) {
	var file struct {
		Now    int64
		Tokens []struct{ Text, JKT string }
		Proofs []struct {
			Row, Name, Method, URI, Expect, Proof string
			Token                                 int
			RequiredNonce                         string `json:"required_nonce"`
		}
	}
	readJSON(t, "proofs.json", &file)
	const origin = "https://rs.example.com"
	run, nonces := 0, 0
	for _, vector := range file.Proofs {
		name := vector.Row + " " + vector.Name
		if vector.RequiredNonce != "" {
			nonces++
		}
		run++
		t.Run(name, func(t *testing.T) {
			path, found := strings.CutPrefix(vector.URI, origin)
			if !found {
				t.Fatalf("%s is of another origin", vector.URI)
			}
			bound := file.Tokens[vector.Token]
			cred := token.Credential{
				Scheme: token.DPoP, Raw: bound.Text, Proofs: []string{vector.Proof},
				Method: vector.Method, Origins: []string{origin}, Path: path,
				NonceNeeded: vector.RequiredNonce != "",
			}
			v := newVerifier(t, Options{})
			_, err := v.Confirm(context.Background(), cred, cred.Digest(), bound.JKT, time.Unix(file.Now, 0))
			if vector.Expect == "ok" {
				want(t, err, "", "")
				return
			}
			want(t, err, token.Code(vector.Expect), "")
			if (given(err) != "") != cred.NonceNeeded {
				t.Errorf("handed out %q", given(err))
			}
			if memory(v).Len() != 0 {
				t.Error("a refused proof is remembered")
			}
		})
	}
	if run != 52 || nonces != 1 {
		t.Errorf("%d vectors ran, %d of them with a nonce", run, nonces)
	}
}
