package introspect

import (
	"sync"
	"time"
)

// When a server is left alone.
const (
	failuresToOpen = 20 // in a row, or half of at least so many questions in the window
	windowSeconds  = 10
	openTime       = 5 * time.Second
	shortestPause  = time.Second // after a probe that took long
)

// How often a question may be asked a second time: each first one earns one,
// a second one costs retryCost, and no more than retrySaved is saved up.
const (
	retryCost  = 25
	retrySaved = 50
)

// breaker keeps questions from a server that does not answer them. After so
// many failures nobody asks for a while, and then one does: its success lets all
// ask again.
type breaker struct {
	onChange func(open bool) // may be nil

	mu       sync.Mutex // guards all below
	failures int        // in a row
	window   [windowSeconds]second
	open     bool
	works    bool      // a question was answered since it opened last
	until    time.Time // no question before it
	probing  bool      // the one question is under way
	probed   time.Time // when it began
	spent    int       // of what is saved for second tries
}

// second counts the questions that ended in one second.
type second struct {
	at            int64
	asked, failed int
}

// note counts a question and reports whether half of enough have failed.
func (b *breaker) note(now time.Time, failure bool) bool {
	at := now.Unix()
	slot := &b.window[at%windowSeconds]
	if slot.at != at {
		*slot = second{at: at}
	}
	slot.asked++
	if failure {
		slot.failed++
	}
	asked, failed := 0, 0
	for _, s := range b.window {
		if at-s.at < windowSeconds {
			asked += s.asked
			failed += s.failed
		}
	}
	return asked >= failuresToOpen && 2*failed >= asked
}

// retry reports whether a question that was not answered may be asked once
// more. A server in trouble is not asked twice as often for it.
func (b *breaker) retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open || b.spent+retryCost > retrySaved {
		return false
	}
	b.spent += retryCost
	return true
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
	if b.probing = b.open; b.probing {
		b.probed = now
	}
	b.spent = max(0, b.spent-1)
	return true, 0
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// verdict is how a question ended, as far as the breaker cares.
type verdict uint8

const (
	answered verdict = iota // the server works, whatever it said
	failed
	refusedUs // it will go on to refuse: the breaker opens at once
	forbidden // the same, unless it works: then something before it dislikes the token, which anybody may have sent
	unasked   // it never came to the question
)

// settle notes how an admitted question ended. hold is how long the server
// wants to be left alone.
func (b *breaker) settle(now time.Time, v verdict, hold time.Duration) {
	b.mu.Lock()
	was, pause := b.open, openTime
	if b.probing { // the time it took counts, so that who comes back is found in time
		pause = max(openTime-now.Sub(b.probed), shortestPause)
	}
	b.probing = false
	switch v {
	case unasked:
	case answered:
		if b.note(now, false); b.open {
			b.window = [windowSeconds]second{}
		}
		b.failures, b.open, b.works = 0, false, true
	case refusedUs, forbidden, failed:
		b.failures++
		if half := b.note(now, true); b.open || half || v == refusedUs || v == forbidden && !b.works || b.failures >= failuresToOpen {
			b.open, b.works = true, false
			hold = max(hold, pause)
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
