package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/spans"
	"github.com/wicketgate/wicketgate/proxy/bound"
	"github.com/wicketgate/wicketgate/proxy/forwarded"
	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/token"
)

// ReverseOptions are what a Reverse is made of.
type ReverseOptions struct {
	Listen string  // the address of the listener as configured: the key of Table.Sites
	Switch *Switch // the table in force

	// Streams knows the streams under way, of all listeners; nil for one of its own.
	Streams *streams.Set

	// Decided is told of every request once it is answered; may be nil.
	Decided func(*http.Request, *Outcome)

	// ErrorLog takes what httputil has to say; nil discards it, since its
	// messages can quote what a client sent.
	ErrorLog *log.Logger
}

// Outcome is what became of one request.
type Outcome struct {
	Client   netip.Addr   // who asked, as far as those are believed who say so; the zero Addr when nobody knows
	Gate     *Gate        // nil when the request did not get as far
	Door     *token.Error // the refusal at the door, before any route
	Decision *Decision    // nil when refused at the door
	Status   int          // as sent to the client, or what it means where gRPC is told 200
	Written  int64        // octets of the body
	Duration time.Duration
	Overhead time.Duration // until the request was handed on or answered: our own part
	Upstream time.Duration // from there to the response header; 0 when nobody was asked
	Err      error         // what went wrong behind the gate, for the log
	Cut      bool          // the answer ended before its end
	// Challenged says that the upstream asked the client to prove the connection
	// it shares with others, and that the client was not told.
	Challenged bool
	// Interaction is the value of HeaderInteraction; empty where there is none.
	Interaction string
	Trace       *spans.Trace // of the request; nil when it gets no spans
	Panic       string       // where our own code panicked, by function and line; "" when it did not
}

// Reverse is the front door of a listener: it decides about a request and
// forwards it, or answers it.
type Reverse struct {
	options ReverseOptions
	proxy   *httputil.ReverseProxy
}

// NewReverse makes the handler of one listener.
func NewReverse(o ReverseOptions) *Reverse {
	if o.ErrorLog == nil {
		o.ErrorLog = log.New(io.Discard, "", 0)
	}
	if o.Streams == nil {
		o.Streams = streams.NewSet(streams.Hooks{})
	}
	v := &Reverse{options: o}
	v.proxy = &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      roundTripper{},
		BufferPool:     &bufferPool{},
		ErrorLog:       o.ErrorLog,
		ErrorHandler:   upstreamFailed,
		ModifyResponse: modifyResponse,
	}
	return v
}

// exchange is one request on its way through. It is the only thing this
// package keeps in a context.
type exchange struct {
	table    *Table
	gate     *Gate
	request  Request
	query    string // with its question mark
	decision Decision
	forward  *Forward
	fields   []field
	trusted  bool
	path     *forwarded.Path // nil until somebody asks
	room     room
	hop      *hop      // nil where nothing is known of connections
	outbound *outbound // nil until it is allowed
	started  time.Time
	content  *bound.Body  // once it is forwarded
	trace    *token.Trace // nil but in explain
	body     io.Reader    // what was read ahead of it, and its rest; nil when nothing was
	taken    bool         // all of it was read ahead
	outcome  Outcome

	interaction string // the value of HeaderInteraction, or empty

	held   bool       // by another proxy, which asks and forwards it itself
	asker  netip.Addr // with held: the address of that proxy
	copies bool       // with held: that proxy is none of Envoy's kind, see CheckerOptions

	streams  *streams.Set
	writer   *recorder
	stream   *streams.Stream // nil while the answer is none
	key      string          // of a WebSocket handshake; empty for none
	answered atomic.Pointer[streamBody]
	release  func()    // the context of a gRPC call; nil for others
	heard    io.Closer // the body of the upstream's answer; nil until there is one
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	ex, _ := ctx.Value(exchangeKey{}).(*exchange)
	return ex
}

// ServeHTTP implements http.Handler.
func (v *Reverse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ex, rec := begin(v.options.Switch.Table(), w, r)
	ex.streams = v.options.Streams
	defer v.finish(r, ex, rec)
	// A request framed by Transfer-Encoding may be followed by what another
	// reader takes for its rest (RFC 9112 section 6.1). In HTTP/1.0 net/http
	// does not even tell whether it was.
	rec.last = r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0) || w.Header()["Connection"] != nil // said while draining
	leave := v.options.Switch.admit(ex.bounds().InFlight)
	if leave == nil {
		ex.shed(rec)
		return
	}
	defer leave()
	v.serve(rec, r, ex)
}

// begin makes the exchange of a request, and what notes its answer.
func begin(t *Table, w http.ResponseWriter, r *http.Request) (*exchange, *recorder) {
	ex := &exchange{started: time.Now(), table: t}
	rec := &ex.room.recorder
	rec.ResponseWriter, rec.request, rec.exchange = w, r, ex
	ex.writer = rec
	if t != nil && t.Interactions {
		ex.interaction = interactionOf(r.Header)
	}
	if t != nil {
		ex.outcome.Trace = t.Tracing.Begin(r.Header["Traceparent"], ex.started)
	}
	return ex, rec
}

