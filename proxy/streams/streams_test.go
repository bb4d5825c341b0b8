package streams

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// noted is a set that tells what was asked of its streams.
type noted struct {
	*Set
	cut atomic.Int32

	mu      sync.Mutex // guards all below
	ended   []Ending   // as the hooks heard
	stopped []Ending
}

func newNoted() *noted {
	n := new(noted)
	n.Set = NewSet(Hooks{Ended: func(_ Kind, e Ending) { n.note(&n.ended, e) }})
	return n
}

func (n *noted) note(list *[]Ending, e Ending) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*list = append(*list, e)
}

func (n *noted) begin(o Options) *Stream {
	o.Stop = func(e Ending) { n.note(&n.stopped, e) }
	o.Cut = func() { n.cut.Add(1) }
	return n.Begin(o)
}

func (n *noted) wantStopped(t *testing.T, want ...Ending) {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.stopped, want) {
		t.Errorf("stopped for %v, want %v", n.stopped, want)
	}
}

func TestStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNoted()
		one := n.begin(Options{Until: time.Now().Add(time.Hour)})
		time.Sleep(time.Hour - time.Nanosecond)
		n.wantStopped(t)
		time.Sleep(time.Nanosecond)
		n.wantStopped(t, Expired)
		one.End(Drain) // once is enough
		if n.End() != 1 {
			t.Error("it has not said that it is done")
		}
		one.Done()
		n.wantStopped(t, Expired)
		if e, ended := one.Ended(); e != Expired || !ended || !slices.Equal(n.ended, []Ending{Expired}) {
			t.Errorf("ended %v %t, told %v", e, ended, n.ended)
		}
		if n.End() != 0 {
			t.Error("a stream is left")
		}
	})
}

// A token is judged every so often, and where it has an end, not later than at
// it.
func TestStreamIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNoted()
		var looks atomic.Int32
		var refused atomic.Bool
		one := n.begin(Options{Until: time.Now().Add(24 * time.Hour), Every: time.Minute, Judge: func() (Ending, bool) {
			looks.Add(1)
			return Revoked, refused.Load()
		}})
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if n := looks.Load(); n != 10 {
			t.Errorf("%d looks in 10 minutes", n)
		}
		refused.Store(true)
		time.Sleep(time.Minute)
		n.wantStopped(t, Revoked)
		one.Done()
		time.Sleep(48 * time.Hour)
		if n := looks.Load(); n != 11 {
			t.Errorf("%d looks, the last of them after its end", n)
		}
	})
}

func TestDoneStreamIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNoted()
		one := n.begin(Options{Until: time.Now().Add(time.Second), Every: time.Millisecond, Judge: func() (Ending, bool) {
			t.Error("its token is judged")
			return Revoked, false
		}})
		one.Done()
		time.Sleep(time.Minute)
		one.End(Revoked)
		n.wantStopped(t)
		if _, ended := one.Ended(); ended || !slices.Equal(n.ended, []Ending{ByPeer}) {
			t.Errorf("ended %t, told %v", ended, n.ended)
		}
	})
}

// The end of the program ends what is under way; the hooks are told of each
// beginning.
func TestEndStopsAll(t *testing.T) {
	var began []Kind
	s := NewSet(Hooks{Began: func(k Kind) { began = append(began, k) }})
	var stopped []Ending
	for _, k := range []Kind{WebSocket, GRPC} {
		defer s.Begin(Options{Kind: k, Stop: func(e Ending) { stopped = append(stopped, e) }}).Done()
	}
	if n := s.End(); n != 2 || !slices.Equal(stopped, []Ending{Drain, Drain}) || !slices.Equal(began, []Kind{WebSocket, GRPC}) {
		t.Errorf("%d ended, stopped for %v, began %v", n, stopped, began)
	}
}

func TestSetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNoted()
		if err := n.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		one, other := n.begin(Options{}), n.begin(Options{})
		over := make(chan error, 1)
		go func() { over <- n.Wait(t.Context()) }()
		one.Done()
		synctest.Wait()
		if len(over) > 0 {
			t.Error("waited for one of two")
		}
		if n.Close(); n.cut.Load() != 1 {
			t.Errorf("cut %d, want the one that is left", n.cut.Load())
		}
		other.Done()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// A tunnel whose handshake is under way is known to no server once it begins:
// who waits for the end of all has to wait for it too.
func TestSetWaitsForHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNoted()
		n.TakeRoom(0)
		over := make(chan error, 1)
		go func() { over <- n.Wait(t.Context()) }()
		synctest.Wait()
		one := n.begin(Options{})
		one.Done()
		synctest.Wait()
		if len(over) > 0 {
			t.Error("a handshake was not waited for")
		}
		n.LeaveRoom()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func TestRoom(t *testing.T) {
	s := NewSet(Hooks{})
	for i, want := range []bool{true, true, false} {
		if s.TakeRoom(2) != want {
			t.Errorf("room for number %d of two: want %t", i+1, want)
		}
	}
	if !s.TakeRoom(0) {
		t.Error("0 is a limit")
	}
	s.LeaveRoom()
	s.LeaveRoom()
	if !s.TakeRoom(2) {
		t.Error("what was left is not free")
	}
}
