package proxy

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// hangUp bounds how long net/http waits after an answer for what is left of
// the body, which it does to keep the connection. Who was answered early is
// waited for no longer; the answer has said that the connection closes. Who was
// told to hold the body back, and never to go on, will not send it.
func (ex *exchange) hangUp(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	if ex.content != nil {
		if !ex.content.Whole() {
			ex.content.End()
			closeByHalves(ex.writer.ResponseWriter)
		}
		return
	}
	if ex.taken { // net/http watches the client by now: a deadline would cancel what follows on the connection
		return
	}
	wait := ex.bounds().BodyStall
	if r.Header["Expect"] != nil {
		wait = 0
	} else if wait == 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(wait)) // a server of ours can always
}

// closeByHalves has net/http stop writing first, and close a little later, as it
// does by itself only where the length of the body is known: a connection with
// octets unread is reset, and a reset takes away the answer that was sent.
func closeByHalves(w http.ResponseWriter) {
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("too much")), 0).Read(make([]byte, 1))
}

// answersEarly reports whether part of the body is still to come when the
// answer begins, or came in the moment in which it was given up. Over HTTP/1 the connection must not outlive it: what comes
// could be taken for a request. Nor must it where the context has ended: it is
// that of the connection, and every request to come would find itself ended too.
func (ex *exchange) answersEarly(r *http.Request) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	return r.Context().Err() != nil || ex.content != nil && (!ex.content.Whole() || ex.content.Stalled())
}

// bounds are those in force for the exchange.
func (ex *exchange) bounds() Limits {
	if ex.table == nil {
		return Limits{}
	}
	return ex.table.Limits
}
