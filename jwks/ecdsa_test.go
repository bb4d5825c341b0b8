package jwks

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"
)

// What appendDER writes is what encoding/asn1 does, at every length of r and s
// and on both sides of a sign bit.
func TestAppendDER(t *testing.T) {
	for _, size := range []int{32, 48, 66} {
		for zeros := range size + 1 {
			for _, first := range []byte{0x01, 0x7f, 0x80, 0xff} {
				r, s := make([]byte, size), bytes.Repeat([]byte{first}, size)
				if zeros < size {
					r[zeros] = first
				}
				want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
				if err != nil {
					t.Fatal(err)
				}
				if got := appendDER(nil, r, s); !bytes.Equal(got, want) {
					t.Errorf("%x and %x: %x, want %x", r, s, got, want)
				}
				if len(want) > longestDER {
					t.Errorf("%d octets, longestDER is %d", len(want), longestDER)
				}
			}
		}
	}
}
