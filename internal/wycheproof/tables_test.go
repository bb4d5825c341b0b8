//go:build wycheproof

package wycheproof

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/wicketgate/wicketgate/jwks/repeated"
)

// signatures is a file of vectors below JOSE: octets, and signatures over them.
type signatures struct {
	TestGroups []struct {
		PublicKeyDER string `json:"publicKeyDer"`
		Tests        []struct {
			ID        int    `json:"tcId"`
			Message   string `json:"msg"`
			Signature string `json:"sig"`
			Result    string
			Comment   string
		}
	}
}

// verdict is what the standard library and tables say of a signature.
type verdict func(digest [32]byte, signature []byte) (standard bool, tables []bool)

// TestTables tries the vectors of the three algorithms that have tables.
func TestTables(t *testing.T) {
	for _, test := range []struct {
		file string
		want int
		of   func(*testing.T, any) verdict
	}{
		{"ecdsa_secp256r1_sha256_p1363_test.json", 252, es256},
		{"rsa_signature_2048_sha256_test.json", 259, rs256},
		{"rsa_signature_3072_sha256_test.json", 259, rs256},
		{"rsa_signature_4096_sha256_test.json", 258, rs256},
		{"rsa_pss_2048_sha256_mgf1_32_test.json", 108, ps256},
		{"rsa_pss_3072_sha256_mgf1_32_test.json", 108, ps256},
		{"rsa_pss_4096_sha256_mgf1_32_test.json", 108, ps256},
	} {
		t.Run(test.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(download(t), "testvectors_v1", test.file))
			if err != nil {
				t.Fatal(err)
			}
			var file signatures
			if err := json.Unmarshal(text, &file); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, g := range file.TestGroups {
				der := octets(t, g.PublicKeyDER)
				public, err := x509.ParsePKIXPublicKey(der)
				if err != nil {
					t.Fatal(err)
				}
				judge := test.of(t, public)
				for _, v := range g.Tests {
					n++
					standard, tables := judge(sha256.Sum256(octets(t, v.Message)), octets(t, v.Signature))
					if v.Result != "acceptable" && standard != (v.Result == "valid") {
						t.Errorf("%d %s: the standard library says %t", v.ID, v.Comment, standard)
					}
					for i, said := range tables {
						if said != standard {
							t.Errorf("%d %s: table %d says %t", v.ID, v.Comment, i, said)
						}
					}
				}
			}
			if n != test.want {
				t.Errorf("%d vectors, want %d", n, test.want)
			}
		})
	}
}

func octets(t *testing.T, text string) []byte {
	t.Helper()
	o, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func es256(t *testing.T, key any) verdict {
	t.Helper()
	public := key.(*ecdsa.PublicKey)
	issuer, client := repeated.Issuer(public), repeated.Client(public)
	return func(digest [32]byte, s []byte) (bool, []bool) {
		standard := len(s) == 64 && ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:]))
		return standard, []bool{issuer.Verify(&digest, s), client.Verify(&digest, s)}
	}
}

func rs256(t *testing.T, key any) verdict {
	t.Helper()
	public := key.(*rsa.PublicKey)
	fast := repeated.NewRSA(public)
	return func(digest [32]byte, s []byte) (bool, []bool) {
		standard := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], s) == nil
		if fast == nil && public.E != 65537 {
			return standard, nil // a key that there is no table for
		}
		return standard, []bool{fast.VerifyPKCS1v15(&digest, s)}
	}
}

func ps256(t *testing.T, key any) verdict {
	t.Helper()
	public, options := key.(*rsa.PublicKey), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	fast := repeated.NewRSA(public)
	return func(digest [32]byte, s []byte) (bool, []bool) {
		return rsa.VerifyPSS(public, crypto.SHA256, digest[:], s, options) == nil, []bool{fast.VerifyPSS(&digest, s)}
	}
}
