package onward_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/proxy/onward"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What both transports have to do is tested in package proxy.

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// upstream answers requests; more is what it does after each, with the number
// of the connection.
type upstream struct {
	net.Listener
	running sync.WaitGroup
	dialled atomic.Int64
	ended   chan int // connections that the other side has closed
}

func newUpstream(t *testing.T, more func(n int, conn net.Conn)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{Listener: l, ended: make(chan int, 100)}
	u.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n := int(u.dialled.Add(1))
			u.running.Go(func() { u.serve(n, conn, more) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		u.running.Wait()
	})
	return u
}

func (u *upstream) serve(n int, conn net.Conn, more func(int, net.Conn)) {
	in := bufio.NewReader(conn)
	for {
		if _, err := http.ReadRequest(in); err != nil {
			_ = conn.Close()
			u.ended <- n
			return
		}
		_, _ = io.WriteString(conn, ok)
		if more != nil {
			more(n, conn)
		}
	}
}

func (u *upstream) transport(t *testing.T, idle time.Duration, most int, unasked func()) *onward.Transport {
	t.Helper()
	tr := onward.New(onward.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", u.Addr().String())
		},
		Header: time.Minute, Idle: idle, MaxIdle: most, MaxHeader: 1 << 18, Unasked: unasked,
	})
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func send(t *testing.T, tr *onward.Transport) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://upstream/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func read(t *testing.T, resp *http.Response) {
	t.Helper()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "ok" {
		t.Errorf("%q, %v", text, err)
	}
	_ = resp.Body.Close()
}

// Connections that nobody uses end by themselves: when it was long enough, when
// the upstream has closed them, and when it speaks on them.
func TestIdleConnectionsEnd(t *testing.T) {
	closed := make(chan error, 1)
	for name, row := range map[string]struct {
		more    func(int, net.Conn)
		unasked int64
	}{
		"long enough": {nil, 0},
		"closed":      {func(_ int, conn net.Conn) { closed <- conn.(*net.TCPConn).CloseWrite() }, 0},
		"spoken on":   {func(_ int, conn net.Conn) { <-closed; _, _ = io.WriteString(conn, "more") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var unasked atomic.Int64
			u := newUpstream(t, row.more)
			idle := 20 * time.Millisecond
			if name != "long enough" {
				idle = 3 * time.Second // they are looked at sooner
			}
			tr := u.transport(t, idle, 8, func() { unasked.Add(1) })
			if name == "long enough" { // and again, when nobody looks at connections any more
				read(t, send(t, tr)) //nolint:bodyclose // read closes it
				<-u.ended
			}
			read(t, send(t, tr)) //nolint:bodyclose // read closes it
			switch name {
			case "closed":
				<-closed
			case "spoken on":
				closed <- nil
			}
			<-u.ended
			if unasked.Load() != row.unasked {
				t.Errorf("%d unasked", unasked.Load())
			}
		})
	}
}

