package proxy

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/proxy/quiet"
)

// headerTimeout is how long the route has the upstream take for its response header;
// 0 where it does not say.
func (ex *exchange) headerTimeout() time.Duration {
	if at := ex.decision.Route.Index(); at >= 0 && at < len(ex.gate.HeaderTimeouts) {
		return ex.gate.HeaderTimeouts[at]
	}
	return 0
}

// stdTransport is net/http's for requests that do not all wait for as long. Its own
// ResponseHeaderTimeout is that of all its connections, and the longest there is.
type stdTransport struct{ http.Transport }

// RoundTripWithin implements transport. The trace of r must be nobody else's.
func (s *stdTransport) RoundTripWithin(r *http.Request, header time.Duration) (*http.Response, error) {
	if header == s.ResponseHeaderTimeout {
		return s.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		trace = &httptrace.ClientTrace{}
		ctx = httptrace.WithClientTrace(ctx, trace)
	}
	p := &patience{wait: header, cancel: cancel}
	trace.GotConn, trace.WroteRequest = p.got, p.wrote
	resp, err := s.RoundTrip(r.WithContext(ctx))
	if p.ended() {
		if err == nil { // too late by a hair, and cut off already
			_ = resp.Body.Close()
		}
		return nil, errLate{}
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return resp, nil // what follows the header ends with the context of r, and not before
}

// patience is the wait for the header of an answer, which begins when the request
// was written.
type patience struct {
	wait   time.Duration
	cancel context.CancelCauseFunc

	mu    sync.Mutex  // guards all below
	timer *time.Timer // nil until the request was written
	over  bool        // the header is here, or there is none
	late  bool        // the time ran out before
}

// got has the wait begin anew: the request is sent on another connection.
func (p *patience) got(conn httptrace.GotConnInfo) {
	quiet.Got(conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}

// wrote is told when the request was written. The answer may have come by then.
func (p *patience) wrote(info httptrace.WroteRequestInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case info.Err != nil || p.over || p.late:
	case p.timer == nil:
		p.timer = time.AfterFunc(p.wait, p.expire)
	default:
		p.timer.Reset(p.wait)
	}
}

func (p *patience) expire() {
	p.mu.Lock()
	p.late = !p.over
	late := p.late
	p.mu.Unlock()
	if late {
		p.cancel(errLate{})
	}
}

// ended ends the wait, and tells whether it was in vain.
func (p *patience) ended() (late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
	return p.late
}

// errLate tells that the header of an answer did not come in time.
type errLate struct{}

func (errLate) Error() string   { return "upstream did not answer in time" }
func (errLate) Timeout() bool   { return true }
func (errLate) Temporary() bool { return true }
