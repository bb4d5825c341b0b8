package telemetry

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/validator/introspect"
)

func (m *metrics) makeIntrospection(f promauto.Factory) {
	issuer := []string{"issuer"}
	m.questions = f.NewCounterVec(counter("introspection_requests_total",
		"Questions to an issuer about a token, by what came of them."), []string{"issuer", "result"})
	m.questionDuration = f.NewHistogramVec(histogram("introspection_duration_seconds",
		"Time until an issuer's answer about a token, or until there was none.",
		.005, .025, .1, .5, 1, 2.5), issuer)
	m.answersKept = f.NewCounterVec(counter("introspection_cache_requests_total",
		"Looks for an issuer's answer among those remembered."), []string{"issuer", "result"})
	m.answersShared = f.NewCounterVec(counter("introspection_shared_requests_total",
		"Looks for an issuer's answer among those of other gates."), []string{"issuer", "result"})
	m.paused = f.NewGaugeVec(gauge("introspection_paused",
		"1 while an issuer is not asked about tokens because it failed too often."), issuer)
}

// askedSeries is the series of an issuer that is asked about tokens, looked up
// once.
type askedSeries struct {
	results   map[string]prometheus.Counter
	duration  prometheus.Observer
	hit, miss prometheus.Counter
	shared    map[string]prometheus.Counter // by result
	paused    prometheus.Gauge
}

func (m *metrics) bindAsked(issuer string) *askedSeries {
	s := &askedSeries{
		map[string]prometheus.Counter{}, m.questionDuration.WithLabelValues(issuer),
		m.answersKept.WithLabelValues(issuer, "hit"), m.answersKept.WithLabelValues(issuer, "miss"), map[string]prometheus.Counter{}, m.paused.WithLabelValues(issuer),
	}
	for _, result := range introspect.SharedResults() {
		s.shared[result] = m.answersShared.WithLabelValues(issuer, result)
	}
	for _, result := range introspect.Results() {
		s.results[result] = m.questions.WithLabelValues(issuer, result)
	}
	return s
}

// forgetAsked drops what is held of issuers that are not in b. The caller holds
// the lock.
func (t *Telemetry) forgetAsked(b *bound) {
	kept := map[string]*askedSeries{}
	for name, series := range *t.asked.Load() {
		if b.issuers[name] != nil {
			kept[name] = series
		}
	}
	t.asked.Store(&kept)
}

// IntrospectionPaused reports that an issuer is asked about tokens, or is not
// any more because it failed: introspect.Options.OnPause. The first report makes
// the issuer's series.
func (t *Telemetry) IntrospectionPaused(issuer string, paused bool) {
	t.mu.Lock()
	series := (*t.asked.Load())[issuer]
	if series == nil && t.bound.Load().issuers[issuer] != nil {
		series = t.metrics.bindAsked(issuer)
		more := maps.Clone(*t.asked.Load())
		more[issuer] = series
		t.asked.Store(&more)
	}
	t.mu.Unlock()
	switch {
	case series == nil:
	case paused:
		series.paused.Set(1)
		t.log.Error("issuer is not asked about tokens for a while: it failed too often, or refuses our credentials", zap.String("gate.issuer", issuer))
	default:
		series.paused.Set(0)
	}
}

// Introspected counts a question to an issuer: introspect.Options.OnAsked. An
// issuer that is not bound is not counted.
func (t *Telemetry) Introspected(a introspect.Asked) {
	series := (*t.asked.Load())[a.Issuer]
	if series == nil || series.results[a.Result] == nil {
		return
	}
	series.results[a.Result].Inc()
	switch a.Result {
	case introspect.Busy, introspect.Paused:
		return
	case introspect.Denied:
		t.log.Error("issuer refuses our credentials for introspection", zap.String("gate.issuer", a.Issuer), zap.String("error", clip(a.Err.Error())))
	case introspect.Unavailable, introspect.TimedOut:
		t.log.Warn("issuer could not be asked about a token", zap.String("gate.issuer", a.Issuer), zap.String("error", clip(a.Err.Error())))
	}
	series.duration.Observe(a.Took.Seconds())
}

// AnswerLookup counts a look for a remembered answer:
// introspect.Options.OnLookup.
func (t *Telemetry) AnswerLookup(issuer string, hit bool) {
	series := (*t.asked.Load())[issuer]
	switch {
	case series == nil:
	case hit:
		series.hit.Inc()
	default:
		series.miss.Inc()
	}
}

// AnswerShared counts a look for an answer of another gate, or one that could
// not be left for the others: introspect.Options.OnShared.
func (t *Telemetry) AnswerShared(issuer, result string) {
	if series := (*t.asked.Load())[issuer]; series != nil && series.shared[result] != nil {
		series.shared[result].Inc()
	}
}
