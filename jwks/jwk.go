package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"math/bits"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// Sizes of RSA moduli in bits. A client chooses its proof key, so what it may
// cost is held lower (RFC 9449 section 11.6).
const (
	minRSA      = 2048
	maxRSA      = 8192
	maxProofRSA = 4096
)

// privateMembers are those of RFC 7518 section 6 that no public key has. One of
// them makes the whole JWK a secret, whatever its value.
var privateMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

var (
	errNotObject   = errors.New("not a JSON object, or a member appears twice")
	errKeyType     = errors.New("key type is not RSA, EC or OKP")
	errSymmetric   = errors.New("key is symmetric")
	errPrivate     = errors.New("key has private members")
	errCurve       = errors.New("curve is not known")
	errEncoding    = errors.New("member is not canonical base64url of the right length")
	errOffCurve    = errors.New("point is not on the curve")
	errModulus     = errors.New("RSA modulus is too short, too long, even or not canonical")
	errWeak        = errors.New("RSA modulus can be factored: CVE-2017-15361")
	errExponent    = errors.New("RSA exponent is not an odd number from 3 to 2^31-1 in canonical form")
	errUse         = errors.New("use is not sig")
	errOperations  = errors.New("key_ops does not allow verify")
	errKeyAlg      = errors.New("alg is not known or does not fit the key")
	errKeyID       = errors.New("kid is not a string of at most 256 octets")
	errCertificate = errors.New("x5c is malformed, holds another key or is in a proof")
	errDisagree    = errors.New("key is read differently by the JOSE library")
)

// readKey reads the members of a JWK that make the key, and those that say what
// it is for: type, use, key_ops and alg. All of them must be in the one form
// the standard gives them, so that the thumbprint is that of the JWK as sent.
// Sizes are judged before any arithmetic is done.
func readKey(jwk *token.Object, longestRSA int) (k *Key, canonical string, err error) {
	k = &Key{tables: everywhere()}
	kty, _ := text(jwk, "kty")
	if kty == "oct" {
		return nil, "", errSymmetric
	}
	for _, name := range privateMembers {
		if _, found := jwk.Get(name); found {
			return nil, "", errPrivate
		}
	}
	if err := allowsVerify(jwk); err != nil {
		return nil, "", err
	}
	switch kty {
	case "RSA":
		canonical, err = k.readRSA(jwk, longestRSA)
	case "EC":
		canonical, err = k.readEC(jwk)
	case "OKP":
		canonical, err = k.readOKP(jwk)
	default:
		err = errKeyType
	}
	if err != nil {
		return nil, "", err
	}
	k.thumbprint = thumbprint(canonical)
	if alg, found := jwk.Get("alg"); found {
		name, ok := alg.Text()
		if !ok || !k.Fits(name) {
			return nil, "", errKeyAlg
		}
		k.alg = lookup(name)
	}
	return k, canonical, nil
}

// allowsVerify judges use and key_ops, RFC 7517 sections 4.2 and 4.3.
func allowsVerify(jwk *token.Object) error {
	if use, found := jwk.Get("use"); found {
		if name, ok := use.Text(); !ok || name != "sig" {
			return errUse
		}
	}
	operations, found := jwk.Get("key_ops")
	if !found {
		return nil
	}
	names, _ := operations.Texts()
	for _, name := range names {
		if name == "verify" {
			return nil
		}
	}
	return errOperations
}

// readRSA reads n and e, RFC 7518 section 6.3.1.
func (k *Key) readRSA(jwk *token.Object, longest int) (canonical string, err error) {
	nText, n := octets(jwk, "n", longest/8)
	size := 0
	if len(n) > 0 {
		size = len(n)*8 - bits.LeadingZeros8(n[0])
	}
	if size < minRSA || n[0] == 0 || n[len(n)-1]&1 == 0 {
		return "", errModulus
	}
	if weak(n) {
		return "", errWeak
	}
	eText, e := octets(jwk, "e", 4)
	exponent := 0
	for _, octet := range e {
		exponent = exponent<<8 | int(octet)
	}
	if len(e) == 0 || e[0] == 0 || exponent < 3 || exponent > 1<<31-1 || exponent&1 == 0 {
		return "", errExponent
	}
	k.public = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exponent}
	return `{"e":"` + eText + `","kty":"RSA","n":"` + nText + `"}`, nil
}

// readEC reads crv, x and y, RFC 7518 section 6.2.1.
func (k *Key) readEC(jwk *token.Object) (canonical string, err error) {
	k.crv, _ = text(jwk, "crv")
	var curve elliptic.Curve
	switch k.crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return "", errCurve
	}
	size := (curve.Params().BitSize + 7) / 8
	xText, x := octets(jwk, "x", size)
	yText, y := octets(jwk, "y", size)
	if len(x) != size || len(y) != size {
		return "", errEncoding
	}
	point := append(append([]byte{4}, x...), y...)
	if k.public, err = ecdsa.ParseUncompressedPublicKey(curve, point); err != nil {
		return "", errOffCurve
	}
	return `{"crv":"` + k.crv + `","kty":"EC","x":"` + xText + `","y":"` + yText + `"}`, nil
}

// readOKP reads crv and x, RFC 8037 section 2.
func (k *Key) readOKP(jwk *token.Object) (canonical string, err error) {
	if k.crv, _ = text(jwk, "crv"); k.crv != "Ed25519" {
		return "", errCurve
	}
	xText, x := octets(jwk, "x", ed25519.PublicKeySize)
	if len(x) != ed25519.PublicKeySize {
		return "", errEncoding
	}
	k.public = ed25519.PublicKey(x)
	return `{"crv":"Ed25519","kty":"OKP","x":"` + xText + `"}`, nil
}

func text(jwk *token.Object, name string) (string, bool) {
	v, _ := jwk.Get(name)
	return v.Text()
}

var base64url = base64.RawURLEncoding.Strict()

// octets decodes a member of at most longest octets; it returns none when there
// is anything wrong with it.
func octets(jwk *token.Object, name string, longest int) (encoded string, decoded []byte) {
	encoded, ok := text(jwk, name)
	// encoding/base64 passes over line breaks even when it is strict.
	if !ok || len(encoded) > base64url.EncodedLen(longest) || strings.ContainsAny(encoded, "\r\n") {
		return "", nil
	}
	decoded, err := base64url.DecodeString(encoded)
	if err != nil {
		return "", nil
	}
	return encoded, decoded
}
