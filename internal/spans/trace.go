package spans

import (
	"context"
	"encoding/hex"
	"sync"
	"time"
)

// maxWaits is how many waits of one request are told. None has that many but one
// whose issuers and stores all fail.
const maxWaits = 8

// A Trace is one request that gets spans. Its methods do nothing for the nil
// Trace, which is every other request.
type Trace struct {
	parent   Parent // its Span is zero where the trace begins here
	span     [8]byte
	unlinked bool
	began    time.Time

	upstream Exchange

	mu    sync.Mutex // guards waits: who waits may do so on another goroutine
	waits []Wait
}

// Exchange is what happened with the upstream.
type Exchange struct {
	Span   [8]byte
	Began  time.Time // zero when nobody was asked
	Status int       // 0 without an answer
}

// A Wait is a time in which a request waited for somebody else's answer.
type Wait struct {
	Name         string // from the program's text, never from a request
	Began, Ended time.Time
	Failed       bool
}

// ID is the trace and the request's own span, as hexadecimal digits in lower case;
// empty for nil.
func (t *Trace) ID() (trace, span string) {
	if t == nil {
		return "", ""
	}
	return hex.EncodeToString(t.parent.Trace[:]), hex.EncodeToString(t.span[:])
}

// Parent is what the request's span belongs to; its Span is zero where the trace
// begins here.
func (t *Trace) Parent() Parent { return t.parent }

// Began is when the request came.
func (t *Trace) Began() time.Time { return t.began }

// Span is the request's own.
func (t *Trace) Span() [8]byte { return t.span }

// Upstream is what happened with the upstream.
func (t *Trace) Upstream() Exchange { return t.upstream }

// Asking notes that the upstream is asked from now on. With linked, the upstream
// is to be told traceparent, and only if not fresh what came in tracestate
// (section 3.3.1.5 of W3C Trace Context).
func (t *Trace) Asking() (traceparent string, fresh, linked bool) {
	if t == nil {
		return "", false, false
	}
	randomID(t.upstream.Span[:])
	p := t.parent
	fresh = p.Span == [8]byte{}
	p.Span, p.Flags = t.upstream.Span, p.Flags&Random|Sampled
	return p.String(), fresh, !t.unlinked
}

// Asked notes the exchange with the upstream: when it began, and the status of
// the answer, or 0.
func (t *Trace) Asked(began time.Time, status int) {
	if t != nil {
		t.upstream.Began, t.upstream.Status = began, status
	}
}

// Waits are the waits that have ended by now.
func (t *Trace) Waits() []Wait {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waits
}

type traceKey struct{}

// Within is ctx with t in it, and ctx itself for nil.
func (t *Trace) Within(ctx context.Context) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// Waiting says that the request of ctx waits from now on, for what name tells: a
// constant. The function it returns is to be called when the wait is over; it is
// nil where the request gets no spans.
func Waiting(ctx context.Context, name string) func(error) {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	if t == nil {
		return nil
	}
	began := time.Now()
	return func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.waits) < maxWaits {
			t.waits = append(t.waits, Wait{name, began, time.Now(), err != nil})
		}
	}
}
