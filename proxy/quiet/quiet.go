// Package quiet keeps what an upstream sends unasked from being taken for the
// answer to the next request on the connection. net/http's client hands a
// connection on before it looks whether octets are left behind the answer that
// just ended; whoever is quick enough is given them. An application that
// miscounts its Content-Length is all it takes, and callers see each other's
// answers.
//
// Octets that are still on their way when the next request is written cannot be
// told from its answer by anybody: HTTP/1.1 numbers nothing.
package quiet

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
)

// ErrUnasked is the end of a connection on which octets came that answer no
// request.
var ErrUnasked = errors.New("upstream sent octets that answer no request")

// Conn is a connection to an upstream that speaks HTTP/1.1. Its Read fails for
// octets that come after Got and before the request is written.
type Conn struct {
	net.Conn
	raw     bool   // the octets are HTTP, not TLS, which has reasons of its own to speak
	unasked func() // may be nil

	mu      sync.Mutex // guards all below
	changed sync.Cond  // reading or closed
	reading bool
	closed  bool
	asked   bool // something was written since Got
}

// New wraps a connection that was just dialled. encrypted says that TLS will run
// over it. unasked is called when octets came that answer no request; it may be
// nil.
func New(conn net.Conn, encrypted bool, unasked func()) *Conn {
	c := &Conn{Conn: conn, raw: !encrypted, unasked: unasked}
	c.changed.L = &c.mu
	return c
}

// Got is the GotConn of an [httptrace.ClientTrace]: it returns when nothing is
// left of the exchange that had the connection before. One that is not quiet, or
// that the upstream has closed, is closed; net/http takes another if it may.
func Got(info httptrace.GotConnInfo) {
	if !info.Reused {
		return
	}
	switch conn := info.Conn.(type) {
	case *Conn:
		conn.settle()
	case *tls.Conn:
		if inner, ok := conn.NetConn().(*Conn); ok && conn.ConnectionState().NegotiatedProtocol != "h2" {
			inner.settle()
		}
	}
}

// settle waits until net/http wants octets, which it does when it has none left:
// only then it is known that the answer before was all. What it has left makes
// it close the connection instead.
func (c *Conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.reading && !c.closed {
		c.changed.Wait()
	}
	if c.closed || !c.raw {
		return
	}
	c.asked = false
	if !waiting(c.Conn) {
		return
	}
	_ = c.Conn.Close() // ends the read, and that makes net/http close all
	for !c.closed {
		c.changed.Wait()
	}
}

func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reading = true
	c.changed.Broadcast()
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	early := n > 0 && c.raw && !c.asked
	c.mu.Unlock()
	if early {
		if c.unasked != nil {
			c.unasked()
		}
		return 0, ErrUnasked
	}
	return n, err
}

// Write looks once more before a request's first octets: since Got its body may
// have kept them waiting.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	first := c.raw && !c.asked
	if first && waiting(c.Conn) {
		c.mu.Unlock()
		return 0, ErrUnasked
	}
	c.asked = true
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// Close is net/http's word that it uses the connection no more.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.changed.Broadcast()
	c.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets a tunnel say that one side is done.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
