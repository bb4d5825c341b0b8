package proxy

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/proxy/places"
)

// Names of upstreams are looked up this often, and an answer is waited for this
// long.
const (
	followEvery  = 10 * time.Second
	followWithin = 5 * time.Second
)

// connections are those to one upstream, in a transport that is replaced when
// the upstream moves: net/http looks a name up for new connections only, and
// under load the old ones last.
type connections struct {
	key     upstreamKey
	host    string // to be looked up; empty for an address or a socket
	places  *places.Places
	current atomic.Pointer[transport]
	known   []string // addresses, as of the last answer; for Follow only
}

func newConnections(key upstreamKey, p *places.Places, unasked func()) *connections {
	c := &connections{key: key, places: p}
	if host, _, err := net.SplitHostPort(key.address); err == nil {
		c.host = host
	} else if key.scheme != "unix" {
		c.host = key.address
	}
	if _, err := netip.ParseAddr(c.host); err == nil {
		c.host = ""
	}
	c.current.Store(newTransport(key, p, unasked))
	return c
}

// Follow looks the names of upstreams up until ctx ends. When an address is gone,
// the next requests get new connections; those under way keep theirs. While names
// cannot be looked up, nothing changes.
func (u *Upstreams) Follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		var all sync.WaitGroup // a name that nobody answers for holds no other up
		for _, c := range u.named() {
			all.Go(func() { c.follow(ctx, u.lookup, u.unasked) })
		}
		all.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Keep lets go of the connections that no gate of t uses, as after a reload. What is
// under way over them goes on.
func (u *Upstreams) Keep(t *Table) {
	used := make(map[*connections]bool)
	use := func(g *Gate) {
		if g != nil && g.Upstream != nil {
			used[g.Upstream.connections] = true
		}
	}
	for _, site := range t.Sites {
		use(site.Only)
		for _, g := range site.Hosts {
			use(g)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, c := range u.open {
		if !used[c] {
			delete(u.open, key)
			(*c.current.Load()).CloseIdleConnections()
		}
	}
}

func (u *Upstreams) named() (list []*connections) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.open {
		if c.host != "" {
			list = append(list, c)
		}
	}
	return list
}

func (c *connections) follow(ctx context.Context, lookup func(context.Context, string) ([]string, error), unasked func()) {
	ctx, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	found, err := lookup(ctx, c.host)
	if err != nil || len(found) == 0 {
		return
	}
	gone := func(address string) bool { return !slices.Contains(found, address) }
	if slices.ContainsFunc(c.known, gone) {
		c.renew(unasked)
	}
	c.known = found
}

// renew has the next requests get new connections.
func (c *connections) renew(unasked func()) {
	(*c.current.Swap(newTransport(c.key, c.places, unasked))).CloseIdleConnections()
}
