package replay

import (
	"context"
	"errors"
	"testing"
	"time"
)

// board is a Remote whose answers are written on it. It is what another
// process would be, with no time of its own.
type board struct {
	used  map[[32]byte]bool
	since time.Time
	err   error
	ttl   time.Duration // of the last
}

func (b *board) First(_ context.Context, key [32]byte, ttl time.Duration) (bool, time.Time, error) {
	b.ttl = ttl
	if b.err != nil {
		return false, time.Time{}, b.err
	}
	first := !b.used[key]
	b.used[key] = true
	return first, b.since, nil
}

func (b *board) forget(now time.Time) { b.used, b.since = map[[32]byte]bool{}, now }

var start = time.Unix(1_000_000_000, 0)

type asked struct {
	id    string
	made  time.Time
	first bool
	err   error
}

func (a asked) of(t *testing.T, s *Shared) {
	t.Helper()
	first, err := s.First(context.Background(), "key", a.id, a.made, time.Minute)
	if first != a.first || !errors.Is(err, a.err) {
		t.Errorf("First(%s): %v, %v; want %v, %v", a.id, first, err, a.first, a.err)
	}
}

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

var errDown = errors.New("down")

func TestSharedRefusesWhatNobodyRemembers(t *testing.T) {
	b := &board{}
	b.forget(start)
	s, other := NewShared(b), NewShared(b)
	asked{"a", at(5), true, nil}.of(t, s)
	asked{"a", at(5), false, nil}.of(t, other)
	asked{"before", at(-1), false, ErrForgotten}.of(t, s)
	asked{"in its second", at(0), false, ErrForgotten}.of(t, s)
	asked{"within doubt", at(1), false, ErrForgotten}.of(t, s)
	asked{"after", at(1.1), true, nil}.of(t, s)

	b.err = errDown
	asked{"b", at(6), false, ErrUnavailable}.of(t, s)
	asked{"b", at(6), false, errDown}.of(t, s)
	b.err = nil
	b.forget(at(10)) // it comes back empty
	asked{"a", at(5), false, ErrForgotten}.of(t, s)
	asked{"c", at(12), true, nil}.of(t, s)
}

// A process whose clock is five seconds behind takes a proof five seconds after
// it was too old here.
func TestSharedRemembersForOthers(t *testing.T) {
	b := &board{}
	b.forget(start)
	asked{"a", at(5), true, nil}.of(t, NewShared(b))
	if b.ttl < time.Minute+5*time.Second {
		t.Errorf("remembered for %s", b.ttl)
	}
}

// What a process saw by itself stays used across an outage and the return of
// an empty memory.
func TestLocalNeverForgetsWhatItSaw(t *testing.T) {
	b := &board{}
	b.forget(at(-100))
	alone := 0
	s := NewSharedOrLocal(b, NewMemory(100), at(0.5), func(error) { alone++ })
	asked{"before this process", at(-5), true, nil}.of(t, s)
	asked{"early", at(20), true, nil}.of(t, s)

	b.err = errDown
	asked{"early", at(20), false, nil}.of(t, s)
	asked{"during", at(21), true, nil}.of(t, s)
	asked{"during", at(21), false, nil}.of(t, s)
	asked{"of who was here before", at(-1), false, ErrForgotten}.of(t, s)
	if alone != 1 {
		t.Errorf("%d answers of this process alone, want 1", alone)
	}

	b.err = nil
	asked{"during", at(21), false, nil}.of(t, s)
	b.forget(at(15))
	asked{"early", at(20), false, nil}.of(t, s)
	asked{"during", at(21), false, nil}.of(t, s)
	asked{"late", at(22), true, nil}.of(t, s)
}

func TestLocalIsBounded(t *testing.T) {
	b := &board{}
	b.forget(at(-100))
	s := NewSharedOrLocal(b, NewMemory(4), start, func(error) {})
	asked{"a", at(1), true, nil}.of(t, s)
	asked{"b", at(1), false, ErrQuota}.of(t, s)
	if len(b.used) != 1 {
		t.Error("what has no place here was told to others")
	}
}
