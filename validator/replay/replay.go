// Package replay remembers what must not be used twice. It knows nothing of
// proofs or tokens: it is asked whether an identifier was seen before, and
// answers for as long as it was told to remember it.
//
// A store is not a cache. Nothing live is ever evicted to make room: a full
// store is an error, and the caller must refuse (RFC 9449 section 11.1).
package replay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// The errors of a store that cannot remember more. Both mean: do not accept.
var (
	ErrFull  = errors.New("replay store is full")
	ErrQuota = errors.New("one owner fills its share of the replay store")
)

// A Store says whether an identifier is used for the first time.
type Store interface {
	// First remembers id of owner for ttl and reports true, in one atomic step,
	// unless the same pair is remembered already. made is when the owner says
	// that it made id; a store that began later may refuse. An error means that
	// nobody knows: the caller must refuse.
	First(ctx context.Context, owner, id string, made time.Time, ttl time.Duration) (bool, error)
}

// slots is how many locks a Memory is spread over. An owner lives in one slot.
const slots = 16

// share is the part of the capacity one owner may fill: a quarter. A busy
// service client is no flood, and one hostile client cannot shut out the rest.
const share = 4

// Memory is a Store in this process. It starts no goroutine: each call clears
// what has expired in its slot. Time is monotonic, so setting the wall clock
// neither forgets nor keeps anything.
type Memory struct {
	capacity int64
	started  time.Time
	live     atomic.Int64
	slots    [slots]slot
}

// NewMemory makes a store for at most capacity live identifiers.
func NewMemory(capacity int) *Memory {
	m := &Memory{capacity: int64(max(capacity, 1)), started: time.Now()}
	for i := range m.slots {
		m.slots[i].deadlines = make(map[digest]time.Duration)
		m.slots[i].owners = make(map[digest]int64)
		m.slots[i].expiring = make(map[int64][]entry)
	}
	return m
}

// Len is the number of identifiers held, expired ones that were not cleared
// yet included.
func (m *Memory) Len() int { return int(m.live.Load()) }

// First implements Store. The identifier is remembered for ttl and at most a
// second longer, whenever it was made.
func (m *Memory) First(_ context.Context, owner, id string, _ time.Time, ttl time.Duration) (bool, error) {
	e := entry{id: pair(owner, id), owner: pair(owner, "")}
	s := &m.slots[e.owner[0]%slots]
	now := time.Since(m.started)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.live.Add(-s.clear(now))
	if _, seen := s.deadlines[e.id]; seen {
		return false, nil
	}
	if s.owners[e.owner] >= max(m.capacity/share, 1) {
		return false, ErrQuota
	}
	if m.live.Add(1) > m.capacity && m.sweep(s, now) > m.capacity {
		m.live.Add(-1)
		return false, ErrFull
	}
	s.add(e, now+ttl)
	return true, nil
}

// sweep clears the other slots, since expired entries of quiet owners count
// until somebody looks at their slot. It never waits for a lock another caller
// holds: two full-store callers would wait for each other.
func (m *Memory) sweep(held *slot, now time.Duration) int64 {
	for i := range m.slots {
		s := &m.slots[i]
		if s == held || !s.mu.TryLock() {
			continue
		}
		m.live.Add(-s.clear(now))
		s.mu.Unlock()
	}
	return m.live.Load()
}

// digest is half a SHA-256: a collision refuses one proof wrongly and accepts
// none, and 128 bits put it out of reach.
type digest [16]byte

// pair hashes length-prefixed fields, so that no two pairs read alike.
func pair(owner, id string) digest {
	sum := sha256.Sum256(prefixed(make([]byte, 0, 512), owner, id))
	return digest(sum[:16])
}

// prefixed appends to buffer, which stays on the caller's stack.
func prefixed(buffer []byte, owner, id string) []byte {
	for _, field := range [...]string{owner, id} {
		buffer = binary.BigEndian.AppendUint32(buffer, uint32(len(field)))
		buffer = append(buffer, field...)
	}
	return buffer
}

type entry struct{ id, owner digest }

// slot is one part of a Memory. mu guards everything in it.
type slot struct {
	mu        sync.Mutex
	deadlines map[digest]time.Duration
	owners    map[digest]int64
	expiring  map[int64][]entry // by the second in which they may be forgotten
	cleared   int64             // the last second cleared
}

func (s *slot) add(e entry, deadline time.Duration) {
	second := int64(deadline/time.Second) + 1
	s.deadlines[e.id] = deadline
	s.owners[e.owner]++
	s.expiring[second] = append(s.expiring[second], e)
}

// clear forgets what ended before now and returns how many that were.
func (s *slot) clear(now time.Duration) (gone int64) {
	second := int64(now / time.Second)
	if len(s.expiring) == 0 {
		s.cleared = second
		return 0
	}
	for ; s.cleared < second; s.cleared++ {
		for _, e := range s.expiring[s.cleared+1] {
			delete(s.deadlines, e.id)
			if s.owners[e.owner]--; s.owners[e.owner] == 0 {
				delete(s.owners, e.owner)
			}
			gone++
		}
		delete(s.expiring, s.cleared+1)
	}
	return gone
}
