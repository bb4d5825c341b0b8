// Package fetch keeps a remote value at hand: it fetches it with tight bounds
// (Client) and holds it (Resource), fresh while the source answers, stale for a
// bounded time while it does not, and never asking twice at once.
//
// It does not know what the value is. Reading the bytes, and deciding whether
// they are worth keeping, is the caller's Load.
package fetch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/spans"
)

// Load fetches a value. fresh says how long the source vouches for it; 0 means
// it did not say. A Load must end when its context does. Of one Resource at
// most one Load runs at a time.
type Load[T any] func(context.Context) (value T, fresh time.Duration, err error)

// Limits bound a Resource. Times are durations since the start of a load.
type Limits struct {
	Name    string        // what is loaded, for the spans of requests that wait for it; a constant
	Timeout time.Duration // of one load; default 10 s

	MinFresh, MaxFresh time.Duration // what the source says is clamped to these; 0 does not clamp
	DefaultFresh       time.Duration // when the source does not say
	MaxStale           time.Duration // how old a value may get while loads fail; never less than it is fresh

	MinGap                 time.Duration // between two loads that Newer starts
	AgainGap               time.Duration // between two loads that Again starts
	MinBackoff, MaxBackoff time.Duration // between failed loads, doubled each time, ±20 %; default 1 s and 30 s

	OnLoad func(took time.Duration, err error) // told of each load before anybody waiting for it goes on; may be nil
}

// Resource is one value that somebody else owns and changes. It owns no
// goroutine but for the time of a load; Run adds the proactive refresh.
type Resource[T any] struct {
	load   Load[T]
	limits Limits
	state  atomic.Pointer[state[T]]

	mu     sync.Mutex // guards flight, forced, again, and the replacing of state
	flight *flight[T]
	forced time.Time // start of the last load of Newer
	again  time.Time // of Again
}

// state is what the loads so far came to. It is never changed, only replaced.
type state[T any] struct {
	value  T
	held   bool
	loaded time.Time // start of the load that brought value
	fresh  time.Time // until when value is served without a thought
	dead   time.Time // until when it is served at all

	due      time.Time // when Run loads next
	retry    time.Time // no load but a forced one starts before
	err      error     // of the last load
	failures int       // loads that failed since the last one that did not
}

// flight is a load under way. value and err are set before done is closed.
type flight[T any] struct {
	name   string
	began  time.Time
	cancel context.CancelFunc
	done   chan struct{}
	value  T
	err    error
}

