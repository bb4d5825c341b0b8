package repeated

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"sync"
	"testing"
)

// signer signs whatever it is told to, well encoded or not.
type signer struct {
	public rsa.PublicKey
	d      *big.Int
	fast   *RSA
}

// newSigner makes a key of the given size. Two primes of about half the bits
// have the two highest set, so that the product is no shorter.
func newSigner(t testing.TB, bits int) *signer {
	t.Helper()
	for {
		p, err := rand.Prime(rand.Reader, bits/2)
		if err != nil {
			t.Fatal(err)
		}
		q, err := rand.Prime(rand.Reader, bits-bits/2)
		if err != nil {
			t.Fatal(err)
		}
		one := big.NewInt(1)
		k := &signer{public: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent}}
		order := new(big.Int).Mul(p.Sub(p, one), q.Sub(q, one))
		if k.d = new(big.Int).ModInverse(big.NewInt(exponent), order); k.d != nil && k.public.N.BitLen() == bits {
			k.fast = NewRSA(&k.public)
			return k
		}
	}
}

// signers are of every length of the first octet that matters: PSS leaves one
// out of it when a bit is left over.
var signers = sync.OnceValue(func() []*signer {
	var list []*signer
	for _, bits := range []int{2048, 2049, 2050, 2055, 3072} {
		list = append(list, newSigner(&testing.T{}, bits))
	}
	return list
})

// sign is the signature with which em comes out.
func (k *signer) sign(em []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(em), k.d, k.public.N).FillBytes(make([]byte, k.public.Size()))
}

// hold compares both kinds with the standard library, and returns its verdicts.
func (k *signer) hold(t *testing.T, what string, digest [32]byte, signature []byte) (pkcs1, pss bool) {
	t.Helper()
	pkcs1 = rsa.VerifyPKCS1v15(&k.public, crypto.SHA256, digest[:], signature) == nil
	pss = rsa.VerifyPSS(&k.public, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	if got := k.fast.VerifyPKCS1v15(&digest, signature); got != pkcs1 {
		t.Errorf("%s, %d bits: RS256 is %t, want %t: %x", what, k.public.N.BitLen(), got, pkcs1, signature)
	}
	if got := k.fast.VerifyPSS(&digest, signature); got != pss {
		t.Errorf("%s, %d bits: PS256 is %t, want %t: %x", what, k.public.N.BitLen(), got, pss, signature)
	}
	return pkcs1, pss
}

// encodePKCS1 is EMSA-PKCS1-v1_5 for SHA-256.
func (k *signer) encodePKCS1(digest [32]byte) []byte {
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20}, digest[:]...)
	em := bytes.Repeat([]byte{0xff}, k.public.Size())
	em[0], em[1] = 0, 1
	copy(em[len(em)-len(info):], info)
	em[len(em)-len(info)-1] = 0
	return em
}

// encodePSS is EMSA-PSS for SHA-256, with zeros to the length of the modulus.
func (k *signer) encodePSS(digest [32]byte, salt []byte) []byte {
	emBits := k.public.N.BitLen() - 1
	em := make([]byte, (emBits+7)/8)
	h := sha256.Sum256(append(append(make([]byte, 8), digest[:]...), salt...))
	db := em[:len(em)-33]
	copy(db[len(db)-len(salt):], salt)
	db[len(db)-len(salt)-1] = 1
	for i := 0; i*32 < len(db); i++ {
		mask := sha256.Sum256(append(h[:], 0, 0, 0, byte(i)))
		for j := 0; j < 32 && i*32+j < len(db); j++ {
			db[i*32+j] ^= mask[j]
		}
	}
	db[0] &= 0xff >> (8*len(em) - emBits)
	copy(em[len(db):], h[:])
	em[len(em)-1] = 0xbc
	return append(make([]byte, k.public.Size()-len(em)), em...)
}

