package places

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd enters one after the other, and notes what came of each.
type crowd struct {
	*Places
	mu   sync.Mutex // guards all below
	got  []int
	lost map[int]error
	last int // of the hook
}

func newCrowd(b Bounds) *crowd {
	c := &crowd{lost: map[int]error{}}
	c.Places = New(b, Hooks{Waiting: func(n int) { c.last = n }}) // the lock of Places is held
	return c
}

func (c *crowd) come(ctx context.Context, name int) {
	go func() {
		err := c.Enter(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.lost[name] = err
			return
		}
		c.got = append(c.got, name)
	}()
	synctest.Wait()
}

func (c *crowd) leave() {
	c.Leave()
	synctest.Wait()
}

func (c *crowd) want(t *testing.T, held, waiting int, got ...int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, got) || c.Held() != held || c.last != waiting {
		t.Errorf("%v got a place, want %v; %d held, want %d; %d wait, want %d", c.got, got, c.Held(), held, c.last, waiting)
	}
}

func TestInTheOrderTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(Bounds{Most: 2, Queue: 3, Wait: time.Second})
		for name := range 6 {
			c.come(t.Context(), name)
		}
		c.want(t, 2, 3, 0, 1)
		if !errors.Is(c.lost[5], ErrFull) {
			t.Errorf("the sixth: %v", c.lost[5])
		}
		c.leave()
		c.leave()
		c.want(t, 2, 1, 0, 1, 2, 3)
		c.leave()
		c.leave()
		c.leave()
		c.want(t, 0, 0, 0, 1, 2, 3, 4)
	})
}

func TestOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(Bounds{Most: 1, Queue: 3, Wait: time.Second})
		c.come(t.Context(), 0)
		c.come(t.Context(), 1)
		time.Sleep(time.Second / 2)
		c.come(t.Context(), 2)
		time.Sleep(time.Second / 2)
		synctest.Wait()
		c.want(t, 1, 1, 0)
		if !errors.Is(c.lost[1], ErrLate) {
			t.Errorf("who waited for a second: %v", c.lost[1])
		}
		c.leave()
		c.want(t, 1, 0, 0, 2)
		c.leave()
	})
}

// Nobody waits for a place that is free already, whatever comes between.
func TestNobodyIsOverlooked(t *testing.T) {
	p := New(Bounds{Most: 1, Queue: 4, Wait: 20 * time.Second}, Hooks{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 1_000_000 {
				if err := p.Enter(t.Context()); err != nil {
					t.Errorf("a free place: %v", err)
					return
				}
				p.Leave()
			}
		})
	}
	all.Wait()
}

var errGone = errors.New("gone")

// A place that becomes free is nobody's who has left.
func TestWhoLeavesGetsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(Bounds{Most: 1, Queue: 3, Wait: time.Hour})
		c.come(t.Context(), 0)
		ctx, leave := context.WithCancelCause(t.Context())
		c.come(ctx, 1)
		c.come(t.Context(), 2)
		leave(errGone)
		synctest.Wait()
		c.want(t, 1, 1, 0)
		if !errors.Is(c.lost[1], errGone) {
			t.Errorf("who left: %v", c.lost[1])
		}
		c.leave()
		c.want(t, 1, 0, 0, 2)
		c.leave()
		c.want(t, 0, 0, 0, 2)
	})
}

// One to whom a place is given in the very moment it leaves passes it on.
func TestLeavingInTheMomentOfThePlace(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(Bounds{Most: 1, Queue: 3, Wait: time.Hour})
			c.come(t.Context(), 0)
			ctx, leave := context.WithCancel(t.Context())
			c.come(ctx, 1)
			c.come(t.Context(), 2)
			go leave()
			go c.Leave()
			synctest.Wait()
			c.mu.Lock()
			both := len(c.got) == 2 && len(c.lost) == 1 && c.got[1] == 2 || len(c.got) == 2 && len(c.lost) == 0 && c.got[1] == 1
			c.mu.Unlock()
			if !both || c.Held() != 1 {
				t.Fatalf("got %v, lost %v, held %d", c.got, c.lost, c.Held())
			}
			c.leave()
			if len(c.lost) == 0 {
				c.leave()
			}
			if c.Held() != 0 || c.line.Len() != 0 {
				t.Fatalf("held %d, waiting %d", c.Held(), c.line.Len())
			}
		})
	}
}

func TestOtherBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(Bounds{})
		for name := range 4 {
			c.come(t.Context(), name)
		}
		c.Set(Bounds{Most: 2, Queue: 9, Wait: time.Hour})
		c.come(t.Context(), 4)
		c.leave()
		c.leave()
		c.want(t, 2, 1, 0, 1, 2, 3)
		c.leave()
		c.come(t.Context(), 5)
		c.come(t.Context(), 6)
		c.want(t, 2, 2, 0, 1, 2, 3, 4)
		c.Set(Bounds{Most: 3, Queue: 9, Wait: time.Hour})
		synctest.Wait()
		c.want(t, 3, 1, 0, 1, 2, 3, 4, 5)
		c.Set(Bounds{})
		synctest.Wait()
		c.want(t, 4, 0, 0, 1, 2, 3, 4, 5, 6)
		for range 4 {
			c.leave()
		}
		c.want(t, 0, 0, 0, 1, 2, 3, 4, 5, 6)
	})
}

// Nobody is let in beyond the bound, and nothing is lost, whatever comes at once.
func TestManyAtOnce(t *testing.T) {
	const most, comers = 3, 32
	p := New(Bounds{Most: most, Queue: comers / 2, Wait: time.Millisecond}, Hooks{})
	var inside, worst, entered atomic.Int64
	var all sync.WaitGroup
	for range comers {
		all.Go(func() {
			for range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(4) == 0 {
					go cancel()
				}
				if p.Enter(ctx) == nil {
					n := inside.Add(1)
					for was := worst.Load(); n > was && !worst.CompareAndSwap(was, n); was = worst.Load() {
					}
					entered.Add(1)
					inside.Add(-1)
					p.Leave()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if worst.Load() > most || entered.Load() == 0 || p.state.Load() != 0 || p.line.Len() != 0 {
		t.Errorf("%d at once, want %d; %d entered; state %x; %d wait", worst.Load(), most, entered.Load(), p.state.Load(), p.line.Len())
	}
}

func TestAFreePlaceAllocatesNothing(t *testing.T) {
	p := New(Bounds{Most: 1}, Hooks{})
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if p.Enter(ctx) == nil {
			p.Leave()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
