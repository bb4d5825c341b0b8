package replay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// The errors of a store that is somewhere else. ErrUnavailable means that it
// cannot say. ErrForgotten is a refusal: the store began to remember after the
// identifier was made, so it may have been used before.
var (
	ErrUnavailable = errors.New("replay store is out of reach")
	ErrForgotten   = errors.New("made before the replay store began to remember")
)

// A Remote is a memory that several processes share.
type Remote interface {
	// First remembers key for ttl and reports true unless it is remembered
	// already, in one atomic step, and tells in which second the memory began.
	First(ctx context.Context, key [32]byte, ttl time.Duration) (first bool, since time.Time, err error)
}

// apart is how much longer an identifier is remembered for those who share the
// Remote: one whose clock is behind ours takes it until so much later.
const apart = 5 * time.Second

// doubt is how much the clocks of a client, of this process and of a Remote may
// differ before an identifier dated ahead slips past the beginning of a memory.
const doubt = time.Second

// Shared is a Store in a Remote.
type Shared struct {
	remote  Remote
	local   *Memory // nil where nobody else may answer
	started time.Time
	alone   func(error)
}

// NewShared makes a store that refuses whatever remote cannot say.
func NewShared(remote Remote) *Shared { return &Shared{remote: remote} }

// NewSharedOrLocal makes a store that remembers everything in local as well, and
// trusts that alone while remote cannot say. What this process has seen
// never passes again, before, during or after an outage; what only others saw may.
// started is when local began. alone is told of each answer local gave by itself.
func NewSharedOrLocal(remote Remote, local *Memory, started time.Time, alone func(error)) *Shared {
	return &Shared{remote: remote, local: local, started: started.Truncate(time.Second), alone: alone}
}

// First implements Store. The local memory comes first: what it misses while
// remote answers it could not know later.
func (s *Shared) First(ctx context.Context, owner, id string, made time.Time, ttl time.Duration) (bool, error) {
	if s.local != nil {
		if first, err := s.local.First(ctx, owner, id, made, ttl); err != nil || !first {
			return false, err
		}
	}
	first, since, err := s.remote.First(ctx, sha256.Sum256(prefixed(make([]byte, 0, 512), owner, id)), ttl+apart)
	switch {
	case err == nil && !first:
		return false, nil
	case err == nil && !made.After(since.Add(doubt)):
		return false, ErrForgotten
	case err == nil:
		return true, nil
	case s.local == nil:
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case made.Before(s.started):
		return false, ErrForgotten
	}
	s.alone(err)
	return true, nil
}
