package telemetry

import "github.com/prometheus/client_golang/prometheus/promauto"

// What becomes of a request that an upstream has no place for.
const (
	queueFull = "full"
	queueLate = "late"
)

func (m *metrics) makePlaces(f promauto.Factory) {
	m.upstreamWaiting = f.NewGaugeVec(gauge("upstream_waiting",
		"Requests that wait for a place at an upstream."), []string{"upstream"})
	m.upstreamRefused = f.NewCounterVec(counter("upstream_refused_total",
		"Requests that got no place at an upstream, because too many waited or none came in time."), []string{"queue", "upstream"})
}

func (m *metrics) bindPlaces(upstream string) {
	m.upstreamWaiting.WithLabelValues(upstream)
	for _, queue := range [...]string{queueFull, queueLate} {
		m.upstreamRefused.WithLabelValues(queue, upstream)
	}
}

// UpstreamWaiting tells how many wait for an upstream: proxy.PlaceHooks.
func (t *Telemetry) UpstreamWaiting(upstream string, n int) {
	if t.bound.Load().upstreams[upstream] != nil {
		t.metrics.upstreamWaiting.WithLabelValues(upstream).Set(float64(n))
	}
}

// UpstreamRefused counts who got no place at it: proxy.PlaceHooks.
func (t *Telemetry) UpstreamRefused(upstream string, late bool) {
	queue := queueFull
	if late {
		queue = queueLate
	}
	if t.bound.Load().upstreams[upstream] != nil {
		t.metrics.upstreamRefused.WithLabelValues(queue, upstream).Inc()
	}
}
