package introspect

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/signer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// TestBasicIsFormEncodedFirst is RFC 6749 section 2.3.1.
func TestBasicIsFormEncodedFirst(t *testing.T) {
	s := &server{Server: Server{ClientID: "gate:1", Secret: "a:b%c d+é"}}
	form, header := url.Values{}, http.Header{}
	if err := s.authenticate(form, header); err != nil {
		t.Fatal(err)
	}
	const want = "gate%3A1:a%3Ab%25c+d%2B%C3%A9"
	if got := header.Get("Authorization"); got != "Basic "+base64.StdEncoding.EncodeToString([]byte(want)) || len(form) != 0 {
		t.Errorf("%s, form %v", got, form)
	}
}

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

// TestAssertion: each kind of key signs what the verifier of package jwks takes,
// with the claims of RFC 7523 section 3.
func TestAssertion(t *testing.T) {
	point, number := newEC(t, elliptic.P256()), newRSA(t, 2048)
	for name, c := range map[string]struct{ text, alg string }{
		"P-256 JWK": {jwkOf(t, "ES256"), "ES256"}, "Ed25519 JWK": {jwkOf(t, "EdDSA"), "EdDSA"}, "RSA JWK": {jwkOf(t, "RS256"), "RS256"},
		"RSA JWK for PSS": {jwkOf(t, "PS256"), "PS256"}, "PKCS #8": {pemOf(t, "PRIVATE KEY", point), "ES256"},
		"SEC 1": {pemOf(t, "EC PRIVATE KEY", point), "ES256"}, "PKCS #1": {pemOf(t, "RSA PRIVATE KEY", number), "RS256"},
		"kid": {strings.Replace(jwkOf(t, "ES256"), "{", `{"kid":"k1",`, 1), "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := signer.Parse([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := assertion(k, "gate", "https://as.example.com", time.Unix(1000, 0))
			if err != nil {
				t.Fatal(err)
			}
			u, err := token.ParseJWT(raw, token.MaxLength)
			if err != nil {
				t.Fatal(err)
			}
			public, err := devissuer.JWK(k.Public(), "", c.alg)
			if err != nil {
				t.Fatal(err)
			}
			verifier, err := jwks.ParseProofKey(string(public))
			if err != nil {
				t.Fatal(err)
			}
			claims, err := u.Open(verifier)
			if err != nil {
				t.Fatal(err)
			}
			if claims.Issuer != "gate" || claims.Subject != "gate" || len(claims.Audience) != 1 || claims.Audience[0] != "https://as.example.com" ||
				claims.ID == "" || claims.IssuedAt.Unix() != 1000 || claims.Expiry.Unix() != 1060 {
				t.Errorf("claims %+v", claims)
			}
			if u.KeyID != k.ID() || (name == "kid") != (u.KeyID == "k1") || u.Algorithm != c.alg {
				t.Errorf("kid %q, alg %q", u.KeyID, u.Algorithm)
			}
		})
	}
}
