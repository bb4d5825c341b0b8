package revoke

import (
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// recentRules is how many rules are added one by one before they join the rest:
// each addition copies as many at most.
const recentRules = 256

// Kept is how long a rule that has ended is kept where there is room: a clock
// that was set ahead for a while must not have removed it for good.
const Kept = 24 * time.Hour

// Rules is the rules in force, of all sources. Whoever asks takes no lock and
// waits for nobody. It starts nothing.
type Rules struct {
	mu      sync.Mutex // guards sources, and held by whoever changes force
	sources []source
	force   atomic.Pointer[force]
}

type source struct {
	name   string
	known  bool
	set    *Set // what was read
	recent *Set // what was added since
}

// force is what is in force: the sets that are not empty.
type force struct {
	sets     []*Set
	complete bool
	length   int
}

var errSource = errors.New("no such source of rules")

// New makes Rules that are complete when each of the sources has been read.
func New(sources ...string) *Rules {
	r := &Rules{}
	for _, name := range sources {
		r.sources = append(r.sources, source{name: name, set: NewSet(), recent: NewSet()})
	}
	r.enforce()
	return r
}

// enforce puts the sources in force.
func (r *Rules) enforce() {
	f := &force{complete: true}
	for _, s := range r.sources {
		f.complete = f.complete && s.known
		f.length += s.set.length + s.recent.length
		for _, set := range [...]*Set{s.set, s.recent} {
			if set.length > 0 {
				f.sets = append(f.sets, set)
			}
		}
	}
	r.force.Store(f)
}

func (r *Rules) find(name string) *source {
	at := slices.IndexFunc(r.sources, func(s source) bool { return s.name == name })
	if at < 0 {
		return nil
	}
	return &r.sources[at]
}

// Set replaces all rules of a source. They are in force when it returns.
func (r *Rules) Set(name string, set *Set) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name)
	switch {
	case s == nil:
		return errSource
	case set.length > MaxRules:
		return errTooMany
	}
	s.set, s.recent, s.known = set, NewSet(), true
	r.enforce()
	return nil
}

// Add adds rules to a source that holds up to limit of them. They are in force
// when it returns; with an error none is.
func (r *Rules) Add(name string, limit int, rules ...Rule) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name)
	if s == nil {
		return errSource
	}
	now := time.Now()
	kept := now.Add(-Kept).UnixMicro()
	recent := s.recent.with(NewSet(rules...), kept)
	if recent.length > recentRules || s.set.length+recent.length > limit {
		set := s.set.with(recent, kept)
		if set.length > limit {
			set = s.set.with(recent, now.UnixMicro())
		}
		if set.length > limit {
			return errTooMany
		}
		s.set, recent = set, NewSet()
	}
	s.recent = recent
	r.enforce()
	return nil
}

// Sweep forgets rules that ended Kept ago. They are not in force before either.
func (r *Rules) Sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	swept := false
	for i := range r.sources {
		s, at := &r.sources[i], now.Add(-Kept).UnixMicro()
		if s.set.over(at) || s.recent.over(at) {
			s.set, s.recent, swept = s.set.with(s.recent, at), NewSet(), true
		}
	}
	if swept {
		r.enforce()
	}
}

// Denies tells whether a rule refuses the token, and which members it has. It
// allocates nothing.
func (r *Rules) Denies(t Token, now time.Time) (Members, bool) {
	f := r.force.Load()
	if len(f.sets) == 0 {
		return 0, false
	}
	issued := int64(math.MinInt64)
	if !t.IssuedAt.IsZero() {
		issued = t.IssuedAt.UnixMicro()
	}
	for _, s := range f.sets {
		if members, denied := s.denies(&t, issued, now.UnixMicro()); denied {
			return members, true
		}
	}
	return 0, false
}

// Complete reports whether every source has been read once. Before that nobody
// can tell of a token that no rule refuses it.
func (r *Rules) Complete() bool { return r.force.Load().complete }

// Len is how many rules there are.
func (r *Rules) Len() int { return r.force.Load().length }

// Issuers lists whose tokens the rules of one source are about.
func (r *Rules) Issuers(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name)
	if s == nil {
		return nil
	}
	all := append(s.set.Issuers(), s.recent.Issuers()...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Count is how many of them are of one source.
func (r *Rules) Count(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.find(name); s != nil {
		return s.set.length + s.recent.length
	}
	return 0
}
