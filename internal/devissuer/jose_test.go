package devissuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkSignature verifies a compact JWS with the standard library alone.
func checkSignature(t *testing.T, alg string, key crypto.PublicKey, compact string) bool {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	message := []byte(parts[0] + "." + parts[1])
	s256, s384, s512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	hash, digest := crypto.SHA256, s256[:]
	if strings.HasSuffix(alg, "384") {
		hash, digest = crypto.SHA384, s384[:]
	} else if strings.HasSuffix(alg, "512") {
		hash, digest = crypto.SHA512, s512[:]
	}
	switch pub := key.(type) {
	case *rsa.PublicKey:
		if alg[:2] == "PS" {
			return rsa.VerifyPSS(pub, hash, digest, signature, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
		}
		return rsa.VerifyPKCS1v15(pub, hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		width := map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}[pub.Curve.Params().Name]
		if len(signature) != 2*width {
			t.Fatalf("signature of %d bytes, want %d", len(signature), 2*width)
		}
		return ecdsa.Verify(pub, digest, new(big.Int).SetBytes(signature[:width]), new(big.Int).SetBytes(signature[width:]))
	case ed25519.PublicKey:
		return ed25519.Verify(pub, message, signature)
	}
	t.Fatalf("no check for %T", key)
	return false
}

// publicKey reads a public JWK, apart from the code under test.
func publicKey(t *testing.T, text []byte) crypto.PublicKey {
	t.Helper()
	var j struct{ Kty, Crv, X, Y, N, E string }
	if err := json.Unmarshal(text, &j); err != nil {
		t.Fatal(err)
	}
	bytes := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	switch j.Kty {
	case "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(bytes(j.N)), E: int(new(big.Int).SetBytes(bytes(j.E)).Int64())}
	case "OKP":
		return ed25519.PublicKey(bytes(j.X))
	}
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Crv]
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, bytes(j.X)...), bytes(j.Y)...))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func vectors(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "rfc_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func text(t *testing.T, raw json.RawMessage) (s string) {
	t.Helper()
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignVerifiesWithTheStandardLibrary(t *testing.T) {
	algorithms := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
	rsaKey, err := sharedRSA()
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			key := rsaKey
			if alg[1] != 'S' || alg[0] == 'E' {
				if key, err = generate(alg); err != nil {
					t.Fatal(err)
				}
			}
			// Sixteen rounds: a short r or s would show a missing fixed width.
			for range 16 {
				header := []byte(`{"alg":"` + alg + `"}`)
				compact, err := Sign(alg, key, header, []byte("not even JSON"))
				if err != nil {
					t.Fatal(err)
				}
				if !checkSignature(t, alg, key.Public(), compact) {
					t.Fatal("signature does not verify")
				}
				if !strings.HasPrefix(compact, base64.RawURLEncoding.EncodeToString(header)+".") {
					t.Fatal("the header's bytes were changed")
				}
				if checkSignature(t, alg, key.Public(), strings.Replace(compact, ".", ".AA", 1)) {
					t.Fatal("a changed payload verifies")
				}
			}
		})
	}
}

func TestConcatenatedKeepsTheWidth(t *testing.T) {
	// SEQUENCE { INTEGER 1, INTEGER 2 }: the shortest r and s there are.
	got, err := concatenated([]byte{0x30, 6, 2, 1, 1, 2, 1, 2}, 32)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 64 || got[31] != 1 || got[63] != 2 {
		t.Errorf("got %x", got)
	}
	if _, err := concatenated([]byte("no DER"), 32); err == nil {
		t.Error("took what is no DER")
	}
}

func TestSignKnownAnswers(t *testing.T) {
	t.Run("RFC 8037 A.4", func(t *testing.T) {
		k, err := ParseClientKey([]byte(`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Sign("EdDSA", k.Signer, []byte(`{"alg":"EdDSA"}`), []byte("Example of Ed25519 signing"))
		want := "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
		if err != nil || got != want {
			t.Errorf("got %s, %v", got, err)
		}
	})
	t.Run("RFC 7515 A.1", func(t *testing.T) {
		secret, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
		if err != nil {
			t.Fatal(err)
		}
		got, err := SignHMAC("HS256", secret, []byte("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"), []byte("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"))
		if err != nil || !strings.HasSuffix(got, ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") {
			t.Errorf("got %s, %v", got, err)
		}
	})
	t.Run("none", func(t *testing.T) {
		got, err := Sign(None, nil, []byte("{}"), []byte("{}"))
		if err != nil || got != "e30.e30." {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

func TestSignRefuses(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, alg string
		key       crypto.Signer
		want      error
	}{
		{"unknown name", "ES257", ec, errAlgorithm},
		{"COSE name", "ESP256", ec, errAlgorithm},
		{"secp256k1", "ES256K", ec, errAlgorithm},
		{"RSA with an EC key", "RS256", ec, errKey},
		{"HMAC with a key pair", "HS256", ec, errKey},
		{"no key", "ES256", nil, errKey},
		{"another curve is an attack we play", "ES256", ec, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Sign(test.alg, test.key, nil, nil); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := SignHMAC("ES256", []byte("x"), nil, nil); !errors.Is(err, errAlgorithm) {
		t.Errorf("HMAC under another family's name: %v", err)
	}
}

func TestThumbprint(t *testing.T) {
	v := vectors(t)
	for _, name := range []string{"rfc7638_jwk rfc7638_thumbprint", "rfc8037_jwk rfc8037_thumbprint", "rfc9449_jwk rfc9449_jkt"} {
		t.Run(name, func(t *testing.T) {
			key, want, _ := strings.Cut(name, " ")
			var j jwk
			if err := json.Unmarshal(v[key], &j); err != nil {
				t.Fatal(err)
			}
			if got, err := j.thumbprint(); err != nil || got != text(t, v[want]) {
				t.Errorf("got %q, %v", got, err)
			}
			pub, err := publicJWK(publicKey(t, v[key]))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := pub.thumbprint(); err != nil || got != text(t, v[want]) {
				t.Errorf("of the key itself: got %q, %v", got, err)
			}
		})
	}
	for _, j := range []jwk{nil, {"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-256", "x": "AA"}} {
		if got, err := j.thumbprint(); err == nil {
			t.Errorf("%v has thumbprint %s", j, got)
		}
	}
}
