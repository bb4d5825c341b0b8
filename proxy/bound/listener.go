// Package bound keeps what clients can hold of a process within limits: the
// number of their connections, and the time a connection may refuse to take
// what is written to it.
package bound

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Connections bounds the connections of all listeners it makes together.
type Connections struct {
	open  atomic.Int64
	most  atomic.Int64
	stall atomic.Int64 // nanoseconds
}

// Use puts limits in force, also for connections that are open: most of them
// at once, and how long a single write may take. 0 is no limit.
func (c *Connections) Use(most int, stall time.Duration) {
	c.most.Store(int64(most))
	c.stall.Store(int64(stall))
}

// Listener bounds what l accepts. refused is told of each connection that is
// closed because there are too many.
func (c *Connections) Listener(l net.Listener, refused func()) net.Listener {
	return &listener{l, c, refused}
}

type listener struct {
	net.Listener
	of      *Connections
	refused func()
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if n, most := l.of.open.Add(1), l.of.most.Load(); most == 0 || n <= most {
			return &conn{Conn: accepted, of: l.of}, nil
		}
		l.of.open.Add(-1)
		l.refused()
		_ = accepted.Close() // nothing was sent, so nothing is lost
	}
}

type conn struct {
	net.Conn
	of     *Connections
	closed sync.Once
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
	c.closed.Do(func() { c.of.open.Add(-1) })
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
