package dpop

import (
	"sync/atomic"
	"time"
)

// Horizon is the date up to which proofs may have been used and forgotten.
// Stores forget a proof when it is too old to be good. After the wall clock was
// set back it may be good once more, and nobody remembers it.
//
// The zero value has no such date. It lives as long as the process.
type Horizon struct {
	newest atomic.Int64 // date of the newest proof taken, in Unix seconds
	floor  atomic.Int64 // proofs dated before it are refused
}

// SetBack says that the wall clock was set back. From now on proofs are good
// only when they are dated after every one that was taken so far.
func (h *Horizon) SetBack() {
	if newest := h.newest.Load(); newest != 0 {
		h.floor.Store(newest + 1)
	}
}

func (h *Horizon) took(issued time.Time) {
	if h == nil {
		return
	}
	for at := issued.Unix(); ; {
		newest := h.newest.Load()
		if at <= newest || h.newest.CompareAndSwap(newest, at) {
			return
		}
	}
}

func (h *Horizon) hides(issued time.Time) bool { return h != nil && issued.Unix() < h.floor.Load() }
