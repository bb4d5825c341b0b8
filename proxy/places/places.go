// Package places bounds how many requests one upstream has at once, and lets
// those beyond wait in the order in which they came: so many, and so long.
package places

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds are how many places there are, and who may wait for one. The zero
// Bounds is any number.
type Bounds struct {
	Most  int           // places; 0 for any number
	Queue int           // how many wait at once; 0 for nobody
	Wait  time.Duration // how long each of them does
}

// Why there was no place.
var (
	ErrFull = errors.New("too many requests wait for the upstream")
	ErrLate = errors.New("no place at the upstream became free in time")
)

// Hooks are told of what waits; each may be nil. None may call the Places.
type Hooks struct {
	Waiting func(n int)     // how many wait by now
	Refused func(why error) // ErrFull or ErrLate
}

// Places are those of one upstream. It is safe for concurrent use.
type Places struct {
	hooks Hooks

	bounds atomic.Pointer[Bounds]
	// state is how many places are held, and how many wait in its upper half, so
	// that both change as one. Nobody who comes takes a place while others wait.
	state atomic.Uint64

	mu   sync.Mutex // held while the number of those who wait changes
	line list.List  // of chan struct{}, closed for who gets a place; the first is next
}

const oneWaiting = 1 << 32

// New makes a Places.
func New(b Bounds, h Hooks) *Places {
	p := &Places{hooks: h}
	if p.hooks.Waiting == nil {
		p.hooks.Waiting = func(int) {}
	}
	if p.hooks.Refused == nil {
		p.hooks.Refused = func(error) {}
	}
	p.bounds.Store(&b)
	return p
}

// Set puts other bounds in force. Who holds a place keeps it, and who waits does
// so for as long as was said; places that come with the new bounds go to them.
func (p *Places) Set(b Bounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bounds.Store(&b)
	p.grant()
}

// Bounds are those in force.
func (p *Places) Bounds() Bounds { return *p.bounds.Load() }

// Enter takes a place, which Leave gives back. The error is ErrFull, ErrLate or
// the cause of the end of ctx, and wants no Leave.
func (p *Places) Enter(ctx context.Context) error {
	if p.take() {
		return nil
	}
	p.mu.Lock()
	b := p.bounds.Load()
	for {
		// What to do hangs on one look at the state: between two, who leaves would see
		// nobody wait and wake nobody, and we would wait for a place that is free.
		was := p.state.Load()
		switch {
		case was < oneWaiting && p.free(was):
			if p.state.CompareAndSwap(was, was+1) {
				p.mu.Unlock()
				return nil
			}
			continue
		case int(was/oneWaiting) >= b.Queue:
			p.mu.Unlock()
			p.hooks.Refused(ErrFull)
			return ErrFull
		}
		if p.state.CompareAndSwap(was, was+oneWaiting) {
			break
		}
	}
	mine := make(chan struct{})
	at := p.line.PushBack(mine)
	p.hooks.Waiting(p.line.Len())
	p.mu.Unlock()
	return p.wait(ctx, b.Wait, at, mine)
}

func (p *Places) wait(ctx context.Context, patience time.Duration, at *list.Element, mine <-chan struct{}) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	var err error
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late.C:
		err = ErrLate
	}
	if !p.quit(at, mine) {
		p.Leave() // it came too late for us, and is the next one's
	}
	if errors.Is(err, ErrLate) {
		p.hooks.Refused(ErrLate)
	}
	return err
}

// quit takes one who waits out of the line. It reports false when there is a
// place for it already.
func (p *Places) quit(at *list.Element, mine <-chan struct{}) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-mine:
		return false
	default:
	}
	p.line.Remove(at)
	p.state.Add(^uint64(oneWaiting - 1))
	p.hooks.Waiting(p.line.Len())
	return true
}

// Leave gives a place back. It goes to who has waited longest.
func (p *Places) Leave() {
	for {
		was := p.state.Load()
		if was >= oneWaiting {
			break
		}
		if p.state.CompareAndSwap(was, was-1) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Add(^uint64(0))
	p.grant()
}

// take takes a place that is free and that nobody waits for.
func (p *Places) take() bool {
	for {
		was := p.state.Load()
		if was >= oneWaiting || !p.free(was) {
			return false
		}
		if p.state.CompareAndSwap(was, was+1) {
			return true
		}
	}
}

func (p *Places) free(state uint64) bool {
	most := p.bounds.Load().Most
	return most == 0 || int(state%oneWaiting) < most
}

// grant gives free places to those who wait. It is called with the lock held:
// nobody else takes one while somebody waits.
func (p *Places) grant() {
	for p.line.Len() > 0 && p.free(p.state.Load()) {
		next := p.line.Front()
		p.line.Remove(next)
		p.state.Add(^uint64(oneWaiting-1) + 1)
		p.hooks.Waiting(p.line.Len())
		if mine, ok := next.Value.(chan struct{}); ok {
			close(mine)
		}
	}
}

// Held is how many places are taken.
func (p *Places) Held() int { return int(p.state.Load() % oneWaiting) }
