// Package cache remembers what was found out about tokens, so that no client's
// tokens cost those of others their place.
package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A Cache remembers values by the digests of tokens, least recently used first out.
// While there is room everything stays. After that a token is on probation until
// it is used a second time, and no client's tokens push out those of others once
// it has its share: one client with any number of good tokens slows down nobody
// else. It is safe for concurrent use.
type Cache[V any] struct {
	mu            sync.Mutex  // guards all below
	proven, trial *segment[V] // trial is nil where there is no room for one
	holders       map[Holder]*holder
	now           func() time.Time
}

// A Holder is a client that tokens were issued to.
type Holder struct{ Issuer, Client string }

// A segment is one of the two lists. share is how many entries of it one client
// may have at the cost of others.
type segment[V any] struct {
	list  *simplelru.LRU[[32]byte, entry[V]]
	size  int
	share int
	index int // of holder.count
}

type entry[V any] struct {
	value  V
	holder *holder
	end    int64 // Unix seconds after which it is worth nothing; 0 for never
}

type holder struct {
	name  Holder
	count [2]int // by segment
}

const (
	proven = iota
	onTrial
)

// Parts of the memory, of four.
const (
	trialPart = 1 // for tokens on probation
	sharePart = 1 // of each segment, for one client
)

// tries is how many entries of others are spared, one after the other, in search
// of one of the client's own.
const tries = 8

// New makes a Cache for so many values, at least 1. now is the clock that their
// ends are told by.
func New[V any](size int, now func() time.Time) *Cache[V] {
	c := &Cache[V]{holders: make(map[Holder]*holder), now: now}
	trial := size * trialPart / 4
	c.proven = newSegment(c, size-trial, proven)
	if trial > 0 {
		c.trial = newSegment(c, trial, onTrial)
	}
	return c
}

func newSegment[V any](c *Cache[V], size, index int) *segment[V] {
	s := &segment[V]{size: max(1, size), share: max(1, size*sharePart/4), index: index}
	// It fails for a size below 1 only.
	s.list, _ = simplelru.NewLRU(s.size, func(_ [32]byte, e entry[V]) { c.release(e.holder, index) })
	return s
}

func (c *Cache[V]) release(h *holder, index int) {
	if h.count[index]--; h.count == [2]int{} {
		delete(c.holders, h.name)
	}
}

// Get returns what is remembered under digest.
func (c *Cache[V]) Get(digest [32]byte) (value V, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found := c.proven.list.Get(digest)
	if found || c.trial == nil {
		return e.value, found
	}
	if e, found = c.trial.list.Get(digest); found && c.admits(c.proven, e.holder) {
		c.promote(digest, e)
	}
	return e.value, found
}

// promote ends the probation of a token. What has to go for it gets its place on
// probation. Both are counted in their new segments first: a holder without any
// token is forgotten.
func (c *Cache[V]) promote(digest [32]byte, e entry[V]) {
	e.holder.count[proven]++
	if c.proven.list.Len() < c.proven.size {
		c.trial.list.Remove(digest)
		c.proven.list.Add(digest, e)
		return
	}
	demoted, old, _ := c.proven.list.GetOldest()
	old.holder.count[onTrial]++
	c.proven.list.Remove(demoted)
	c.trial.list.Remove(digest)
	c.proven.list.Add(digest, e)
	c.trial.list.Add(demoted, old)
}

// Add remembers value until end, which may be zero, unless its holder has its
// share. What is remembered already stays as it is.
func (c *Cache[V]) Add(digest [32]byte, value V, name Holder, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proven.list.Contains(digest) || c.trial != nil && c.trial.list.Contains(digest) {
		return
	}
	h := c.holders[name]
	if h == nil {
		h = &holder{name: name}
	}
	into := c.proven
	if c.trial != nil && c.proven.list.Len() == c.proven.size {
		into = c.trial
	}
	if !c.admits(into, h) {
		return
	}
	e := entry[V]{value: value, holder: h}
	if !end.IsZero() {
		e.end = end.Unix()
	}
	c.holders[name] = h
	c.put(into, digest, e)
}

func (c *Cache[V]) put(s *segment[V], digest [32]byte, e entry[V]) {
	e.holder.count[s.index]++
	s.list.Add(digest, e)
}

// admits tells whether a token of h may go into s, and makes room for it. A
// client that has its share pushes out its own, and what has expired.
func (c *Cache[V]) admits(s *segment[V], h *holder) bool {
	if s.list.Len() < s.size || h.count[s.index] < s.share {
		return true
	}
	now := c.now().Unix()
	for range tries {
		digest, oldest, _ := s.list.GetOldest()
		if oldest.holder == h || oldest.end != 0 && now > oldest.end {
			return true
		}
		s.list.Get(digest) // spared: the next one is the oldest now
	}
	return false
}

// Remove forgets a token.
func (c *Cache[V]) Remove(digest [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proven.list.Remove(digest) || c.trial == nil {
		return
	}
	c.trial.list.Remove(digest)
}

// Len is how many tokens are remembered.
func (c *Cache[V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.proven.list.Len()
	if c.trial != nil {
		n += c.trial.list.Len()
	}
	return n
}

// Purge forgets all.
func (c *Cache[V]) Purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven.list.Purge()
	if c.trial != nil {
		c.trial.list.Purge()
	}
}
