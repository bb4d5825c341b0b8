package dpop

import (
	"hash/maphash"
	"sync/atomic"
)

// used knows the last proofs that were accepted, by their whole text, so that the
// same octets again cost no signature. It may forget, and it may not be asked
// whether a proof is new: that is for the store to say. Two texts that look alike
// to it would cost a client one retry.
type used struct {
	seed  maphash.Seed
	table [usedSize]atomic.Uint64
}

const usedSize = 1 << 13

func newUsed() *used { return &used{seed: maphash.MakeSeed()} }

func (u *used) at(proof string) (slot *atomic.Uint64, mark uint64) {
	mark = maphash.String(u.seed, proof) | 1 // never that of an empty slot
	return &u.table[mark>>1%usedSize], mark
}

func (u *used) has(proof string) bool {
	if u == nil {
		return false
	}
	slot, mark := u.at(proof)
	return slot.Load() == mark
}

func (u *used) add(proof string) {
	if u == nil {
		return
	}
	slot, mark := u.at(proof)
	slot.Store(mark)
}
