// Package bound keeps what clients can hold of a process within limits: the
// number of their connections, and the time a connection may refuse to take
// what is written to it.
package bound

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Connections bounds the connections of all listeners it makes together.
type Connections struct {
	stall atomic.Int64 // nanoseconds

	mu        sync.Mutex // guards all below
	open      int
	strangers int   // of open, see Door
	heads     int64 // octets read by those that wait
	most      struct {
		open  int
		heads int64
	}
	ring conn // of those that wait; the one that waits longest is next
}

// NewConnections makes bounds that Use puts in force.
func NewConnections() *Connections {
	c := &Connections{}
	c.ring.next, c.ring.before = &c.ring, &c.ring
	return c
}

// Use puts limits in force, also for connections that are open: most of them at
// once, how many octets of heads that are not complete they may hold together,
// and how long a single write may take. 0 is no limit.
func (c *Connections) Use(most int, heads int64, stall time.Duration) {
	c.stall.Store(int64(stall))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most.open, c.most.heads = most, heads
}

// Listener bounds what l accepts. refused is told of each connection of l that
// is closed because there are too many.
func (c *Connections) Listener(l net.Listener, refused func()) net.Listener {
	return &listener{Listener: l, of: c, refused: refused}
}

// fewStrangers is how many connections those may have together at doors who have no
// business there, and never more than a quarter of all: probes are among them.
const fewStrangers = 16

// Door is Listener for one where only those have business who are known by their
// address. Of all others few get in, and nobody makes room for them.
func (c *Connections) Door(l net.Listener, known func(netip.Addr) bool, refused func()) net.Listener {
	return &listener{l, c, refused, known}
}

type listener struct {
	net.Listener
	of      *Connections
	refused func()
	known   func(netip.Addr) bool // nil where everybody is
}

// knows asks for the address only where it matters: behind PROXY protocol, that
// waits for what the client's side has to say first, and so would all others.
func (l *listener) knows(accepted net.Conn) bool {
	if l.known == nil {
		return true
	}
	tcp, ok := accepted.RemoteAddr().(*net.TCPAddr)
	return ok && l.known(tcp.AddrPort().Addr().Unmap())
}

// Accept implements net.Listener. Where there are too many, the connection that
// has waited longest for a request makes room; where all are busy, the new one
// is refused.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		known := l.knows(accepted)
		c, full := l.admit(accepted, known)
		if full && known && l.of.evict(0) {
			c, full = l.admit(accepted, known)
		}
		if !full {
			return c, nil
		}
		l.refused()
		_ = accepted.Close() // nothing was sent, so nothing is lost
	}
}

func (l *listener) admit(accepted net.Conn, known bool) (one *conn, full bool) {
	c := l.of
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.most.open > 0 && c.open >= c.most.open || !known && c.strangers >= c.mostStrangers() {
		return nil, true
	}
	c.open++
	if !known {
		c.strangers++
	}
	one = &conn{Conn: accepted, of: c, refused: l.refused, stranger: !known}
	one.join()
	return one, false
}

// mostStrangers is how many strangers may be open. It is called with the lock held.
func (c *Connections) mostStrangers() int {
	if c.most.open == 0 {
		return fewStrangers
	}
	return min(fewStrangers, max(1, c.most.open/4))
}

type conn struct {
	net.Conn
	of       *Connections
	refused  func()
	stranger bool

	waiting         // the lock of Connections guards all below
	head      int64 // octets read since it waits
	answering int   // requests
	gone      bool
}

// Write implements net.Conn. Each write has its own deadline, so that an
// answer may take as long as it likes while it moves.
func (c *conn) Write(p []byte) (int, error) {
	if stall := c.of.stall.Load(); stall > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(time.Duration(stall))); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// CloseWrite is what net/http looks for, so that a last answer is read before
// the connection is reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	if !c.gone {
		c.gone = true
		c.of.open--
		if c.stranger {
			c.of.strangers--
		}
		c.part()
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// reserved is how many descriptors are kept for all but clients and upstreams:
// listeners, files, issuers, and whoever looks after the process. Of few it is a
// quarter.
const reserved = 128

// Affordable is how many of wanted connections a process can hold that may have
// so many descriptors open: each may need one to the upstream too. It is at
// least 1.
func Affordable(wanted int, descriptors uint64) int {
	most := descriptors/2 - min(reserved, descriptors/4)
	return int(max(1, min(uint64(wanted), most)))
}
