package repeated

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"
)

func BenchmarkVerify(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("signed"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	issuer, client := Issuer(&key.PublicKey), Client(&key.PublicKey)
	cold := make([]byte, 4<<20)
	touch := func() {
		for i := 0; i < len(cold); i += 64 {
			cold[i]++
		}
	}
	b.Run("cold/touch", func(b *testing.B) {
		for b.Loop() {
			touch()
		}
	})
	b.Run("cold/standard", func(b *testing.B) {
		for b.Loop() {
			touch()
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("cold/issuer", func(b *testing.B) {
		for b.Loop() {
			touch()
			if !issuer.Verify(&digest, signature) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("cold/client", func(b *testing.B) {
		for b.Loop() {
			touch()
			if !client.Verify(&digest, signature) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("ES256/standard", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("ES256/issuer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !issuer.Verify(&digest, signature) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("ES256/client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !client.Verify(&digest, signature) {
				b.Fatal("bad")
			}
		}
	})
	for _, bits := range []int{2048, 3072, 4096} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			b.Fatal(err)
		}
		k := NewRSA(&key.PublicKey)
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(key.N.Text(10)[:0]+"RS256/standard", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig) != nil {
					b.Fatal("bad")
				}
			}
		})
		b.Run("RS256/kept", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !k.VerifyPKCS1v15(&digest, sig) {
					b.Fatal("bad")
				}
			}
		})
	}
	b.Run("build/issuer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Issuer(&key.PublicKey)
		}
	})
	b.Run("build/client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Client(&key.PublicKey)
		}
	})
}
