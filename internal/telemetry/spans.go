package telemetry

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/internal/spans"
	"github.com/wicketgate/wicketgate/proxy"
)

// spanCounts says how to ask for what became of spans.
type spanCounts struct{ exported, dropped, failures func() uint64 }

// Spans says how to ask how many spans a collector took, how many none took, and
// how many attempts to hand some over failed.
func (t *Telemetry) Spans(exported, dropped, failures func() uint64) {
	t.spans.Store(&spanCounts{exported, dropped, failures})
}

// spans makes their counters.
func (*metrics) spans(registry prometheus.Registerer, asked *atomic.Pointer[spanCounts]) {
	for _, one := range []struct {
		name, help string
		of         func(*spanCounts) uint64
	}{
		{"spans_exported_total", "Spans that the collector took.", func(c *spanCounts) uint64 { return c.exported() }},
		{"spans_dropped_total", "Spans that no collector took: too many waited, or it refused them or did not answer.", func(c *spanCounts) uint64 { return c.dropped() }},
		{"span_export_failures_total", "Attempts to hand spans to the collector that failed.", func(c *spanCounts) uint64 { return c.failures() }},
	} {
		promauto.With(registry).NewCounterFunc(counter(one.name, one.help), func() float64 {
			if c := asked.Load(); c != nil {
				return float64(one.of(c))
			}
			return 0
		})
	}
}

// TraceOf is the trace that a request belongs to, and the span that the gate makes
// of it: hexadecimal digits in lower case, or empty. Without a span of ours the
// trace is that of a valid traceparent.
func TraceOf(r *http.Request, o *proxy.Outcome) (trace, span string) {
	if trace, span = o.Trace.ID(); trace != "" {
		return trace, span
	}
	if p, ok := spans.Parse(r.Header["Traceparent"]); ok {
		return p.TraceID(), ""
	}
	return "", ""
}

// traced appends the fields that say of which trace a line is.
func traced(fields []zap.Field, r *http.Request, o *proxy.Outcome) []zap.Field {
	trace, span := TraceOf(r, o)
	if trace != "" {
		fields = append(fields, zap.String("trace_id", trace))
	}
	if span != "" {
		fields = append(fields, zap.String("span_id", span))
	}
	return fields
}