func (v *Reverse) serve(w http.ResponseWriter, r *http.Request, ex *exchange) {
	var site *Site
	if ex.table != nil {
		site = ex.table.Sites[v.options.Listen]
	}
	if ex.decide(w, r, site) {
		v.forward(w, r, ex)
	}
}

// decide reads r, asks the gate, and answers what is not allowed.
func (ex *exchange) decide(w http.ResponseWriter, r *http.Request, site *Site) (allowed bool) {
	if site == nil {
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, "temporarily_unavailable", "no configuration is in force")
		return false
	}
	if serverWide(w, r) {
		ex.decision = Decision{Verdict: Answered}
		ex.outcome.Decision = &ex.decision
		return false
	}
	refusal := ex.enter(site, r)
	if refusal == nil {
		refusal = ex.takeForm(w, r)
	}
	if refusal != nil {
		ex.outcome.Door = refusal
		refuseAtDoor(w, refusal)
		return false
	}
	ex.decision = ex.gate.Decide(ex.outcome.Trace.Within(r.Context()), &ex.request)
	ex.outcome.Decision, ex.outcome.Gate = &ex.decision, ex.gate
	if ex.decision.Verdict == Allowed && ex.tell() && ex.fits(r) {
		return true
	}
	ex.gate.Answer(w, &ex.decision)
	return false
}

// forward hands an allowed request to the upstream.
func (v *Reverse) forward(w http.ResponseWriter, r *http.Request, ex *exchange) {
	if lastHop(w, r) {
		return
	}
	r = r.WithContext(ex.within(r.Context()))
	ex.forwardBody(r)
	if r.ContentLength != 0 {
		ex.content = bound.NewBody(r.Body, w, ex.table.Limits.BodyStall, ex.mostOctets())
		r.Body = ex.content
	}
	if !ex.handshake(w, r) {
		return
	}
	if ex.key != "" {
		defer ex.streams.LeaveRoom()
	}
	r = ex.beginCall(r)
	defer ex.endStream()
	if r.Header["Upgrade"] != nil {
		// httputil answers an odd value by itself, before it asks us.
		r.Header = r.Header.Clone()
		delete(r.Header, "Upgrade")
	}
	v.proxy.ServeHTTP(w, r)
}

// tell renders what the upstream is told. Claims that do not fit take the
// allowance back.
func (ex *exchange) tell() (fits bool) {
	ex.forward = ex.forwardOf()
	if ex.decision.Principal == nil {
		return true
	}
	var fault error
	if ex.fields, fits = ex.forward.appendFields(ex.out().fields[:0], ex.decision.Principal); fits && ex.forward.o.Signer != nil {
		fits, fault = ex.forward.assert(ex)
	}
	switch {
	case fault != nil:
		ex.decision.Verdict, ex.decision.Fault = Failed, fault
	case !fits:
		ex.decision.Verdict = Refused
		ex.decision.Refusal = token.Refuse(token.HeaderTooLarge, token.ReasonClaims)
		ex.decision.vouch(ex.decision.Principal, nil)
		if ex.gate.soften(&ex.request, &ex.decision); ex.reported() {
			ex.fields, fits = nil, true
		}
	}
	return fits
}

// finish reports the outcome, and turns a panic of ours into a 500 for this
// request alone. An answer that was cut short behind us is cut short before us
// too, so that nobody takes its beginning for the whole.
func (v *Reverse) finish(r *http.Request, ex *exchange, rec *recorder) {
	p := recover()
	if p != nil && ex.heard != nil { // nobody else may have got as far
		_ = ex.heard.Close()
	}
	ex.hangUp(rec, r)
	rec.leave()
	hideCertificate(rec.Header())        // trailers go out after this
	aborted := p == http.ErrAbortHandler //nolint:errorlint // net/http panics with this very value
	cut := aborted || p != nil && rec.status != 0
	if p != nil && !cut {
		answer(rec, http.StatusInternalServerError, "server_error", "")
	}
	ex.outcome.Cut = cut
	if p != nil && !aborted {
		ex.outcome.Panic = placeOfPanic()
	}
	ex.tellOutcome(r, v.options.Decided)
	dropNonceTrailer(rec.Header())
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// tellOutcome tells decided, which may be nil, what became of r.
func (ex *exchange) tellOutcome(r *http.Request, decided func(*http.Request, *Outcome)) {
	o, rec := &ex.outcome, ex.writer
	o.Client = ex.way(r).Client
	if at := ex.decision.Panicked(); o.Panic == "" && ex.decision.Would == nil {
		o.Panic = at
	}
	o.Interaction = ex.interaction
	o.Status, o.Written, o.Duration = rec.status, rec.written, time.Since(ex.started)
	if o.Overhead == 0 {
		o.Overhead = o.Duration
	}
	if decided != nil {
		decided(r, o)
	}
}

// roundTripper sends a request to the upstream its exchange was decided for.
type roundTripper struct{}

func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	ex := exchangeOf(r.Context())
	if ex == nil || ex.decision.Verdict != Allowed {
		return nil, errUndecided
	}
	began := time.Now()
	ex.outcome.Overhead = began.Sub(ex.started)
	resp, err := ex.gate.Upstream.send(r, ex.headerTimeout())
	if err == nil {
		ex.heard = resp.Body
	}
	if err == nil || !ex.unasked(err) {
		ex.outcome.Upstream = time.Since(began)
		ex.outcome.Trace.Asked(began, statusOf(resp))
	}
	return resp, err
}

