package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/wicketgate/wicketgate/proxy/quiet"
)

// send asks the upstream. It looks at the connection that a request gets before
// anything is written to it. One that is no good any more mostly costs the request
// nothing then: as long as its body was not touched, another connection can have
// it, whatever the method. The header of the answer has to come within header, or
// within what the upstream was opened with where that is 0.
func (u *Upstream) send(r *http.Request, header time.Duration) (*http.Response, error) {
	if header == 0 {
		header = u.header
	}
	if err := u.enter(r); err != nil {
		return nil, err
	}
	if u.connections.key.own { // which does all that by itself, and leaves the place
		return (*u.connections.current.Load()).RoundTripWithin(r, header)
	}
	// It is httputil's, made for this request, and not looked at yet.
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn == nil {
		trace.GotConn = quiet.Got
	}
	if u.plain && r.Body != nil && r.Body != http.NoBody {
		r.GetBody = noSecondBody
	}
	resp, err := (*u.connections.current.Load()).RoundTripWithin(r, header)
	return u.hold(resp, err, exchangeOf(r.Context()))
}

var errNoSecondBody = errors.New("the request's body was begun and cannot be sent again")

// noSecondBody makes net/http repeat a request of which nothing was written. It
// asks for a body only when it has read of the first.
func noSecondBody() (io.ReadCloser, error) { return nil, errNoSecondBody }
