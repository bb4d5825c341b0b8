// Package status looks up what a status list says of a token (Token Status
// List, draft-ietf-oauth-status-list). It fetches the lists an issuer publishes,
// checks that they are its own, and keeps them at hand.
//
// What a status means for the token that has it is judged by package validator.
package status

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// The statuses that have a meaning everywhere (section 7.1).
const (
	Valid     uint8 = 0
	Invalid   uint8 = 1
	Suspended uint8 = 2
)

// maxURI bounds the address of a list, in octets.
const maxURI = 2 << 10

// Reference is where a token's status is to be found (section 6.2).
type Reference struct {
	URI   string
	Index uint64
}

// Rules says which lists an issuer's tokens may name, and which statuses pass.
// It never changes.
type Rules struct {
	exact    map[string]bool
	prefixes []string
	accepted [256]bool
}

// NewRules makes the Rules of one issuer. An address in allow that ends in a
// slash allows all that lies below it, any other allows itself; both are
// compared character for character. accept lists statuses that pass beside
// Valid.
func NewRules(allow []string, accept []uint8) *Rules {
	r := &Rules{exact: make(map[string]bool)}
	for _, address := range allow {
		if strings.HasSuffix(address, "/") {
			r.prefixes = append(r.prefixes, address)
			continue
		}
		r.exact[address] = true
	}
	r.accepted[Valid] = true
	for _, value := range accept {
		r.accepted[value] = true
	}
	return r
}

// Accepts reports whether a token with this status passes.
func (r *Rules) Accepts(value uint8) bool { return r.accepted[value] }

var (
	errMechanism = errors.New("the status claim has no status_list object, and no other mechanism is known here")
	errIndex     = errors.New("status_list.idx is no integer from 0")
	errURI       = errors.New("status_list.uri is no string, or a long one")
	errForeign   = errors.New("status_list.uri is none that issuers[].status_list.allow lists")
)

// Read reads the status claim of a token whose signature held (sections 6.1 and
// 6.2). A claim that nobody here can follow is an error: to pass over it would
// let revoked tokens in.
func (r *Rules) Read(status token.Value) (Reference, error) {
	list, found := status.Member("status_list")
	if !found {
		return Reference{}, errMechanism
	}
	idx, _ := list.Member("idx")
	digits, _ := idx.Number()
	index, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return Reference{}, errIndex
	}
	v, _ := list.Member("uri")
	uri, ok := v.Text()
	switch {
	case !ok || len(uri) > maxURI:
		return Reference{}, errURI
	case !r.allows(uri):
		return Reference{}, errForeign
	}
	return Reference{URI: uri, Index: index}, nil
}

// allows compares text, so that no two readers of URLs can differ about it. What
// follows a prefix is plain segments: no query, no escapes, no dot segments.
func (r *Rules) allows(uri string) bool {
	if r.exact[uri] {
		return true
	}
	return slices.ContainsFunc(r.prefixes, func(prefix string) bool {
		rest, below := strings.CutPrefix(uri, prefix)
		return below && isPlain(rest)
	})
}

// isPlain reports whether path is segments of unreserved characters (RFC 3986
// section 2.3), none of them empty, "." or "..".
func isPlain(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, isReserved) {
			return false
		}
	}
	return true
}

func isReserved(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-._~", r)
}
