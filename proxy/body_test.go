package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
)

// askedAgain is a request's body whose reader is asked for more after its end
// only when the answer has begun.
type askedAgain struct {
	io.ReadCloser
	answered <-chan struct{}
	ended    bool
}

func (b *askedAgain) Read(p []byte) (int, error) {
	if b.ended {
		<-b.answered
	}
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// An upstream answers as soon as it has the last octet. net/http's client has
// still to ask for the end of the body then, and net/http's server closes the
// body when the answer begins: neither may cost the answer its rest.
func TestQuickAnswer(t *testing.T) {
	const asked, told = 20_000, 32 << 20
	answered := make(chan struct{})
	begun := sync.OnceFunc(func() { close(answered) })
	defer begun()
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer func() { _ = upstream.Close() }()
	running.Go(func() {
		conn, err := upstream.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", told, strings.Repeat("a", 8<<10))
		<-answered
		_, _ = io.WriteString(conn, strings.Repeat("a", told-8<<10))
	})
	gate := httptest.NewServer(letAll(t, "http://"+upstream.Addr().String(), func(r *http.Request) {
		r.Body = &askedAgain{ReadCloser: r.Body, answered: answered}
	}))
	defer gate.Close()
	resp, err := http.Post(gate.URL+"/x", "text/plain", strings.NewReader(strings.Repeat("b", asked)))
	begun()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if n, err := io.Copy(io.Discard, resp.Body); n != told || err != nil || resp.Close {
		t.Errorf("%d octets of %d, %v, close %t", n, told, err, resp.Close)
	}
}

// letAll is a gate that lets everything through, once before has seen it.
func letAll(t *testing.T, upstream string, before func(*http.Request)) http.Handler {
	t.Helper()
	set, err := policy.Compile([]policy.Options{{Path: "/**", Public: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	upstreams := NewUpstreams()
	t.Cleanup(upstreams.Close)
	up, err := upstreams.Open(upstream, DefaultTimeouts)
	if err != nil {
		t.Fatal(err)
	}
	gates := &Switch{}
	gates.Set(&Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: &Gate{Policy: set, Upstream: up, Forward: []*Forward{{}}}}}})
	door := NewReverse(ReverseOptions{Switch: gates})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before(r)
		door.ServeHTTP(w, r)
	})
}

// A form that was read whole leaves nothing to hang up on: a deadline then
// would end the watch over the client, and with it the context of every
// request that follows on the connection.
func TestRefusedFormKeepsConnection(t *testing.T) {
	set, err := policy.Compile(nil, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	gates := &Switch{}
	gates.Set(&Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: &Gate{Policy: set, Sources: Sources{Body: true}}}}})
	door := NewReverse(ReverseOptions{Switch: gates})
	requests := 0
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; r.Context().Err() != nil {
			t.Errorf("request %d: %v", requests, r.Context().Err())
		}
		door.ServeHTTP(w, r)
	}))
	defer gate.Close()
	conn, err := net.Dial("tcp", gate.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for range 20 {
		if _, err := io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b"); err != nil {
			t.Fatal(err)
		}
		var resp *http.Response
		for resp == nil || resp.StatusCode == http.StatusContinue {
			if resp, err = http.ReadResponse(in, nil); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK || resp.Close {
			t.Fatalf("%d, close %t", resp.StatusCode, resp.Close)
		}
	}
}
