package onward_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/proxy/onward"
)

// scripted is a transport whose first connection is served by serve, any other
// by an upstream that answers all; it counts connections.
func scripted(t *testing.T, o onward.Options, serve func(in *bufio.Reader, conn net.Conn)) (*onward.Transport, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	dialled := &atomic.Int64{}
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			first := dialled.Add(1) == 1
			running.Go(func() {
				in := bufio.NewReader(conn)
				if first {
					serve(in, conn)
				}
				for answer(in, conn, ok) {
				}
				_ = conn.Close()
			})
		}
	})
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}
	o.Idle, o.MaxIdle = time.Minute, 8
	tr := onward.New(o)
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = l.Close()
		running.Wait()
	})
	return tr, dialled
}

// answer reads a request whole; false where none comes.
func answer(in *bufio.Reader, conn net.Conn, text string) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(conn, text)
	return err == nil
}

func post(t *testing.T, body io.Reader, length int64) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://upstream/", struct{ io.Reader }{body})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	return r
}

// outcome is what a request comes to: the body of its answer, or the error.
func outcome(tr *onward.Transport, r *http.Request) string {
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return string(text) + strings.TrimPrefix(fmt.Sprint(" ", err), " <nil>")
}

// TestSecondRequests is what becomes of a request on a connection that has served
// another, and how many connections that and one more request take.
func TestSecondRequests(t *testing.T) {
	keyed := func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") }
	saying := func(text string) func(*bufio.Reader, net.Conn) {
		return func(in *bufio.Reader, conn net.Conn) {
			answer(in, conn, text)
			_ = conn.Close()
		}
	}
	silent := func(in *bufio.Reader, _ net.Conn) { _, _ = io.Copy(io.Discard, in) }
	for name, row := range map[string]struct {
		serve   func(*bufio.Reader, net.Conn)
		request func(t *testing.T) *http.Request
		want    string // a part of it
		dialled int64
	}{
		"asked to close": {func(in *bufio.Reader, conn net.Conn) { answer(in, conn, ok) }, func(t *testing.T) *http.Request {
			r := post(t, nil, 0)
			r.Body, r.Close = nil, true
			return r
		}, "ok", 2},
		"half an answer": {saying("HTTP/1.1 200 OK\r\nA: b"), func(t *testing.T) *http.Request {
			r := post(t, nil, 0)
			r.Body, r.Method = nil, http.MethodGet
			return r
		}, "unexpected EOF", 2},
		"no answer in time": {silent, func(t *testing.T) *http.Request {
			r := post(t, nil, 0)
			r.Body, r.Method = nil, http.MethodGet
			return r
		}, "did not answer in time", 2},
		"a large header": {saying("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 1<<17)), func(t *testing.T) *http.Request {
			return post(t, strings.NewReader("b"), 1)
		}, "too large", 2},
		"a body that is not there again": {saying(""), func(t *testing.T) *http.Request {
			r := post(t, strings.NewReader("b"), 1)
			keyed(r)
			r.GetBody = func() (io.ReadCloser, error) { return nil, errFaulty }
			return r
		}, "EOF", 2},
		"a body that breaks": {silent, func(t *testing.T) *http.Request {
			r := post(t, faulty{strings.NewReader("half")}, 1<<20)
			keyed(r)
			r.GetBody = func() (io.ReadCloser, error) {
				t.Error("the body is sent again")
				return http.NoBody, nil
			}
			return r
		}, errFaulty.Error(), 2},
		"protocols switched while a body goes": {saying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), func(t *testing.T) *http.Request {
			return post(t, strings.NewReader("b"), 1)
		}, "switched protocols", 2},
		"a hint that nobody takes": {saying("HTTP/1.1 103 Early Hints\r\n\r\n" + ok), func(t *testing.T) *http.Request {
			r := post(t, strings.NewReader("b"), 1)
			return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return errFaulty }}))
		}, errFaulty.Error(), 2},
		"a context that has ended": {func(*bufio.Reader, net.Conn) {}, func(t *testing.T) *http.Request {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return post(t, strings.NewReader("b"), 1).WithContext(ctx)
		}, "canceled", 1},
		"no URL": {func(*bufio.Reader, net.Conn) {}, func(t *testing.T) *http.Request {
			r := post(t, strings.NewReader("b"), 1)
			r.URL = nil
			return r
		}, "without URL", 1},
	} {
		t.Run(name, func(t *testing.T) {
			tr, dialled := scripted(t, onward.Options{Header: 500 * time.Millisecond, MaxHeader: 1 << 16}, func(in *bufio.Reader, conn net.Conn) {
				answer(in, conn, ok)
				row.serve(in, conn)
			})
			read(t, send(t, tr)) //nolint:bodyclose // read closes it
			if got := outcome(tr, row.request(t)); !strings.Contains(got, row.want) {
				t.Errorf("%q, want %q", got, row.want)
			}
			if n := dialled.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
			read(t, send(t, tr)) //nolint:bodyclose // read closes it
			if n := dialled.Load(); n != row.dialled {
				t.Errorf("%d connections in the end, want %d", n, row.dialled)
			}
		})
	}
}

