package load

import (
	"math/bits"
	"time"
)

const fine = 6 // bits: each power of two is cut into 64, so a value is off by 1.6 % at most

// A Histogram counts latencies. The zero value is ready to use.
type Histogram struct {
	counts [64 << fine]uint64
	total  uint64
}

// Add counts one latency.
func (h *Histogram) Add(d time.Duration) {
	h.counts[slot(uint64(max(d, 0)))]++
	h.total++
}

// Merge adds what another has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// Count is how many were added.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile is the latency that the share q of all, 0.99 say, does not exceed; 0
// when there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && (seen > rank || seen == h.total) {
			return time.Duration(upper(i))
		}
	}
	return 0
}

func slot(v uint64) int {
	if v < 1<<fine {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - fine
	return (shift+1)<<fine + int(v>>shift) - 1<<fine
}

// upper is the largest value of a slot.
func upper(i int) uint64 {
	if i < 1<<fine {
		return uint64(i)
	}
	shift := i>>fine - 1
	return uint64(i&(1<<fine-1)+1<<fine+1)<<shift - 1
}
