package proxy

import (
	"net/http"
	"time"
)

// informational is how many answers of class 1xx are relayed before the final
// one. An upstream can send them for ever.
const informational = 8

// guarded runs a write that a client can hold up by giving no window (RFC 9113
// section 6.9). Over HTTP/1 the connection itself sees to it.
func (r *recorder) guarded(write func() error) error {
	wait := r.exchange.bounds().WriteStall
	if wait == 0 || r.request.ProtoMajor != 2 {
		return write()
	}
	if r.stall == nil {
		r.stall = time.AfterFunc(wait, func() {
			_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
		})
	} else {
		r.stall.Reset(wait)
	}
	defer r.stall.Stop()
	return write()
}

// FlushError is what http.ResponseController flushes by.
func (r *recorder) FlushError() error {
	return r.guarded(func() error { return http.NewResponseController(r.ResponseWriter).Flush() })
}

// leave bounds what net/http writes once the handler has returned.
func (r *recorder) leave() {
	if wait := r.exchange.bounds().WriteStall; wait > 0 && r.request.ProtoMajor == 2 && r.written > 0 {
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(wait))
	}
}
