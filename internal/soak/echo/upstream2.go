package echo

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// newStreamUpstream is an upstream that speaks HTTP/2 in plain text.
func newStreamUpstream(l *ledger) (*http.Server, net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	u := &streamUpstream{ledger: l, bodies: sync.Pool{New: func() any { return &bytes.Buffer{} }}}
	server := &http.Server{
		Handler: u, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }() // it ends with Close
	return server, listener, nil
}

type streamUpstream struct {
	ledger *ledger
	bodies sync.Pool
}

func (u *streamUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := u.ledger.arrived(r)
	if x == nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header()[idField] = []string{x.id}
	w.Header()[subjectField] = r.Header[toldField]
	if x.fault == early {
		w.WriteHeader(x.status())
		u.send(w, x, x.gets)
		return
	}
	body, _ := u.bodies.Get().(*bytes.Buffer)
	defer u.bodies.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(r.Body); err != nil {
		return
	}
	first := u.ledger.execute(x, body.Bytes())
	u.answer(w, x, first)
}

func (u *streamUpstream) answer(w http.ResponseWriter, x *exchange, first bool) {
	if !x.chunked || x.fault == longLength {
		w.Header().Set("Content-Length", strconv.Itoa(x.gets))
	}
	if x.fault == noContent {
		delete(w.Header(), "Content-Length")
	}
	if x.fault == trailer {
		w.Header().Set("Trailer", trailerField)
	}
	if first {
		switch x.fault {
		case resetFirst, resetInHead:
			panic(http.ErrAbortHandler)
		case resetInBody:
			u.send(w, x, x.chance%x.gets)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case longLength:
			u.send(w, x, x.chance%x.gets)
			return
		case lateClose:
			w.Header().Set("Connection", "close") // no more streams on this connection
		case interim:
			for range 1 + x.chance%3 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		case slow:
			time.Sleep(time.Duration(x.chance%10) * time.Millisecond)
		}
	}
	w.WriteHeader(x.status())
	if x.fault == trailer { // or net/http announces the length, and HTTP/1.1 has no room behind that
		_ = http.NewResponseController(w).Flush()
	}
	if x.body() > 0 {
		u.send(w, x, x.body())
	}
	if x.fault == trailer {
		w.Header().Set(trailerField, x.id)
	}
}

func (u *streamUpstream) send(w http.ResponseWriter, x *exchange, n int) {
	buffer, _ := u.bodies.Get().(*bytes.Buffer)
	defer u.bodies.Put(buffer)
	buffer.Reset()
	buffer.Grow(n)
	_, _ = w.Write(fill(buffer.AvailableBuffer(), x.id, n))
}
