package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// idHeader names a request, all the way through the gate and back.
const idHeader = "X-Soak-Id"

// facts is what an upstream is told of a caller; public requests have none.
type facts struct{ subject, issuer, client, scope, binding string }

// arrival is what the upstream saw of one request.
type arrival struct {
	times int
	facts facts
	amiss string // what must never arrive; empty: nothing
}

// upstream answers every request with its id, and remembers what it saw until
// that was judged.
type upstream struct {
	server *http.Server
	url    string

	mu     sync.Mutex // guards all below
	open   map[string]*arrival
	strays int // arrivals of requests that were never sent, or judged already
}

func newUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{url: "http://" + l.Addr().String(), open: map[string]*arrival{}}
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
	go func() { _ = u.server.Serve(l) }() // it ends with close
	return u, nil
}

func (u *upstream) close() {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = u.server.Shutdown(ctx) // closes idle connections
	_ = u.server.Close()
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(idHeader)
	seen, amiss := seenIn(r.Header)
	u.mu.Lock()
	if a := u.open[id]; a == nil {
		u.strays++
	} else {
		a.times++
		a.facts, a.amiss = seen, amiss
	}
	u.mu.Unlock()
	w.Header().Set(idHeader, id)
	_, _ = w.Write([]byte(id)) // a gate that has gone needs no answer
}

// seenIn reads the identity fields, of which each may be there once only.
func seenIn(h http.Header) (f facts, amiss string) {
	one := func(name string) string {
		values := h.Values(name)
		if len(values) > 1 {
			amiss = name + " twice"
		}
		return strings.Join(values, ",")
	}
	f = facts{one("X-Auth-Subject"), one("X-Auth-Issuer"), one("X-Auth-Client-Id"), one("X-Auth-Scope"), one("X-Auth-Binding")}
	for _, name := range [...]string{"Authorization", "Dpop"} {
		if h.Get(name) != "" {
			amiss = name + " passed on"
		}
	}
	return f, amiss
}

// expect says that a request is about to be sent.
func (u *upstream) expect(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open[id] = &arrival{}
}

// take is what was seen of a request. It is forgotten, and may not arrive any
// more.
func (u *upstream) take(id string) arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := *u.open[id]
	delete(u.open, id)
	return a
}

func (u *upstream) stray() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.strays
}
