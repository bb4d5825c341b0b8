package admin

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/telemetry"
)

const (
	sampleEvery = 5 * time.Second
	remembered  = time.Minute
)

// A Recorder remembers what the counters stood at during the last minute, and
// when each reason to refuse was last seen to have grown. Requests pay nothing
// for it: it looks from time to time, and what it says of a moment is as exact.
type Recorder struct {
	Take func() telemetry.Tally

	mu      sync.Mutex // guards all below
	samples []sample   // the oldest first
	last    map[string]time.Time
}

type sample struct {
	at    time.Time
	tally telemetry.Tally
}

// Run looks every so often until ctx ends.
func (r *Recorder) Run(ctx context.Context) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		r.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look takes a sample, and returns it with the oldest one there is.
func (r *Recorder) look(now time.Time) (oldest, newest sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest = sample{now, r.Take()}
	if r.last == nil {
		r.last = make(map[string]time.Time)
	}
	for len(r.samples) > 1 && now.Sub(r.samples[1].at) >= remembered {
		r.samples = r.samples[1:]
	}
	before := telemetry.Tally{}
	if n := len(r.samples); n > 0 {
		before = r.samples[n-1].tally
	}
	for reason, count := range newest.tally.Refusals {
		if count > before.Refusals[reason] {
			r.last[reason] = now
		}
	}
	switch n := len(r.samples); {
	case n == 0 || now.Sub(r.samples[n-1].at) >= sampleEvery*4/5:
		r.samples = append(r.samples, newest)
	default: // whoever asks often makes no more of them
		r.samples[n-1].tally.Refusals = newest.tally.Refusals
	}
	return r.samples[0], newest
}

// Now is what the counters stand at, with what they came to in the last minute.
func (r *Recorder) Now(now time.Time) Rates {
	oldest, newest := r.look(now)
	rates := Rates{Tally: newest.tally, Over: now.Sub(oldest.at), Decisions: make(map[string]float64), Routes: make(map[telemetry.Place]float64)}
	if seconds := rates.Over.Seconds(); seconds > 0 {
		for decision, count := range newest.tally.Decisions {
			rates.Decisions[decision] = max(0, count-oldest.tally.Decisions[decision]) / seconds
		}
		for place, count := range newest.tally.Routes {
			rates.Routes[place] = max(0, count-oldest.tally.Routes[place]) / seconds // a route may have gone and come again
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rates.Last = maps.Clone(r.last)
	return rates
}

// Rates are what the counters say.
type Rates struct {
	telemetry.Tally
	Over      time.Duration               // what the rates are of
	Decisions map[string]float64          // a second
	Routes    map[telemetry.Place]float64 // a second
	Last      map[string]time.Time        // when a reason last refused, as far as was looked
}
