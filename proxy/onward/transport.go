// Package onward sends requests to one upstream over plaintext HTTP/1.1. It
// writes and reads with what net/http has for it, and in place of the two
// goroutines that net/http keeps for each connection it has the caller's.
//
// A connection serves the next request only when nothing is left of the last:
// the request was written whole, its answer read to the end, and no octet has
// come since. Octets that are still on their way when the next request is
// written cannot be told from its answer by anybody: HTTP/1.1 numbers nothing.
package onward

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options are what a Transport is made of.
type Options struct {
	// Dial opens a connection whose octets are HTTP. The connection has to be one
	// of the system's: another serves one request only.
	Dial func(context.Context) (net.Conn, error)

	Header    time.Duration // from the request written to the header of its answer, see RoundTripWithin; 0 for ever
	Idle      time.Duration // how long a connection is kept that nobody uses
	MaxIdle   int           // connections kept
	MaxHeader int64         // octets of the header of an answer and of all 1xx before it

	Unasked func() // called when octets came that answer no request; may be nil

	// Done is called once for each RoundTrip: when the connection that it got is
	// closed or there for another, or was handed over and is closed, and when it
	// got none. May be nil.
	Done func()
}

// A Transport is an http.RoundTripper for one upstream, whatever the host of
// the URL. Of the hooks of an httptrace.ClientTrace it calls Got1xxResponse,
// Got100Continue and those of http.Request.Write.
type Transport struct {
	o       Options
	readers sync.Pool // of *bufio.Reader, while no connection needs them
	writers sync.Pool // of *bufio.Writer

	mu       sync.Mutex // guards all below
	idle     []*conn    // the last used is the last
	sweeper  *time.Timer
	sweeping bool // the sweeper runs
	closing  bool // nothing is kept until somebody asks again
}

// looks is how often a connection is looked at until it has been idle for long
// enough: who has closed one is not to wait for us that long.
const looks = 15

// ErrUnasked is the end of a connection on which octets came that answer no
// request.
var ErrUnasked = errors.New("upstream sent octets that answer no request")

// New makes a Transport. It dials nobody.
func New(o Options) *Transport {
	if o.Unasked == nil {
		o.Unasked = func() {}
	}
	if o.Done == nil {
		o.Done = func() {}
	}
	return &Transport{o: o}
}

// RoundTrip implements http.RoundTripper. The error is the cause of the end of
// the request's context when that has ended, a net.Error with Timeout when the
// upstream let us wait too long, or that of the connection or the body.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.RoundTripWithin(r, t.o.Header)
}

// RoundTripWithin is RoundTrip with a time of the request's own in place of Options.Header.
func (t *Transport) RoundTripWithin(r *http.Request, header time.Duration) (*http.Response, error) {
	answered := false
	defer func() {
		if !answered {
			t.o.Done()
		}
	}()
	resp, err := t.roundTrip(r, header)
	answered = err == nil
	return resp, err
}

func (t *Transport) roundTrip(r *http.Request, header time.Duration) (*http.Response, error) {
	if err := valid(r); err != nil {
		closeBody(r)
		return nil, err
	}
	first := r
	for fresh := false; ; {
		c, err := t.connect(r.Context(), fresh)
		if err != nil {
			closeBody(r)
			return nil, err
		}
		x := &exchange{t: t, c: c, ctx: r.Context(), request: r, wait: header}
		resp, err := x.run()
		if err == nil {
			resp.Request = first
			return resp, nil
		}
		if errors.Is(err, ErrUnasked) {
			t.o.Unasked()
		}
		second, silent := x.again(err)
		if second == nil {
			closeBody(r)
			return nil, err
		}
		r, fresh = second, fresh || silent
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// connect finds a connection for a request.
func (t *Transport) connect(ctx context.Context, fresh bool) (*conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := t.take(fresh)
	if c == nil {
		dialled, err := t.o.Dial(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		default:
			return nil, err
		}
		c = newConn(dialled)
	}
	t.equip(c)
	return c, nil
}

// equip gives a connection what it needs for a request.
func (t *Transport) equip(c *conn) {
	c.asked, c.heard, c.broken, c.begun, c.lost, c.left = false, false, nil, nil, nil, t.o.MaxHeader
	if in, ok := t.readers.Get().(*bufio.Reader); ok {
		in.Reset(c)
		c.in = in
	} else {
		c.in = bufio.NewReader(c)
	}
	if out, ok := t.writers.Get().(*bufio.Writer); ok {
		out.Reset(c)
		c.out = out
	} else {
		c.out = bufio.NewWriter(c)
	}
}

// take returns the connection that was used last, or nil.
func (t *Transport) take(fresh bool) (c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = false
	if last := len(t.idle) - 1; last >= 0 && !fresh {
		c = t.idle[last]
		t.idle = slices.Delete(t.idle, last, last+1)
	}
	return c
}

// keep takes a connection back on which a request was answered to the end.
func (t *Transport) keep(c *conn) {
	if c.in.Buffered() > 0 {
		t.o.Unasked()
		_ = c.Close()
		return
	}
	t.readers.Put(c.in)
	t.writers.Put(c.out)
	c.in, c.out, c.reused, c.since = nil, nil, true, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || len(t.idle) >= t.o.MaxIdle || c.raw == nil {
		_ = c.Close()
		return
	}
	t.idle = append(t.idle, c)
	switch {
	case t.sweeping:
	case t.sweeper == nil:
		t.sweeper = time.AfterFunc(t.o.Idle/looks, t.sweep)
	default:
		t.sweeper.Reset(t.o.Idle / looks)
	}
	t.sweeping = true
}

// sweep closes the idle connections that have been so for too long, that the
// upstream has closed, or on which it speaks.
func (t *Transport) sweep() {
	for _, c := range t.stale() {
		if errors.Is(c.seen, ErrUnasked) {
			t.o.Unasked()
		}
		_ = c.Close()
	}
}

// stale takes those connections out of what is kept.
func (t *Transport) stale() (list []*conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = slices.DeleteFunc(t.idle, func(c *conn) bool {
		if c.peek() == nil && time.Since(c.since) < t.o.Idle {
			return false
		}
		list = append(list, c)
		return true
	})
	if t.sweeping = len(t.idle) > 0; t.sweeping {
		t.sweeper.Reset(t.o.Idle / looks)
	}
	return list
}

// CloseIdleConnections closes what nobody uses, and what is in use once it is
// not, until somebody asks for a connection again.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		_ = c.Close()
	}
	t.idle, t.closing = nil, true
	if t.sweeping && t.sweeper.Stop() {
		t.sweeping = false
	}
}

var _ io.ReadCloser = (*exchange)(nil)
