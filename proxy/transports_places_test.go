package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/proxy/places"
)

// outcome is ask, that tells why there was no place.
func (w *world) outcome(r *http.Request) string {
	resp, err := w.up.send(r, 0)
	switch {
	case errors.Is(err, places.ErrFull):
		return "full"
	case errors.Is(err, places.ErrLate):
		return "late"
	case err != nil:
		return "error " + kindOf(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "cut"
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func (w *world) plain(t *testing.T) *http.Request {
	return w.request(t.Context(), http.MethodGet, "/", nil)
}

// untilHeld waits until so many places are taken.
func (w *world) untilHeld(t *testing.T, n int) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); w.up.connections.places.Held() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%d places are held, want %d", w.up.connections.places.Held(), n)
		}
	}
}

const patient = time.Minute

// However many come at once, there are no more connections than are allowed.
func TestNoMoreConnectionsThanPlaces(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const most = 3
		w.all.Bound(places.Bounds{Most: most, Queue: 1000, Wait: patient})
		w.serve = honest
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for range 20 {
					if i%2 == 0 {
						want(t, "an answer", w.get(t), "200 ok")
					} else {
						want(t, "an answer to a body", w.post(t, "some octets"), "200 ok")
					}
				}
			})
		}
		all.Wait()
		if requests, dialled := w.heard(); dialled > most || len(requests) != 320 {
			t.Errorf("%d requests over %d connections, want %d", len(requests), dialled, most)
		}
	})
}

// What holds a connection holds a place, for exactly as long.
func TestWhatHoldsAPlace(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, w *world) (end func()){
		"an answer under way, read": func(t *testing.T, w *world) func() {
			resp, err := w.up.send(w.request(t.Context(), http.MethodGet, "/slow", nil), 0) //nolint:bodyclose // who lets go of it, and how, is what is tried here
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				w.let <- struct{}{}
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		},
		"an answer under way, closed": func(t *testing.T, w *world) func() {
			resp, err := w.up.send(w.request(t.Context(), http.MethodGet, "/slow", nil), 0) //nolint:bodyclose // who lets go of it, and how, is what is tried here
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				_ = resp.Body.Close()
				w.let <- struct{}{}
			}
		},
		"an answer that does not come": func(t *testing.T, w *world) func() {
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan string)
			go func() { gone <- w.outcome(w.request(ctx, http.MethodGet, "/silent", nil)) }()
			w.untilHeld(t, 1)
			return func() {
				cancel()
				want(t, "who left", <-gone, "error canceled")
				w.let <- struct{}{}
			}
		},
		"an upload": func(t *testing.T, w *world) func() {
			body, client := io.Pipe()
			answer := make(chan string)
			r := w.request(t.Context(), http.MethodPost, "/", body)
			go func() { answer <- w.outcome(r) }()
			_, _ = client.Write([]byte("the beginning"))
			return func() {
				_ = client.Close()
				want(t, "the upload", <-answer, "200 ok")
			}
		},
		"a tunnel": func(t *testing.T, w *world) func() {
			r := w.request(t.Context(), http.MethodGet, "/tunnel", nil)
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "echo")
			resp, err := w.up.send(r, 0) //nolint:bodyclose // who lets go of it, and how, is what is tried here
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(resp, err)
			}
			stream, _ := resp.Body.(interface {
				io.ReadWriteCloser
				CloseWrite() error
			})
			if _, err := stream.Write([]byte("word")); err != nil {
				t.Error(err)
			}
			four := make([]byte, 4)
			if _, err := io.ReadFull(stream, four); err != nil || string(four) != "word" {
				t.Errorf("%q, %v", four, err)
			}
			if err := stream.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := stream.Read(four); err != io.EOF { //nolint:errorlint // as io.Reader has it
				t.Errorf("the end: %v", err)
			}
			return func() { _ = errors.Join(stream.Close(), stream.Close()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, w *world) {
				w.all.Bound(places.Bounds{Most: 1, Wait: patient})
				w.serve = holding
				w.let = make(chan struct{}, 1)
				end := begin(t, w)
				want(t, "beside it", w.outcome(w.plain(t)), "full")
				end()
				w.untilHeld(t, 0)
				want(t, "after it", w.outcome(w.plain(t)), "200 ok")
			})
		})
	}
}

// holding answers at once, or by the path when the test lets it.
func holding(k *talk) {
	for {
		r, err := http.ReadRequest(k.in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/slow":
			k.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			<-k.w.let
			k.say("k")
		case "/silent":
			<-k.w.let
			return
		case "/tunnel":
			k.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(k, k.in)
			return
		default:
			k.say(saysOK)
		}
	}
}

// Who waits and leaves gives its turn up at once, and gets no connection.
func TestWhoWaitsMayLeave(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		var waiting atomic.Int64
		w.all.OnPlaces(PlaceHooks{Waiting: func(_ string, n int) { waiting.Store(int64(n)) }})
		w.replaced(t)
		w.all.Bound(places.Bounds{Most: 1, Queue: 2, Wait: patient})
		w.serve = holding
		w.let = make(chan struct{}, 1)
		until := func(n int64) {
			for waiting.Load() != n && t.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		ends := make([]chan string, 3)
		ctx, leave := context.WithCancel(t.Context())
		for i, r := range []*http.Request{
			w.request(t.Context(), http.MethodGet, "/slow", nil), w.request(ctx, http.MethodGet, "/gone", nil), w.request(t.Context(), http.MethodGet, "/stays", nil),
		} {
			ends[i] = make(chan string, 1)
			go func() { ends[i] <- w.outcome(r) }()
			w.untilHeld(t, 1)
			until(int64(i))
		}
		want(t, "beyond the queue", w.outcome(w.plain(t)), "full")
		leave()
		want(t, "who left", <-ends[1], "error canceled")
		until(1)
		w.let <- struct{}{}
		want(t, "the first", <-ends[0], "200 ok")
		want(t, "who stayed", <-ends[2], "200 ok")
		w.untilHeld(t, 0)
	})
}