// What ended the body of an answer first stays its end.
func TestTheFirstEndCounts(t *testing.T) {
	u := newUpstream(t, nil)
	tr := u.transport(t, time.Minute, 8, nil)
	whole := send(t, tr)
	read(t, whole)
	if n, err := whole.Body.Read(make([]byte, 9)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end %d, %v", n, err)
	}
	left := send(t, tr)
	_ = left.Body.Close()
	if n, err := left.Body.Read(make([]byte, 9)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after Close %d, %v", n, err)
	}
}

// closer is a body that tells when it is closed.
type closer struct {
	io.Reader
	closed chan struct{}
	once   sync.Once
}

func newCloser(text string) *closer {
	return &closer{Reader: strings.NewReader(text), closed: make(chan struct{})}
}

func (c *closer) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func wantBodyClosed(t *testing.T, c *closer) {
	t.Helper()
	select {
	case <-c.closed:
	case <-time.After(5 * time.Second):
		t.Error("the body is not closed")
	}
}

var errStuck = errors.New("it takes no more")

// stuck takes so many writes, waits, and takes no more.
type stuck struct {
	net.Conn
	takes *atomic.Int64
	wait  chan struct{}
}

func (s stuck) Write(p []byte) (int, error) {
	if s.takes.Add(-1) >= 0 {
		return s.Conn.Write(p)
	}
	<-s.wait
	return 0, errStuck
}

// dialling is a transport over pipes that upstream serves.
func dialling(t *testing.T, header time.Duration, wrap func(net.Conn) net.Conn, upstream func(net.Conn)) *onward.Transport {
	t.Helper()
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	return onward.New(onward.Options{Header: header, MaxHeader: 1 << 18, Idle: time.Minute, Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		running.Go(func() {
			upstream(far)
			_ = far.Close()
		})
		return wrap(near), nil
	}})
}

func plain(c net.Conn) net.Conn { return c }

// Who has no connection, or one that takes nothing, closes the body, and does not
// wait for an answer for ever.
func TestBodiesOfRequestsThatFail(t *testing.T) {
	forever, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("waited for ever"))
	defer cancel()
	for name, row := range map[string]struct {
		tr   *onward.Transport
		want string
	}{
		"no connection": {onward.New(onward.Options{Dial: func(context.Context) (net.Conn, error) { return nil, errFaulty }}), errFaulty.Error()},
		"no octet taken": {dialling(t, 50*time.Millisecond, func(c net.Conn) net.Conn {
			released := make(chan struct{})
			close(released)
			return stuck{c, &atomic.Int64{}, released}
		}, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), "did not answer in time"},
	} {
		body := newCloser("body")
		r := post(t, body, 4).WithContext(forever)
		r.Body = body
		if got := outcome(row.tr, r); !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
		wantBodyClosed(t, body)
	}
}

