package bound

import (
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p); return nil }

func (p pipes) Addr() net.Addr { return nil }

func TestConnections(t *testing.T) {
	all := NewConnections()
	all.Use(2, 0, 0)
	refused := 0
	ends := make(pipes, 4)
	l := all.Listener(ends, func() { refused++ })
	dial := func() net.Conn {
		here, there := net.Pipe()
		ends <- there
		return here
	}
	var clients, accepted []net.Conn
	for range 2 {
		clients = append(clients, dial())
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.(*conn).begin() // a request of it is being answered
		accepted = append(accepted, c)
	}
	third := dial()
	_ = accepted[0].Close()
	_ = accepted[0].Close() // counts once
	all.Use(1, 0, 0)
	fourth := dial()
	close(ends)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) || refused != 2 {
		t.Errorf("%v, and %d refused", err, refused)
	}
	for _, c := range []net.Conn{third, fourth} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a refused connection says %v", err)
		}
	}
	_ = accepted[1].Close()
	if n := all.open; n != 0 {
		t.Errorf("%d connections are open in the end", n)
	}
	for _, c := range clients {
		_ = c.Close()
	}
}

// An answer may take any time while it moves, and none when it does not.
func TestWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := NewConnections()
		all.Use(0, 0, time.Minute)
		ends := make(pipes, 1)
		here, there := net.Pipe()
		ends <- there
		c, err := all.Listener(ends, nil).Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 10 {
				time.Sleep(59 * time.Second)
				_, _ = here.Read(make([]byte, 1))
			}
		}()
		for range 10 {
			if _, err := c.Write([]byte("a")); err != nil {
				t.Fatalf("an answer that moves: %v", err)
			}
		}
		began := time.Now()
		if _, err := c.Write([]byte("a")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("an answer that nobody reads: %v after %v", err, time.Since(began))
		}
		_, _ = c.Close(), here.Close()
	})
}

// slow gives an octet every wait, until it is cut.
type slow struct {
	*httptest.ResponseRecorder
	wait time.Duration
	cut  chan struct{}
}

func (s *slow) SetReadDeadline(time.Time) error { close(s.cut); return nil }

func (s *slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.wait):
		p[0] = 'a'
		return 1, nil
	case <-s.cut:
		return 0, os.ErrDeadlineExceeded
	}
}

func (s *slow) Close() error { return nil }

func TestBodyStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{httptest.NewRecorder(), 29 * time.Second, make(chan struct{})}
		b := NewBody(s, s, 30*time.Second, -1)
		if n, err := io.ReadFull(b, make([]byte, 1000)); err != nil {
			t.Errorf("a body that moves ends after %d octets: %v", n, err)
		}
		time.Sleep(time.Hour) // the upstream takes its time: not the client's fault
		if b.Stalled() {
			t.Error("cut while nobody read")
		}
		s.wait = time.Hour
		if _, err := b.Read(make([]byte, 1)); err == nil || !b.Stalled() || !b.Broken() || b.Whole() {
			t.Errorf("a body that does not: %v, stalled %v, broken %v", err, b.Stalled(), b.Broken())
		}
	})
}

func TestBodySize(t *testing.T) {
	for octets, tooLarge := range map[int]bool{0: false, 99: false, 100: false, 101: true, 5000: true} {
		b := NewBody(io.NopCloser(strings.NewReader(strings.Repeat("a", octets))), httptest.NewRecorder(), 0, 100)
		text, err := io.ReadAll(b)
		if len(text) > 100 || b.TooLarge() != tooLarge || (err != nil) != tooLarge || b.Whole() == tooLarge {
			t.Errorf("%d octets: read %d, %v, too large %v, whole %v", octets, len(text), err, b.TooLarge(), b.Whole())
		}
	}
}

// spent is a body that net/http has closed when its end was read.
type spent struct{ io.Reader }

func (s spent) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.Reader.(*strings.Reader).Len() == 0 && n == 0 {
		return 0, errors.New("the body is closed")
	}
	if s.Reader.(*strings.Reader).Len() == 0 {
		err = io.EOF
	}
	return n, err
}

// The end of a body stays its end, and one that is cut gives nothing any more.
func TestEndsOfBodies(t *testing.T) {
	for name, row := range map[string]struct {
		before func(*Body)
		want   error
	}{
		"read twice": {func(b *Body) { _, _ = io.ReadAll(b) }, io.EOF},
		"cut":        {(*Body).Cut, errBodyCut},
		"ended":      {(*Body).End, errBodyCut},
	} {
		b := NewBody(io.NopCloser(spent{strings.NewReader("body")}), httptest.NewRecorder(), 0, -1)
		row.before(b)
		p := make([]byte, 9)
		if n, err := b.Read(p); n > 0 || !errors.Is(err, row.want) {
			t.Errorf("%s: %q, %v", name, p[:n], err)
		}
	}
}

// odd is a connection without deadlines, which can be closed by halves.
type odd struct {
	net.Conn
	half error
}

var errNoDeadline, errHalf = errors.New("no deadline"), errors.New("closed by halves")

func (o odd) SetWriteDeadline(time.Time) error { return errNoDeadline }

func (o odd) Write(p []byte) (int, error) { return len(p), nil }

func (o odd) CloseWrite() error { return o.half }

// What cannot be bounded is not written, and who can close half of a connection
// does so.
func TestWhatAConnectionCan(t *testing.T) {
	all := NewConnections()
	ends := make(pipes, 2)
	l := all.Listener(ends, nil)
	here, there := net.Pipe()
	ends <- odd{there, errHalf}
	ends <- here
	able, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := able.Write([]byte("a")); n != 1 || err != nil {
		t.Errorf("without a bound %d, %v", n, err)
	}
	all.Use(0, 0, time.Minute)
	if n, err := able.Write([]byte("a")); n != 0 || !errors.Is(err, errNoDeadline) {
		t.Errorf("with a bound that does not hold %d, %v", n, err)
	}
	for c, want := range map[net.Conn]error{able: errHalf, plain: nil} {
		if err := c.(*conn).CloseWrite(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		_ = c.Close()
	}
}

func TestAffordable(t *testing.T) {
	for _, row := range []struct {
		wanted      int
		descriptors uint64
		want        int
	}{{20_000, 1 << 20, 20_000}, {20_000, 1024, 384}, {100, 1024, 100}, {100, 256, 64}, {100, 64, 16}, {100, 3, 1}, {100, 0, 1}, {20_000, 1<<64 - 1, 20_000}} {
		if got := Affordable(row.wanted, row.descriptors); got != row.want {
			t.Errorf("%d wanted with %d descriptors: %d, want %d", row.wanted, row.descriptors, got, row.want)
		}
	}
	if Descriptors() < 16 {
		t.Error("the process cannot open anything")
	}
}
