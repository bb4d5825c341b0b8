package token

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// A Head is a JOSE header that passed ParseJWT. Tokens of one key begin with the
// same octets, and what is the same need not be parsed again: it says nothing of
// anybody's signature.
type Head struct {
	segment                     string // the first part of the compact serialization
	algorithm, mediaType, keyID string
	header                      Object
}

// Head is the header of u, for tokens that come with the very same one.
func (u *Unverified) Head() *Head {
	return &Head{strings.Clone(u.Segment()), u.Algorithm, u.Type, u.KeyID, u.header}
}

// Segment is the first part of the compact serialization, by which a Head is
// known again.
func (h *Head) Segment() string { return h.segment }

// Segment is the part of u that its header came in.
func (u *Unverified) Segment() string { return Segment(u.signed) }

// Segment is the first part of raw, up to its first dot.
func Segment(raw string) string {
	first, _, _ := strings.Cut(raw, ".")
	return first
}

// ParseJWT is what the function of this name is, sparing itself the header where
// it is h. A nil h is no header.
func (h *Head) ParseJWT(raw string, limit int) (*Unverified, error) {
	return parseJWT(raw, limit, h)
}

// maxHeads is how many headers a Heads keeps: more than issuers have keys.
const maxHeads = 64

// turnedAway is how many find no room before all are forgotten and the next ones
// remembered: keys change in the course of years.
const turnedAway = 1 << 12

// Heads remembers headers of tokens whose signature held: the first ones, until
// many others have come. The zero Heads remembers nothing yet. It is safe for
// concurrent use.
type Heads struct {
	mu    sync.Mutex // held while known is replaced
	known atomic.Pointer[map[string]*Head]
	away  atomic.Int64 // found no room
}

// Len is how many headers are remembered.
func (m *Heads) Len() int {
	if known := m.known.Load(); known != nil {
		return len(*known)
	}
	return 0
}

// ParseJWT is what the function of this name is, sparing itself a header that was
// learned.
func (m *Heads) ParseJWT(raw string, limit int) (*Unverified, error) {
	var head *Head
	if known := m.known.Load(); known != nil {
		head = (*known)[Segment(raw)]
	}
	return parseJWT(raw, limit, head)
}

// Learn remembers the header of u.
func (m *Heads) Learn(u *Unverified) {
	old := m.known.Load()
	segment := u.Segment()
	if old != nil && ((*old)[segment] != nil || len(*old) >= maxHeads && m.away.Add(1) < turnedAway) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := make(map[string]*Head)
	if old = m.known.Load(); old != nil && len(*old) < maxHeads {
		maps.Copy(known, *old)
	}
	m.away.Store(0)
	head := u.Head()
	known[head.segment] = head
	m.known.Store(&known)
}
