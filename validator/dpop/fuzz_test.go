package dpop

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

// FuzzConfirm takes the proof of RFC 9449 Figure 13 apart and lets every part
// change: only the honest one passes, and nothing that is no refusal comes of
// the others. The signature may have a second value (n-s), the text may not.
func FuzzConfirm(f *testing.F) {
	e := readExample(f)
	var honest [3]string
	for i, part := range strings.Split(e.Figure13, ".") {
		octets, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			f.Fatal(err)
		}
		honest[i] = string(octets)
	}
	header, claims, signature := honest[0], honest[1], honest[2]
	f.Add(header, claims, signature)
	f.Add(header, claims, signature[:63])
	f.Add(strings.Replace(header, "ES256", "none", 1), claims, signature)
	f.Add(strings.Replace(header, "dpop+jwt", "at+jwt", 1), claims, signature)
	f.Add(strings.Replace(header, `"kty"`, `"d":"","kty"`, 1), claims, signature)
	f.Add(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}}`, claims, signature)
	f.Add(`{"typ":"dpop+jwt","alg":"RS256","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`, claims, signature)
	f.Add(header, strings.Replace(claims, "GET", "PUT", 1), signature)
	f.Add(header, strings.Replace(claims, "1562262618", "1e400", 1), signature)
	f.Add(header, strings.Replace(claims, "https:", "HTTPS:", 1), signature)
	f.Add(header, `{"jti":1,"htm":[],"htu":{},"iat":null,"ath":true}`, signature)
	cred := e.credential()
	digest := cred.Digest()
	f.Fuzz(func(t *testing.T, changedHeader, changedClaims, changedSignature string) {
		one := cred
		one.Proofs = []string{b64([]byte(changedHeader)) + "." + b64([]byte(changedClaims)) + "." + b64([]byte(changedSignature))}
		v := newVerifier(t, Options{})
		_, err := v.Confirm(context.Background(), one, digest, e.JKT, e.now())
		if same := changedHeader == header && changedClaims == claims; err == nil && !same {
			t.Fatalf("%q %q passes", changedHeader, changedClaims)
		} else if err != nil && same && changedSignature == signature {
			t.Fatalf("the honest proof is refused: %v", err)
		}
		if err == nil {
			return
		}
		want(t, err, codeOf(err), "")
		if memory(v).Len() != 0 {
			t.Fatal("a refused proof is remembered")
		}
	})
}

// codeOf is the code a refused proof may have.
func codeOf(err error) token.Code {
	if errors.Is(err, token.InvalidToken) && !errors.Is(err, token.InvalidDPoPProof) {
		return token.InvalidToken
	}
	return token.InvalidDPoPProof
}
