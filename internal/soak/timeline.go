package main

import (
	"crypto"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// The gate's times that the oracle's windows rest on. All are settled defaults;
// none was measured.
const (
	// refetchGap is the shortest time between two fetches for unknown kids.
	refetchGap = 10 * time.Second
	// fetchTime bounds one fetch: what was asked for is in force, or was given up,
	// so long after it was asked for.
	fetchTime = 5 * time.Second
	// longestBackoff is the longest pause after failed fetches, jitter included.
	longestBackoff = 36 * time.Second
)

// key is one the issuer published. Its times belong to the timeline.
type key struct {
	id           string
	signer       crypto.Signer
	cutting, cut time.Time // before and after it was withdrawn; zero: it was not
}

// state is a key set that the gate was given. It may be in force from began on,
// and is from settled on, unless a later one is.
type state struct {
	began, settled time.Time
	ids            []string
}

// outage is a time in which an issuer is away; ended is zero while it lasts.
type outage struct{ began, ended time.Time }

// timeline is what the gate can know of an issuer's keys, and when.
//
// A set is recorded before it is sent, so the gate cannot act on it earlier. When
// it has taken effect is seen from the first answer that shows it: a good token
// of a new key accepted, one of a withdrawn key refused. Loads of one issuer
// follow one another, so the gate does not go back. Nothing here is a guess at
// how fast the gate is.
type timeline struct {
	fresh time.Duration // how long a key set is, as the gate was told

	mu      sync.Mutex // guards all below, and the times of keys
	states  []*state   // in order of began
	asks    []time.Time
	fetches int
	got     int
	outages []outage

	stranger  time.Time // when a token of a key that is gone was last counted
	strangers int
}

// strange notes that the gate is about to be sent a token of k. If that key is
// gone, the gate may ask for keys once more, unless it may not yet.
func (t *timeline) strange(k *key, now time.Time) {
	if k == nil || t.gone(k, now) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.stranger) >= refetchGap*9/10 { // the way there takes some time, and not always the same
		t.stranger = now
		t.strangers++
	}
}

// asked notes a request for metadata or keys.
func (t *timeline) asked(at time.Time, keys bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asks = append(t.asks, at)
	t.asks = t.asks[max(0, len(t.asks)-256):]
	if keys {
		t.fetches++
	}
}