// What is in use when the idle ones are closed is closed once it is not, and a
// request after that has a connection to keep again.
func TestCloseIdleConnections(t *testing.T) {
	u := newUpstream(t, nil)
	tr := u.transport(t, time.Minute, 8, nil)
	first, second := send(t, tr), send(t, tr) //nolint:bodyclose // read closes it
	read(t, first)
	tr.CloseIdleConnections()
	if n := <-u.ended; n != 1 {
		t.Errorf("connection %d ended", n)
	}
	read(t, second)
	if n := <-u.ended; n != 2 {
		t.Errorf("connection %d ended", n)
	}
	for range 3 {
		read(t, send(t, tr)) //nolint:bodyclose // read closes it
	}
	if n := u.dialled.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// No more than so many are kept, and those nobody uses have no goroutine.
func TestIdleConnectionsAreFewAndCheap(t *testing.T) {
	u := newUpstream(t, nil)
	before := goleak.IgnoreCurrent()
	tr := u.transport(t, time.Minute, 3, nil)
	var answers []*http.Response
	for range 5 {
		answers = append(answers, send(t, tr)) //nolint:bodyclose // read closes it
	}
	for _, resp := range answers {
		read(t, resp)
	}
	for range 2 {
		<-u.ended
	}
	ours := []goleak.Option{before, goleak.IgnoreAnyFunction("github.com/wicketgate/wicketgate/proxy/onward_test.(*upstream).serve")}
	if err := goleak.Find(ours...); err != nil {
		t.Error(err)
	}
	read(t, send(t, tr)) //nolint:bodyclose // read closes it
	if n := u.dialled.Load(); n != 5 {
		t.Errorf("%d connections", n)
	}
}

// A connection that cannot be asked what has come serves one request.
func TestUnknownConnectionsAreNotKept(t *testing.T) {
	var running sync.WaitGroup
	dialled := 0
	tr := onward.New(onward.Options{MaxIdle: 8, MaxHeader: 1 << 18, Idle: time.Minute, Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		dialled++
		running.Go(func() {
			_, _ = http.ReadRequest(bufio.NewReader(far))
			_, _ = io.WriteString(far, ok)
			_, _ = far.Read(make([]byte, 1))
			_ = far.Close()
		})
		return near, nil
	}})
	for range 2 {
		read(t, send(t, tr)) //nolint:bodyclose // read closes it
	}
	running.Wait()
	if dialled != 2 {
		t.Errorf("%d connections", dialled)
	}
}

// doubtful writes all, and says that it did not.
type doubtful struct{ *net.TCPConn }

func (d doubtful) Write(p []byte) (int, error) {
	_, _ = d.TCPConn.Write(p)
	return 0, fmt.Errorf("no room")
}

// An answer may come to a request that was not written whole. Its connection
// serves no other.
func TestHalfWrittenRequests(t *testing.T) {
	u := newUpstream(t, nil)
	tr := onward.New(onward.Options{MaxIdle: 8, MaxHeader: 1 << 18, Idle: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Addr().String())
		if err != nil {
			return nil, err
		}
		return doubtful{conn.(*net.TCPConn)}, nil
	}})
	t.Cleanup(tr.CloseIdleConnections)
	for range 2 {
		read(t, send(t, tr)) //nolint:bodyclose // read closes it
	}
	if n := u.dialled.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// A request that cannot be written is no connection's fault, and is not tried on
// one after the other.
func TestUnwritableRequestsCostOneConnection(t *testing.T) {
	u := newUpstream(t, nil)
	tr := u.transport(t, time.Minute, 8, nil)
	var answers []*http.Response
	for range 3 {
		answers = append(answers, send(t, tr)) //nolint:bodyclose // read closes it
	}
	for _, resp := range answers {
		read(t, resp)
	}
	for _, body := range []io.Reader{nil, io.MultiReader()} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://upstream/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = "\x01"
		if _, err := tr.RoundTrip(r); err == nil { //nolint:bodyclose // there is none
			t.Error("written")
		}
	}
	read(t, send(t, tr)) //nolint:bodyclose // read closes it
	if n := u.dialled.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// A dial that fails is the request's error, and one that its context ended has
// the cause of that.
func TestDial(t *testing.T) {
	broken, why := fmt.Errorf("broken"), fmt.Errorf("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	tr := onward.New(onward.Options{Dial: func(dialling context.Context) (net.Conn, error) {
		if dialling == ctx {
			cancel(why)
		}
		return nil, broken
	}})
	for _, row := range []struct {
		ctx  context.Context
		want error
	}{{t.Context(), broken}, {ctx, why}, {ctx, why}} {
		r, err := http.NewRequestWithContext(row.ctx, http.MethodGet, "http://upstream/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.RoundTrip(r); err != row.want { //nolint:bodyclose,errorlint // these very values, and no body
			t.Errorf("%v, want %v", err, row.want)
		}
	}
}
