package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// Parse reads a private key in PEM (PKCS #8, PKCS #1 or SEC 1) or as a JWK
// (RFC 7517): P-256 for ES256, Ed25519 for EdDSA, RSA for RS256, or PS256 where
// a JWK's alg says so.
func Parse(text []byte) (*Key, error) {
	if block, _ := pem.Decode(text); block != nil {
		return newKey(parsePEM(block.Bytes), "", "")
	}
	o, err := token.ParseObject(strings.Trim(string(text), " \t\r\n"))
	if err != nil {
		return nil, ErrForm
	}
	return keyOf(o)
}

// ParseSet reads one key or more, in the order of the text: PEM blocks one
// after the other, a JWK, or a JWK Set (RFC 7517 section 5).
func ParseSet(text []byte) (keys []*Key, err error) {
	o, notJSON := token.ParseObject(strings.Trim(string(text), " \t\r\n"))
	if notJSON != nil {
		return parseBlocks(text)
	}
	set, isSet := o.Get("keys")
	if !isSet {
		k, err := keyOf(o)
		return []*Key{k}, err
	}
	elements, _ := set.Elements()
	for _, element := range elements {
		one, isObject := element.Object()
		if !isObject {
			return nil, ErrForm
		}
		k, err := keyOf(one)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, ErrForm
	}
	return keys, nil
}

func parseBlocks(text []byte) (keys []*Key, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if text = rest; block.Type == "EC PARAMETERS" { // openssl ecparam writes them ahead of the key
			continue
		}
		k, err := newKey(parsePEM(block.Bytes), "", "")
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, ErrForm
	}
	return keys, nil
}

func keyOf(jwk *token.Object) (*Key, error) {
	return newKey(parseJWK(jwk), member(jwk, "kid"), member(jwk, "alg"))
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