var errUndecided = errors.New("request was not decided about")

// modifyResponse refuses a change of protocol nobody asked for, and speaks for
// the gate where the upstream has no say.
func modifyResponse(resp *http.Response) error {
	ex := exchangeOf(resp.Request.Context())
	switched := resp.StatusCode == http.StatusSwitchingProtocols
	switch {
	case switched && (ex == nil || ex.key == ""):
		return errors.New("upstream switched protocols unasked")
	case resp.StatusCode < http.StatusOK && !switched || resp.StatusCode > 999: // net/http's server panics for it
		return errors.New("upstream answered with a status that is none")
	}
	replaceNonce(resp)
	keepPrivate(resp)
	hideConnectionChallenges(resp, ex)
	if switched {
		return ex.tunnel(resp)
	}
	if ex != nil {
		ex.beginStream(resp)
		ex.handOver(resp)
	}
	return nil
}

// statusClientClosed is for the log only: the client has gone.
const statusClientClosed = 499

// upstreamFailed answers when there is no response to relay.
func upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errTunnelled) {
		return
	}
	ex := exchangeOf(r.Context())
	if ex != nil && ex.decision.Verdict == Failed { // nobody was asked
		ex.gate.Answer(w, &ex.decision)
		return
	}
	if ex != nil {
		if !errors.Is(err, errLeft) {
			ex.outcome.Err = err
		}
		if ex.answerEnded(w) {
			return
		}
	}
	var timeout net.Error
	switch {
	case ex != nil && ex.content != nil && ex.content.TooLarge():
		ex.decision.Verdict, ex.decision.Refusal = Refused, token.Refuse(token.ContentTooLarge, token.ReasonBodySize)
		ex.gate.Answer(w, &ex.decision)
	case ex != nil && ex.content != nil && ex.content.Stalled():
		// The read that was cut has ended the request's context.
		answer(w, http.StatusRequestTimeout, "request_timeout", "the request's body did not arrive in time")
	case r.Context().Err() != nil:
		answer(w, statusClientClosed, "client_closed_request", "")
	case ex != nil && ex.content != nil && ex.content.Broken():
		answer(w, http.StatusBadRequest, string(token.InvalidRequest), "the request's body is malformed")
	case errors.As(err, &timeout) && timeout.Timeout():
		answer(w, http.StatusGatewayTimeout, "gateway_timeout", "the upstream did not answer in time")
	default:
		answer(w, http.StatusBadGateway, "bad_gateway", "the upstream could not be reached")
	}
}

// recorder notes what was sent. Unwrap lets http.ResponseController through to
// flushing and deadlines.
type recorder struct {
	http.ResponseWriter
	request  *http.Request // for the form of an answer of ours
	status   int
	written  int64
	last     bool // the connection closes after this answer
	exchange *exchange
	interim  int         // informational answers so far
	stall    *time.Timer // runs while a write waits; nil until then
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	hideCertificate(r.Header())
	if status < 200 {
		if !r.request.ProtoAtLeast(1, 1) { // which has none (RFC 9110 section 15.2): it would be taken for the answer
			return
		}
		if r.interim++; r.interim > informational || status == http.StatusContinue && r.request.Header["Expect"] == nil {
			return
		}
		delete(r.Header(), headerNonce) // the upstream's: httputil shows us no 1xx
	}
	if r.status == 0 && status >= 200 {
		r.status = status
		r.exchange.dress(r.Header(), r.request.Header["Origin"])
		if r.last || r.exchange.answersEarly(r.request) { // only now: httputil clears the header after each 1xx
			r.Header().Set("Connection", "close")
		}
		if id := r.exchange.interaction; id != "" { // whoever makes the answer
			r.Header()[HeaderInteraction] = r.exchange.line(id)
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n := 0
	err := r.guarded(func() (err error) {
		n, err = r.ResponseWriter.Write(p)
		return err
	})
	r.written += int64(n)
	return n, err
}

// copyBuffer is the size of the buffers bodies are copied through.
const copyBuffer = 32 << 10

// bufferPool spares an allocation of copyBuffer octets a request.
type bufferPool struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *bufferPool) Get() []byte {
	if buffer, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return buffer[:]
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b *bufferPool) Put(buffer []byte) { b.pool.Put((*[copyBuffer]byte)(buffer)) }
