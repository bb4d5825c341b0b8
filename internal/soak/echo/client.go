package echo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// patience is how long a client waits for anything.
const patience = 30 * time.Second

// wireClient speaks HTTP/1.1 octet by octet, one request after the other.
type wireClient struct {
	*planner
	ledger *ledger
	target string // the gate's address

	conn net.Conn // nil: none is open
	in   *bufio.Reader
	out  []byte
	body bytes.Buffer
}

// run sends requests for as long as there are any.
func (w *wireClient) run(ctx context.Context, more func() bool) {
	defer w.hangUp()
	for ctx.Err() == nil && more() {
		x := w.next(false)
		w.ledger.expect(x)
		w.ledger.judge(x, w.exchange(x))
	}
}

func (w *wireClient) hangUp() {
	if w.conn != nil {
		reset(w.conn)
		w.conn = nil
	}
}

// exchange sends a request and reads what comes of it.
func (w *wireClient) exchange(x *exchange) *reply {
	if w.conn == nil {
		conn, err := net.DialTimeout("tcp", w.target, patience)
		if err != nil {
			return &reply{err: err}
		}
		w.conn, w.in = conn, bufio.NewReader(conn)
	}
	_ = w.conn.SetDeadline(time.Now().Add(patience))
	w.write(x)
	_, err := w.conn.Write(w.out)
	switch x.fault {
	case cutHead, cutBody, dropRequest:
		w.pause(x)
		w.hangUp()
		return &reply{err: context.Canceled}
	}
	// An answer may be there although not all was taken.
	r := w.read(x)
	if r.err != nil && err != nil {
		r.err = err
	}
	return r
}

// pause lets the gate begin, now and then.
func (w *wireClient) pause(x *exchange) {
	if n := x.chance % 4; n > 0 {
		time.Sleep(time.Duration(n) * 200 * time.Microsecond)
	}
}

// write puts a request, as far as it is sent, into out.
func (w *wireClient) write(x *exchange) {
	w.out = fmt.Appendf(w.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s: %s\r\n%s: admin\r\n", x.method, x.path(), x.host, x.raw, idField, x.id, toldField)
	switch {
	case x.fault == cutHead:
		w.out = w.out[:1+x.chance%(len(w.out)-1)]
		return
	case x.fault == socket:
		w.out = append(w.out, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+socketKey+"\r\n\r\n"...)
		return
	case x.method != http.MethodPost:
		w.out = append(w.out, "\r\n"...)
		return
	}
	sends := x.sends
	if x.fault == cutBody {
		sends = x.chance % x.sends
	}
	if !x.chunked {
		w.out = fmt.Appendf(w.out, "Content-Length: %d\r\n\r\n", x.sends)
		w.out = fill(w.out, x.id, sends)
		return
	}
	w.out = append(w.out, "Transfer-Encoding: chunked\r\n\r\n"...)
	if sends > 0 {
		w.out = fmt.Appendf(w.out, "%x\r\n", sends)
		w.out = append(fill(w.out, x.id, sends), "\r\n"...)
	}
	if x.fault != cutBody {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
}

// read reads the answer. It leaves a connection only where it can be used again.
func (w *wireClient) read(x *exchange) *reply {
	r := &reply{}
	var resp *http.Response
	for resp == nil {
		got, err := http.ReadResponse(w.in, &http.Request{Method: x.method}) //nolint:bodyclose // it is read to its end, or its connection closed
		if err != nil {
			w.hangUp()
			return &reply{err: err, interims: r.interims}
		}
		if got.StatusCode >= 200 || got.StatusCode == http.StatusSwitchingProtocols {
			resp = got
		} else {
			r.interims = append(r.interims, got.Header.Get(idField))
		}
	}
	r.status, r.header = resp.StatusCode, resp.Header
	if r.status == http.StatusSwitchingProtocols {
		w.upgraded(x, r)
		return r
	}
	w.body.Reset()
	if x.fault == dropAnswer {
		_, _ = w.body.ReadFrom(limited(resp.Body, 1+x.chance%x.gets))
		r.body, r.left = w.body.Bytes(), true
		w.hangUp()
		return r
	}
	_, err := w.body.ReadFrom(resp.Body)
	r.body, r.ended, r.cut, r.trailer = w.body.Bytes(), err == nil, err, resp.Trailer.Get(trailerField)
	if err != nil || resp.Close {
		w.hangUp()
	}
	return r
}

// upgraded judges a WebSocket: it owes its messages, beyond its head.
func (w *wireClient) upgraded(x *exchange, r *reply) {
	r.ended = true
	switch {
	case x.fault != socket:
		w.ledger.amiss(missing, x, "an upgrade nobody asked for")
	case r.header.Get("Sec-Websocket-Accept") != socketAccept(socketKey):
		w.ledger.amiss(foreign, x, "a handshake is another's")
	default:
		r.status = x.status()
		w.talk(x)
	}
	w.hangUp()
}
