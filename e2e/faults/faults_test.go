package faults

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

const long = 100_000 // octets of an answer that faults happen within

// serve answers with a long text, or breaks off as the path says.
func serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/reset-in-body", "/close-in-body", "/reset-in-head", "/half-closed":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		breakOff(conn.(*net.TCPConn), r.URL.Path)
	default:
		_, _ = fmt.Fprint(w, strings.Repeat("x", long))
	}
}

func breakOff(conn *net.TCPConn, how string) {
	defer func() { _ = conn.Close() }()
	switch how {
	case "/reset-in-head":
		_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-")
	case "/half-closed":
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", long, strings.Repeat("x", long))
		_ = conn.CloseWrite()
		_, _ = conn.Read(make([]byte, 1)) // until the gate closes, too
		return
	default:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", long, strings.Repeat("x", long/2))
	}
	time.Sleep(50 * time.Millisecond) // so that all of it arrives before the reset does
	if strings.HasPrefix(how, "/reset") {
		_ = conn.SetLinger(0)
	}
}

// want is what becomes of one request.
type want struct {
	status  int
	cut     bool // the answer must not end as an answer does
	result  string
	healthy float64
}

var (
	whole   = want{200, false, "ok", 1}
	broken  = want{200, true, "cut", 1}
	noWay   = want{502, false, "error", 0}
	tooLate = want{504, false, "timeout", 0}
)

// TestR33 takes the upstream away in each way; afterwards the next request is
// good at once.
func TestR33(t *testing.T) {
	upstream := newCounter(t, serve)
	way := newSpoiled(t, upstream.address)
	s := newStand(t, "http://"+way.Listen, "")
	toxic := func(kind, attributes string) func() { return func() { way.spoil(kind, attributes) } }
	for _, c := range []struct {
		name  string
		path  string
		begin func()
		want  want
	}{
		{"refused", "/", way.Stop, noWay},
		{"no header in time", "/", toxic("timeout", `{"timeout":0}`), tooLate},
		{"closed before the head", "/", toxic("limit_data", `{"bytes":0}`), noWay},
		{"closed in the head", "/", toxic("limit_data", `{"bytes":40}`), noWay},
		{"reset before the head", "/", toxic("reset_peer", `{"timeout":0}`), noWay},
		{"reset in the head", "/reset-in-head", nil, noWay},
		{"closed in the body", "/close-in-body", nil, broken},
		{"closed in the body, on the way", "/", toxic("limit_data", `{"bytes":50000}`), broken},
		{"reset in the body", "/reset-in-body", nil, broken},
		{"little bandwidth", "/", toxic("bandwidth", `{"rate":400}`), whole},
		{"in slices", "/", toxic("slicer", `{"average_size":500,"size_variation":200,"delay":50}`), whole},
		{"slow", "/", toxic("latency", `{"latency":300,"jitter":100}`), whole},
	} {
		for _, client := range []struct {
			name string
			*http.Client
		}{{"HTTP/1.1", s.h1}, {"HTTP/2", s.h2}} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				t.Run(c.name+", "+method+" over "+client.name, func(t *testing.T) {
					s.t = t
					// Where nothing is kept, nothing is repeated: each outcome is that of one try.
					way.Stop()
					if err := way.Start(); err != nil {
						t.Fatal(err)
					}
					until(t, "the gate has noticed", 10*time.Second, func() bool { return s.send(s.h1, http.MethodGet, "/", "").status == 200 })
					way.Stop()
					if err := way.Start(); err != nil {
						t.Fatal(err)
					}
					if c.begin != nil {
						c.begin()
					}
					s.wants(client.Client, method, c.path, c.want)
					way.heal()
					if !way.Enabled {
						if err := way.Start(); err != nil {
							t.Fatal(err)
						}
					}
					s.recovers(client.Client)
				})
			}
		}
	}
}

// wants sends a request and wants this of it, in the answer and in the metrics.
func (s *stand) wants(client *http.Client, method, path string, w want) {
	s.t.Helper()
	before := s.results(w.result)
	got := s.send(client, method, path, "body")
	if w.cut && got.err == nil || !w.cut && got.err != nil {
		s.t.Errorf("the answer's end: %v", got.err)
	}
	if got.status != w.status && !(w.cut && got.status == 0) {
		s.t.Errorf("status %d, want %d: %.200s", got.status, w.status, got.body)
	}
	if w.status == 200 && !w.cut && got.body != strings.Repeat("x", long) {
		s.t.Errorf("%d octets of %d", len(got.body), long)
	}
	until(s.t, "a "+w.result+" is counted", 5*time.Second, func() bool { return s.results(w.result) == before+1 })
	if got := s.healthy(); got != w.healthy {
		s.t.Errorf("upstream_healthy %v, want %v", got, w.healthy)
	}
}

// recovers wants the very next request to be good. A GET may be repeated, and a
// POST is not sent where the transport knows the connection to be gone.
func (s *stand) recovers(client *http.Client) {
	s.t.Helper()
	if got := s.send(client, http.MethodGet, "/", ""); got.status != 200 || got.err != nil {
		s.t.Errorf("after it, the next request: %d, %v", got.status, got.err)
	}
	if got := s.healthy(); got != 1 {
		s.t.Errorf("after it, upstream_healthy is %v", got)
	}
}

// TestR33HalfClosed has an upstream that says nothing more after each answer, but
// listens still: such a connection is not asked again.
func TestR33HalfClosed(t *testing.T) {
	upstream := newCounter(t, serve)
	s := newStand(t, "http://"+upstream.address, "")
	const requests = 30
	for range requests {
		if got := s.send(s.h1, http.MethodGet, "/half-closed", ""); got.err != nil || got.status != 200 || len(got.body) != long {
			t.Errorf("%d, %d octets, %v", got.status, len(got.body), got.err)
		}
	}
	answered := 0
	for range requests {
		if got := s.send(s.h1, http.MethodPost, "/half-closed", "body"); got.status == 200 {
			answered++
		} else if got.status != 502 {
			t.Errorf("%d, %v", got.status, got.err)
		}
	}
	if n := upstream.times("POST /half-closed"); n != answered {
		t.Errorf("%d executed, %d answered", n, answered)
	}
}

// TestR33BlackHole connects to where nobody answers at all: a listener whose
// queue is full.
func TestR33BlackHole(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
	for range 8 { // more than its queue takes
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	s := newStand(t, "http://"+address, "")
	for range 2 {
		s.wants(s.h1, http.MethodGet, "/", tooLate)
	}
}

// TestUnaskedOctetsAreNotLogged: what an upstream sends when nobody asks is in
// nobody's answer and nowhere in the log (S-08).
func TestUnaskedOctetsAreNotLogged(t *testing.T) {
	const octets = "X-Secret-Of-The-Upstream"
	upstream := newCounter(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"+octets+": 1\r\nContent-Length: 0\r\n\r\n")
		time.Sleep(20 * time.Millisecond)
	})
	s := newStand(t, "http://"+upstream.address, "")
	const requests = 20
	for range requests {
		if got := s.send(s.h1, http.MethodGet, "/", ""); got.body != "ok" || got.header.Get(octets) != "" {
			t.Errorf("got %+v", got)
		}
	}
	until(t, "all is counted", 5*time.Second, func() bool { return s.value("wicketgate_upstream_unsolicited_total") == requests })
	if text := s.log.String(); strings.Contains(text, octets) || !strings.Contains(text, "upstream sent octets that answer no request") {
		t.Errorf("the log: %s", text)
	}
}
