package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFollow holds when connections are replaced: when an address is gone, and
// not while the name cannot be looked up.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := NewUpstreams()
		var mu sync.Mutex // guards found and failure
		var found []string
		var failure error
		answerBy := func(list []string, err error) {
			mu.Lock()
			defer mu.Unlock()
			found, failure = list, err
		}
		u.lookup = func(_ context.Context, host string) ([]string, error) {
			if host != "app.example" {
				t.Errorf("%q was looked up", host)
			}
			mu.Lock()
			defer mu.Unlock()
			return found, failure
		}
		up, err := u.Open("http://app.example:3000", DefaultTimeouts)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"http://127.0.0.1:3000", "http://[::1]:3000", "https://127.0.0.1", "unix:///run/app.sock"} {
			if _, err := u.Open(other, DefaultTimeouts); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		answerBy([]string{"192.0.2.1"}, nil)
		go u.Follow(ctx)
		synctest.Wait()
		for _, step := range []struct {
			name     string
			found    []string
			failure  error
			replaced bool
		}{
			{"the same", []string{"192.0.2.1"}, nil, false},
			{"one more", []string{"192.0.2.2", "192.0.2.1"}, nil, false},
			{"another order", []string{"192.0.2.1", "192.0.2.2"}, nil, false},
			{"one less", []string{"192.0.2.2"}, nil, true},
			{"no answer", nil, errors.New("no answer"), false},
			{"none", nil, nil, false},
			{"moved, after that", []string{"192.0.2.3"}, nil, true},
			{"the same again", []string{"192.0.2.3"}, nil, false},
		} {
			before := up.connections.current.Load()
			answerBy(step.found, step.failure)
			time.Sleep(followEvery)
			synctest.Wait()
			if replaced := up.connections.current.Load() != before; replaced != step.replaced {
				t.Errorf("%s: replaced %t", step.name, replaced)
			}
		}
	})
}

// Names that nobody answers for do not keep the gate from following others.
func TestFollowBesideSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := NewUpstreams()
		var moved atomic.Bool
		u.lookup = func(ctx context.Context, host string) ([]string, error) {
			switch {
			case host != "app.example":
				<-ctx.Done()
				return nil, ctx.Err()
			case moved.Load():
				return []string{"192.0.2.2"}, nil
			}
			return []string{"192.0.2.1"}, nil
		}
		up, err := u.Open("http://app.example:3000", DefaultTimeouts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if _, err := u.Open(fmt.Sprintf("http://silent%d.example", i), DefaultTimeouts); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go u.Follow(ctx)
		synctest.Wait()
		before := up.connections.current.Load()
		moved.Store(true)
		time.Sleep(2*followEvery + followWithin)
		synctest.Wait()
		if up.connections.current.Load() == before {
			t.Error("an upstream that moved is not followed")
		}
	})
}

// What no gate uses any more is let go of: nobody looks its name up, its idle
// connections end, and what is under way over it goes on.
func TestUpstreamsThatAreGone(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.let = make(chan struct{}, 1)
		open := w.all.OpenStd
		if w.own {
			open = w.all.Open
		}
		idle := make(chan struct{})
		other, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		stays, err := open("http://"+other.Addr().String(), DefaultTimeouts)
		if err != nil {
			t.Fatal(err)
		}
		hosted, err := open("http://127.0.0.2:1", DefaultTimeouts)
		if err != nil {
			t.Fatal(err)
		}
		w.serve = func(k *talk) {
			holding(k)
			if k.nth == 2 {
				close(idle)
			}
		}
		slow, err := w.up.send(w.request(t.Context(), http.MethodGet, "/slow", nil), 0)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "beside it", w.get(t), "200 ok")
		w.all.Keep(&Table{Sites: map[string]*Site{"a": {Only: &Gate{Upstream: stays}}, "b": {Hosts: map[string]*Gate{"x": {}, "y": {Upstream: hosted}}}}})
		<-idle
		if n := len(w.all.open); n != 2 {
			t.Errorf("connections to %d upstreams are kept, want 2", n)
		}
		w.let <- struct{}{}
		if text, err := io.ReadAll(slow.Body); string(text) != "ok" || err != nil {
			t.Errorf("the one under way got %q, %v", text, err)
		}
		_ = slow.Body.Close()
		want(t, "who still has it", w.get(t), "200 ok")
		(*w.up.connections.current.Load()).CloseIdleConnections()
	})
}