func (f *flight[T]) wait(ctx context.Context) (value T, err error) {
	if ended := spans.Waiting(ctx, f.name); ended != nil {
		defer func() { ended(err) }()
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

// New makes a Resource that has not loaded anything yet. It starts nothing.
func New[T any](load Load[T], limits Limits) *Resource[T] {
	if limits.Timeout <= 0 {
		limits.Timeout = 10 * time.Second
	}
	if limits.MinBackoff <= 0 {
		limits.MinBackoff = time.Second
	}
	if limits.MaxBackoff <= 0 {
		limits.MaxBackoff = 30 * time.Second
	}
	r := &Resource[T]{load: load, limits: limits}
	r.state.Store(&state[T]{})
	return r
}

// Restore gives a Resource that has not loaded anything yet a value that was
// loaded before, with the start of that load and what its Load returned. Run
// loads it anew at once; until then, and while that fails, the value serves as
// it would have, for as long as it would have. It must come before Run.
func (r *Resource[T]) Restore(value T, loaded time.Time, fresh time.Duration) {
	s := r.hold(value, loaded, fresh)
	s.due = time.Time{}
	r.state.Store(s)
}

// Get returns the value: the held one while it is fresh; the held one and a
// load in the background while it is stale; else what the one load under way
// brings, which goes on when ctx ends. After a failed load, and until the next
// one may start, it returns the stale value or that load's error at once.
func (r *Resource[T]) Get(ctx context.Context) (T, error) {
	for {
		now := time.Now()
		s := r.state.Load()
		if s.held && now.Before(s.fresh) {
			return s.value, nil
		}
		usable := s.held && now.Before(s.dead)
		if now.Before(s.retry) {
			if usable {
				return s.value, nil
			}
			var none T
			return none, s.err
		}
		f := r.join(s)
		switch {
		case usable:
			return s.value, nil
		case f != nil:
			return f.wait(ctx)
		}
	}
}

// join returns the load under way, or starts one. It returns nil when a load
// ended since seen was read: there is something new to look at.
func (r *Resource[T]) join(seen *state[T]) *flight[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight == nil && r.state.Load() == seen {
		r.start()
	}
	return r.flight
}

// Newer returns what a load brings that ends after the call: the one under way,
// or a new one, of which it starts at most one per MinGap. asked is false when
// it was held back. loaded is the start of the load that brought value. Without
// a new value, value and loaded are those of Peek.
func (r *Resource[T]) Newer(ctx context.Context) (value T, loaded time.Time, asked bool, err error) {
	f := r.force(&r.forced, r.limits.MinGap)
	if f == nil {
		value, loaded, _ = r.Peek()
		return value, loaded, false, nil
	}
	if value, err = f.wait(ctx); err != nil {
		value, loaded, _ = r.Peek()
		return value, loaded, true, err
	}
	return value, f.began, true, nil
}

// Again is Newer for those who have another reason to ask, with a gap of its own:
// neither takes anything from the other. Without a new value, value is that of
// Peek.
func (r *Resource[T]) Again(ctx context.Context) (value T) {
	if f := r.force(&r.again, r.limits.AgainGap); f != nil {
		if value, err := f.wait(ctx); err == nil {
			return value
		}
	}
	value, _, _ = r.Peek()
	return value
}

// force returns the load under way, or starts one if the last such load, whose
// start is in last, began at least gap ago. Else it returns nil.
func (r *Resource[T]) force(last *time.Time, gap time.Duration) *flight[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.flight == nil && (last.IsZero() || now.Sub(*last) >= gap) {
		*last = now
		r.start()
	}
	return r.flight
}

// Peek returns what is held and asks nobody: the value (the zero value when
// there is none or it is older than MaxStale), the start of the load that
// brought it, and the error of the last load. It takes no lock.
func (r *Resource[T]) Peek() (value T, loaded time.Time, err error) {
	s := r.state.Load()
	if s.held && time.Now().Before(s.dead) {
		value = s.value
	}
	return value, s.loaded, s.err
}

// Due is when Run loads the value next; zero for at once. It takes no lock.
func (r *Resource[T]) Due() time.Time { return r.state.Load().due }

// Run loads the value at once and again at about 80 % of its freshness, or
// after the backoff. It returns when ctx ends and no load is under way; a load
// that was is cancelled.
func (r *Resource[T]) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		s := r.state.Load()
		if wait := time.Until(s.due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			continue
		}
		if f := r.join(s); f != nil {
			_, _ = f.wait(ctx) // its error is in the state, and told to OnLoad
		}
	}
	r.mu.Lock()
	f := r.flight
	r.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

// start begins a load. The caller holds mu and has seen that none is under way.
func (r *Resource[T]) start() {
	// Not the caller's context: whoever came first may go away, and the others
	// who wait for the same load must not go away with him.
	ctx, cancel := context.WithTimeout(context.Background(), r.limits.Timeout)
	f := &flight[T]{name: r.limits.Name, began: time.Now(), cancel: cancel, done: make(chan struct{})}
	r.flight = f
	go r.fly(ctx, f)
}

func (r *Resource[T]) fly(ctx context.Context, f *flight[T]) {
	defer f.cancel()
	value, fresh, err := r.guarded(ctx)
	took := time.Since(f.began)
	next := r.settle(f.began, value, fresh, err)
	r.mu.Lock()
	r.state.Store(next)
	r.mu.Unlock()
	if r.limits.OnLoad != nil {
		r.limits.OnLoad(took, err)
	}
	f.value, f.err = value, err
	r.mu.Lock()
	r.flight = nil
	r.mu.Unlock()
	close(f.done)
}

// guarded turns a panic into an error: a load reads what others wrote, and runs
// on a goroutine on which a panic would end the process.
func (r *Resource[T]) guarded(ctx context.Context) (value T, fresh time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("load panicked: %T", p)
		}
	}()
	return r.load(ctx)
}

// settle works out the state after a load.
func (r *Resource[T]) settle(began time.Time, value T, fresh time.Duration, err error) *state[T] {
	if err != nil {
		s := *r.state.Load()
		s.err = err
		s.retry = time.Now().Add(r.backoff(s.failures))
		s.due = s.retry
		s.failures++
		return &s
	}
	return r.hold(value, began, fresh)
}

// hold is the state after a load that brought value.
func (r *Resource[T]) hold(value T, began time.Time, fresh time.Duration) *state[T] {
	if fresh <= 0 {
		fresh = r.limits.DefaultFresh
	}
	fresh = max(fresh, r.limits.MinFresh)
	if r.limits.MaxFresh > 0 {
		fresh = min(fresh, r.limits.MaxFresh)
	}
	return &state[T]{
		value:  value,
		held:   true,
		loaded: began,
		fresh:  began.Add(fresh),
		dead:   began.Add(max(fresh, r.limits.MaxStale)),
		due:    began.Add(jitter(fresh*4/5, 0.05)),
	}
}

func (r *Resource[T]) backoff(failures int) time.Duration {
	wait := r.limits.MinBackoff
	for ; failures > 0 && wait < r.limits.MaxBackoff; failures-- {
		wait *= 2
	}
	return jitter(min(wait, r.limits.MaxBackoff*5/6), 0.2) // never more than MaxBackoff
}

// jitter moves d by up to the given part of it, so that replicas started
// together do not ask together.
func jitter(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 + part*(2*rand.Float64()-1)))
}
