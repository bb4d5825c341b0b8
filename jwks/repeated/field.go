package repeated

import (
	"crypto/elliptic"
	"encoding/binary"
	"math/big"
	"math/bits"
)

// element is an integer modulo the prime p of P-256, times 2^256 (the form of
// Montgomery), least significant limb first. It is always less than p, so that
// equal elements have equal limbs.
type element struct{ a, b, c, d uint64 }

// The limbs of p = 2^256 - 2^224 + 2^192 + 2^96 - 1 (SEC 2 section 2.4.2); the third is 0.
const p0, p1, p3 = 0xffffffffffffffff, 0x00000000ffffffff, 0xffffffff00000001

// one is 1: 2^256 less p.
func one() element { return element{1, 0xffffffff00000000, 0xffffffffffffffff, 0x00000000fffffffe} }

// newElement takes an integer from 0 to p-1.
func newElement(v *big.Int) element {
	text, limb := octets(v), binary.BigEndian.Uint64
	plain := element{limb(text[24:]), limb(text[16:]), limb(text[8:]), limb(text[:])}
	return plain.times(element{3, 0xfffffffbffffffff, 0xfffffffffffffffe, 0x00000004fffffffd}) // 2^512 modulo p
}

// octets is an integer below 2^256, most significant octet first.
func octets(v *big.Int) (text [32]byte) {
	v.FillBytes(text[:])
	return text
}

// times adds up rows of limbs, and with each a multiple of p that makes the
// lowest limb zero, which is then left out: since p is -1 modulo 2^64, that limb
// itself times p. The sum stays below twice p.
func (x element) times(y element) element {
	var t0, t1, t2, t3, t4, c uint64
	for _, factor := range [...]uint64{x.a, x.b, x.c, x.d} {
		h0, l0 := bits.Mul64(factor, y.a)
		h1, l1 := bits.Mul64(factor, y.b)
		h2, l2 := bits.Mul64(factor, y.c)
		h3, l3 := bits.Mul64(factor, y.d)
		l1, c = bits.Add64(l1, h0, 0)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		h3 += c
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4 += h3 + c
		high, low := bits.Mul64(t0, p3)
		t1, c = bits.Add64(t1, t0<<32, 0)
		t2, c = bits.Add64(t2, t0>>32, c)
		t3, c = bits.Add64(t3, low, c)
		t4, c = bits.Add64(t4, high, c)
		t0, t1, t2, t3, t4 = t1, t2, t3, t4, c
	}
	return reduce(t0, t1, t2, t3, t4)
}

// reduce takes a number below twice p.
func reduce(t0, t1, t2, t3, t4 uint64) element {
	r0, b := bits.Sub64(t0, p0, 0)
	r1, b := bits.Sub64(t1, p1, b)
	r2, b := bits.Sub64(t2, 0, b)
	r3, b := bits.Sub64(t3, p3, b)
	_, b = bits.Sub64(t4, 0, b)
	less := -b // a mask: no processor can foresee which way a branch would go
	return element{r0 ^ (r0^t0)&less, r1 ^ (r1^t1)&less, r2 ^ (r2^t2)&less, r3 ^ (r3^t3)&less}
}

func (x element) plus(y element) element {
	t0, c := bits.Add64(x.a, y.a, 0)
	t1, c := bits.Add64(x.b, y.b, c)
	t2, c := bits.Add64(x.c, y.c, c)
	t3, c := bits.Add64(x.d, y.d, c)
	return reduce(t0, t1, t2, t3, c)
}

// minus adds p - y.
func (x element) minus(y element) element {
	t0, b := bits.Sub64(p0, y.a, 0)
	t1, b := bits.Sub64(p1, y.b, b)
	t2, b := bits.Sub64(0, y.c, b)
	t3, _ := bits.Sub64(p3, y.d, b)
	return x.plus(element{t0, t1, t2, t3})
}

// inverse is x to the power of p-2: 1/x, and 0 for 0.
func (x element) inverse() element {
	exponent, power := new(big.Int).Sub(elliptic.P256().Params().P, big.NewInt(2)), one()
	for i := exponent.BitLen() - 1; i >= 0; i-- {
		if power = power.times(power); exponent.Bit(i) == 1 {
			power = power.times(x)
		}
	}
	return power
}