// replaced gives the world its upstream anew, with the hooks that were set.
func (w *world) replaced(t *testing.T) {
	t.Helper()
	clear(w.all.places)
	clear(w.all.open)
	open := w.all.OpenStd
	if w.own {
		open = w.all.Open
	}
	up, err := open("http://"+w.Addr().String(), DefaultTimeouts)
	if err != nil {
		t.Fatal(err)
	}
	w.up = up
}

func TestPlacesAreWaitedForSoLong(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.all.Bound(places.Bounds{Most: 1, Queue: 2, Wait: 5 * time.Millisecond})
		w.serve = holding
		w.let = make(chan struct{}, 1)
		resp, err := w.up.send(w.request(t.Context(), http.MethodGet, "/slow", nil), 0) //nolint:bodyclose // who lets go of it, and how, is what is tried here
		if err != nil {
			t.Fatal(err)
		}
		want(t, "who waited", w.outcome(w.plain(t)), "late")
		w.let <- struct{}{}
		_, _ = io.Copy(io.Discard, resp.Body)
		w.untilHeld(t, 0)
		want(t, "after it", w.outcome(w.plain(t)), "200 ok")
	})
}

// Other bounds hold from the next request on, and cut nobody off.
func TestOtherPlaces(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.serve = holding
		w.let = make(chan struct{}, 2)
		first, err := w.up.send(w.request(t.Context(), http.MethodGet, "/slow", nil), 0) //nolint:bodyclose // who lets go of it, and how, is what is tried here
		if err != nil {
			t.Fatal(err)
		}
		w.all.Bound(places.Bounds{Most: 1, Wait: patient})
		want(t, "beside one of before", w.outcome(w.plain(t)), "full")
		w.all.Bound(places.Bounds{Most: 2, Wait: patient})
		if std, is := (*w.up.connections.current.Load()).(*stdTransport); is && std.MaxConnsPerHost != 2 {
			t.Errorf("net/http may have %d connections, and no place is for more than 2", std.MaxConnsPerHost)
		}
		want(t, "with one place more", w.outcome(w.plain(t)), "200 ok")
		w.all.Bound(places.Bounds{})
		w.let <- struct{}{}
		text, err := io.ReadAll(first.Body)
		if string(text) != "ok" || err != nil {
			t.Errorf("the one of before got %q, %v", text, err)
		}
		w.untilHeld(t, 0)
	})
}

// A connection that ended with its answer gives its place back, however long the client
// takes for what is left of its body.
func TestStalledClientsKeepNoPlace(t *testing.T) {
	w := newWorld(t, true, DefaultTimeouts)
	w.all.Bound(places.Bounds{Most: 1, Wait: patient})
	w.serve = func(k *talk) {
		if r, err := http.ReadRequest(k.in); err == nil && r.Method == http.MethodPost {
			k.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	body, client := io.Pipe()
	defer func() { _ = client.Close() }()
	want(t, "the upload", w.outcome(w.request(t.Context(), http.MethodPost, "/", body)), "200 ok")
	w.untilHeld(t, 0)
}

// An upstream that takes no connection keeps no place.
func TestNoConnectionNoPlace(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.all.Bound(places.Bounds{Most: 1, Wait: patient})
		_ = w.Close()
		for range 3 {
			if got := w.outcome(w.plain(t)); !strings.HasPrefix(got, "error") {
				t.Errorf("got %s", got)
			}
			w.untilHeld(t, 0)
		}
	})
}

// Over HTTP/2 one connection carries all, and what is bounded is requests.
func TestPlacesOverHTTP2(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	let := make(chan struct{})
	dialled := atomic.Int64{}
	server := &http.Server{
		Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				dialled.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-let
			}
			_, _ = bufio.NewReader(r.Body).WriteTo(w)
		}),
	}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	all := NewUpstreams()
	defer all.Close()
	up, err := all.Open("h2c://"+l.Addr().String(), DefaultTimeouts)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Listener: l, up: up}
	w.begin.Do(func() {}) // it accepts nothing itself
	all.Bound(places.Bounds{Most: 2, Wait: patient})
	ends := make(chan string, 2)
	for range 2 {
		go func() { ends <- w.outcome(w.request(t.Context(), http.MethodPost, "/slow", strings.NewReader("text"))) }()
	}
	w.untilHeld(t, 2)
	want(t, "a third", w.outcome(w.plain(t)), "full")
	close(let)
	for range 2 {
		want(t, "the two", <-ends, "200 text")
	}
	w.untilHeld(t, 0)
	want(t, "after them", w.outcome(w.plain(t)), "200 ")
	if n := dialled.Load(); n > 2 {
		t.Errorf("%d connections", n)
	}
}
