package jwks

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"
)

// keyFor is the issuer's key for exactly one algorithm.
func keyFor(t testing.TB, alg string) *Key {
	t.Helper()
	set, skipped, err := ParseSet(setOf(jwkFor(alg).with(members{"alg": alg, "kid": "k"}).text()), nil)
	if err != nil || set.Len() != 1 {
		t.Fatal(err, skipped)
	}
	return set.Find("k", alg)[0]
}

const input = "header.payload"

func TestAlgorithms(t *testing.T) {
	want := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
	if got := Algorithms(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, alg := range want {
		if !Known(alg) {
			t.Errorf("%s is not known", alg)
		}
		if canonical := Canonical(alg); canonical != alg && alg != "Ed25519" {
			t.Errorf("%s becomes %s", alg, canonical)
		}
	}
	for _, alg := range []string{"", "none", "None", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K", "ESP256", "Ed448", "RSA-OAEP", "eddsa"} {
		if Known(alg) {
			t.Errorf("%q is known", alg)
		}
	}
	Algorithms()[0] = "none"
	if Known("none") || Algorithms()[0] != "RS256" {
		t.Error("the list can be changed from outside")
	}
}

// JWS-11, ALG-03, ALG-09: each key verifies its own algorithm only, however
// good the signature is.
func TestVerify(t *testing.T) {
	for _, alg := range Algorithms() {
		t.Run(alg, func(t *testing.T) {
			k := keyFor(t, alg)
			for _, by := range Algorithms() {
				signature := sign(by, input)
				for _, header := range append(Algorithms(), "none", "HS256", "", "rs256") {
					var want error
					switch {
					case Canonical(header) != k.Algorithm():
						want = ErrAlgorithm
					case Canonical(by) != k.Algorithm():
						want = ErrSignature
					}
					if err := k.Verify(header, input, signature); !errors.Is(err, want) {
						t.Errorf("header %q, signed with %s: %v, want %v", header, by, err, want)
					}
				}
			}
			good := sign(alg, input)
			if err := k.Verify(alg, input+"x", good); !errors.Is(err, ErrSignature) {
				t.Errorf("JWS-22 tampered: %v", err)
			}
			for _, bad := range [][]byte{nil, {}, good[1:], good[:len(good)-1], append(slices.Clone(good), 0), make([]byte, len(good)), bytes.Repeat([]byte{255}, len(good))} {
				if err := k.Verify(alg, input, bad); !errors.Is(err, ErrSignature) {
					t.Errorf("signature of %d octets: %v", len(bad), err)
				}
			}
		})
	}
}

// JWS-18, J-08: r and s at full length, from 1 to n-1, and nothing else.
func TestVerifyECDSAForm(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		key := signerFor(alg).(*ecdsa.PrivateKey)
		size, order := coordinateSize(&key.PublicKey), key.Params().N
		k, good := keyFor(t, alg), sign(alg, input)
		r, s := new(big.Int).SetBytes(good[:size]), new(big.Int).SetBytes(good[size:])
		der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		pair := func(r, s *big.Int) []byte {
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
		zero, one := new(big.Int), big.NewInt(1)
		for name, signature := range map[string][]byte{
			"DER": der, "swapped": pair(s, r), "both zero": pair(zero, zero), "r zero": pair(zero, s), "s zero": pair(r, zero),
			"r n": pair(order, s), "s n": pair(r, order), "one one": pair(one, one), "s n+1": pair(r, new(big.Int).Add(order, one)),
			"padded pair":   append(append([]byte{0}, good[:size]...), append([]byte{0}, good[size:]...)...),
			"zero before s": append(append(slices.Clone(good[:size]), 0), good[size:]...),
			"one more":      append([]byte{0}, good...), "one less": good[:len(good)-1],
		} {
			if err := k.Verify(alg, input, signature); !errors.Is(err, ErrSignature) {
				t.Errorf("%s %s: %v", alg, name, err)
			}
		}
		if err := k.Verify(alg, input, pair(r, new(big.Int).Sub(order, s))); err != nil {
			t.Errorf("%s: the other signature of the pair: %v", alg, err)
		}
	}
}

// ALG-08, J-07: the salt is as long as the hash, the mask is made with it.
func TestVerifyPSSForm(t *testing.T) {
	key := signers()["RSA"].(*rsa.PrivateKey)
	for _, alg := range []string{"PS256", "PS384", "PS512"} {
		a := lookup(alg)
		for _, salt := range []int{0, 1, 20, a.hash.Size() - 1, a.hash.Size() + 1, rsa.PSSSaltLengthAuto} {
			signature, err := rsa.SignPSS(rand.Reader, key, a.hash, a.digest(input), &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			if err := keyFor(t, alg).Verify(alg, input, signature); !errors.Is(err, ErrSignature) {
				t.Errorf("%s with a salt of %d: %v", alg, salt, err)
			}
		}
	}
}

func TestVerifyPKCS1Form(t *testing.T) {
	key := signers()["RSA"].(*rsa.PrivateKey)
	k := keyFor(t, "RS256")
	bare, err := rsa.SignPKCS1v15(nil, key, 0, lookup("RS256").digest(input))
	if err != nil {
		t.Fatal(err)
	}
	sha512, err := rsa.SignPKCS1v15(nil, key, crypto.SHA512, lookup("RS512").digest(input))
	if err != nil {
		t.Fatal(err)
	}
	good := new(big.Int).SetBytes(sign("RS256", input))
	beyond := good.Add(good, key.N).Bytes() // the same number modulo n
	for name, signature := range map[string][]byte{"no hash identifier": bare, "SHA-512": sha512, "beyond n": beyond} {
		if err := k.Verify("RS256", input, signature); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestZeroKeyVerifiesNothing(t *testing.T) {
	for _, alg := range append(Algorithms(), "") {
		if err := (&Key{}).Verify(alg, input, nil); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%q: %v", alg, err)
		}
	}
	if (&Key{}).Algorithm() != "" || (&Key{}).equal(nil) {
		t.Error("the zero key is something")
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range Algorithms() {
		k, signature := keyFor(b, alg), sign(alg, input)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := k.Verify(alg, input, signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
