// Package repeated checks signatures by keys that are seen again and again, with
// what can be computed from the key alone computed once: multiples of points of
// P-256, and constants of RSA moduli. Its verdicts are those of crypto/ecdsa and
// crypto/rsa, which its tests hold it to and package jwks asks now and then
// (docs/decisions/0035).
//
// All it sees is public, and it takes a time that depends on it. It must never
// be given a secret.
package repeated

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"math/big"
	"math/bits"
	"sync"
)

// comb is multiples of one point Q, by which any multiple of it is a sum of few:
// the binary digits of a factor are read some distance apart, teeth of them at
// once, and for each such reading the sum is ready. The distance is cut into
// blocks of columns, each block with sums of its own, so that all blocks share
// what is doubled between two columns.
type comb struct {
	teeth, blocks, columns int
	sums                   []affine // 2^teeth - 1 for each block
}

// newComb is nil when one of the sums would be the point at infinity.
func newComb(q affine, teeth, blocks int) *comb {
	k := &comb{teeth: teeth, blocks: blocks, columns: (256 + teeth*blocks - 1) / (teeth * blocks)}
	doubled := make([]point, teeth*blocks)
	for i, p := 0, (point{q.x, q.y, one()}); i < len(doubled); i++ {
		doubled[i] = p
		for range k.columns {
			p.double()
		}
	}
	feet := flatten(doubled)
	all := make([]point, 0, blocks<<teeth)
	for block := range blocks {
		sums := all[len(all) : len(all)+1<<teeth-1]
		for i := range sums {
			if rest := (i + 1) & i; rest > 0 { // the reading less its lowest digit
				sums[i] = sums[rest-1]
			}
			sums[i].add(&feet[bits.TrailingZeros(uint(i+1))*blocks+block])
		}
		all = all[:len(all)+len(sums)]
	}
	if k.sums = flatten(all); k.sums == nil {
		return nil
	}
	return k
}

// product is a point and what it is multiplied by.
type product struct {
	*comb
	factor [32]byte
}

// sum adds products up, the first of which has the most columns. They share what
// is doubled.
func sum(of ...product) (p point) {
	for column := of[0].columns - 1; column >= 0; column-- {
		p.double()
		for i := range of {
			q := &of[i]
			for block := 0; block < q.blocks && column < q.columns; block++ {
				if digits := q.reading(block*q.columns + column); digits > 0 {
					p.add(&q.sums[block<<q.teeth-block+digits-1])
				}
			}
		}
	}
	return p
}

// reading is the digits of the factor from the one at first, a comb's distance
// apart. There are none beyond the 256th.
func (q *product) reading(first int) (digits int) {
	for tooth := range q.teeth {
		if at := first + tooth*q.blocks*q.columns; at < 256 {
			digits |= int(q.factor[31-at/8]>>(at%8)&1) << tooth
		}
	}
	return digits
}

// P256 checks ES256 signatures by one key.
type P256 struct{ key *comb }

// Issuer makes the table of a key that checks very many signatures: 33 kB. It is
// nil for a key on another curve.
func Issuer(public *ecdsa.PublicKey) *P256 { return newP256(public, 8, 2) }

// Client makes the table of one key of many: 16 kB. It is nil for a key on another
// curve.
func Client(public *ecdsa.PublicKey) *P256 { return newP256(public, 7, 2) }

func newP256(public *ecdsa.PublicKey, teeth, blocks int) *P256 {
	text, err := public.Bytes() // fails for what is no point of the curve
	if err != nil || public.Curve != elliptic.P256() {
		return nil
	}
	x, y := new(big.Int).SetBytes(text[1:33]), new(big.Int).SetBytes(text[33:])
	if k := newComb(affine{newElement(x), newElement(y)}, teeth, blocks); k != nil {
		return &P256{k}
	}
	return nil
}

// generator is the base point, the same for all keys: 524 kB.
var generator = sync.OnceValue(func() *comb {
	params := elliptic.P256().Params()
	return newComb(affine{newElement(params.Gx), newElement(params.Gy)}, 12, 2)
})

// Verify reports whether signature, r and s at full length (RFC 7518 section
// 3.4), is by the key, over the octets whose SHA-256 is digest (FIPS 186-5
// section 6.4.2).
func (k *P256) Verify(digest *[32]byte, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	n, p := elliptic.P256().Params().N, elliptic.P256().Params().P
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(n) >= 0 || s.Cmp(n) >= 0 {
		return false
	}
	inverse, u1, u2 := new(big.Int).ModInverse(s, n), new(big.Int).SetBytes(digest[:]), new(big.Int)
	u1.Mul(u1, inverse).Mod(u1, n)
	u2.Mul(r, inverse).Mod(u2, n)
	found := sum(product{k.key, octets(u2)}, product{generator(), octets(u1)})
	// r is its x modulo n, which is less than p.
	return found.hasX(r) || r.Add(r, n).Cmp(p) < 0 && found.hasX(r)
}
