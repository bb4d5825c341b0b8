package tracing

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// A batch that could be taken later is sent up to tries times, with pauses that
// double from firstPause.
const (
	tries      = 5
	firstPause = time.Second
)

// counts is what became of spans, since the process started.
type counts struct{ exported, dropped, failures atomic.Uint64 }

// record is the spans of one request, or of a batch.
type record []*tracepb.Span

// An exporter takes spans and hands them over in batches, on one goroutine of its
// own. Whoever brings some never waits: what there is no room for is dropped, and
// counted.
type exporter struct {
	options Options
	client  *client
	whose   *resourcepb.Resource
	by      *commonpb.InstrumentationScope
	counts  *counts
	failed  func(error)

	records chan record
	waiting atomic.Int64 // spans
	ctx     context.Context
	cancel  context.CancelFunc // ends all waits for the collector
	ending  chan struct{}      // closed when nothing more is to come
	ended   chan struct{}
	close   sync.Once
}

func newExporter(o Options, c *counts, failed func(error)) (*exporter, error) {
	sends, err := newClient(&o, failed)
	if err != nil {
		return nil, err
	}
	e := &exporter{
		options: o, client: sends, whose: o.resource(), by: o.scope(), counts: c, failed: failed,
		records: make(chan record, o.Queue), ending: make(chan struct{}), ended: make(chan struct{}),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	go e.run()
	return e, nil
}

// take keeps a record until it is sent, if there is room.
func (e *exporter) take(r record) {
	if e.waiting.Add(int64(len(r))) <= int64(e.options.Queue) {
		select {
		case e.records <- r:
			return
		default:
		}
	}
	e.waiting.Add(int64(-len(r)))
	e.counts.dropped.Add(uint64(len(r)))
}

func (e *exporter) run() {
	defer close(e.ended)
	for more := true; more; {
		var batch record
		batch, more = e.gather()
		if len(batch) > 0 {
			e.deliver(batch)
			e.waiting.Add(int64(-len(batch)))
		}
	}
	e.client.close()
}

// gather waits for a full batch, or for the first spans of one and then the delay.
// There is no more when the exporter ends and nothing waits.
func (e *exporter) gather() (batch record, more bool) {
	var due <-chan time.Time // from the first spans on
	for len(batch) < e.options.Batch {
		select {
		case r := <-e.records:
			if due == nil {
				due = time.After(e.options.Delay)
			}
			batch = append(batch, r...)
		case <-due:
			return batch, true
		case <-e.ending:
			select {
			case r := <-e.records:
				batch = append(batch, r...)
			default:
				return batch, false
			}
		}
	}
	return batch, true
}

// deliver sends a batch until it is taken, or there is no use. The library could try
// again too, but then the end of the exporter would cut an attempt where it is to cut
// the wait for the next; and over HTTP it takes a refused connection for final.
func (e *exporter) deliver(batch record) {
	message := []*tracepb.ResourceSpans{{Resource: e.whose, ScopeSpans: []*tracepb.ScopeSpans{{Scope: e.by, Spans: batch}}}}
	for try, pause := 1, e.options.pause; ; try, pause = try+1, 2*pause {
		refused, why := e.client.send(e.ctx, message)
		if why == nil {
			refused = min(refused, uint64(len(batch)))
			e.counts.exported.Add(uint64(len(batch)) - refused)
			e.counts.dropped.Add(refused)
			return
		}
		e.counts.failures.Add(1)
		e.failed(why)
		if !why.again || try == tries || !e.rest(max(why.pause, pause/2+rand.N(pause))) {
			e.counts.dropped.Add(uint64(len(batch)))
			return
		}
	}
}

// rest waits, unless the exporter ends: then there is one try for each batch.
func (e *exporter) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.ending:
		return false
	}
}

// end sends what waits, and returns when that is done or ctx has ended; what is
// left then is dropped.
func (e *exporter) end(ctx context.Context) {
	e.close.Do(func() { close(e.ending) })
	select {
	case <-e.ended:
	case <-ctx.Done():
	}
	e.cancel()
	<-e.ended
	for {
		select {
		case r := <-e.records: // brought while the exporter ended
			e.counts.dropped.Add(uint64(len(r)))
		default:
			return
		}
	}
}
