//go:build wycheproof

package wycheproof

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	_ "crypto/sha256" // the hashes of all algorithms
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// decode is as lenient as can be: what is read with it is not judged by it.
func decode(text string) []byte {
	b, _ := base64.RawURLEncoding.DecodeString(text)
	return b
}

func number(text string) *big.Int { return new(big.Int).SetBytes(decode(text)) }

// privateKey is the members of a private JWK.
type privateKey struct{ Kty, Crv, Alg, Kid, K, N, E, D string }

func hashOf(alg string) crypto.Hash {
	switch alg[len(alg)-3:] {
	case "384":
		return crypto.SHA384
	case "512", "521":
		return crypto.SHA512
	}
	return crypto.SHA256
}

func digest(h crypto.Hash, text []byte) []byte {
	d := h.New()
	d.Write(text)
	return d.Sum(nil)
}

// sign makes a good signature with a key that may be good for nothing: RSA is
// done by hand, since the standard library refuses bad keys.
func (k privateKey) sign(t *testing.T, alg, input string) []byte {
	t.Helper()
	h := hashOf(alg)
	switch {
	case alg[:2] == "HS":
		mac := hmac.New(h.New, decode(k.K))
		mac.Write([]byte(input))
		return mac.Sum(nil)
	case alg[:2] == "RS":
		return k.power(k.pkcs1(t, h, digest(h, []byte(input))))
	case alg[:2] == "PS":
		salt := make([]byte, h.Size())
		_, _ = rand.Read(salt) // never fails
		db := make([]byte, k.size()-h.Size()-1)
		db[len(db)-len(salt)-1] = 1
		copy(db[len(db)-len(salt):], salt)
		return k.power(pss{h, db, salt, make([]byte, h.Size()), 0, 0xbc}.encoded(digest(h, []byte(input))))
	}
	curve := elliptic.P256()
	if alg == "ES512" {
		curve = elliptic.P521()
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, decode(k.D))
	if err != nil {
		t.Fatal(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, digest(h, []byte(input)))
	if err != nil {
		t.Fatal(err)
	}
	return halves(r, s, (curve.Params().BitSize+7)/8)
}

func halves(r, s *big.Int, width int) []byte {
	out := make([]byte, 2*width)
	r.FillBytes(out[:width])
	s.FillBytes(out[width:])
	return out
}

// size is the length of the RSA modulus in octets.
func (k privateKey) size() int { return (number(k.N).BitLen() + 7) / 8 }

// power is the private RSA operation, opened the public one.
func (k privateKey) power(em []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(em), number(k.D), number(k.N)).FillBytes(make([]byte, k.size()))
}

func (k privateKey) opened(signature []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(signature), number(k.E), number(k.N)).FillBytes(make([]byte, k.size()))
}

// pkcs1 is EMSA-PKCS1-v1_5, RFC 8017 section 9.2.
func (k privateKey) pkcs1(t *testing.T, h crypto.Hash, sum []byte) []byte {
	t.Helper()
	prefix, err := hex.DecodeString(map[crypto.Hash]string{
		crypto.SHA256: "3031300d060960864801650304020105000420",
		crypto.SHA384: "3041300d060960864801650304020205000430",
		crypto.SHA512: "3051300d060960864801650304020305000440",
	}[h])
	if err != nil {
		t.Fatal(err)
	}
	info := append(prefix, sum...)
	em := bytes.Repeat([]byte{0xff}, k.size())
	em[0], em[1] = 0, 1
	em[len(em)-len(info)-1] = 0
	copy(em[len(em)-len(info):], info)
	return em
}

// pss is what an encoded message of EMSA-PSS (RFC 8017 section 9.1.1) consists
// of, besides the message.
type pss struct {
	hash    crypto.Hash
	db      []byte // unmasked
	salt    []byte
	delta   []byte // by which the hash in it is wrong
	top     byte   // the bit that should be clear
	trailer byte
}

func (p pss) sum(mHash []byte) []byte {
	sum := digest(p.hash, slices.Concat(make([]byte, 8), mHash, p.salt))
	subtle.XORBytes(sum, sum, p.delta)
	return sum
}

// encoded puts another message into it.
func (p pss) encoded(mHash []byte) []byte {
	sum := p.sum(mHash)
	masked := make([]byte, len(p.db))
	subtle.XORBytes(masked, p.db, p.mask(sum))
	masked[0] = masked[0]&0x7f | p.top
	return slices.Concat(masked, sum, []byte{p.trailer})
}

// mask is MGF1, RFC 8017 section B.2.1.
func (p pss) mask(seed []byte) []byte {
	var out []byte
	for i := uint32(0); len(out) < len(p.db); i++ {
		out = append(out, digest(p.hash, binary.BigEndian.AppendUint32(slices.Clone(seed), i))...)
	}
	return out[:len(p.db)]
}

// takenApart reads an encoded message of a key whose modulus fills all bits of
// its first octet. Where its padding is broken, the salt is as long as the hash.
func takenApart(h crypto.Hash, em, mHash []byte) pss {
	size := h.Size()
	at := len(em) - size - 1
	p := pss{hash: h, db: slices.Clone(em[:at]), delta: make([]byte, size), top: em[0] & 0x80, trailer: em[len(em)-1]}
	subtle.XORBytes(p.db, p.db, p.mask(em[at:len(em)-1]))
	p.db[0] &= 0x7f
	p.salt = p.db[len(p.db)-size:]
	if end := slices.IndexFunc(p.db, func(c byte) bool { return c != 0 }); end >= 0 && p.db[end] == 1 {
		p.salt = p.db[end+1:]
	}
	subtle.XORBytes(p.delta, p.sum(mHash), em[at:len(em)-1])
	return p
}
