package proxyprotocol

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are made by dial.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

// from is a connection that tells where it comes from.
type from struct {
	net.Conn
	remote net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.remote }

func (p *pipes) dial(t *testing.T, remote string) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	p.accepted <- from{there, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))}
	return here
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serve answers requests with the address of their client.
func serve(t *testing.T, timeout time.Duration) (p *pipes, refused *atomic.Int64) {
	t.Helper()
	p, refused = newPipes(), &atomic.Int64{}
	l := Listen(p, Options{
		Timeout: timeout, Refused: func() { refused.Add(1) },
		Trusted: func(a netip.Addr) bool { return netip.MustParsePrefix("10.0.0.0/8").Contains(a) },
	})
	s := &http.Server{
		ReadHeaderTimeout: timeout,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Shutdown(context.Background()); <-done })
	return p, refused
}

const request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

func wantAnswer(t *testing.T, c net.Conn, want string) {
	t.Helper()
	answer, _ := io.ReadAll(c)
	if (want == "") != (len(answer) == 0) || !strings.HasSuffix(string(answer), "\r\n"+want) && want != "" {
		t.Errorf("answered %q, want %q", answer, want)
	}
	_ = c.Close()
}

func TestAddressIsThatOfTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, refused := serve(t, 10*time.Second)
		for header, want := range good() {
			if want == "local" {
				want = "10.0.0.9:5"
			}
			c := p.dial(t, "10.0.0.9:5")
			_, _ = io.WriteString(c, header+request)
			wantAnswer(t, c, want)
			// An octet at a time is the same.
			c = p.dial(t, "[::ffff:10.0.0.9]:5")
			go func() {
				for i := range len(header) {
					_, _ = io.WriteString(c, header[i:i+1])
				}
				_, _ = io.WriteString(c, request)
			}()
			if want != "10.0.0.9:5" { // written otherwise
				wantAnswer(t, c, want)
			} else {
				_, _ = io.ReadAll(c)
			}
		}
		if n := refused.Load(); n != 0 {
			t.Errorf("%d refused", n)
		}
	})
}

func TestNoHeaderNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, refused := serve(t, 10*time.Second)
		want := int64(0)
		for _, text := range append(bad(), request, "") {
			c := p.dial(t, "10.0.0.9:5")
			go func() {
				_, _ = io.WriteString(c, text)
				if len(text) < fixed { // it may go on
					_ = c.Close()
				}
			}()
			wantAnswer(t, c, "")
			want++
		}
		for _, header := range []string{"", "PROXY TCP4 7.7.7.7 10.0.0.1 99 8420\r\n"} { // from a stranger
			c := p.dial(t, "6.6.6.6:5")
			go func() { _, _ = io.WriteString(c, header+request) }()
			wantAnswer(t, c, "")
			want++
		}
		synctest.Wait()
		if n := refused.Load(); n != want {
			t.Errorf("%d refused, want %d", n, want)
		}
	})
}

// TestHeaderComesInTime: neither silence nor a dribble holds a connection for
// longer than a header may take, and others are served meanwhile.
func TestHeaderComesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, refused := serve(t, 10*time.Second)
		silent, slow := p.dial(t, "10.0.0.9:5"), p.dial(t, "10.0.0.9:6")
		go func() {
			for _, c := range []byte("PROXY TCP4 6.6.6.6 10.0.0.1 99 8420\r\n") {
				if _, err := slow.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		c := p.dial(t, "10.0.0.9:7")
		_, _ = io.WriteString(c, "PROXY UNKNOWN\r\n"+request)
		wantAnswer(t, c, "unknown")
		began := time.Now()
		wantAnswer(t, silent, "")
		wantAnswer(t, slow, "")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("closed after %s", took)
		}
		synctest.Wait()
		if n := refused.Load(); n != 2 {
			t.Errorf("%d refused", n)
		}
		// What comes behind a header has its own time, and a header in time leaves no
		// deadline behind.
		c = p.dial(t, "10.0.0.9:8")
		_, _ = io.WriteString(c, "PROXY UNKNOWN\r\n")
		time.Sleep(9 * time.Second)
		_, _ = io.WriteString(c, request)
		wantAnswer(t, c, "unknown")
	})
}

// TestManyMayWait opens more connections without a header than are ever
// accepted in a row.
func TestManyMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, refused := serve(t, 0)
		var waiting []net.Conn
		for range 1000 {
			waiting = append(waiting, p.dial(t, "10.0.0.9:5"))
		}
		for _, c := range waiting {
			_ = c.Close()
		}
		synctest.Wait()
		if n := refused.Load(); n != 1000 {
			t.Errorf("%d refused", n)
		}
	})
}

func TestHalfOfAConnectionCloses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = Listen(l, Options{Trusted: func(netip.Addr) bool { return true }, Refused: func() {}})
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "PROXY UNKNOWN\r\nrest")
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	if err := there.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(there)
	if string(rest) != "rest" || err != nil || there.RemoteAddr().String() != "unknown" || there.RemoteAddr().Network() != "tcp" {
		t.Errorf("%q, %v from %v", rest, err, there.RemoteAddr())
	}
	// What has no halves is not closed by half.
	if err := (&conn{Conn: from{}}).CloseWrite(); err != nil {
		t.Error(err)
	}
}
