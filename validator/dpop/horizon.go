package dpop

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Horizon is the date up to which proofs may have been used and forgotten.
// Stores forget a proof when it is too old to be good. After the wall clock was
// set back it may be good once more, and nobody remembers it.
//
// There is a date for each of many groups of holders, and nobody can tell whose
// group he is in: who dates his proofs ahead gets hardly anybody refused but
// himself.
//
// It compares the clocks itself before a proof is judged, so that none comes
// between a step back and its being noticed. The zero value has no such date. It
// lives as long as the process.
type Horizon struct {
	once  sync.Once
	seed  maphash.Seed
	began time.Time // the first look, by the clock that nobody can set
	wall  int64     // the same by the wall clock, in nanoseconds since 1970

	ahead  atomic.Int64 // how far the wall clock was set since then, at its furthest since it was last set back
	groups [4096]struct {
		newest atomic.Int64 // date of the newest proof taken, in Unix seconds
		floor  atomic.Int64 // proofs dated before it are refused
	}
}

// farBack is how far the wall clock may be set back without harm: used proofs are
// remembered for so much longer than they are good.
const farBack = time.Second

// begin makes a Horizon ready.
func (h *Horizon) begin() {
	h.once.Do(func() {
		h.seed, h.began = maphash.MakeSeed(), time.Now()
		h.wall = h.began.UnixNano()
	})
}

// look calls SetBack where the wall clock was set back, and returns how far it was
// set in all. now is one reading of both clocks; a wall clock alone was never set.
func (h *Horizon) look(now time.Time) (set int64) {
	if h == nil {
		return 0
	}
	h.begin()
	set = now.UnixNano() - h.wall - int64(now.Sub(h.began))
	for {
		ahead := h.ahead.Load()
		switch {
		case set <= ahead && ahead-set <= int64(farBack):
			return set
		case set > ahead:
			h.ahead.CompareAndSwap(ahead, set)
			continue
		}
		// Once before others may take it as done, and once more for what was taken
		// by who had looked before.
		h.SetBack()
		if h.ahead.CompareAndSwap(ahead, set) {
			h.SetBack()
		}
	}
}

// SetBack says that the wall clock was set back. From now on a proof is good
// only when it is dated after every one that was taken so far of its group.
func (h *Horizon) SetBack() {
	for i := range h.groups {
		if newest := h.groups[i].newest.Load(); newest != 0 {
			h.groups[i].floor.Store(newest + 1)
		}
	}
}

// group is where the holder of the key with the thumbprint jkt belongs.
func (h *Horizon) group(jkt string) int {
	h.begin()
	return int(maphash.String(h.seed, jkt) % uint64(len(h.groups)))
}

// took notes a proof that was taken. set is what look found before it was judged:
// who set the clock back meanwhile could not know of it.
func (h *Horizon) took(jkt string, issued time.Time, set int64) {
	if h == nil {
		return
	}
	g := &h.groups[h.group(jkt)]
	at := issued.Unix()
	for newest := g.newest.Load(); at > newest && !g.newest.CompareAndSwap(newest, at); newest = g.newest.Load() {
	}
	if set-h.ahead.Load() > int64(farBack) {
		h.SetBack()
	}
}

func (h *Horizon) hides(jkt string, issued time.Time) bool {
	return h != nil && issued.Unix() < h.groups[h.group(jkt)].floor.Load()
}
