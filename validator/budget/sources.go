// Package budget bounds what others can make us compute in vain: how many
// signatures that do not hold one source may have checked, and how many are
// checked at once.
//
// It knows nothing of tokens. Whoever checks a signature asks before, and says
// afterwards whether it held.
package budget

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Options of Sources.
type Options struct {
	Burst     int     // failures a source may have at once
	PerSecond float64 // that come back to it
	Count     int     // sources remembered; those beyond begin anew
}

// A Source is who pays for a failure. The zero Source pays for none.
type Source struct {
	address [16]byte
	owner   uint64
}

// Sources is a bucket of failures for each source. A nil Sources lets everybody
// fail as often as they like. It is safe for concurrent use.
type Sources struct {
	burst, rate float64
	began       time.Time
	seed        maphash.Seed

	mu      sync.Mutex // guards buckets
	buckets *simplelru.LRU[Source, bucket]
}

type bucket struct {
	left float64
	at   time.Duration // since began
}

// NewSources makes Sources, or nil for a burst or a count below 1.
func NewSources(o Options) *Sources {
	if o.Burst < 1 || o.Count < 1 {
		return nil
	}
	s := &Sources{burst: float64(o.Burst), rate: max(o.PerSecond, 0), began: time.Now(), seed: maphash.MakeSeed()}
	s.buckets, _ = simplelru.NewLRU[Source, bucket](o.Count, nil) // fails for a size below 1 only
	return s
}

// Of is the source with this address: of IPv6 the network of 64 bits that a
// single host may have to itself (RFC 6177 section 2), but where a translator has put
// all of IPv4 into one network (RFC 6052 section 2.1, RFC 8215). An address that is not
// known is the zero Source. Where owner is not empty, the source pays for what
// has to do with that owner only.
func (s *Sources) Of(address netip.Addr, owner string) Source {
	if s == nil || !address.IsValid() {
		return Source{}
	}
	of := Source{address: address.As16()}
	if !address.Unmap().Is4() && !translated.Contains(address) {
		clear(of.address[8:])
	}
	if owner != "" {
		of.owner = maphash.String(s.seed, owner)
	}
	return of
}

// translated holds both networks that stand for IPv4.
var translated = netip.MustParsePrefix("64:ff9b::/32")

// Wait is how long the source has to wait until it may fail again; 0 for not at
// all.
func (s *Sources) Wait(source Source) time.Duration {
	if s == nil || source == (Source{}) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, found := s.buckets.Get(source)
	if !found {
		return 0
	}
	left := s.filled(b, time.Since(s.began)).left
	switch {
	case left >= 1:
		return 0
	case s.rate == 0:
		return forever
	}
	return min(time.Duration((1-left)/s.rate*float64(time.Second))+1, forever)
}

// forever is what a source that nothing comes back to is told.
const forever = time.Hour

// Charge counts a failure of the source.
func (s *Sources) Charge(source Source) {
	if s == nil || source == (Source{}) {
		return
	}
	now := time.Since(s.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, found := s.buckets.Get(source)
	if !found {
		b = bucket{s.burst, now}
	}
	b = s.filled(b, now)
	b.left = max(b.left-1, 0) // what was begun before it ran out is no debt
	s.buckets.Add(source, b)
}

func (s *Sources) filled(b bucket, now time.Duration) bucket {
	return bucket{min(s.burst, b.left+(now-b.at).Seconds()*s.rate), now}
}

// Len is how many sources are remembered.
func (s *Sources) Len() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buckets.Len()
}
