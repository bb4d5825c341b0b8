package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// The errors of Verify. They say nothing of the key or the signature.
var (
	ErrAlgorithm = errors.New("algorithm is not that of the key")
	ErrSignature = errors.New("signature does not match")
)

// Key is one public key with what it may be used for. It is made by this
// package only and never changes. The zero Key verifies nothing.
type Key struct {
	ID string // kid; empty when the JWK has none

	alg        *algorithm // the only one it is used with; nil for a proof key that names none
	crv        string     // empty for RSA
	public     crypto.PublicKey
	thumbprint string

	tables *Tables // may have one for this key; nil for none
	client bool    // it came with a proof
}

// Algorithm is the canonical name of the one algorithm the key is used with.
// It is empty for a proof key whose JWK names none.
func (k *Key) Algorithm() string {
	if k.alg == nil {
		return ""
	}
	return k.alg.name
}

// Thumbprint is the SHA-256 thumbprint in base64url (RFC 7638 section 3,
// RFC 8037 section 2), over the members as they were sent.
func (k *Key) Thumbprint() string { return k.thumbprint }

// Fits reports whether alg can be used with a key of this type and curve, and
// is the one the key is meant for, if it is meant for one.
func (k *Key) Fits(alg string) bool { return k.fits(lookup(alg)) }

func (k *Key) fits(a *algorithm) bool {
	if a == nil || k.public == nil || k.alg != nil && k.alg != a {
		return false
	}
	return a.curve == k.crv
}

// Measures reports whether a signature by this key with alg has so many octets.
// Verify refuses any other length too; this tells it without any computation.
func (k *Key) Measures(alg string, octets int) bool {
	if !k.fits(lookup(alg)) {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return octets == public.Size()
	case *ecdsa.PublicKey:
		return octets == 2*coordinateSize(public)
	}
	return octets == ed25519.SignatureSize
}

// Verify checks signature over the octets of signed. It returns ErrAlgorithm,
// without looking at the signature, for any alg the key does not fit, and
// ErrSignature when the signature is not by this key. An ECDSA signature is r
// and s at full length (RFC 7518 section 3.4), the salt of a PSS signature is
// as long as the hash (section 3.5).
func (k *Key) Verify(alg, signed string, signature []byte) error {
	a := lookup(alg)
	if !k.fits(a) {
		return ErrAlgorithm
	}
	if !k.tables.verify(k, a, signed, signature) {
		return ErrSignature
	}
	return nil
}

// verify is Verify by the standard library, for an algorithm that fits.
func (k *Key) verify(a *algorithm, signed string, signature []byte) bool {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return verifyRSA(public, a, signed, signature)
	case *ecdsa.PublicKey:
		return verifyECDSA(public, a, signed, signature)
	case ed25519.PublicKey:
		// The length of the key was checked when it was read: a wrong one panics.
		return ed25519.Verify(public, []byte(signed), signature)
	}
	return false
}

func verifyRSA(public *rsa.PublicKey, a *algorithm, signed string, signature []byte) bool {
	switch {
	case len(signature) != public.Size():
		return false
	case a.family == pss:
		options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash}
		return rsa.VerifyPSS(public, a.hash, a.digest(signed), signature, &options) == nil
	}
	return rsa.VerifyPKCS1v15(public, a.hash, a.digest(signed), signature) == nil
}

func coordinateSize(public *ecdsa.PublicKey) int { return (public.Params().BitSize + 7) / 8 }

// same reports whether k and other are one key: what was verified with the one
// holds for the other.
func (k *Key) same(other *Key) bool {
	return k.ID == other.ID && k.alg == other.alg && k.thumbprint == other.thumbprint
}

// equal reports whether public, of any type, is the same public key.
func (k *Key) equal(public crypto.PublicKey) bool {
	mine, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && mine.Equal(public)
}

func thumbprint(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
