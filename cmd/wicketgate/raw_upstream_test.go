package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawUpstream notes every octet that the gate sends, connection by connection,
// and answers each request that it finds in them with octets of the test's
// choice.
type rawUpstream struct {
	net.Listener
	running sync.WaitGroup

	mu      sync.Mutex // guards all below
	heard   []*bytes.Buffer
	targets []string // of the requests found, with their method
	headers []http.Header
	bodies  []string
	answer  func(r *http.Request) (text string, last bool)
	early   bool // answer before the body is read
}

const rawOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func newRawUpstream(t testing.TB) *rawUpstream {
	t.Helper()
	u := &rawUpstream{Listener: listenLoopback(t)}
	u.running.Go(func() {
		for {
			conn, err := u.Accept()
			if err != nil {
				return
			}
			u.running.Go(func() { u.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = u.Close()
		u.running.Wait()
	})
	return u
}

// note is where a connection's octets go.
func (u *rawUpstream) note() *bytes.Buffer {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.heard = append(u.heard, &bytes.Buffer{})
	return u.heard[len(u.heard)-1]
}

type notedReader struct {
	io.Reader
	u  *rawUpstream
	to *bytes.Buffer
}

func (n notedReader) Read(p []byte) (int, error) {
	count, err := n.Reader.Read(p)
	n.u.mu.Lock()
	defer n.u.mu.Unlock()
	_, _ = n.to.Write(p[:count])
	return count, err
}

func (u *rawUpstream) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(notedReader{conn, u, u.note()})
	for u.one(conn, in) {
	}
}

// one reads a request and answers it. What is no request is noted to its end.
func (u *rawUpstream) one(conn net.Conn, in *bufio.Reader) (more bool) {
	r, err := http.ReadRequest(in)
	if err != nil {
		_, _ = io.Copy(io.Discard, in)
		return false
	}
	u.mu.Lock()
	answer, early := u.answer, u.early
	u.mu.Unlock()
	if answer == nil {
		answer = func(*http.Request) (string, bool) { return rawOK, false }
	}
	text, last := answer(r)
	if early {
		_, _ = io.WriteString(conn, text)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	u.mu.Lock()
	u.targets, u.headers, u.bodies = append(u.targets, r.Method+" "+r.RequestURI), append(u.headers, r.Header), append(u.bodies, string(body))
	u.mu.Unlock()
	if !early {
		_, _ = io.WriteString(conn, text)
	}
	return !last
}

func (u *rawUpstream) setAnswer(answer func(*http.Request) (string, bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

func (u *rawUpstream) says(text string, last bool) {
	u.setAnswer(func(*http.Request) (string, bool) { return text, last })
}

// octets is how many octets arrived so far, on however many connections.
func (u *rawUpstream) octets() (n, connections int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range u.heard {
		n += b.Len()
	}
	return n, len(u.heard)
}

// requests is the requests found so far, by method and target.
func (u *rawUpstream) requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.targets...)
}

// last is the last request as it came: its head, and its body unframed.
func (u *rawUpstream) last() (head string, fields http.Header, body string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.targets) == 0 {
		return "", nil, ""
	}
	target := u.targets[len(u.targets)-1]
	for _, b := range u.heard {
		if at := strings.LastIndex(b.String(), target+" HTTP/1.1\r\n"); at >= 0 {
			head, _, _ = strings.Cut(b.String()[at:], "\r\n\r\n")
		}
	}
	return head, u.headers[len(u.headers)-1], u.bodies[len(u.bodies)-1]
}

// transcripts is all octets of each connection, once there are no more to come.
func (u *rawUpstream) transcripts(w *wire) []string {
	w.gateway.stores.upstreams.Close()
	_ = u.Close()
	u.running.Wait() // what is not idle was cut off, or the test hangs here
	list := make([]string, len(u.heard))
	for i, b := range u.heard {
		list[i] = b.String()
	}
	return list
}

// wire is a gate between raw octets on both sides.
type wire struct {
	*fixture
	behind *rawUpstream
	at     string // a field line with a good token
}

func newWire(t *testing.T, edit func(string) string) *wire {
	t.Helper()
	behind := newRawUpstream(t)
	f := newFixture(t, func(text string) string {
		text = strings.Replace(text, `upstream: "%[5]s"`, `upstream: "http://`+behind.Addr().String()+`"`, 1)
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	return &wire{f, behind, "Authorization: Bearer " + f.AT(map[string]any{"scope": "read write"})}
}

// open writes the head of a raw request that leaves the connection open.
func (w *wire) open(method, target string, lines ...string) string {
	all := append([]string{method + " " + target + " HTTP/1.1", "Host: rs.example.com", w.at}, lines...)
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

func (w *wire) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	return conn
}

// all sends octets and reads the answers to the end of the connection, which
// must be the gate's doing. The writing side stays open.
func (w *wire) all(t *testing.T, text string) []*reply {
	t.Helper()
	conn := w.dial(t)
	go func() { _, _ = io.WriteString(conn, text) }()
	raw, err := io.ReadAll(conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // as it comes from a connection
		t.Errorf("the connection stays open after %.200q", raw)
	}
	var list []*reply
	in := bufio.NewReader(bytes.NewReader(raw))
	for {
		if _, err := in.Peek(1); err != nil {
			return list
		}
		list = append(list, nextReply(t, in, http.MethodGet))
	}
}

// nextReply reads one final answer.
func nextReply(t *testing.T, in *bufio.Reader, method string) *reply {
	t.Helper()
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("no answer that can be read: %v", err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			if err != nil {
				body = append(body, " and no end"...)
			}
			return &reply{resp, string(body)}
		}
	}
}

// untouchedOctets runs do and wants the upstream neither dialled nor told
// anything.
func (w *wire) untouchedOctets(t *testing.T, do func()) {
	t.Helper()
	octets, connections := w.behind.octets()
	do()
	if o, c := w.behind.octets(); o != octets || c != connections {
		t.Errorf("the upstream saw %d octets more on %d connections more", o-octets, c-connections)
	}
}

// closes sends octets that are refused with one of the statuses, once, by
// closing the connection; the upstream hears nothing.
func (w *wire) closes(t *testing.T, text string, statuses ...int) {
	t.Helper()
	w.untouchedOctets(t, func() {
		list := w.all(t, text)
		if len(list) != 1 {
			t.Errorf("%d answers to %.300q", len(list), strings.ReplaceAll(text, w.at, "…"))
			return
		}
		wantOneOf(t, list[0], text, statuses)
		if !list[0].Close {
			t.Errorf("the answer does not say that the connection closes: %v", list[0].Header)
		}
	})
}

func wantOneOf(t *testing.T, r *reply, text string, statuses []int) {
	t.Helper()
	for _, s := range statuses {
		if r.StatusCode == s {
			return
		}
	}
	t.Errorf("%d %.200q to %.300q, want %v", r.StatusCode, r.body, text, statuses)
}

// refuses sends a request that is refused and leaves the connection to the
// next, which is decided by itself.
func (w *wire) refuses(t *testing.T, text string, status int) *reply {
	t.Helper()
	conn := w.dial(t)
	in := bufio.NewReader(conn)
	var r *reply
	w.untouchedOctets(t, func() {
		_, _ = io.WriteString(conn, text)
		r = nextReply(t, in, http.MethodGet)
		wantOneOf(t, r, text, []int{status})
	})
	if !r.Close { // it does where net/http refused by itself
		w.serves(t, conn, in)
	}
	return r
}

// passes sends a request that is forwarded, and leaves the connection to the
// next. It returns what the upstream saw.
func (w *wire) passes(t *testing.T, text string) (head string, fields http.Header, body string) {
	t.Helper()
	conn := w.dial(t)
	in := bufio.NewReader(conn)
	before := len(w.behind.requests())
	_, _ = io.WriteString(conn, text)
	method, _, _ := strings.Cut(text, " ")
	wantOneOf(t, nextReply(t, in, method), text, []int{200})
	if n := len(w.behind.requests()) - before; n != 1 {
		t.Fatalf("the upstream saw %d requests of %.300q", n, text)
	}
	head, fields, body = w.behind.last()
	if got := fields["X-Auth-Subject"]; len(got) != 1 || got[0] != "user-1" {
		t.Errorf("the upstream saw X-Auth-Subject %q", got)
	}
	w.serves(t, conn, in)
	return head, fields, body
}

// serves wants the connection to take one more good request.
func (w *wire) serves(t *testing.T, conn net.Conn, in *bufio.Reader) {
	t.Helper()
	before := len(w.behind.requests())
	_, _ = io.WriteString(conn, w.open("GET", "/any/after"))
	if r := nextReply(t, in, http.MethodGet); r.StatusCode != http.StatusOK {
		t.Errorf("the next request on the connection: %d %s", r.StatusCode, r.body)
		return
	}
	if seen := w.behind.requests()[before:]; len(seen) != 1 || seen[0] != "GET /any/after" {
		t.Errorf("of the next request the upstream saw %q", seen)
	}
}
