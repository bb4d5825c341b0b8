package spans

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

// SamplerOptions say which requests get spans.
type SamplerOptions struct {
	Ratio  float64 // of the traces that begin here, or of all: 0 to 1
	Parent bool    // who sent a valid traceparent has decided, by its flag

	// Unlinked neither reads a traceparent nor writes one: every trace begins and
	// ends here.
	Unlinked bool
}

// A Sampler decides which requests get spans. The nil Sampler wants none. It is
// immutable.
type Sampler struct {
	options   SamplerOptions
	threshold uint64 // of 63 bits
}

// NewSampler makes a Sampler.
func NewSampler(o SamplerOptions) *Sampler {
	s := &Sampler{options: o}
	switch {
	case o.Ratio >= 1:
		s.threshold = 1 << 63
	case o.Ratio > 0:
		s.threshold = uint64(math.Ldexp(o.Ratio, 63))
	}
	return s
}

// Begin returns what the spans of a request will be made from, or nil for a
// request that gets none. Until that is decided it allocates nothing. lines are
// those of the traceparent field, and the
// request came at began.
func (s *Sampler) Begin(lines []string, began time.Time) *Trace {
	if s == nil {
		return nil
	}
	var p Parent
	known := false
	if !s.options.Unlinked {
		p, known = Parse(lines)
	}
	switch {
	case known && s.options.Parent:
		if p.Flags&Sampled == 0 {
			return nil
		}
	default:
		if !known {
			p = Parent{}
			randomID(p.Trace[:8])
			randomID(p.Trace[8:])
		}
		// As other participants decide with the same ratio: by the last eight octets.
		if binary.BigEndian.Uint64(p.Trace[8:])>>1 >= s.threshold {
			return nil
		}
	}
	t := &Trace{parent: p, unlinked: s.options.Unlinked, began: began}
	if !known {
		t.parent.Span = [8]byte{}
	}
	randomID(t.span[:])
	return t
}

// randomID fills eight octets, and not with zeros only, which name nothing.
func randomID(to []byte) { binary.BigEndian.PutUint64(to, max(rand.Uint64(), 1)) }

// NewID is a new name for a span.
func NewID() (id [8]byte) {
	randomID(id[:])
	return id
}
