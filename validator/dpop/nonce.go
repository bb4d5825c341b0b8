package dpop

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultNonceMaxAge is how long a nonce is good at least.
	DefaultNonceMaxAge = 5 * time.Minute

	// MinNonceSecret is how many octets a shared secret must have.
	MinNonceSecret = 32

	nonceOctets = 24 // of the MAC: 32 characters, and no spare bits in the last
	nonceLength = nonceOctets * 4 / 3

	// noncePurpose keeps the MACs apart from those of anybody else who is given
	// the same secret.
	noncePurpose = "wicketgate dpop nonce 1"

	maxRetired = 4 // series whose nonces are still good after changes of secret or age
)

// Nonces gives out the nonces that proofs must carry, and knows them again (RFC
// 9449 sections 8 and 9). It remembers none of them: a nonce is the MAC of the
// span of time it is given out in, one span being as long as a nonce is good at
// least. It is taken in its span and in the next one, so for at most twice as
// long. The one of the span ahead is taken too, for replicas that share a
// secret and whose clocks differ.
//
// A Nonces lives as long as the process and is safe for concurrent use.
type Nonces struct {
	own []byte // the key that no other process has

	mu    sync.Mutex // held while series is replaced
	state atomic.Pointer[nonceState]
}

// nonceState is immutable.
type nonceState struct {
	current *series
	retired []*series // they give out nothing more; the latest first
}

// series is the nonces of one key and one length of spans.
type series struct {
	key    []byte
	own    bool
	length time.Duration
	ends   time.Time // of a retired one: when the last nonce it gave out does
	latest atomic.Pointer[span]
}

// span is the nonces that are good in one span of time. It is kept only to be
// spared the MACs: anybody can make it again.
type span struct {
	number                  int64
	previous, current, next [nonceLength]byte
}

// NewNonces makes a Nonces with a random key, whose nonces no other process
// takes.
func NewNonces() *Nonces {
	n := &Nonces{own: make([]byte, sha256.Size)}
	_, _ = rand.Read(n.own) // never fails: it ends the process instead
	n.state.Store(&nonceState{current: n.series(nil, DefaultNonceMaxAge)})
	return n
}

func (n *Nonces) series(secret []byte, maxAge time.Duration) *series {
	if len(secret) == 0 {
		return &series{key: n.own, own: true, length: maxAge}
	}
	key := sha256.Sum256(secret) // HMAC takes no notice of zeros at a key's end
	return &series{key: key[:], length: maxAge}
}

// Use sets the secret that other processes use too, none for the process's own
// random key, and how long nonces are good at least. Nonces given out before
// stay good until they would have ended anyway.
func (n *Nonces) Use(secret []byte, maxAge time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, fresh, now := n.state.Load(), n.series(secret, maxAge), time.Now()
	next := &nonceState{current: fresh}
	retiring := &series{key: old.current.key, own: old.current.own, length: old.current.length, ends: now.Add(2 * old.current.length)}
	for _, s := range slices.Concat([]*series{retiring}, old.retired) {
		if now.Before(s.ends) && !s.same(fresh) && len(next.retired) < maxRetired {
			next.retired = append(next.retired, s)
		}
	}
	n.state.Store(next)
}

func (s *series) same(other *series) bool {
	return s.length == other.length && subtle.ConstantTimeCompare(s.key, other.key) == 1
}

// At is the nonce that is given out at a moment: 32 characters of base64url,
// all of them NQCHAR (RFC 9449 section 8.1).
func (n *Nonces) At(now time.Time) string {
	return string(n.state.Load().current.at(now).current[:])
}

// at returns the span of a moment.
func (s *series) at(now time.Time) *span {
	number := now.UnixNano() / int64(s.length)
	if known := s.latest.Load(); known != nil && known.number == number {
		return known
	}
	made := &span{number: number, previous: s.nonce(number - 1), current: s.nonce(number), next: s.nonce(number + 1)}
	s.latest.Store(made)
	return made
}

func (s *series) nonce(number int64) (text [nonceLength]byte) {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(noncePurpose))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(number)))
	base64.RawURLEncoding.Encode(text[:], mac.Sum(nil)[:nonceOctets])
	return text
}

// finding is what is known of a nonce that a client sent.
type finding struct {
	good   bool
	own    bool // only this process can have given it out
	ending bool // the client should be given another one
}

// find looks for a nonce among those that are good now.
func (n *Nonces) find(nonce string, now time.Time) finding {
	if len(nonce) != nonceLength {
		return finding{}
	}
	var given [nonceLength]byte
	copy(given[:], nonce)
	state := n.state.Load()
	if good, late := state.current.at(now).holds(&given); good {
		return finding{good: true, own: state.current.own, ending: late}
	}
	for _, s := range state.retired {
		if !now.Before(s.ends) {
			continue
		}
		if good, _ := s.at(now).holds(&given); good {
			return finding{good: true, own: s.own, ending: true}
		}
	}
	return finding{}
}

// holds compares without telling by its time how near a guess comes.
func (s *span) holds(given *[nonceLength]byte) (good, late bool) {
	previous := subtle.ConstantTimeCompare(s.previous[:], given[:])
	others := subtle.ConstantTimeCompare(s.current[:], given[:]) | subtle.ConstantTimeCompare(s.next[:], given[:])
	return previous|others == 1, previous == 1
}