// A body that was never begun when its answer came is closed when its connection
// takes no more, and one that was written whole before that.
func TestBodiesAreClosedOnTheirWay(t *testing.T) {
	t.Run("never begun", func(t *testing.T) {
		release := make(chan struct{})
		takes := &atomic.Int64{}
		takes.Store(1)
		tr := dialling(t, time.Minute, func(c net.Conn) net.Conn { return stuck{c, takes, release} }, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<16))
			_, _ = io.WriteString(c, ok)
			_, _ = io.Copy(io.Discard, c)
		})
		body := newCloser("body")
		r := post(t, body, 4)
		r.Body = body
		r.Header.Set("Long", strings.Repeat("a", 1<<14))
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		close(release)
		wantBodyClosed(t, body)
		_ = resp.Body.Close()
	})
	t.Run("written whole", func(t *testing.T) {
		body := newCloser("body")
		tr := dialling(t, 5*time.Second, plain, func(c net.Conn) {
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			select {
			case <-body.closed:
				_, _ = io.WriteString(c, ok)
			case <-time.After(10 * time.Second):
			}
		})
		r := post(t, body, 4)
		r.Body = body
		if got := outcome(tr, r); got != "ok" {
			t.Error(got)
		}
	})
}

// A body that asks for leave goes when it is given, and never where there is no
// answer.
func TestLeave(t *testing.T) {
	for name, row := range map[string]struct {
		said, want string
		left       int
	}{
		"given": {"HTTP/1.1 100 Continue\r\n\r\n", "ok", 0},
		"ended": {"", "EOF", 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				tr := dialling(t, time.Minute, plain, func(c net.Conn) {
					in := bufio.NewReader(c)
					r, err := http.ReadRequest(in)
					if err != nil || row.said == "" {
						return
					}
					_, _ = io.WriteString(c, row.said)
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(c, ok)
				})
				from := strings.NewReader("body")
				r := post(t, from, 4)
				r.Header.Set("Expect", "100-continue")
				if got := outcome(tr, r); !strings.Contains(got, row.want) || time.Since(began) != 0 {
					t.Errorf("%q after %s", got, time.Since(began))
				}
				time.Sleep(time.Minute)
				if from.Len() != row.left {
					t.Errorf("%d octets are left of the body", from.Len())
				}
			})
		})
	}
}

// lapsing is a connection on which a context ends with the first octets read.
type lapsing struct {
	net.Conn
	cancel func()
}

func (l lapsing) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.cancel()
	return n, err
}

// Nobody gets a connection whose request has ended.
func TestSwitchedTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tr := dialling(t, time.Minute, func(c net.Conn) net.Conn { return lapsing{c, cancel} }, func(c net.Conn) {
		answer(bufio.NewReader(c), c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://upstream/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// asked is a connection in memory that the system could be asked about, as nowhere
// comes anything unasked.
type asked struct{ net.Conn }

func (asked) SyscallConn() (syscall.RawConn, error) { return nothing{}, nil }

// nothing has come.
type nothing struct{}

func (nothing) Control(func(uintptr)) error { return nil }

func (nothing) Read(func(uintptr) bool) error { return nil }

func (nothing) Write(func(uintptr) bool) error { return nil }

// Connections are looked at, and kept until they are idle for long enough.
func TestIdleConnectionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled := 0
		tr := onward.New(onward.Options{MaxIdle: 8, MaxHeader: 1 << 18, Idle: time.Minute, Dial: func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			dialled++
			go func() {
				in := bufio.NewReader(far)
				for answer(in, far, ok) {
				}
				_ = far.Close()
			}()
			return asked{near}, nil
		}})
		for _, idle := range []time.Duration{0, 59 * time.Second, 59 * time.Second} {
			time.Sleep(idle)
			read(t, send(t, tr)) //nolint:bodyclose // read closes it
		}
		if dialled != 1 {
			t.Errorf("%d connections", dialled)
		}
		time.Sleep(65 * time.Second)
		read(t, send(t, tr)) //nolint:bodyclose // read closes it
		if dialled != 2 {
			t.Errorf("%d connections after a minute", dialled)
		}
		tr.CloseIdleConnections()
	})
}
