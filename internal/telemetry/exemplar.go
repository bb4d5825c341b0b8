package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/internal/spans"
)

// traceLabel is the label of exemplars, which are not series.
const traceLabel = "trace_id"

// sampledTrace is the trace-id of a request whose trace is recorded: by spans of
// the gate's own, or somewhere else, as a valid traceparent says (W3C Trace Context
// section 3.2); else empty. A client chooses it, but not its form: 32 hexadecimal
// digits.
func sampledTrace(h http.Header, ours *spans.Trace) string {
	if trace, _ := ours.ID(); trace != "" {
		return trace
	}
	if p, ok := spans.Parse(h["Traceparent"]); ok && p.Flags&spans.Sampled != 0 {
		return p.TraceID()
	}
	return ""
}

// observe adds a value to a histogram, with the trace it comes from where there
// is one: that takes twenty times as long.
func observe(to prometheus.Observer, value float64, trace string) {
	if trace != "" {
		if with, ok := to.(prometheus.ExemplarObserver); ok {
			with.ObserveWithExemplar(value, prometheus.Labels{traceLabel: trace})
			return
		}
	}
	to.Observe(value)
}
