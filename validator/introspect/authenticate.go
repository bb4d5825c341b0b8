package introspect

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

const assertionTime = time.Minute

// authenticate adds who we are.
func (s *server) authenticate(form url.Values, header http.Header) error {
	switch s.Method {
	case Basic:
		// RFC 6749 section 2.3.1: each half is form-encoded before the two are joined.
		pair := url.QueryEscape(s.ClientID) + ":" + url.QueryEscape(s.Secret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case Post:
		form.Set("client_id", s.ClientID)
		form.Set("client_secret", s.Secret)
	case MutualTLS:
		form.Set("client_id", s.ClientID) // RFC 8705 section 2
	case PrivateKeyJWT:
		assertion, err := s.Key.assertion(s.ClientID, s.Issuer, time.Now())
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case TokenReview: // has no form; the client shows our token
	}
	return nil
}

// Key signs assertions (RFC 7523). It prints as nothing.
type Key struct {
	id, alg string
	signer  crypto.Signer
}

// String keeps the key out of every log line.
func (*Key) String() string { return "key" }

func (k *Key) equal(o *Key) bool {
	if k == nil || o == nil {
		return k == o
	}
	public, ok := k.signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == o.id && k.alg == o.alg && public.Equal(o.signer.Public())
}

// The errors of ParseKey. They say nothing of the key.
var (
	errKeyForm = errors.New("holds no private key in PEM or as a JWK")
	errKeyKind = errors.New("wants a P-256, Ed25519 or RSA key of 2048 bits or more")
	errKeyAlg  = errors.New("names an alg that is none of ES256, EdDSA, RS256 and PS256, or not for this key")
)

// ParseKey reads a private key in PEM (PKCS #8, PKCS #1 or SEC 1) or as a JWK
// (RFC 7517): P-256 for ES256, Ed25519 for EdDSA, RSA for RS256, or PS256 where a
// JWK's alg says so. A JWK's kid is told to the server.
func ParseKey(text []byte) (*Key, error) {
	k := &Key{}
	alg := ""
	if block, _ := pem.Decode(text); block != nil {
		k.signer = parsePEM(block.Bytes)
	} else if o, err := token.ParseObject(trim(string(text))); err == nil {
		k.signer = parseJWK(o)
		k.id, alg = member(o, "kid"), member(o, "alg")
	}
	if k.signer == nil {
		return nil, errKeyForm
	}
	algorithms := k.algorithms()
	if len(algorithms) == 0 {
		return nil, errKeyKind
	}
	if k.alg = algorithms[alg]; k.alg == "" {
		return nil, errKeyAlg
	}
	return k, nil
}

// algorithms is what the key may be used with, by what a JWK calls it; empty is
// for who does not say.
func (k *Key) algorithms() map[string]string {
	switch public := k.signer.Public().(type) {
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return map[string]string{"": "ES256", "ES256": "ES256"}
		}
	case ed25519.PublicKey:
		return map[string]string{"": "EdDSA", "EdDSA": "EdDSA", "Ed25519": "Ed25519"}
	case *rsa.PublicKey:
		if public.N.BitLen() >= 2048 {
			return map[string]string{"": "RS256", "RS256": "RS256", "PS256": "PS256"}
		}
	}
	return nil
}

// parsePEM returns nil for what is no private key.
func parsePEM(der []byte) crypto.Signer {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		signer, _ := key.(crypto.Signer)
		return signer
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	return nil
}

func member(o *token.Object, name string) string {
	v, _ := o.Get(name)
	text, _ := v.Text()
	return text
}

// parseJWK returns nil for what is no private key (RFC 7518 section 6, RFC 8037
// section 2).
func parseJWK(o *token.Object) crypto.Signer {
	octets := func(name string) []byte {
		text, _ := base64.RawURLEncoding.Strict().DecodeString(member(o, name))
		return text
	}
	number := func(name string) *big.Int { return new(big.Int).SetBytes(octets(name)) }
	switch member(o, "kty") + " " + member(o, "crv") {
	case "EC P-256":
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), octets("d")); err == nil {
			return key
		}
	case "OKP Ed25519":
		if seed := octets("d"); len(seed) == ed25519.SeedSize {
			return ed25519.NewKeyFromSeed(seed)
		}
	case "RSA ":
		key := &rsa.PrivateKey{D: number("d"), Primes: []*big.Int{number("p"), number("q")}}
		key.N, key.E = number("n"), int(number("e").Int64())
		if key.Validate() == nil {
			key.Precompute()
			return key
		}
	}
	return nil
}

// assertion says who we are to the issuer, once and for a minute (RFC 7523
// section 3).
func (k *Key) assertion(client, audience string, now time.Time) (string, error) {
	header := map[string]string{"alg": k.alg, "typ": "JWT"}
	if k.id != "" {
		header["kid"] = k.id
	}
	first, errH := json.Marshal(header)
	second, errP := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		IssuedAt int64  `json:"iat"`
		Expiry   int64  `json:"exp"`
	}{client, client, audience, rand.Text(), now.Unix(), now.Add(assertionTime).Unix()})
	if err := errors.Join(errH, errP); err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(first) + "." + encode(second)
	signature, err := k.sign([]byte(signed))
	return signed + "." + encode(signature), err
}

func (k *Key) sign(text []byte) ([]byte, error) {
	digest := sha256.Sum256(text)
	switch key := k.signer.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64) // RFC 7518 section 3.4
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out, nil
	case *rsa.PrivateKey:
		if k.alg == "PS256" {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	}
	return k.signer.Sign(rand.Reader, text, crypto.Hash(0))
}
