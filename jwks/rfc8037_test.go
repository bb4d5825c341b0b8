package jwks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// TestRFC8037 is appendix A: the thumbprint of A.3 and the signature of A.4.
func TestRFC8037(t *testing.T) {
	v := readVectors(t)
	k, err := ParseProofKey(string(v.RFC["rfc8037_jwk"]))
	if err != nil || k.Thumbprint() != v.text(t, "rfc8037_thumbprint") {
		t.Fatalf("got %v, %v", k, err)
	}
	const signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
	const signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	if err := verifyCompact(k, signed+signature); err != nil {
		t.Error(err)
	}
	if err := verifyCompact(k, strings.Replace(signed, "RXh", "RXi", 1)+signature); !errors.Is(err, ErrSignature) {
		t.Errorf("altered: %v", err)
	}
}

// verifyCompact checks a JWS with nothing but this package.
func verifyCompact(k *Key, compact string) error {
	dot := strings.LastIndexByte(compact, '.')
	signature, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(compact, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return err
	}
	var header struct{ Alg string }
	if err := json.Unmarshal(text, &header); err != nil {
		return err
	}
	return k.Verify(header.Alg, compact[:dot], signature)
}
