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
// The zero value has no such date. It lives as long as the process.
type Horizon struct {
	once   sync.Once
	seed   maphash.Seed
	groups [4096]struct {
		newest atomic.Int64 // date of the newest proof taken, in Unix seconds
		floor  atomic.Int64 // proofs dated before it are refused
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
	h.once.Do(func() { h.seed = maphash.MakeSeed() })
	return int(maphash.String(h.seed, jkt) % uint64(len(h.groups)))
}

func (h *Horizon) took(jkt string, issued time.Time) {
	if h == nil {
		return
	}
	g := &h.groups[h.group(jkt)]
	for at := issued.Unix(); ; {
		newest := g.newest.Load()
		if at <= newest || g.newest.CompareAndSwap(newest, at) {
			return
		}
	}
}

func (h *Horizon) hides(jkt string, issued time.Time) bool {
	return h != nil && issued.Unix() < h.groups[h.group(jkt)].floor.Load()
}
