package proxy

import (
	"context"
	"net/http"
	"strings"

	"github.com/wicketgate/wicketgate/proxy/forwarded"
	"github.com/wicketgate/wicketgate/proxy/places"
)

// room is what every exchange needs, made with it in one piece.
type room struct {
	recorder recorder
	path     forwarded.Path
	lines    []string // not used yet
}

// outbound is what an exchange needs that is forwarded. None of it is used for
// another: net/http may look at a request after its answer.
type outbound struct {
	carrier carrier
	held    places.Body
	fields  [8]field
	lines   [14]string
}

// few is how many fields of its own most answers have.
const few = 6

// line makes the values of a field that has one.
func (ex *exchange) line(value string) []string {
	if len(ex.room.lines) == 0 {
		ex.room.lines = make([]string, few)
	}
	one := ex.room.lines[:1:1]
	ex.room.lines = ex.room.lines[1:]
	one[0] = value
	return one
}

// out makes room for what an upstream is told.
func (ex *exchange) out() *outbound {
	if ex.outbound == nil {
		ex.outbound = &outbound{}
		ex.room.lines = ex.outbound.lines[:]
	}
	return ex.outbound
}

// A carrier is a context that leads to an exchange.
type carrier struct {
	context.Context
	exchange *exchange
}

// Value implements context.Context.
func (c *carrier) Value(key any) any {
	if key == (exchangeKey{}) {
		return c.exchange
	}
	return c.Context.Value(key)
}

// within is ctx with the exchange in it.
func (ex *exchange) within(ctx context.Context) context.Context {
	c := &ex.out().carrier
	*c = carrier{ctx, ex}
	return c
}

// handOver makes the header of an answer that of the one to the client, which
// httputil would copy value by value. It leaves what httputil looks at: that an
// answer is a stream of events.
func (ex *exchange) handOver(resp *http.Response) {
	h := ex.writer.Header()
	events := strings.EqualFold(mediaType(resp.Header), "text/event-stream")
	for name, values := range resp.Header {
		if events && name == "Content-Type" {
			continue
		}
		if before := h[name]; before != nil {
			values = append(before[:len(before):len(before)], values...)
		}
		h[name] = values
	}
	if !events {
		clear(resp.Header)
		return
	}
	resp.Header = http.Header{"Content-Type": resp.Header["Content-Type"]}
}
