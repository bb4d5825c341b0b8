package telemetry

import (
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
	m.paused = f.NewGaugeVec(gauge("introspection_paused",
		"1 while an issuer is not asked about tokens because it failed too often."), issuer)
}

// IntrospectionPaused reports that an issuer is asked about tokens, or is not
// any more because it failed: introspect.Options.OnPause.
func (t *Telemetry) IntrospectionPaused(issuer string, paused bool) {
	if t.bound.Load().issuers[issuer] == nil {
		return
	}
	m := t.metrics
	for _, result := range introspect.Results() {
		m.questions.WithLabelValues(issuer, result)
	}
	m.questionDuration.WithLabelValues(issuer)
	for _, result := range [...]string{"hit", "miss"} {
		m.answersKept.WithLabelValues(issuer, result)
	}
	if !paused {
		m.paused.WithLabelValues(issuer).Set(0)
		return
	}
	m.paused.WithLabelValues(issuer).Set(1)
	t.log.Error("issuer is not asked about tokens for a while: it failed too often, or refuses our credentials", zap.String("gate.issuer", issuer))
}

// Introspected counts a question to an issuer: introspect.Options.OnAsked. An
// issuer that is not bound is not counted.
func (t *Telemetry) Introspected(a introspect.Asked) {
	if t.bound.Load().issuers[a.Issuer] == nil {
		return
	}
	t.metrics.questions.WithLabelValues(a.Issuer, a.Result).Inc()
	switch a.Result {
	case introspect.Busy, introspect.Paused:
		return
	case introspect.Denied:
		t.log.Error("issuer refuses our credentials for introspection", zap.String("gate.issuer", a.Issuer), zap.String("error", clip(a.Err.Error())))
	case introspect.Unavailable, introspect.TimedOut:
		t.log.Warn("issuer could not be asked about a token", zap.String("gate.issuer", a.Issuer), zap.String("error", clip(a.Err.Error())))
	}
	t.metrics.questionDuration.WithLabelValues(a.Issuer).Observe(a.Took.Seconds())
}

// AnswerLookup counts a look for a remembered answer:
// introspect.Options.OnLookup.
func (t *Telemetry) AnswerLookup(issuer string, hit bool) {
	if t.bound.Load().issuers[issuer] == nil {
		return
	}
	result := "miss"
	if hit {
		result = "hit"
	}
	t.metrics.answersKept.WithLabelValues(issuer, result).Inc()
}
