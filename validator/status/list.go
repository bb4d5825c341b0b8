package status

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// maxStatuses bounds a list once it is inflated, in octets: 134 million statuses
// of one bit.
const maxStatuses = 16 << 20

var (
	errList     = errors.New("status_list is no object with bits and lst")
	errBits     = errors.New("bits is none of 1, 2, 4 and 8")
	errEncoding = errors.New("lst is not base64url without padding")
	errInflate  = errors.New("lst is no zlib stream, or something follows it")
	errLarge    = errors.New("lst inflates to more than 16 MiB")
)

// list is the statuses of many tokens, packed (section 4.1).
type list struct {
	bits   uint8
	packed []byte
}

// readList reads the status_list claim of a list (section 4.2).
func readList(v token.Value) (list, error) {
	bitsValue, _ := v.Member("bits")
	lstValue, _ := v.Member("lst")
	digits, isNumber := bitsValue.Number()
	lst, isText := lstValue.Text()
	if !isNumber || !isText {
		return list{}, errList
	}
	bits, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || bits != 1 && bits != 2 && bits != 4 && bits != 8 {
		return list{}, errBits
	}
	// The decoder skips line breaks by itself.
	if strings.ContainsAny(lst, "\r\n") {
		return list{}, errEncoding
	}
	deflated, err := base64.RawURLEncoding.Strict().DecodeString(lst)
	if err != nil {
		return list{}, errEncoding
	}
	packed, err := inflate(deflated)
	return list{bits: uint8(bits), packed: packed}, err
}

// inflate goes over the stream twice: the first time it only counts, so that a
// stream that is too long is refused before anything is set aside for it.
func inflate(deflated []byte) ([]byte, error) {
	in := bytes.NewReader(deflated)
	z, err := zlib.NewReader(in)
	if err != nil {
		return nil, errInflate
	}
	size, err := io.Copy(io.Discard, io.LimitReader(z, maxStatuses+1))
	switch {
	case size > maxStatuses:
		return nil, errLarge
	case err != nil || in.Len() > 0:
		return nil, errInflate
	}
	in.Reset(deflated)
	if err := z.(zlib.Resetter).Reset(in, nil); err != nil {
		return nil, errInflate
	}
	packed := make([]byte, size)
	if _, err := io.ReadFull(z, packed); err != nil {
		return nil, errInflate
	}
	return packed, nil
}

// at returns the status at an index; ok is false beyond the end. Within an octet
// the first status is in the least significant bits.
func (l list) at(index uint64) (value uint8, ok bool) {
	each := 8 / uint64(l.bits)
	if index/each >= uint64(len(l.packed)) {
		return 0, false
	}
	shift := index % each * uint64(l.bits)
	return l.packed[index/each] >> shift & (1<<l.bits - 1), true
}
