package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// slowUpstream answers nothing below /…/hang until it is let, and counts the
// connections it is asked over.
type slowUpstream struct {
	*httptest.Server
	location  string
	connected atomic.Int64
	arrived   chan string
	let       chan struct{}
}

func newSlowUpstream(t *testing.T, scheme string) *slowUpstream {
	t.Helper()
	u := &slowUpstream{arrived: make(chan string, 8), let: make(chan struct{})}
	u.Server = httptest.NewUnstartedServer(u)
	u.Config.Protocols = new(http.Protocols)
	u.Config.Protocols.SetHTTP1(scheme != "h2c")
	u.Config.Protocols.SetUnencryptedHTTP2(scheme == "h2c")
	u.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			u.connected.Add(1)
		}
	}
	if scheme == "unix" {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = u.Listener.Close()
		u.Listener = l
		u.location = "unix://" + path
	} else {
		u.location = scheme + "://" + u.Listener.Addr().String()
	}
	u.Start()
	t.Cleanup(u.Close)
	return u
}

// ServeHTTP implements http.Handler.
func (u *slowUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" && strings.HasSuffix(r.URL.Path, "/ws") {
		echoFrame(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	begins := strings.HasSuffix(r.URL.Path, "/begin")
	if begins {
		_, _ = io.WriteString(w, "be")
		_ = http.NewResponseController(w).Flush()
	}
	if begins || strings.HasSuffix(r.URL.Path, "/hang") {
		u.arrived <- r.URL.Path
		select {
		case <-u.let:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "whole"+string(body))
}

// echoFrame agrees to a handshake, and sends the first frame back.
func echoFrame(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+wsAccept(r.Header.Get("Sec-Websocket-Key"))+"\r\n\r\n")
	if frame, err := readFrame(rw.Reader); err == nil {
		_, _ = conn.Write(frame.bytes(nil))
	}
}

// timed is a gate before such an upstream, whose routes quick and patient have a
// timeout of their own, and any has not.
type timed struct {
	*fixture
	u *slowUpstream
}

func newTimed(t *testing.T, scheme, transport, usual string) *timed {
	t.Helper()
	u := newSlowUpstream(t, scheme)
	f := newFixture(t, func(text string) string {
		text = instead(t, text, `upstream: "%[5]s"`, `upstream: "`+u.location+`"`)
		text = instead(t, text, "    routes:\n", "    routes:\n      - {name: quick, path: /quick/**, timeout: 100ms, websocket: "+fmt.Sprint(scheme != "h2c")+"}\n      - {name: patient, path: /patient/**, timeout: 1h}\n")
		return text + "timeouts: {upstream_header: " + usual + "}\nupstream_transport: " + transport + "\n"
	})
	return &timed{f, u}
}

// later sends a request of which the test wants the answer in the end.
func (f *timed) later(path string, body io.Reader) <-chan string {
	told := make(chan string, 1)
	go func() {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute) // who is never cut hangs no longer
		defer cancel()
		method := http.MethodGet
		if body != nil {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(ctx, method, f.url+path, body)
		if err != nil {
			told <- err.Error()
			return
		}
		req.Header.Set("Authorization", "Bearer "+f.AT(nil))
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			told <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		told <- fmt.Sprint(resp.StatusCode, " ", string(text), " ", err)
	}()
	return told
}

func (f *timed) wants(t *testing.T, what string, told <-chan string, want string) {
	t.Helper()
	if got := <-told; got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

const (
	cutShort = `504 {"error":"gateway_timeout","error_description":"the upstream did not answer in time"} <nil>`
	letGo    = "200 whole <nil>"
)

// TestRouteTimeout: what a route says wins over what the file says, shorter or
// longer, whatever speaks to the upstream, and over the same connections.
func TestRouteTimeout(t *testing.T) {
	for _, scheme := range []string{"http", "unix", "h2c"} {
		for _, transport := range []string{"own", "std"} {
			for name, row := range map[string]struct{ usual, waits, cut string }{
				"shorter": {"1h", "/any/hang", "/quick/hang"},
				"longer":  {"100ms", "/patient/hang", "/any/hang"},
			} {
				t.Run(scheme+" "+transport+" "+name, func(t *testing.T) {
					f := newTimed(t, scheme, transport, row.usual)
					for _, path := range []string{"/any/x", "/quick/x", "/patient/x", "/any/x"} {
						f.wants(t, path, f.later(path, nil), letGo)
					}
					if n := f.u.connected.Load(); n != 1 {
						t.Errorf("%d connections for one request at a time", n)
					}
					waiting := f.later(row.waits, nil)
					<-f.u.arrived
					f.wants(t, row.cut, f.later(row.cut, nil), cutShort) // was sent later, and has waited for as long as it may
					<-f.u.arrived
					close(f.u.let)
					f.wants(t, row.waits, waiting, letGo)
					if !strings.Contains(f.metrics(), `wicketgate_upstream_requests_total{result="timeout",upstream="`+f.u.location+`"} 1`) {
						t.Error("the metrics do not tell of one timeout")
					}
					before := f.u.connected.Load()
					if most := map[string]int64{"h2c": 1}[scheme]; most > 0 && before > most {
						t.Errorf("%d connections, though one carries all", before)
					}
					for _, path := range []string{"/quick/x", "/patient/x"} {
						f.wants(t, path, f.later(path, nil), letGo)
					}
					if n := f.u.connected.Load(); n != before {
						t.Errorf("%d connections, and %d before", n, before)
					}
				})
			}
		}
	}
}

// TestRouteTimeoutCutsNoBody: neither what is still on its way up when the time is
// over counts, nor what follows the header.
func TestRouteTimeoutCutsNoBody(t *testing.T) {
	for _, scheme := range []string{"http", "unix", "h2c"} {
		for _, transport := range []string{"own", "std"} {
			t.Run(scheme+" "+transport, func(t *testing.T) {
				f := newTimed(t, scheme, transport, "1h")
				down := f.later("/quick/begin", nil)
				<-f.u.arrived
				r, w := io.Pipe()
				up := f.later("/quick/x", r)
				_, _ = io.WriteString(w, "a") // is read once the request is on its way
				f.wants(t, "cut", f.later("/quick/hang", nil), cutShort)
				_, _ = io.WriteString(w, "b")
				_ = w.Close()
				f.wants(t, "up", up, "200 wholeab <nil>")
				close(f.u.let)
				f.wants(t, "down", down, "200 bewhole <nil>")
			})
		}
	}
}

// TestRouteTimeoutOfCalls: gRPC has a status for it.
func TestRouteTimeoutOfCalls(t *testing.T) {
	f := newTimed(t, "h2c", "own", "1h")
	r := f.call(t, h2cTransport(t), "/quick/hang", "Authorization", "Bearer "+f.AT(nil))
	wantStatus(t, r, 14)
}

// TestRouteTimeoutOfHandshakes: a handshake is answered in time or not at all, and
// what became a WebSocket connection is not cut.
func TestRouteTimeoutOfHandshakes(t *testing.T) {
	for _, transport := range []string{"own", "std"} {
		t.Run(transport, func(t *testing.T) {
			f := newTimed(t, "http", transport, "1h")
			shake := func(path string) (*bufio.Reader, net.Conn) {
				conn, err := net.Dial("tcp", f.address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", path, f.AT(nil), wsKey)
				return bufio.NewReader(conn), conn
			}
			in, conn := shake("/quick/ws")
			resp, err := http.ReadResponse(in, nil) //nolint:bodyclose // it is the connection
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v %v", resp, err)
			}
			late, _ := shake("/quick/hang")
			refused, err := http.ReadResponse(late, nil)
			if err != nil || refused.StatusCode != http.StatusGatewayTimeout {
				t.Fatalf("%v %v", refused, err)
			}
			_ = refused.Body.Close()
			_, _ = conn.Write(wsFrame{opcode: 1, payload: []byte("hello")}.bytes([]byte{1, 2, 3, 4}))
			frame, err := readFrame(in)
			if err != nil || string(frame.payload) != "hello" {
				t.Errorf("%q %v", frame.payload, err)
			}
		})
	}
}
