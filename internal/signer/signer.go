// Package signer signs with private keys that are the gate's own, and shows
// their public halves. It reads keys and never writes one out.
package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// Key is a private key with the one algorithm it is used with. It prints as
// nothing.
type Key struct {
	id, alg    string
	signer     crypto.Signer
	members    string // of the public JWK, in the order of RFC 7638
	thumbprint string
}

// The errors of Parse, ParseSet, New and For. They say nothing of the key.
var (
	ErrForm      = errors.New("holds no private key in PEM or as a JWK")
	ErrKind      = errors.New("wants a P-256, Ed25519 or RSA key of 2048 to 8192 bits")
	ErrAlgorithm = errors.New("names an alg that is none of ES256, EdDSA, RS256 and PS256, or not for this key")
)

// New makes a key for ES256, EdDSA, RS256 or PS256.
func New(alg string) (*Key, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "RS256", "PS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, ErrAlgorithm
	}
	if err != nil {
		return nil, err
	}
	return newKey(private, "", alg)
}

// newKey takes a key into use, with alg or, where that is empty, what is usual.
func newKey(private crypto.Signer, id, alg string) (*Key, error) {
	if private == nil {
		return nil, ErrForm
	}
	k := &Key{id: id, signer: private}
	algorithms := k.algorithms()
	if len(algorithms) == 0 {
		return nil, ErrKind
	}
	if k.alg = algorithms[alg]; k.alg == "" {
		return nil, ErrAlgorithm
	}
	k.members = k.publicMembers()
	sum := sha256.Sum256([]byte("{" + k.members + "}"))
	k.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	return k, nil
}

// For returns the key for use with alg, which must be one for its type.
func (k *Key) For(alg string) (*Key, error) { return newKey(k.signer, k.id, alg) }

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
		if bits := public.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return map[string]string{"": "RS256", "RS256": "RS256", "PS256": "PS256"}
		}
	}
	return nil
}

// publicMembers writes what makes the public key, each member in its place of
// RFC 7638 section 3.2.
func (k *Key) publicMembers() string {
	encode := base64.RawURLEncoding.EncodeToString
	switch public := k.signer.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y
		if err != nil || len(point) != 65 {
			return ""
		}
		return fmt.Sprintf(`"crv":"P-256","kty":"EC","x":"%s","y":"%s"`, encode(point[1:33]), encode(point[33:]))
	case ed25519.PublicKey:
		return fmt.Sprintf(`"crv":"Ed25519","kty":"OKP","x":"%s"`, encode(public))
	case *rsa.PublicKey:
		return fmt.Sprintf(`"e":"%s","kty":"RSA","n":"%s"`, encode(big.NewInt(int64(public.E)).Bytes()), encode(public.N.Bytes()))
	}
	return ""
}

// String keeps the key out of every log line.
func (*Key) String() string { return "key" }

// GoString does the same for what prints Go's form of values.
func (*Key) GoString() string { return "key" }

// ID is the kid of the JWK the key was read from, or empty.
func (k *Key) ID() string { return k.id }

// Algorithm is what the key signs with (RFC 7518 section 3.1, RFC 8037 section
// 3.1).
func (k *Key) Algorithm() string { return k.alg }

// Public is the public half.
func (k *Key) Public() crypto.PublicKey { return k.signer.Public() }

// Thumbprint is the SHA-256 thumbprint of the public half in base64url (RFC
// 7638 section 3).
func (k *Key) Thumbprint() string { return k.thumbprint }

// Members is the public half as the members of a JWK, without braces.
func (k *Key) Members() string { return k.members }

// Equal reports whether both are one key for one use; nil equals nil only.
func (k *Key) Equal(o *Key) bool {
	if k == nil || o == nil {
		return k == o
	}
	return k.id == o.id && k.alg == o.alg && k.thumbprint == o.thumbprint
}

// Sign returns the signature over text in the form of JWS (RFC 7515 section
// 5.1).
func (k *Key) Sign(text []byte) ([]byte, error) {
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
