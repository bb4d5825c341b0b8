package telemetry

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/validator/status"
)

// statusMetrics tells of the status lists of issuers.
type statusMetrics struct {
	fetches  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	oldest   *prometheus.GaugeVec
	lists    *prometheus.GaugeVec
	bytes    *prometheus.GaugeVec
}

func makeStatuses(f promauto.Factory) statusMetrics {
	issuer := []string{"issuer"}
	return statusMetrics{
		fetches: f.NewCounterVec(counter("status_list_fetches_total",
			"Attempts to get a status list."), []string{"issuer", "result"}),
		duration: f.NewHistogramVec(histogram("status_list_fetch_duration_seconds",
			"Time an attempt to get a status list took.", .005, .025, .1, .5, 2.5, 10), issuer),
		oldest: f.NewGaugeVec(gauge("status_list_oldest_timestamp_seconds",
			"When the oldest of an issuer's status lists at hand was got, as of the last attempt; 0 without any."), issuer),
		lists: f.NewGaugeVec(gauge("status_lists", "Status lists of an issuer at hand."), issuer),
		bytes: f.NewGaugeVec(gauge("status_list_bytes", "Size of an issuer's status lists at hand, inflated."), issuer),
	}
}

func (m statusMetrics) vectors() []vector {
	return []vector{m.fetches, m.duration, m.oldest, m.lists, m.bytes}
}

// StatusExpected makes the series of an issuer that has status lists, at zero. One
// that is not bound gets none.
func (t *Telemetry) StatusExpected(issuer string) {
	if t.bound.Load().issuers[issuer] == nil {
		return
	}
	m := t.metrics.statuses
	for _, result := range [...]string{"ok", timedOut, failed} {
		m.fetches.WithLabelValues(issuer, result)
	}
	m.duration.WithLabelValues(issuer)
	m.oldest.WithLabelValues(issuer)
	m.lists.WithLabelValues(issuer)
	m.bytes.WithLabelValues(issuer)
}

// StatusLoaded reports an attempt to get a status list: status.Options.OnLoad.
// An issuer that is not bound is not counted.
func (t *Telemetry) StatusLoaded(l status.Load) {
	if t.bound.Load().issuers[l.Issuer] == nil {
		return
	}
	t.StatusExpected(l.Issuer)
	m, result := t.metrics.statuses, "ok"
	switch {
	case errors.Is(l.Err, fetch.ErrTimeout), errors.Is(l.Err, context.DeadlineExceeded):
		result = timedOut
	case l.Err != nil:
		result = failed
	}
	if l.Err != nil {
		t.log.Warn("status list could not be got", zap.String("gate.issuer", l.Issuer), zap.String("error", clip(l.Err.Error())))
	}
	m.fetches.WithLabelValues(l.Issuer, result).Inc()
	m.duration.WithLabelValues(l.Issuer).Observe(l.Took.Seconds())
	m.lists.WithLabelValues(l.Issuer).Set(float64(l.Lists))
	m.bytes.WithLabelValues(l.Issuer).Set(float64(l.Bytes))
	if !l.Oldest.IsZero() {
		m.oldest.WithLabelValues(l.Issuer).Set(float64(l.Oldest.UnixNano()) / 1e9)
	}
}