func TestRSA(t *testing.T) {
	digest := sha256.Sum256([]byte("signed"))
	for _, k := range append(signers(), newSigner(t, 4096)) {
		t.Run(fmt.Sprint(k.public.N.BitLen()), func(t *testing.T) {
			if pkcs1, pss := k.hold(t, "RS256", digest, k.sign(k.encodePKCS1(digest))); !pkcs1 || pss {
				t.Errorf("a good RS256 signature: %t as itself, %t as PS256", pkcs1, pss)
			}
			if pkcs1, pss := k.hold(t, "PS256", digest, k.sign(k.encodePSS(digest, bytes.Repeat([]byte{7}, 32)))); pkcs1 || !pss {
				t.Errorf("a good PS256 signature: %t as RS256, %t as itself", pkcs1, pss)
			}
			for _, salt := range []int{0, 1, 31, 33, 64, k.public.Size() - 35 - 1} {
				if _, pss := k.hold(t, "a salt of another length", digest, k.sign(k.encodePSS(digest, make([]byte, salt)))); pss {
					t.Errorf("a salt of %d octets is good", salt)
				}
			}
			good := k.sign(k.encodePKCS1(digest))
			k.hold(t, "another digest", sha256.Sum256(digest[:]), good)
			beyond := new(big.Int).Add(new(big.Int).SetBytes(good), k.public.N)
			for _, text := range [][]byte{nil, good[1:], good[:len(good)-1], append([]byte{0}, good...), append(good, 0), beyond.Bytes(), k.public.N.Bytes(), make([]byte, len(good))} {
				k.hold(t, "another number", digest, text)
			}
		})
	}
}

// TestRSAEncodings changes each octet of what was signed, and signs that.
func TestRSAEncodings(t *testing.T) {
	digest := sha256.Sum256([]byte("signed"))
	for _, k := range signers()[:2] {
		for _, em := range [][]byte{k.encodePKCS1(digest), k.encodePSS(digest, bytes.Repeat([]byte{7}, 32))} {
			for i := range em {
				for _, change := range []byte{0x01, 0x80} {
					if i > 2 && i < len(em)-70 && i%64 > 0 {
						continue // one of many octets of padding
					}
					changed := bytes.Clone(em)
					changed[i] ^= change
					if new(big.Int).SetBytes(changed).Cmp(k.public.N) >= 0 {
						continue // nothing that can be signed
					}
					if pkcs1, pss := k.hold(t, fmt.Sprintf("octet %d", i), digest, k.sign(changed)); pkcs1 || pss {
						t.Errorf("%d bits: good with octet %d changed", k.public.N.BitLen(), i)
					}
				}
			}
		}
	}
}

// TestRSASpareBit sets the bit of the first octet that is not the message's.
func TestRSASpareBit(t *testing.T) {
	k, digest := signers()[0], sha256.Sum256([]byte("signed"))
	for salt := range byte(255) {
		em := k.encodePSS(digest, bytes.Repeat([]byte{salt}, 32))
		if em[0] |= 0x80; new(big.Int).SetBytes(em).Cmp(k.public.N) < 0 {
			if _, pss := k.hold(t, "a spare bit", digest, k.sign(em)); pss {
				t.Error("good with a spare bit set")
			}
			return
		}
	}
	t.Error("there is no such message")
}

func TestRSALimits(t *testing.T) {
	odd := func(bits uint) *big.Int { return new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1) }
	for _, test := range []struct {
		public rsa.PublicKey
		want   bool
	}{
		{rsa.PublicKey{N: odd(2048), E: 65537}, true},
		{rsa.PublicKey{N: odd(4096), E: 65537}, true},
		{rsa.PublicKey{N: odd(2047), E: 65537}, false},
		{rsa.PublicKey{N: odd(4097), E: 65537}, false},
		{rsa.PublicKey{N: odd(2048), E: 3}, false},
		{rsa.PublicKey{N: odd(2048), E: 65539}, false},
		{rsa.PublicKey{N: new(big.Int).Sub(odd(2048), big.NewInt(1)), E: 65537}, false},
		{rsa.PublicKey{N: new(big.Int), E: 65537}, false},
	} {
		if got := NewRSA(&test.public) != nil; got != test.want {
			t.Errorf("%d bits, e %d: %t, want %t", test.public.N.BitLen(), test.public.E, got, test.want)
		}
	}
}

// FuzzRSA signs whatever it is given, with a good signature as a start.
func FuzzRSA(f *testing.F) {
	digest := sha256.Sum256([]byte("signed"))
	for i, k := range signers() {
		f.Add(uint8(i), k.encodePKCS1(digest), digest[:])
		f.Add(uint8(i), k.encodePSS(digest, digest[:]), digest[:])
	}
	f.Fuzz(func(t *testing.T, which uint8, em, over []byte) {
		k := signers()[int(which)%len(signers())]
		digest := sha256.Sum256([]byte("signed"))
		copy(digest[:], over)
		k.hold(t, "what was fuzzed", digest, k.sign(less(new(big.Int).SetBytes(em), k.public.N).Bytes()))
		k.hold(t, "what was fuzzed, as a signature", digest, em)
	})
}
