package dpop

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// outOfScope names the vectors for features that are not there: server nonces
// (RFC 9449 section 9) are not checked.
var outOfScope = map[string]bool{"DPOP-41 nonce missing": true}

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
	run, left := 0, 0
	for _, vector := range file.Proofs {
		name := vector.Row + " " + vector.Name
		if outOfScope[name] != (vector.RequiredNonce != "") {
			t.Errorf("%s: is it out of scope?", name)
		}
		if outOfScope[name] {
			left++
			continue
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
			}
			v := newVerifier(t, Options{})
			_, err := v.Confirm(context.Background(), cred, cred.Digest(), bound.JKT, time.Unix(file.Now, 0))
			if vector.Expect == "ok" {
				want(t, err, "", "")
				return
			}
			want(t, err, token.Code(vector.Expect), "")
			if memory(v).Len() != 0 {
				t.Error("a refused proof is remembered")
			}
		})
	}
	if run != 51 || left != len(outOfScope) {
		t.Errorf("%d vectors ran, %d were left out", run, left)
	}
}
