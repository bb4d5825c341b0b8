package jwks

import (
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"
)

// weakModulus is an odd number of so many bits that leaves the remainders of a
// power of 65537 by all primes up to 167.
func weakModulus(size uint, exponent int64) *big.Int {
	primorial := big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			primorial.Mul(primorial, big.NewInt(p))
		}
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(exponent), primorial)
	rest := new(big.Int).Lsh(big.NewInt(1), size-1)
	rest.Sub(rest, new(big.Int).Mod(rest, primorial))
	return n.Add(n, rest.Add(rest, primorial))
}

func TestFactorableKeys(t *testing.T) {
	for _, size := range []uint{2048, 2049, 3072, 4096} {
		for _, exponent := range []int64{0, 1, 77, 12345678} {
			n := weakModulus(size, exponent)
			text := public(&rsa.PublicKey{N: n, E: 65537}).text()
			if _, err := ParseProofKey(text); !errors.Is(err, errWeak) {
				t.Errorf("%d bits, power %d: %v", size, exponent, err)
			}
			if _, skipped, err := ParseSet(setOf(text), nil); err != nil || len(skipped) != 1 || skipped[0].Reason != errWeak.Error() {
				t.Errorf("%d bits, power %d, in a set: %v %v", size, exponent, skipped, err)
			}
			if weak(n.Add(n, big.NewInt(2)).Bytes()) {
				t.Errorf("%d bits, two more than power %d: told as weak", size, exponent)
			}
		}
	}
	if n := signers()["RSA"].Public().(*rsa.PublicKey).N; weak(n.Bytes()) {
		t.Error("an ordinary key is told as weak")
	}
}
