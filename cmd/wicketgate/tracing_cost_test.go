//go:build !race

package main

import (
	"bytes"
	"fmt"
	"testing"
)

// spanCosts are ways to have spans, or none, of requests that say what the trace
// decided.
var spanCosts = []struct{ name, settings, flags string }{
	{"off", "", "00"},
	{"unsampled", "tracing: {endpoint: %q, sample: 100%%}\n", "00"},
	{"sampled", "tracing: {endpoint: %q}\n", "01"},
}

// newSpanMeter is a meter whose spans go to a collector that takes connections and
// says nothing, so that no collector's allocations are counted.
func newSpanMeter(tb testing.TB, settings string) *meter {
	tb.Helper()
	if settings == "" {
		return newMeter(tb)
	}
	l := listenLoopback(tb)
	tb.Cleanup(func() { _ = l.Close() })
	return newMeter(tb, fmt.Sprintf(settings, "http://"+l.Addr().String()))
}

// inTrace is a way whose request belongs to a trace.
func inTrace(w way, flags string) way {
	w.request = bytes.Replace(w.request, []byte("Accept: "), []byte("Traceparent: "+traceparent+flags+"\r\nAccept: "), 1)
	return w
}

// TestAllocationsOfUnsampledRequests: with a collector, a request that gets no
// spans allocates what it does without one.
func TestAllocationsOfUnsampledRequests(t *testing.T) {
	const requests = 1000
	each := make(map[string]map[string]float64)
	for _, cost := range spanCosts {
		c := newSpanMeter(t, cost.settings)
		each[cost.name] = make(map[string]float64)
		for _, w := range c.ways() {
			w, one := inTrace(w, cost.flags), c.dial()
			c.warm(one, w)
			mallocs, octets := c.allocations(t, one, w, requests)
			each[cost.name][w.name] = mallocs
			t.Logf("%s, %s: %.2f allocations, %.0f octets", cost.name, w.name, mallocs, octets)
		}
	}
	for name, unsampled := range each["unsampled"] {
		if off := each["off"][name]; unsampled > off+0.9 { // other goroutines allocate too, but not one thing a request
			t.Errorf("%s: %.2f allocations, and %.2f without a collector", name, unsampled, off)
		}
	}
	for name, sampled := range each["sampled"] {
		if off := each["off"][name]; sampled < off+1 {
			t.Errorf("%s: %.2f allocations: there are no spans", name, sampled)
		}
	}
}

// BenchmarkSpans is BenchmarkRequest for a remembered token on one connection, with
// and without spans.
func BenchmarkSpans(b *testing.B) {
	for _, cost := range spanCosts {
		b.Run(cost.name, func(b *testing.B) {
			c := newSpanMeter(b, cost.settings)
			w, one := inTrace(c.ways()[1], cost.flags), c.dial()
			c.warm(one, w)
			b.ReportAllocs()
			began := processorTime(b)
			b.ResetTimer()
			for range b.N {
				if status, err := one.ask(w.request); status != w.status {
					b.Fatalf("status %d, %v", status, err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64((processorTime(b)-began).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
		})
	}
}
