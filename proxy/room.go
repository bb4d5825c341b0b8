package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/wicketgate/wicketgate/proxy/forwarded"
)

// room is what most exchanges need, made with the exchange in one piece. None of it
// is used again: an upstream may be reading the header long after the answer.
type room struct {
	recorder recorder
	carrier  carrier
	path     forwarded.Path
	peer     netip.Addr // the zero Addr until it was read
	fields   [8]field
	lines    [20]string
	used     int // of lines
}

// line makes the values of a field that has one.
func (ex *exchange) line(value string) []string {
	r := &ex.room
	if r.used == len(r.lines) {
		return []string{value}
	}
	r.lines[r.used] = value
	r.used++
	return r.lines[r.used-1 : r.used : r.used]
}

// peer is the address at the other end of the connection. It is read once.
func (ex *exchange) peer(r *http.Request) netip.Addr {
	if !ex.room.peer.IsValid() {
		ex.room.peer = peer(r)
	}
	return ex.room.peer
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
	ex.room.carrier = carrier{ctx, ex}
	return &ex.room.carrier
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
