package repeated

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"strings"

	"filippo.io/bigmod"
)

// RSA checks RS256 and PS256 signatures by one key. It keeps what crypto/rsa
// computes from the modulus for each signature anew.
type RSA struct {
	modulus *bigmod.Modulus
	bits    int
}

const exponent = 65537

// NewRSA is nil for a key that is not of 2048 to 4096 bits with the exponent
// 65537.
func NewRSA(public *rsa.PublicKey) *RSA {
	size := public.N.BitLen()
	modulus, err := bigmod.NewModulus(public.N.Bytes())
	if err != nil || public.E != exponent || size < 2048 || size > 4096 || public.N.Bit(0) == 0 {
		return nil
	}
	return &RSA{modulus, size}
}

// encoded is the message that was signed, as long as the modulus (RFC 8017
// section 5.2.2), or nil for what is no signature by any key of this size.
func (k *RSA) encoded(signature []byte) []byte {
	if len(signature) != (k.bits+7)/8 {
		return nil
	}
	s, err := bigmod.NewNat().SetBytes(signature, k.modulus) // fails for what is not less than the modulus
	if err != nil {
		return nil
	}
	return bigmod.NewNat().ExpShortVarTime(s, exponent, k.modulus).Bytes(k.modulus)
}

// VerifyPKCS1v15 reports whether signature is by the key over the octets whose
// SHA-256 is digest (RFC 8017 section 8.2.2). The whole encoding is compared, no
// part of it is read.
func (k *RSA) VerifyPKCS1v15(digest *[32]byte, signature []byte) bool {
	const prefix = "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" // RFC 8017 section 9.2, note 1
	em := k.encoded(signature)
	return em != nil && string(em) == "\x00\x01"+strings.Repeat("\xff", len(em)-len(prefix)-len(digest)-3)+"\x00"+prefix+string(digest[:])
}

// VerifyPSS reports whether signature is by the key over the octets whose
// SHA-256 is digest, with MGF1 and a salt as long as the hash (RFC 8017 sections
// 8.1.2 and 9.1.2, RFC 7518 section 3.5).
func (k *RSA) VerifyPSS(digest *[32]byte, signature []byte) bool {
	em := k.encoded(signature)
	if k.bits%8 == 1 && em != nil { // what was encoded is an octet shorter than the modulus
		if em[0] != 0 {
			return false
		}
		em = em[1:]
	}
	spare := byte(0xff) << ((k.bits+6)%8 + 1) // the bits of the first octet that are not the message's
	if em == nil || em[len(em)-1] != 0xbc || em[0]&spare != 0 {
		return false
	}
	db, h := em[:len(em)-sha256.Size-1], em[len(em)-sha256.Size-1:len(em)-1]
	counted, block := append(bytes.Clone(h), 0, 0, 0, 0), [sha256.Size]byte{}
	for i := range db { // MGF1, RFC 8017 appendix B.2.1, in less than 256 rounds
		if i%len(block) == 0 {
			counted[len(counted)-1] = byte(i / len(block))
			block = sha256.Sum256(counted)
		}
		db[i] ^= block[i%len(block)]
	}
	db[0] &^= spare
	padding, salt := db[:len(db)-sha256.Size-1], db[len(db)-sha256.Size:]
	if len(bytes.Trim(padding, "\x00")) > 0 || db[len(padding)] != 1 {
		return false
	}
	sum := sha256.Sum256(append(append(make([]byte, 8, 8+2*sha256.Size), digest[:]...), salt...))
	return bytes.Equal(sum[:], h)
}
