package repeated

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"testing"
)

func curve() *elliptic.CurveParams { return elliptic.P256().Params() }

// less is v modulo m, as an integer of its own.
func less(v, m *big.Int) *big.Int { return new(big.Int).Mod(v, m) }

func text(v *big.Int) []byte { return v.FillBytes(make([]byte, 32)) }

// times is factor times the base point, by the standard library; factor is not 0.
func times(t testing.TB, factor *big.Int) affine {
	t.Helper()
	key, err := ecdh.P256().NewPrivateKey(text(factor))
	if err != nil {
		t.Fatal(err)
	}
	text := key.PublicKey().Bytes()
	return affine{newElement(new(big.Int).SetBytes(text[1:33])), newElement(new(big.Int).SetBytes(text[33:]))}
}

// edges are integers around which arithmetic of limbs goes wrong, below m.
func edges(m *big.Int) []*big.Int {
	one := big.NewInt(1)
	list := []*big.Int{new(big.Int), one, big.NewInt(2), big.NewInt(3), new(big.Int).Sub(m, one), new(big.Int).Sub(m, big.NewInt(2)), new(big.Int).Rsh(m, 1)}
	for _, bit := range []uint{22, 32, 63, 64, 65, 95, 96, 127, 128, 191, 192, 193, 224, 242, 255} {
		power := new(big.Int).Lsh(one, bit)
		list = append(list, power, new(big.Int).Sub(power, one), new(big.Int).Sub(m, power))
	}
	for limb := range 4 {
		all := new(big.Int).Lsh(new(big.Int).SetUint64(1<<64-1), uint(64*limb))
		list = append(list, less(all, m), less(new(big.Int).Not(all), m))
	}
	return list
}

// TestElement holds arithmetic modulo p to math/big.
func TestElement(t *testing.T) {
	values := edges(curve().P)
	for range 50 {
		v, err := rand.Int(rand.Reader, curve().P)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	for _, x := range values {
		wantInverse := new(big.Int).ModInverse(x, curve().P)
		if wantInverse == nil {
			wantInverse = new(big.Int)
		}
		if got := newElement(x).inverse(); got != newElement(wantInverse) {
			t.Errorf("1/%x is wrong", x)
		}
		for _, y := range values {
			holdElement(t, x, y)
		}
	}
}

func holdElement(t *testing.T, x, y *big.Int) {
	t.Helper()
	a, b, p := newElement(x), newElement(y), curve().P
	for what, pair := range map[string][2]any{
		"*": {a.times(b), newElement(less(new(big.Int).Mul(x, y), p))},
		"+": {a.plus(b), newElement(less(new(big.Int).Add(x, y), p))},
		"-": {a.minus(b), newElement(less(new(big.Int).Sub(x, y), p))},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%x %s %x = %x, want %x", x, what, y, pair[0], pair[1])
		}
	}
	// That newElement is what it says: equal only for equal integers, and 1 for 1.
	if (a == b) != (x.Cmp(y) == 0) || newElement(big.NewInt(1)) != one() || a.times(one()) != a {
		t.Errorf("%x and %x are told apart wrongly", x, y)
	}
}

func FuzzElement(f *testing.F) {
	for _, v := range edges(curve().P) {
		f.Add(text(v), text(v))
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		holdElement(t, less(new(big.Int).SetBytes(x), curve().P), less(new(big.Int).SetBytes(y), curve().P))
	})
}

// TestPoint adds points of every kind, those that a sum of two different points
// goes wrong for among them.
func TestPoint(t *testing.T) {
	n := curve().N
	scaled := func(factor, z *big.Int) point { // a point with a z of its own
		if factor.Sign() == 0 {
			return point{newElement(z), newElement(z), element{}}
		}
		q, k := times(t, factor), newElement(z)
		kk := k.times(k)
		return point{q.x.times(kk), q.y.times(kk.times(k)), k}
	}
	for _, a := range edges(n) {
		twice := scaled(a, big.NewInt(7))
		twice.double()
		wantPoint(t, fmt.Sprintf("2 * %x", a), &twice, less(new(big.Int).Lsh(a, 1), n))
		for _, b := range []*big.Int{a, less(new(big.Int).Neg(a), n), big.NewInt(1), less(new(big.Int).Lsh(a, 1), n), new(big.Int).Sub(n, big.NewInt(3))} {
			if b.Sign() == 0 {
				continue
			}
			sum, q := scaled(a, big.NewInt(11)), times(t, b)
			sum.add(&q)
			wantPoint(t, fmt.Sprintf("%x + %x", a, b), &sum, less(new(big.Int).Add(a, b), n))
		}
	}
}

