package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
)

func jwkOf(t *testing.T, alg string) string {
	t.Helper()
	key, err := devissuer.NewClientKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.json")
	if err := key.Save(name); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func pemOf(t *testing.T, kind string, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if kind == "EC PRIVATE KEY" {
			der, err = x509.MarshalECPrivateKey(k)
		}
	case *rsa.PrivateKey:
		if kind == "RSA PRIVATE KEY" {
			der = x509.MarshalPKCS1PrivateKey(k)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func newEC(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeysRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":     {"", ErrForm},
		"text":        {"secret", ErrForm},
		"public":      {`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, ErrForm},
		"symmetric":   {`{"kty":"oct","k":"AAAA"}`, ErrForm},
		"P-384":       {pemOf(t, "PRIVATE KEY", newEC(t, elliptic.P384())), ErrKind},
		"short RSA":   {pemOf(t, "PRIVATE KEY", newRSA(t, 1024)), ErrKind},
		"other alg":   {strings.Replace(jwkOf(t, "ES256"), `"ES256"`, `"RS256"`, 1), ErrAlgorithm},
		"unknown alg": {strings.Replace(jwkOf(t, "EdDSA"), `"EdDSA"`, `"none"`, 1), ErrAlgorithm},
	} {
		if _, err := Parse([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestKeysCompared(t *testing.T) {
	one, other := jwkOf(t, "ES256"), jwkOf(t, "ES256")
	a, errA := Parse([]byte(one))
	same, errS := Parse([]byte(one))
	b, errB := Parse([]byte(other))
	if errA != nil || errS != nil || errB != nil {
		t.Fatal(errA, errS, errB)
	}
	if !a.Equal(same) || a.Equal(b) || a.Equal(nil) || !(*Key)(nil).Equal(nil) {
		t.Error("keys are not told apart by what they are")
	}
}

// TestSets: keys come in the order of the text, whatever its form.
func TestSets(t *testing.T) {
	one, two := newEC(t, elliptic.P256()), newEC(t, elliptic.P256())
	blocks := pemOf(t, "PRIVATE KEY", one) + pemOf(t, "EC PRIVATE KEY", two)
	jwk, other := jwkOf(t, "ES256"), jwkOf(t, "EdDSA")
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"blocks":     {blocks, 2},
		"parameters": {"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pemOf(t, "EC PRIVATE KEY", one), 1},
		"JWK":        {jwk, 1},
		"JWK Set":    {`{"keys":[` + jwk + "," + other + `]}`, 2},
		"empty set":  {`{"keys":[]}`, 0},
		"odd set":    {`{"keys":[` + jwk + `,1]}`, 0},
		"bad set":    {`{"keys":[` + jwk + `,{"kty":"oct"}]}`, 0},
		"half bad":   {blocks + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0},
		"nothing":    {"", 0},
	} {
		keys, err := ParseSet([]byte(c.text))
		if (err == nil) != (c.want > 0) || err == nil && len(keys) != c.want {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
	keys, err := ParseSet([]byte(blocks))
	if err != nil || !one.PublicKey.Equal(keys[0].Public()) || !two.PublicKey.Equal(keys[1].Public()) {
		t.Errorf("%v in another order than in the file", err)
	}
}

// TestPublicHalf holds the members and the thumbprint against the reader of
// package jwks, and a signature against its verifier.
func TestPublicHalf(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256", "PS256"} {
		k, err := New(alg)
		if err != nil {
			t.Fatal(err)
		}
		public, err := jwks.ParseProofKey(fmt.Sprintf(`{%s,"alg":%q}`, k.Members(), alg))
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if public.Thumbprint() != k.Thumbprint() {
			t.Errorf("%s: thumbprint %s, want %s", alg, k.Thumbprint(), public.Thumbprint())
		}
		signature, err := k.Sign([]byte("text"))
		if err != nil || public.Verify(alg, "text", signature) != nil {
			t.Errorf("%s: the signature does not hold: %v", alg, err)
		}
		if public.Verify(alg, "test", signature) == nil {
			t.Errorf("%s: the signature holds for another text", alg)
		}
		if shown := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); shown != "key key key key" {
			t.Errorf("%s: shown as %s", alg, shown)
		}
	}
	if _, err := New("HS256"); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
}

// TestFor: an RSA key can be used in two ways, all others in one.
func TestFor(t *testing.T) {
	k, err := New("RS256")
	if err != nil {
		t.Fatal(err)
	}
	other, err := k.For("PS256")
	if err != nil || other.Algorithm() != "PS256" || other.Thumbprint() != k.Thumbprint() || k.Equal(other) {
		t.Errorf("%v %v", other, err)
	}
	if _, err := k.For("ES256"); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
}
