package proxy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/token"
)

// StreamLimits bounds streams. The zero StreamLimits judges no token again
// before its end and lets any number of tunnels be silent for ever.
type StreamLimits struct {
	Check   time.Duration // between two looks at the token of a stream
	Idle    time.Duration // how long nothing may move in a tunnel
	Tunnels int           // at once
}

// A rechecker judges a token again without its proof.
type rechecker interface {
	Recheck(ctx context.Context, cred token.Credential) error
}

// beginAs counts the exchange as a stream that ends with its token, unless the
// route keeps it.
func (ex *exchange) beginAs(o streams.Options) {
	if p := ex.decision.Principal; p != nil && !ex.decision.Route.KeepStreams {
		o.Until = p.Until
		if again, can := ex.gate.Validator.(rechecker); can {
			cred := ex.decision.credential
			o.Every, o.Judge = ex.table.Streams.Check, func() (streams.Ending, bool) { return judgeAgain(again, cred) }
		}
	}
	ex.stream = ex.streams.Begin(o)
}

// judgeAgain tells whether a token is refused by now. Where nobody can tell it
// is not: it was good a moment ago, and its end is known.
func judgeAgain(again rechecker, cred token.Credential) (streams.Ending, bool) {
	refusal, refused := errors.AsType[*token.Error](again.Recheck(context.Background(), cred))
	if refused && refusal.Reason == token.ReasonExpired {
		return streams.Expired, true
	}
	return streams.Revoked, refused
}

// isGRPC tells a call of gRPC or gRPC-Web by its media type.
func isGRPC(h http.Header) bool {
	family, _, _ := strings.Cut(mediaType(h), "+")
	return len(family) >= len("application/grpc") && grpcAnswers[strings.ToLower(family)] != ""
}

// mediaType is what Content-Type says, less its parameters.
func mediaType(h http.Header) string {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.Trim(media, " \t")
}

// beginCall makes a stream of a gRPC call before it is forwarded: a service may
// say nothing for as long as it likes.
func (ex *exchange) beginCall(r *http.Request) *http.Request {
	if !isGRPC(r.Header) {
		return r
	}
	ctx, cancel := context.WithCancel(r.Context())
	ex.beginAs(streams.Options{Kind: streams.GRPC, Stop: func(streams.Ending) {
		cancel()
		// HTTP/2 of net/http does not look at the context while it waits for the
		// client's next message.
		if b := ex.answered.Load(); b != nil {
			_ = b.Close()
		}
	}})
	ex.release = cancel
	return r.WithContext(ctx)
}

// beginStream sees whether an answer is a stream, and watches over it.
func (ex *exchange) beginStream(resp *http.Response) {
	if ex.stream == nil {
		if !strings.EqualFold(mediaType(resp.Header), "text/event-stream") || resp.Body == http.NoBody {
			return
		}
		body := resp.Body
		// Closing the body of a response ends a Read that waits for it.
		ex.beginAs(streams.Options{Kind: streams.SSE, Stop: func(streams.Ending) { _ = body.Close() }})
	}
	b := &streamBody{ReadCloser: resp.Body, exchange: ex, trailers: isGRPC(resp.Header)}
	ex.answered.Store(b)
	resp.Body = b
}

// endStream takes the exchange out of the count of streams.
func (ex *exchange) endStream() {
	if ex.stream != nil {
		ex.stream.Done()
	}
	if ex.release != nil {
		ex.release()
	}
}

// streamBody is the body of a stream. Where the gate ends it, it ends like one
// whose sender had no more to say.
type streamBody struct {
	io.ReadCloser
	exchange *exchange
	trailers bool // a gRPC answer, which ends with its status
}

func (b *streamBody) Read(p []byte) (int, error) {
	ending, ended := b.exchange.stream.Ended()
	if ended {
		return 0, b.last(ending)
	}
	n, err := b.ReadCloser.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if ending, ended = b.exchange.stream.Ended(); ended {
		err = b.last(ending)
	}
	return n, err
}

var errCallEnded = errors.New("the call was ended, in a form that has no trailers")

// last says goodbye. gRPC-Web has its trailers in the body, and only between
// messages, so its calls are cut off.
func (b *streamBody) last(e streams.Ending) error {
	if b.exchange.stream.Kind() != streams.GRPC {
		return io.EOF
	}
	call := b.exchange.writer.request
	if !b.trailers || call.ProtoMajor < 2 || strings.HasPrefix(grpcAnswer(call), "application/grpc-web") {
		return errCallEnded
	}
	refusal, status := refusalOf(e), http.StatusServiceUnavailable
	if refusal.Code != "" {
		status = refusal.Code.Status()
	}
	h := b.exchange.writer.Header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{strconv.Itoa(grpcCode(status))}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{grpcMessage(cmp.Or(refusal.Description(), http.StatusText(status)))}
	return io.EOF
}

// refusalOf is what a client is told that is still to be answered, or in
// trailers. Without a code it is no fault of the client's.
func refusalOf(e streams.Ending) *token.Error {
	switch e {
	case streams.Expired:
		return token.Refuse(token.InvalidToken, token.ReasonExpired)
	case streams.Revoked:
		return token.Refuse(token.InvalidToken, token.ReasonRevoked)
	case streams.ByPeer, streams.Silent, streams.Drain:
	}
	return token.Refuse("", token.ReasonNone)
}

// answerEnded answers a call that ended before its service said anything. It
// reports whether it did.
func (ex *exchange) answerEnded(w http.ResponseWriter) bool {
	if ex.stream == nil {
		return false
	}
	ending, ended := ex.stream.Ended()
	if !ended {
		return false
	}
	d := Decision{Verdict: Failed, Route: ex.decision.Route, Fault: &token.Fault{Reason: token.ReasonNone}}
	if refusal := refusalOf(ending); refusal.Code != "" {
		d = Decision{Verdict: Refused, Route: ex.decision.Route, Refusal: refusal.Using(ex.decision.credential.Scheme)}
	}
	ex.gate.Answer(w, &d)
	return true
}