func wantPoint(t *testing.T, what string, got *point, factor *big.Int) {
	t.Helper()
	if factor.Sign() == 0 {
		if got.z != (element{}) {
			t.Errorf("%s is not at infinity", what)
		}
		return
	}
	flat, want := flatten([]point{*got}), times(t, factor)
	if flat == nil || flat[0] != want {
		t.Errorf("%s is another point", what)
	}
}

// TestComb holds multiples of a point to those of the standard library.
func TestComb(t *testing.T) {
	d := big.NewInt(0x5eed)
	for _, shape := range [][2]int{{8, 32}, {8, 4}, {6, 2}, {6, 1}, {3, 5}, {1, 1}} {
		k := newComb(times(t, d), shape[0], shape[1])
		for _, factor := range edges(curve().N) {
			got := sum(product{k, octets(factor)})
			wantPoint(t, fmt.Sprintf("%v: %x * Q", shape, factor), &got, less(new(big.Int).Mul(factor, d), curve().N))
		}
	}
	if flatten([]point{{one(), one(), one()}, {}}) != nil {
		t.Error("the point at infinity was flattened")
	}
}

func privateKey(t testing.TB, d *big.Int) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), text(d))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tables is both tables of a key.
type tables struct {
	public         *ecdsa.PublicKey
	issuer, client *P256
}

func newTables(public *ecdsa.PublicKey) *tables {
	return &tables{public, Issuer(public), Client(public)}
}

// hold compares with the standard library, and returns its verdict.
func (k *tables) hold(t *testing.T, what string, digest [32]byte, r, s *big.Int) bool {
	t.Helper()
	want := ecdsa.Verify(k.public, digest[:], r, s)
	if r.Sign() < 0 || s.Sign() < 0 || r.BitLen() > 256 || s.BitLen() > 256 {
		return want // there is no such text
	}
	signature := append(text(r), text(s)...)
	for name, table := range map[string]*P256{"issuer": k.issuer, "client": k.client} {
		if got := table.Verify(&digest, signature); got != want {
			t.Errorf("%s by the table of an %s is %t, want %t: digest %x r %x s %x", what, name, got, want, digest, r, s)
		}
	}
	return want
}

// TestES256Edges makes signatures for factors of the base point and of the key
// that are chosen, with keys that are small multiples of the base point: the sums
// then meet the same point twice, a point and its negative, and infinity.
func TestES256Edges(t *testing.T) {
	n := curve().N
	one := big.NewInt(1)
	factors := []*big.Int{new(big.Int), one, big.NewInt(2), big.NewInt(255), big.NewInt(256)}
	for _, bit := range []uint{8, 22, 44, 64, 128, 242, 248, 255} {
		factors = append(factors, new(big.Int).Lsh(one, bit), new(big.Int).Sub(n, new(big.Int).Lsh(one, bit)))
	}
	factors = append(factors, new(big.Int).Sub(n, one), new(big.Int).Sub(n, big.NewInt(2)))
	infinite, good := 0, 0
	for _, d := range []*big.Int{one, big.NewInt(2), new(big.Int).Lsh(one, 8), new(big.Int).Lsh(one, 22), new(big.Int).Sub(n, one), new(big.Int).Sub(n, big.NewInt(2))} {
		k := newTables(&privateKey(t, d).PublicKey)
		for _, u2 := range factors[1:] {
			matching := []*big.Int{less(new(big.Int).Mul(u2, d), n), less(new(big.Int).Neg(new(big.Int).Mul(u2, d)), n)}
			for _, u1 := range append(matching, factors...) {
				switch k.holdFactors(t, d, u1, u2) {
				case atInfinity:
					infinite++
				case accepted:
					good++
				}
			}
		}
	}
	if infinite == 0 || good == 0 {
		t.Errorf("%d sums at infinity, %d good signatures: want some of both", infinite, good)
	}
}

const (
	refused = iota
	accepted
	atInfinity
)

func (k *tables) holdFactors(t *testing.T, d, u1, u2 *big.Int) int {
	t.Helper()
	n := curve().N
	factor := new(big.Int).Mul(u2, d)
	factor.Add(factor, u1).Mod(factor, n)
	r, kind := big.NewInt(0x1234), atInfinity // any: there is no good one
	if factor.Sign() > 0 {
		key, err := ecdh.P256().NewPrivateKey(text(factor))
		if err != nil {
			t.Fatal(err)
		}
		r, kind = less(new(big.Int).SetBytes(key.PublicKey().Bytes()[1:33]), n), accepted
	}
	s := new(big.Int).ModInverse(u2, n)
	s.Mul(s, r).Mod(s, n)
	e := new(big.Int).Mul(u1, s)
	digest := octets(e.Mod(e, n))
	if got := k.hold(t, "a chosen sum", digest, r, s); got != (kind == accepted) {
		t.Errorf("u1 %x u2 %x d %x: %t", u1, u2, d, got)
	}
	k.hold(t, "the next s", digest, r, new(big.Int).Add(s, big.NewInt(1)))
	return kind
}

