package lifecycle

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// balancer chooses a replica for each new connection among those whose readyz
// said 200 when it was last asked, and leaves connections that are open alone:
// what a cluster's endpoints come to.
type balancer struct {
	every time.Duration

	mu    sync.Mutex // guards all below
	all   []*replica
	turn  int
	ended bool
}

type replica struct {
	*running
	ready bool
	told  time.Time // to end; zero as yet
}

func newBalancer(t *testing.T, every time.Duration) *balancer {
	b := &balancer{every: every}
	var looking sync.WaitGroup
	looking.Go(b.look)
	t.Cleanup(func() {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
		looking.Wait()
	})
	return b
}

// fixed is a balancer that knows one address, and believes it ready.
func fixed(address string) *balancer {
	return &balancer{all: []*replica{{running: &running{listen: address}, ready: true}}}
}

func (b *balancer) look() {
	for {
		b.mu.Lock()
		all, ended := slices.Clone(b.all), b.ended
		b.mu.Unlock()
		if ended {
			return
		}
		for _, r := range all {
			ready := status(r.admin, "/readyz") == http.StatusOK
			b.mu.Lock()
			r.ready = ready
			b.mu.Unlock()
		}
		time.Sleep(b.every)
	}
}

func (b *balancer) add(g *running) *replica {
	r := &replica{running: g}
	b.mu.Lock()
	b.all = append(b.all, r)
	b.mu.Unlock()
	until(g.t, "the balancer to see a replica", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return r.ready
	})
	return r
}

func (b *balancer) remove(r *replica) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = slices.DeleteFunc(b.all, func(other *replica) bool { return other == r })
}

func (b *balancer) pick() (*replica, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.all {
		b.turn++
		if r := b.all[b.turn%len(b.all)]; r.ready {
			return r, nil
		}
	}
	return nil, errors.New("no replica is ready")
}

func (b *balancer) dial() (net.Conn, error) {
	r, err := b.pick()
	if err != nil {
		return nil, err
	}
	return net.Dial("tcp", r.listen)
}

// since is how long ago a replica was told to end; 0 for not yet.
func (b *balancer) since(r *replica) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.told.IsZero() {
		return 0
	}
	return time.Since(r.told)
}

func (b *balancer) tell(r *replica) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.told = time.Now()
}

// replace starts a new replica and then ends the oldest, as a deployment does.
func (b *balancer) replace(s *stand, text func(listen, admin string) string, within time.Duration) {
	s.t.Helper()
	b.mu.Lock()
	oldest := b.all[0]
	b.mu.Unlock()
	b.add(s.gate(text, process.Options{}))
	b.tell(oldest)
	if err := oldest.Stop(within); err != nil {
		s.t.Errorf("a replica ended with %v", err)
	}
	b.remove(oldest)
}

func dialAddress(address string) (net.Conn, error) { return net.Dial("tcp", address) }

// http2Client speaks HTTP/2 without TLS, each client on connections of its own.
func http2Client(b *balancer) *http.Client {
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return b.dial() },
		Protocols:   new(http.Protocols),
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: transport, Timeout: patience}
}