func (t *timeline) served(began time.Time, body []byte) {
	var set struct{ Keys []struct{ Kid string } }
	if json.Unmarshal(body, &set) != nil {
		return // it is ours, and good
	}
	s := &state{began: began, settled: began.Add(fetchTime)}
	for _, k := range set.Keys {
		s.ids = append(s.ids, k.Kid)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.got++
	t.states = append(t.states, s)
	// What was replaced a minute ago no request under way can have met.
	for len(t.states) > 2 && began.Sub(t.states[1].settled) > time.Minute {
		t.states = t.states[1:]
	}
}

func (t *timeline) cutting(k *key, at time.Time) { t.set(&k.cutting, at) }
func (t *timeline) cut(k *key, at time.Time)     { t.set(&k.cut, at) }

func (t *timeline) set(where *time.Time, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*where = at
}

func (t *timeline) down(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outages = append(t.outages, outage{began: at})
}

func (t *timeline) up(at time.Time) (lasted time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := &t.outages[len(t.outages)-1]
	last.ended = at
	return at.Sub(last.began)
}

// away reports whether the issuer was away at some time between from and to, or
// so shortly before that the gate may not have noticed yet that it is back.
func (t *timeline) away(from, to time.Time, tail time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.isAway(from, to, tail)
}

func (t *timeline) isAway(from, to time.Time, tail time.Duration) bool {
	return slices.ContainsFunc(t.outages, func(o outage) bool {
		return !o.began.After(to) && (o.ended.IsZero() || o.ended.Add(tail).After(from))
	})
}

// finding is what may become of a token because of its key, or of its issuer's
// word. away: busy because the issuer is, or just was.
type finding struct{ held, refused, busy, away bool }

// find says what the gate may know of a key between sent and received. k is nil
// for a kid that was never published. issued is the token's iat.
func (t *timeline) find(k *key, issued, sent, received time.Time) (f finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lacking, newer, older := false, false, false
	for _, s := range t.possible(sent, received) {
		if k != nil && slices.Contains(s.ids, k.id) {
			f.held = true
			continue
		}
		lacking = true
		// iat has no fractions, and the gate dates a set by the start of its load.
		second := issued.Add(time.Second)
		newer = newer || s.began.Add(-fetchTime).Before(second)
		older = older || !s.began.Before(second)
	}
	if k != nil && !k.cut.IsZero() && sent.After(t.overdue(k)) {
		f.held, lacking = false, true
	}
	if !lacking {
		return f
	}
	there := k != nil && (k.cut.IsZero() || k.cut.After(sent))
	f.held = f.held || there // by the fetch that the request itself causes
	f.refused = k == nil || !k.cutting.IsZero() && !k.cutting.After(received)
	// A kid that is not known while the issuer cannot be asked, for it is away or
	// was asked so short a time ago: 503, but 401 for a token older than the set.
	f.away = t.isAway(sent, received, refetchGap)
	until := received
	if there {
		until = sent // what was asked for later has the key
	}
	if f.away || t.heldBack(sent, until) {
		f.busy = newer
		f.refused = f.refused || older
	}
	return f
}

// possible is the sets of which one was in force at each moment between sent
// and received.
func (t *timeline) possible(sent, received time.Time) []*state {
	first := 0
	for i, s := range t.states {
		if !s.settled.After(sent) {
			first = i
		}
	}
	last := first
	for last < len(t.states) && !t.states[last].began.After(received) {
		last++
	}
	return t.states[first:last]
}

// overdue is when a withdrawn key must be gone although no new kid made the
// gate fetch: a set is used for as long as it is fresh, then until the fetch
// ends that follows; after an outage, until the pause between attempts ends.
func (t *timeline) overdue(k *key) time.Time {
	end := k.cut.Add(t.fresh + fetchTime)
	for _, o := range t.outages {
		switch {
		case o.began.After(end):
		case o.ended.IsZero():
			return o.began.Add(24 * time.Hour) // as long as the last good keys serve
		case o.ended.Add(longestBackoff + fetchTime).After(end):
			end = o.ended.Add(longestBackoff + fetchTime)
		}
	}
	return end
}

// heldBack reports whether the gate asked before until, and so shortly before
// sent that it may not ask again. The gap runs from the start of a load, and what
// was asked for arrived here no earlier.
func (t *timeline) heldBack(sent, until time.Time) bool {
	return slices.ContainsFunc(t.asks, func(at time.Time) bool {
		return !at.After(until) && at.Add(refetchGap).After(sent)
	})
}

// accepted is told that a token of k was accepted: the set that brought k was in
// force then, and none before it is any more.
func (t *timeline) accepted(k *key, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range t.states {
		if slices.Contains(s.ids, k.id) {
			t.settle(i, at)
			return
		}
	}
}

// refused is told that a token of k, in force when it was sent, was refused for
// its key: the set that lacks k was in force then.
func (t *timeline) refused(k *key, sent, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := false
	for i, s := range t.states {
		has := slices.Contains(s.ids, k.id)
		if known && !has {
			t.settle(i, at)
			return
		}
		known = known || has && !s.settled.After(sent)
	}
}

// gone is how long ago the gate was given a set that lacks a key it had before; 0
// when it was not.
func (t *timeline) gone(k *key, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := false
	for _, s := range t.states {
		has := slices.Contains(s.ids, k.id)
		if known && !has {
			return max(now.Sub(s.began), 1)
		}
		known = known || has
	}
	if !known && !k.cut.IsZero() {
		return time.Hour // so long ago that no set is remembered that had it
	}
	return 0
}

func (t *timeline) settle(index int, at time.Time) {
	for _, s := range t.states[:index+1] {
		if at.Before(s.settled) {
			s.settled = at
		}
	}
}

// counted is how often the gate asked for keys, and got them.
func (t *timeline) counted() (asked, got int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fetches, t.got
}
