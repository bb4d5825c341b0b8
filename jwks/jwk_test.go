package jwks

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signers are made once: an RSA key takes a while.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	made := map[string]crypto.Signer{}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		made[curve.Params().Name], _ = ecdsa.GenerateKey(curve, rand.Reader)
	}
	_, made["Ed25519"], _ = ed25519.GenerateKey(rand.Reader)
	made["RSA"], _ = rsa.GenerateKey(rand.Reader, 2048)
	return made
})

func signerFor(alg string) crypto.Signer {
	if curve := lookup(alg).curve; curve != "" {
		return signers()[curve]
	}
	return signers()["RSA"]
}

func b64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

// members is a JWK to be altered.
type members map[string]any

// public is the JWK of a key in the one right form.
func public(key crypto.PublicKey) members {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return members{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		size := len(point) / 2
		return members{"kty": "EC", "crv": key.Params().Name, "x": b64(point[1 : 1+size]), "y": b64(point[1+size:])}
	case ed25519.PublicKey:
		return members{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
	}
	panic("no such key")
}

func jwkFor(alg string) members { return public(signerFor(alg).Public()) }

// with lays changes over a JWK; nil removes a member.
func (m members) with(changes members) members {
	all := maps.Clone(m)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// null is a member that is there, with the value null.
var null = json.RawMessage("null")

func (m members) text() string {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func setOf(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// sign makes a signature in the form of JOSE.
func sign(alg, signed string) []byte {
	a := lookup(alg)
	var options crypto.SignerOpts = a.hash
	if a.family == pss {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash}
	}
	if key, ok := signerFor(alg).(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(rand.Reader, key, a.digest(signed))
		if err != nil {
			panic(err)
		}
		size := coordinateSize(&key.PublicKey)
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	signature, err := signerFor(alg).Sign(rand.Reader, a.digest(signed), options)
	if err != nil {
		panic(err)
	}
	return signature
}

// numbers with a chosen length, which nobody has factored.
func modulus(bits int) []byte {
	n := make([]byte, (bits+7)/8)
	_, _ = rand.Read(n)
	n[0] = 0xff >> (len(n)*8 - bits)
	n[len(n)-1] |= 1
	return n
}

// A badKey is one way in which a public key is not acceptable anywhere.
type badKey struct {
	row  string
	text string
	want error
}

func badKeys() []badKey {
	ec, rsaKey, okp := jwkFor("ES256"), jwkFor("RS256"), jwkFor("EdDSA")
	x, _ := base64.RawURLEncoding.DecodeString(ec["x"].(string))
	y, _ := base64.RawURLEncoding.DecodeString(ec["y"].(string))
	n, _ := base64.RawURLEncoding.DecodeString(rsaKey["n"].(string))
	flipped := bytes.Clone(x)
	flipped[31] ^= 1
	even := bytes.Clone(n)
	even[len(even)-1] &^= 1
	standard := strings.Repeat("+/", 21) + "A"
	bad := []badKey{
		{"JWK-01 unknown kty", `{"kty":"AKP","alg":"ML-DSA-65","pub":"AAAA"}`, errKeyType},
		{"JWK-01 no kty", ec.with(members{"kty": nil}).text(), errKeyType},
		{"JWK-01 kty number", ec.with(members{"kty": 1}).text(), errKeyType},
		{"JWK-01 kty case", ec.with(members{"kty": "ec"}).text(), errKeyType},
		{"JWK-01 unknown curve", ec.with(members{"crv": "secp256k1"}).text(), errCurve},
		{"JWK-01 no curve", ec.with(members{"crv": nil}).text(), errCurve},
		{"JWK-03 oct", `{"kty":"oct","alg":"HS256","k":"AAAA"}`, errSymmetric},
		{"JWK-03 oct, empty k", `{"kty":"oct","k":""}`, errSymmetric},
		{"JWK-02 use enc", ec.with(members{"use": "enc"}).text(), errUse},
		{"JWK-02 use number", ec.with(members{"use": 1}).text(), errUse},
		{"JWK-02 use null", ec.with(members{"use": null}).text(), errUse},
		{"JWK-02 key_ops encrypt", ec.with(members{"key_ops": []string{"encrypt"}}).text(), errOperations},
		{"JWK-02 key_ops sign only", ec.with(members{"key_ops": []string{"sign"}}).text(), errOperations},
		{"JWK-02 key_ops empty", ec.with(members{"key_ops": []string{}}).text(), errOperations},
		{"JWK-02 key_ops string", ec.with(members{"key_ops": "verify"}).text(), errOperations},
		{"JWK-02 key_ops mixed", ec.with(members{"key_ops": []any{"verify", 1}}).text(), errOperations},
		{"JWK-06 off-curve", ec.with(members{"x": b64(flipped)}).text(), errOffCurve},
		{"JWK-06 origin", ec.with(members{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}).text(), errOffCurve},
		{"JWK-06 coordinate beyond the field", ec.with(members{"x": b64(bytes.Repeat([]byte{255}, 32))}).text(), errOffCurve},
		{"JWK-06 short x", ec.with(members{"x": b64(x[1:])}).text(), errEncoding},
		{"TP-03 x with leading zero", ec.with(members{"x": b64(append([]byte{0}, x...))}).text(), errEncoding},
		{"JWK-06 long x", ec.with(members{"x": b64(append(x, make([]byte, 8)...))}).text(), errEncoding},
		{"JWK-06 no y", ec.with(members{"y": nil}).text(), errEncoding},
		{"JWK-06 y number", ec.with(members{"y": 1}).text(), errEncoding},
		{"JWK-06 padding", ec.with(members{"y": b64(y) + "="}).text(), errEncoding},
		{"JWK-06 standard alphabet", ec.with(members{"y": standard}).text(), errEncoding},
		{"JWK-06 line break", ec.with(members{"y": "\n" + b64(y)[1:]}).text(), errEncoding},
		{"JWK-06 line break added", ec.with(members{"y": b64(y)[:10] + "\r\n" + b64(y)[10:]}).text(), errEncoding},
		{"JWK-06 unused bits", okp.with(members{"x": strings.Repeat("A", 42) + "B"}).text(), errEncoding},
		{"ALG-05 point of another curve", jwkFor("ES384").with(members{"crv": "P-256"}).text(), errEncoding},
		{"ALG-05 P-384 named ES256", jwkFor("ES384").with(members{"alg": "ES256"}).text(), errKeyAlg},
		{"ALG-05 P-256 named ES512", ec.with(members{"alg": "ES512"}).text(), errKeyAlg},
		{"ALG-04 COSE name", ec.with(members{"alg": "ESP256"}).text(), errKeyAlg},
		{"ALG-10 ES256K", ec.with(members{"alg": "ES256K"}).text(), errKeyAlg},
		{"JWS-10 alg none", ec.with(members{"alg": "none"}).text(), errKeyAlg},
		{"JWS-12 alg HS256", rsaKey.with(members{"alg": "HS256"}).text(), errKeyAlg},
		{"DPOP-13 alg RSA-OAEP", rsaKey.with(members{"alg": "RSA-OAEP"}).text(), errKeyAlg},
		{"DPOP-13 alg of another type", rsaKey.with(members{"alg": "ES256"}).text(), errKeyAlg},
		{"DPOP-13 alg number", ec.with(members{"alg": 1}).text(), errKeyAlg},
		{"DPOP-13 alg null", ec.with(members{"alg": null}).text(), errKeyAlg},
		{"DPOP-13 alg case", ec.with(members{"alg": "es256"}).text(), errKeyAlg},
		{"ALG-06 RSA 512", rsaKey.with(members{"n": b64(modulus(512))}).text(), errModulus},
		{"ALG-06 RSA 1024", rsaKey.with(members{"n": b64(modulus(1024))}).text(), errModulus},
		{"ALG-06 RSA 2047", rsaKey.with(members{"n": b64(modulus(2047))}).text(), errModulus},
		{"ALG-07 RSA 8193", rsaKey.with(members{"n": b64(modulus(8193))}).text(), errModulus},
		{"ALG-07 RSA 32768", rsaKey.with(members{"n": b64(modulus(32768))}).text(), errModulus},
		{"TP-03 n with leading zero", rsaKey.with(members{"n": b64(append([]byte{0}, n...))}).text(), errModulus},
		{"TP-03 n with leading zero, same length", rsaKey.with(members{"n": b64(append([]byte{0}, modulus(2048)...))}).text(), errModulus},
		{"J-09 even n", rsaKey.with(members{"n": b64(even)}).text(), errModulus},
		{"J-09 n empty", rsaKey.with(members{"n": ""}).text(), errModulus},
		{"J-09 n absent", rsaKey.with(members{"n": nil}).text(), errModulus},
		{"JWK-06 n padded", rsaKey.with(members{"n": b64(n) + "=="}).text(), errModulus},
		{"JWK-06 line break in n", rsaKey.with(members{"n": b64(n)[:10] + "\n" + b64(n)[10:]}).text(), errModulus},
		{"JWK-06 line break in e", rsaKey.with(members{"e": "AQ\rAB"}).text(), errExponent},
		{"J-09 e 1", rsaKey.with(members{"e": "AQ"}).text(), errExponent},
		{"J-09 e 2", rsaKey.with(members{"e": "Ag"}).text(), errExponent},
		{"J-09 e even", rsaKey.with(members{"e": b64([]byte{1, 0, 0})}).text(), errExponent},
		{"J-09 e empty", rsaKey.with(members{"e": ""}).text(), errExponent},
		{"J-09 e number", rsaKey.with(members{"e": 65537}).text(), errExponent},
		{"TP-03 e with leading zero", rsaKey.with(members{"e": b64([]byte{0, 1, 0, 1})}).text(), errExponent},
		{"ALG-07 e 2^31+1", rsaKey.with(members{"e": b64([]byte{128, 0, 0, 1})}).text(), errExponent},
		{"D-07 e 64 octets", rsaKey.with(members{"e": b64(bytes.Repeat([]byte{1}, 64))}).text(), errExponent},
		{"J-06 X25519", okp.with(members{"crv": "X25519"}).text(), errCurve},
		{"J-06 Ed448", okp.with(members{"crv": "Ed448", "x": b64(make([]byte, 57))}).text(), errCurve},
		{"J-06 Ed448 with 32 octets", okp.with(members{"crv": "Ed448"}).text(), errCurve},
		{"D-07 Ed25519 x 0", okp.with(members{"x": ""}).text(), errEncoding},
		{"D-07 Ed25519 x 1", okp.with(members{"x": "AA"}).text(), errEncoding},
		{"D-07 Ed25519 x 31", okp.with(members{"x": b64(make([]byte, 31))}).text(), errEncoding},
		{"D-07 Ed25519 x 33", okp.with(members{"x": b64(make([]byte, 33))}).text(), errEncoding},
		{"JWS-06 duplicate", strings.Replace(ec.text(), `{`, `{"kty":"EC",`, 1), errNotObject},
		{"JWS-06 duplicate by escape", strings.Replace(ec.text(), `{`, `{"k\u0074y":"EC",`, 1), errNotObject},
		{"DPOP-11 string", `"key"`, errNotObject},
		{"DPOP-11 array", `[]`, errNotObject},
		{"DPOP-11 null", `null`, errNotObject},
	}
	for _, name := range privateMembers {
		for kind, value := range map[string]any{"value": "AAAA", "empty": "", "null": null, "object": members{}} {
			bad = append(bad, badKey{"DPOP-12 " + name + " " + kind, ec.with(members{name: value}).text(), errPrivate})
		}
	}
	return bad
}

func TestReadKeyRefuses(t *testing.T) {
	good := jwkFor("ES256").with(members{"kid": "good"}).text()
	for _, test := range badKeys() {
		t.Run(test.row, func(t *testing.T) {
			if k, err := ParseProofKey(test.text); !errors.Is(err, test.want) || k != nil {
				t.Errorf("as a proof key: %v, %v, want %v", k, err, test.want)
			}
			set, skipped, err := ParseSet(setOf(test.text, good), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(skipped) != 1 || skipped[0].Reason != test.want.Error() || skipped[0].Index != 0 {
				t.Errorf("in a set: skipped %+v, want %v", skipped, test.want)
			}
			if len(set.Find("good", "ES256")) != 1 || set.Len() != 1 {
				t.Error("the good key beside it does not work")
			}
			if secret := errors.Is(test.want, errPrivate) || errors.Is(test.want, errSymmetric); skipped[0].Private != secret {
				t.Errorf("alarm is %v, want %v", skipped[0].Private, secret)
			}
		})
	}
}

func TestReadKeyAccepts(t *testing.T) {
	for _, test := range []struct {
		row  string
		jwk  members
		fits []string
	}{
		{"ALG-05 P-256", jwkFor("ES256"), []string{"ES256"}},
		{"ALG-05 P-384", jwkFor("ES384"), []string{"ES384"}},
		{"ALG-05 P-521", jwkFor("ES512"), []string{"ES512"}},
		{"ALG-03 Ed25519", jwkFor("EdDSA"), []string{"EdDSA", "Ed25519"}},
		{"ALG-03 alg Ed25519", jwkFor("EdDSA").with(members{"alg": "Ed25519"}), []string{"EdDSA", "Ed25519"}},
		{"ALG-03 alg EdDSA", jwkFor("EdDSA").with(members{"alg": "EdDSA"}), []string{"EdDSA", "Ed25519"}},
		{"RSA", jwkFor("RS256"), []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{"DPOP-13 RSA with alg", jwkFor("RS256").with(members{"alg": "PS384"}), []string{"PS384"}},
		{"ALG-07 RSA 4096", jwkFor("RS256").with(members{"n": b64(modulus(4096))}), []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{"ALG-07 e 3", jwkFor("RS256").with(members{"e": "Aw", "alg": "RS256"}), []string{"RS256"}},
		{"ALG-07 e 2^31-1", jwkFor("RS256").with(members{"e": b64([]byte{127, 255, 255, 255}), "alg": "RS256"}), []string{"RS256"}},
		{"DPOP-13 other members", jwkFor("ES256").with(members{
			"kid": "x", "use": "sig", "alg": "ES256", "key_ops": []string{"sign", "verify"}, "x5t": "AAAA", "ext": true, "foo": members{"a": 1},
		}), []string{"ES256"}},
	} {
		t.Run(test.row, func(t *testing.T) {
			k, err := ParseProofKey(test.jwk.text())
			if err != nil {
				t.Fatal(err)
			}
			var fits []string
			for _, alg := range Algorithms() {
				if k.Fits(alg) {
					fits = append(fits, alg)
				}
			}
			if fmt.Sprint(fits) != fmt.Sprint(test.fits) {
				t.Errorf("fits %v, want %v", fits, test.fits)
			}
			if plain, err := ParseProofKey(test.jwk.with(members{"kid": nil, "use": nil, "alg": nil, "key_ops": nil, "x5t": nil, "ext": nil, "foo": nil}).text()); err != nil || plain.Thumbprint() != k.Thumbprint() {
				t.Error("members that are not part of the key change its thumbprint")
			}
			if set, skipped, err := ParseSet(setOf(test.jwk.text()), nil); err != nil || set.Len() != 1 {
				t.Errorf("as a member of a set: %v, %+v", err, skipped)
			}
		})
	}
}

// DPOP-14, ALG-07: a client's key is held shorter than an issuer's.
func TestProofKeyBounds(t *testing.T) {
	for _, bits := range []int{4097, 8192} {
		jwk := jwkFor("RS256").with(members{"n": b64(modulus(bits))}).text()
		if _, err := ParseProofKey(jwk); !errors.Is(err, errModulus) {
			t.Errorf("RSA %d as a proof key: %v", bits, err)
		}
		if set, skipped, err := ParseSet(setOf(jwk), nil); err != nil || set.Len() != 1 {
			t.Errorf("RSA %d in a set: %v, %+v", bits, err, skipped)
		}
	}
	// No arithmetic happens on what is too long: the number is never even made.
	huge := jwkFor("RS256").with(members{"n": b64(modulus(1 << 20))}).text()
	if n := testing.AllocsPerRun(10, func() { _, _ = ParseProofKey(huge) }); n > 20 {
		t.Errorf("%v allocations for a key that is refused by its length", n)
	}
}

func TestProofKeys(t *testing.T) {
	keys := NewProofKeys(2)
	text := jwkFor("ES256").text()
	first, err := keys.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := keys.Parse(strings.Clone(text)); err != nil || again != first {
		t.Errorf("the same text again: %p, %v, want %p", again, err, first)
	}
	if other, err := keys.Parse(" " + text); err == nil {
		t.Errorf("another text: %v", other)
	}
	for _, alg := range []string{"ES384", "EdDSA"} {
		if _, err := keys.Parse(jwkFor(alg).text()); err != nil {
			t.Error(err)
		}
	}
	if again, err := keys.Parse(text); err != nil || again == first || again.Thumbprint() != first.Thumbprint() {
		t.Errorf("after it was forgotten: %p, %v", again, err)
	}
	if _, err := NewProofKeys(0).Parse(text); err != nil {
		t.Error(err)
	}
}

// vectors is the part of the conformance vectors that is about keys.
type vectors struct {
	Issuers map[string]struct {
		JWKS json.RawMessage `json:"jwks"`
	} `json:"issuers"`
	AccessTokens []struct{ Row, Name, Token, Expect string } `json:"access_tokens"`
	Proofs       []struct{ Row, Name, Proof, Expect string } `json:"dpop_proofs"`
	RFC          map[string]json.RawMessage                  `json:"rfc_vectors"`
}

func readVectors(t *testing.T) *vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vectors) text(t *testing.T, name string) (s string) {
	t.Helper()
	if err := json.Unmarshal(v.RFC[name], &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}
