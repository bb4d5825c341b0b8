package tunnel

import (
	"crypto/rand"
	"encoding/binary"
)

// frames follows the frames of one direction without looking into them, to
// know where one ends: only there another may begin (RFC 6455 section 5.2).
type frames struct {
	head   [14]byte // of the frame under way, the longest there is
	length int      // octets of it that have passed
	left   uint64   // of the payload, once the head has passed
	closed bool     // a close frame has passed: nothing may follow it
}

// between reports whether a frame has ended and none has begun.
func (f *frames) between() bool { return f.length == 0 }

// next takes the octets of p that belong to the frame under way, and reports
// whether it ends with them. p is not empty.
func (f *frames) next(p []byte) (n int, ends bool) {
	for n < len(p) && f.length < f.headLength() {
		f.head[f.length] = p[n]
		f.length++
		n++
		if f.length == f.headLength() {
			f.left = f.payload()
		}
	}
	if f.length < f.headLength() {
		return n, false
	}
	taken := min(uint64(len(p)-n), f.left)
	n, f.left = n+int(taken), f.left-taken // not more than len(p)
	if f.left > 0 {
		return n, false
	}
	f.closed = f.closed || f.head[0]&0x0f == opcodeClose
	f.length = 0
	return n, true
}

// headLength is how long the head is, as far as it is known.
func (f *frames) headLength() int {
	if f.length < 2 {
		return 2
	}
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (f *frames) payload() uint64 {
	switch short := f.head[1] & 0x7f; short {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(short)
	}
}

const opcodeClose = 0x8

// A Close is what a close frame says (RFC 6455 section 7.4).
type Close struct {
	Code   uint16
	Reason string // ASCII, up to 123 octets
}

// frame renders c. What goes to a server is masked (RFC 6455 section 5.3).
func (c Close) frame(masked bool) []byte {
	payload := append(binary.BigEndian.AppendUint16(nil, c.Code), c.Reason...)
	out := []byte{0x80 | opcodeClose, byte(len(payload))} // see Close.Reason
	if masked {
		var mask [4]byte
		_, _ = rand.Read(mask[:]) // never fails
		out[1] |= 0x80
		out = append(out, mask[:]...)
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
	}
	return append(out, payload...)
}
