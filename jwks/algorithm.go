// Package jwks finds the public key a signature must be checked with: it reads
// JWK sets (RFC 7517) and single proof keys strictly, finds an issuer's set by
// its metadata (RFC 8414) and keeps it at hand.
//
// It is the only place that knows JOSE algorithms, and it knows asymmetric ones
// only: neither "none" nor a MAC can be written down here. It reads no token and
// judges no claim.
package jwks

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
)

type family uint8

const (
	pkcs1 family = iota + 1 // RSASSA-PKCS1-v1_5, RFC 7518 section 3.3
	pss                     // RSASSA-PSS, RFC 7518 section 3.5
	fixed                   // ECDSA with r and s at full length, RFC 7518 section 3.4
	eddsa                   // RFC 8037 section 3.1
)

type algorithm struct {
	name   string
	family family
	hash   crypto.Hash
	curve  string // crv of the keys it fits; empty for RSA
}

// edDSA has two names: RFC 9864 section 2.2 calls Ed25519 what RFC 8037 calls
// EdDSA with an Ed25519 key.
const edDSA, ed25519Name = "EdDSA", "Ed25519"

var algorithms = [...]algorithm{
	{"RS256", pkcs1, crypto.SHA256, ""},
	{"RS384", pkcs1, crypto.SHA384, ""},
	{"RS512", pkcs1, crypto.SHA512, ""},
	{"PS256", pss, crypto.SHA256, ""},
	{"PS384", pss, crypto.SHA384, ""},
	{"PS512", pss, crypto.SHA512, ""},
	{"ES256", fixed, crypto.SHA256, "P-256"},
	{"ES384", fixed, crypto.SHA384, "P-384"},
	{"ES512", fixed, crypto.SHA512, "P-521"},
	{edDSA, eddsa, 0, "Ed25519"},
}

// Algorithms lists the names of all algorithms, in the order a person would
// list them.
func Algorithms() []string {
	names := make([]string, 0, len(algorithms)+1)
	for _, a := range algorithms {
		names = append(names, a.name)
	}
	return append(names, ed25519Name)
}

// Known reports whether alg is the exact name of an algorithm.
func Known(alg string) bool { return lookup(alg) != nil }

// Canonical returns the one name by which an algorithm with two is compared:
// EdDSA for Ed25519. Any other text is returned as it is.
func Canonical(alg string) string {
	if alg == ed25519Name {
		return edDSA
	}
	return alg
}

func lookup(alg string) *algorithm {
	alg = Canonical(alg)
	for i := range algorithms {
		if algorithms[i].name == alg {
			return &algorithms[i]
		}
	}
	return nil
}

func (a *algorithm) isRSA() bool { return a.family == pkcs1 || a.family == pss }

// usualInput is what a signing input hardly ever exceeds, in octets: up to there
// it is hashed from the stack, where []byte(signed) would not be.
const usualInput = 2 << 10

// digest hashes the signing input. It is small enough to become a part of its
// caller, on whose stack the digest stays then.
func (a *algorithm) digest(signed string) []byte { return a.hashInto(new([sha512.Size]byte), signed) }

// hashInto hashes the signing input into room. Ed25519 takes it whole.
func (a *algorithm) hashInto(room *[sha512.Size]byte, signed string) []byte {
	input := append(make([]byte, 0, usualInput), signed...)
	switch a.hash {
	case crypto.SHA256:
		sum := sha256.Sum256(input)
		return append(room[:0], sum[:]...)
	case crypto.SHA384:
		sum := sha512.Sum384(input)
		return append(room[:0], sum[:]...)
	case crypto.SHA512:
		*room = sha512.Sum512(input)
		return room[:]
	}
	return []byte(signed)
}
