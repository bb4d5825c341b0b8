// Package tracing makes OpenTelemetry spans of answered requests and sends them to
// a collector by OTLP, over HTTP or gRPC. What a span says is in describe.go: it
// comes from the configuration and from closed lists. Nothing a token, a proof, a
// query, a path or a header field says is in one.
package tracing

import (
	"context"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/proxy"
)

// A Tracer sends spans as long as the process lives, as the configuration in force
// says. Its methods are safe for concurrent use.
type Tracer struct {
	counts counts
	failed func(error)
	told   atomic.Int64 // when failed was called last, in Unix seconds

	current atomic.Pointer[exporter] // nil: there are no spans

	mu      sync.Mutex // guards used and the replacing of current
	used    Options
	leaving sync.WaitGroup // exporters that were replaced
	ctx     context.Context
	cut     context.CancelFunc // ends their time
}

// tellEvery is how often a collector's failures are told, in seconds.
const tellEvery = 60

// replacedWithin is how long an exporter that was replaced has for what it holds.
const replacedWithin = 10 * time.Second

// New makes a Tracer without an exporter. failed is told of a failed attempt to
// hand spans over, once a minute at most; the error quotes nothing of what a
// collector says.
func New(failed func(error)) *Tracer {
	t := &Tracer{failed: failed}
	t.ctx, t.cut = context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	return t
}

// Use sends spans as o says from now on; nil sends none. An exporter whose options
// have not changed goes on.
func (t *Tracer) Use(o *Options) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var next Options
	if o.On() {
		next = *o
		next.setDefaults()
	}
	if reflect.DeepEqual(next, t.used) {
		return nil
	}
	var made *exporter
	if next.On() {
		var err error
		if made, err = newExporter(next, &t.counts, t.tell); err != nil {
			return err
		}
	}
	t.used = next
	if old := t.current.Swap(made); old != nil {
		t.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(t.ctx, replacedWithin)
			defer cancel()
			old.end(ctx)
		})
	}
	return nil
}

func (t *Tracer) tell(err error) {
	now, told := time.Now().Unix(), t.told.Load()
	if t.failed != nil && now-told >= tellEvery && t.told.CompareAndSwap(told, now) {
		t.failed(err)
	}
}

// Decided takes a request that has been answered: the hook of a front door.
func (t *Tracer) Decided(r *http.Request, o *proxy.Outcome) {
	if o.Trace == nil {
		return
	}
	e := t.current.Load()
	if e == nil {
		return // switched off meanwhile
	}
	e.take(describe(&e.options, r, o))
}

// Exported, Dropped and Failures count, since the start: spans that a collector
// took, spans that none took, and attempts that failed.
func (t *Tracer) Exported() uint64 { return t.counts.exported.Load() }

// Dropped: see Exported.
func (t *Tracer) Dropped() uint64 { return t.counts.dropped.Load() }

// Failures: see Exported.
func (t *Tracer) Failures() uint64 { return t.counts.failures.Load() }

// Close sends what waits, until ctx ends, and stops.
func (t *Tracer) Close(ctx context.Context) {
	t.mu.Lock()
	t.used = Options{}
	old := t.current.Swap(nil)
	t.mu.Unlock()
	if old != nil {
		old.end(ctx)
	}
	defer context.AfterFunc(ctx, t.cut)()
	t.leaving.Wait()
}