// TestES256Wrapped is of the points with an x that r does not have room for.
func TestES256Wrapped(t *testing.T) {
	n, p := curve().N, curve().P
	x, y := new(big.Int).Add(n, big.NewInt(1)), (*big.Int)(nil)
	for y == nil {
		x.Add(x, big.NewInt(1))
		square := new(big.Int).Exp(x, big.NewInt(3), p)
		square.Sub(square, new(big.Int).Mul(x, big.NewInt(3))).Add(square, curve().B).Mod(square, p)
		y = new(big.Int).ModSqrt(square, p)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, text(x)...), text(y)...))
	if err != nil {
		t.Fatal(err)
	}
	k, r := newTables(public), new(big.Int).Sub(x, n)
	if !k.hold(t, "r+n", [32]byte{}, r, r) { // 0*G + 1*Q
		t.Error("r+n is not an x")
	}
	k.hold(t, "r beyond n", [32]byte{}, x, x)
	k.hold(t, "r beyond n, and s as it was", [32]byte{}, x, r)
	k.hold(t, "r that is none of both", [32]byte{}, new(big.Int).Add(r, big.NewInt(1)), new(big.Int).Add(r, big.NewInt(1)))
	last := new(big.Int).Sub(p, n) // r+n is p: no x
	k.hold(t, "r+n is p", [32]byte{}, last, last)
}

// TestES256 holds verdicts on good and damaged signatures by many keys, and on
// numbers that are out of range, to crypto/ecdsa.
func TestES256(t *testing.T) {
	n := curve().N
	for i := range 4 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k := newTables(&key.PublicKey)
		digest := sha256.Sum256([]byte{byte(i)})
		if i%4 == 3 {
			digest = [32]byte(bytes.Repeat([]byte{0xff}, 32)) // more than n
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if !k.hold(t, "a good signature", digest, r, s) {
			t.Fatal("a good signature is refused")
		}
		k.hold(t, "-s", digest, r, new(big.Int).Sub(n, s))
		k.hold(t, "another digest", sha256.Sum256(digest[:]), r, s)
		k.hold(t, "r and s exchanged", digest, s, r)
		for _, v := range append(edges(n), n, curve().P, new(big.Int).Add(n, big.NewInt(1)), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)), new(big.Int).Add(r, n), new(big.Int).Add(s, n)) {
			k.hold(t, "another r", digest, v, s)
			k.hold(t, "another s", digest, r, v)
			k.hold(t, "the same r and s", digest, v, v)
		}
		for bit := i; bit < 256; bit += 4 { // each by one of the keys
			k.hold(t, "a bit of r", digest, new(big.Int).SetBit(r, bit, r.Bit(bit)^1), s)
			k.hold(t, "a bit of s", digest, r, new(big.Int).SetBit(s, bit, s.Bit(bit)^1))
		}
		signature := append(text(r), text(s)...)
		for _, text := range [][]byte{nil, signature[:63], append([]byte{0}, signature...), append(signature, 0)} {
			if k.issuer.Verify(&digest, text) || k.client.Verify(&digest, text) {
				t.Errorf("%d octets are a signature", len(text))
			}
		}
	}
}

func TestOtherCurves(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if Issuer(&key.PublicKey) != nil || Client(&key.PublicKey) != nil {
		t.Error("there is a table for P-384")
	}
	if Client(&ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}) != nil { //nolint:staticcheck // what no parser gives
		t.Error("there is a table for a point off the curve")
	}
}

// FuzzES256 takes the factors of a signature as they come, so that half of what
// it tries is good.
func FuzzES256(f *testing.F) {
	for _, v := range edges(curve().N) {
		f.Add(text(v), text(v), text(v), []byte{0})
	}
	f.Fuzz(func(t *testing.T, dText, u1Text, u2Text, change []byte) {
		n := curve().N
		d, u1, u2 := less(new(big.Int).SetBytes(dText), n), less(new(big.Int).SetBytes(u1Text), n), less(new(big.Int).SetBytes(u2Text), n)
		if d.Sign() == 0 || u2.Sign() == 0 {
			return
		}
		k := newTables(&privateKey(t, d).PublicKey)
		k.holdFactors(t, d, u1, u2)
		v := new(big.Int).SetBytes(change)
		k.hold(t, "another r", octets(u1), v, u2)
		k.hold(t, "another s", octets(u1), u2, v)
	})
}
