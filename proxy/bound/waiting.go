package bound

import (
	"context"
	"net"
	"net/http"
)

// A connection waits while no request of it is being answered: it is new, or
// idle, or its next head is on the way. Those that have waited longest make room
// for others, so that who sends nothing whole shuts nobody out.

// waiting is a ring of connections, in the order in which they began to wait.
type waiting struct{ next, before *conn }

// smallHead is how much of a head is not worth a closed connection.
const smallHead = 8 << 10

// join puts c behind all others. It is called with the lock held.
func (c *conn) join() {
	last := c.of.ring.before
	c.before, c.next = last, &c.of.ring
	last.next, c.of.ring.before = c, c
}

// part takes c out, if it is in. It is called with the lock held.
func (c *conn) part() {
	if c.next == nil {
		return
	}
	c.before.next, c.next.before = c.next, c.before
	c.next, c.before = nil, nil
	c.of.heads -= c.head
	c.head = 0
}

// evict closes the connection that has waited longest of those that have read
// at least so much of a head; false where there is none.
func (c *Connections) evict(least int64) bool {
	c.mu.Lock()
	victim := c.ring.next
	for victim != &c.ring && victim.head < least {
		victim = victim.next
	}
	if victim == &c.ring {
		c.mu.Unlock()
		return false
	}
	victim.part()
	c.mu.Unlock()
	_ = victim.Close()
	victim.refused()
	return true
}

// Read implements net.Conn. What is read while a connection waits is the head of
// a request.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.took(int64(n)) {
		c.of.evict(smallHead)
	}
	return n, err
}

// took counts octets of a head, and reports whether all heads are too much.
func (c *conn) took(n int64) (full bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.next == nil {
		return false
	}
	c.head += n
	c.of.heads += n
	return c.of.most.heads > 0 && c.of.heads > c.of.most.heads
}

type connKey struct{}

// Context is the ConnContext of an http.Server whose Handler is made by
// Handler.
func Context(ctx context.Context, c net.Conn) context.Context {
	for {
		if one, ours := c.(*conn); ours {
			return context.WithValue(ctx, connKey{}, one)
		}
		inner, wrapped := c.(interface{ NetConn() net.Conn })
		if !wrapped {
			return ctx
		}
		c = inner.NetConn()
	}
}

// Handler takes connections out of those that wait for as long as next answers
// a request of theirs.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ours := r.Context().Value(connKey{}).(*conn); ours {
			c.begin()
			defer c.end()
		}
		next.ServeHTTP(w, r)
	})
}

func (c *conn) begin() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.answering++
	c.part()
}

func (c *conn) end() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.answering--; c.answering == 0 && !c.gone {
		c.join()
	}
}
