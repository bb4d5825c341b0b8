package jwks

import "math/big"

// roca is one odd prime up to 167 and the remainders by it that powers of 65537
// leave, as bits.
type roca struct {
	prime  uint64
	powers [3]uint64
}

// rocaPrimes are the primes of the fingerprint of CVE-2017-15361: keys of a
// widely used chip were made from primes that are a power of 65537 modulo each
// of them, and so is their product. Such a key can be factored.
var rocaPrimes = func() (list []roca) {
	for p := uint64(3); p <= 167; p += 2 {
		if !big.NewInt(int64(p)).ProbablyPrime(0) {
			continue
		}
		r, order := roca{prime: p}, uint64(0)
		for power := uint64(1); !r.has(power); power = power * 65537 % p {
			r.powers[power/64] |= 1 << (power % 64)
			order++
		}
		if order < p-1 { // else every remainder is one
			list = append(list, r)
		}
	}
	return list
}()

func (r *roca) has(remainder uint64) bool {
	return r.powers[remainder/64]&(1<<(remainder%64)) != 0
}

// weak reports whether a modulus has that fingerprint. By chance a good one has
// it less than once in a hundred million.
func weak(n []byte) bool {
	for i := range rocaPrimes {
		r := &rocaPrimes[i]
		remainder := uint64(0)
		for _, octet := range n {
			remainder = (remainder<<8 | uint64(octet)) % r.prime
		}
		if !r.has(remainder) {
			return false
		}
	}
	return true
}
