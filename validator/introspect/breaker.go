package introspect

import (
	"sync"
	"time"
)

// When a server is left alone.
const (
	failuresToOpen = 20
	openTime       = 5 * time.Second
)

// breaker keeps questions from a server that does not answer them. After so
// many failures in a row nobody asks for a while, and then one does: its
// success lets all ask again.
type breaker struct {
	onChange func(open bool) // may be nil

	mu       sync.Mutex // guards all below
	failures int
	open     bool
	until    time.Time // no question before it
	probing  bool      // the one question is under way
}

// admit reports whether a question may be asked now, and if not, how long to
// wait. Each that is admitted is to be settled.
func (b *breaker) admit(now time.Time) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait = b.until.Sub(now); wait > 0 {
		return false, wait
	}
	if b.open && b.probing {
		return false, 0
	}
	b.probing = b.open
	return true, 0
}

// verdict is how a question ended, as far as the breaker cares.
type verdict uint8

const (
	answered verdict = iota // the server works, whatever it said
	failed
	refusedUs // it will go on to refuse: the breaker opens at once
	unasked   // it never came to the question
)

// settle notes how an admitted question ended. hold is how long the server
// wants to be left alone.
func (b *breaker) settle(now time.Time, v verdict, hold time.Duration) {
	b.mu.Lock()
	was := b.open
	b.probing = false
	switch v {
	case unasked:
	case answered:
		b.failures, b.open = 0, false
	case refusedUs, failed:
		b.failures++
		if b.open = b.open || v == refusedUs || b.failures >= failuresToOpen; b.open {
			hold = max(hold, openTime)
		}
		if until := now.Add(hold); until.After(b.until) {
			b.until = until
		}
	}
	changed, open := b.open != was, b.open
	b.mu.Unlock()
	if changed && b.onChange != nil {
		b.onChange(open)
	}
}
