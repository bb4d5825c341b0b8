package telemetry

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// Decided returns the hook of a front door: it counts each request and logs
// those that Options.Access asks for. listener is the address as configured,
// for the log.
func (t *Telemetry) Decided(listener string) func(*http.Request, *proxy.Outcome) {
	return func(r *http.Request, o *proxy.Outcome) {
		decision, reason := decisionOf(o), reasonOf(o)
		t.count(o, decision, reason, sampledTrace(r.Header, o.Trace))
		if t.wanted(o, decision) {
			t.write(listener, r, o, decision, reason)
		}
	}
}

func (t *Telemetry) count(o *proxy.Outcome, decision string, reason token.Reason, trace string) {
	m, b := t.metrics, t.bound.Load()
	s := b.routes[placeOf(o)]
	if s == nil {
		s = b.routes[nowhere]
	}
	s.count(m, answer{codeOf(o.Status), decision}, o.Duration, trace)
	observe(m.overhead, o.Overhead.Seconds(), trace)
	if reason != token.ReasonNone {
		m.refusals[m.listed(reason)].Inc()
	}
	if would := wouldOf(o); would != nil && decision == reported {
		s.countReport(m, would)
	}
	if o.Challenged {
		t.metrics.challenges.Inc()
	}
	if o.Panic != "" {
		m.panics.Inc()
	}
	if result := resultOf(o); result != "" && o.Gate != nil && o.Gate.Upstream != nil {
		b.upstreams[o.Gate.Upstream.Name].count(result, o)
	}
}

func placeOf(o *proxy.Outcome) place {
	if o.Gate == nil || o.Decision == nil || o.Decision.Route == nil {
		return nowhere
	}
	return place{o.Gate.Name, o.Decision.Route.Name}
}

// count looks up what was not expected. Its labels are from closed lists too,
// so it makes no more series than those lists allow.
func (s *routeSeries) count(m *metrics, a answer, took time.Duration, trace string) {
	requests, duration := s.requests[a], s.durations[a.decision]
	if requests == nil {
		requests = m.requests.WithLabelValues(s.resource, s.route, a.code, a.decision)
	}
	if duration == nil {
		duration = m.requestDuration.WithLabelValues(s.resource, s.route, a.decision)
	}
	requests.Inc()
	observe(duration, took.Seconds(), trace)
}

// count does nothing for an upstream that is gone from the configuration.
func (s *upstreamSeries) count(result string, o *proxy.Outcome) {
	if s == nil {
		return
	}
	s.results[result].Inc()
	switch result {
	case answered, serverError:
		s.healthy.Set(1)
	case unreachable, timedOut:
		s.healthy.Set(0)
	}
	if o.Err == nil {
		s.duration.Observe(o.Upstream.Seconds())
	}
}

// Judged counts a judged token: validator.Parts.OnJudged.
func (t *Telemetry) Judged(r validator.Result) {
	m, b := t.metrics, t.bound.Load()
	j := judgement{kindOf(r), m.why(r.Err)}
	issuer, series := r.Issuer, b.issuers[r.Issuer]
	if series == nil {
		issuer, series = unknown, b.issuers[unknown]
	}
	if counter := series.judged[j]; counter != nil {
		counter.Inc()
	} else {
		m.judged(issuer, j).Inc()
	}
	if j.reason == token.ReasonReplayUnavailable && errors.Is(r.Err, replay.ErrUnavailable) {
		m.sharedErrors.Inc()
	} else if j.reason == token.ReasonReplayUnavailable {
		m.storeErrors.Inc()
	}
	if duration := m.validationDuration[j.kind]; duration != nil {
		duration.Observe(r.Took.Seconds())
	}
}

// why is the reason of an error of the validator.
func (m *metrics) why(err error) token.Reason {
	if err == nil {
		return token.ReasonNone
	}
	if refusal, ok := errors.AsType[*token.Error](err); ok {
		return m.listed(refusal.Reason)
	}
	if fault, ok := errors.AsType[*token.Fault](err); ok {
		return m.listed(fault.Reason)
	}
	return token.ReasonInternal
}

// listed takes a reason that is not on the closed list for internal.
func (m *metrics) listed(r token.Reason) token.Reason {
	if m.refusals[r] == nil {
		return token.ReasonInternal
	}
	return r
}

// TokenLookup counts a look into the cache of verified tokens:
// validator.Parts.OnLookup.
func (t *Telemetry) TokenLookup(hit bool) {
	if hit {
		t.metrics.cacheHits.Inc()
		return
	}
	t.metrics.cacheMisses.Inc()
}

// ProofSkew notes by how much the iat of an accepted proof is ahead of us:
// dpop.Options.OnSkew.
func (t *Telemetry) ProofSkew(ahead time.Duration) { t.metrics.skew.Observe(ahead.Seconds()) }

// KeysLoaded reports an attempt to get an issuer's keys: jwks.Options.OnLoad.
// An issuer that is not bound is not counted.
func (t *Telemetry) KeysLoaded(issuer string, l jwks.Load) {
	private := 0
	for _, k := range l.Skipped {
		if k.Private {
			private++
		}
	}
	if t.bound.Load().issuers[issuer] != nil {
		t.metrics.loaded(issuer, l, private)
	}
	t.logLoad(issuer, l, private)
	t.logSkew(issuer, l.Skew)
}

func (m *metrics) loaded(issuer string, l jwks.Load, private int) {
	m.fetchDuration.WithLabelValues(issuer).Observe(l.Took.Seconds())
	m.privateKeys.WithLabelValues(issuer).Add(float64(private))
	if l.Err != nil {
		m.fetches.WithLabelValues(issuer, "error").Inc()
		return
	}
	result := "unchanged"
	if l.Changed {
		result = "changed"
	}
	m.fetches.WithLabelValues(issuer, result).Inc()
	m.fetchSuccess.WithLabelValues(issuer).Set(seconds(l.At))
	m.keys.WithLabelValues(issuer).Set(float64(l.Keys))
	m.issuerSkew.WithLabelValues(issuer).Set(l.Skew.Ahead.Seconds())
	m.skippedKeys.WithLabelValues(issuer).Set(float64(len(l.Skipped)))
}

// logLoad says what an operator would want to know. A set that has not changed
// is no news.
func (t *Telemetry) logLoad(issuer string, l jwks.Load, private int) {
	log := t.log.With(zap.String("gate.issuer", issuer))
	switch {
	case l.Err != nil:
		log.Warn("issuer keys could not be loaded", zap.String("error", clip(l.Err.Error())), zap.Float64("duration_ms", milliseconds(l.Took)))
	case l.Changed:
		log.Info("issuer keys loaded", zap.Int("keys", l.Keys), zap.Int("skipped", len(l.Skipped)), zap.Float64("duration_ms", milliseconds(l.Took)))
		for _, k := range l.Skipped {
			log.Info("issuer key is not used", zap.Int("index", k.Index), zap.String("kid", clip(k.ID)), zap.String("reason", clip(k.Reason)))
		}
	}
	if private > 0 && (l.Changed || l.Err != nil) {
		log.Error("issuer publishes private keys: they must be replaced", zap.Int("keys", private))
	}
}

// UnknownKey counts a token whose key the issuer's set did not have, and
// whether the set was fetched again for it: jwks.Options.OnUnknownKey.
func (t *Telemetry) UnknownKey(issuer string, refetched bool) {
	series := t.bound.Load().issuers[issuer]
	switch {
	case series == nil || series.refetched == nil:
	case refetched:
		series.refetched.Inc()
	default:
		series.heldBack.Inc()
	}
}
