package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

func (m *metrics) makeReports(f promauto.Factory) {
	m.wouldRefuse = f.NewCounterVec(counter("would_refuse_total",
		"Requests that were let through by report_only, by the check that would have refused them."), []string{"resource", "route", "reason"})
	m.reportOnly = f.NewGaugeVec(gauge("report_only",
		"Largest share of refusals, from 0 to 1, that report_only lets through."), []string{"resource", "route"})
}

// enforced are the reasons that report-only never lets through: those of the door,
// of origins and of bounds.
var enforced = map[token.Reason]bool{
	token.ReasonOverload: true, token.ReasonVersion: true, token.ReasonMethod: true, token.ReasonTarget: true, token.ReasonPath: true,
	token.ReasonHost: true, token.ReasonHeaderSection: true, token.ReasonLoop: true, token.ReasonEarlyData: true, token.ReasonBody: true,
	token.ReasonOrigin: true, token.ReasonBodySize: true, token.ReasonAsker: true, token.ReasonQuestion: true, token.ReasonReserved: true,
	token.ReasonHandshake: true, token.ReasonHandshakeVersion: true, token.ReasonTunnels: true, token.ReasonUpstreamBusy: true,
}

// expectReports makes the series of what report-only lets through at a route, of
// which index is -1 where none matches.
func (m *metrics) expectReports(s *routeSeries, g *proxy.Gate, index int) {
	most := g.Report.Most(index)
	if most == 0 {
		return
	}
	m.reportOnly.WithLabelValues(s.resource, s.route).Set(float64(most) / 100)
	for _, code := range relayed {
		s.requests[answer{code, reported}] = m.requests.WithLabelValues(s.resource, s.route, code, reported)
	}
	if s.would = map[token.Reason]prometheus.Counter{}; index < 0 {
		s.durations[reported] = m.requestDuration.WithLabelValues(none, none, reported) // shared, as in bindUnmatched
		s.would[token.ReasonNoRoute] = m.wouldRefuse.WithLabelValues(s.resource, s.route, string(token.ReasonNoRoute))
		return
	}
	s.durations[reported] = m.requestDuration.WithLabelValues(s.resource, s.route, reported)
	for _, r := range token.Reasons {
		if r.Reason != token.ReasonNoRoute && !enforced[r.Reason] {
			s.would[r.Reason] = m.wouldRefuse.WithLabelValues(s.resource, s.route, string(r.Reason))
		}
	}
}

// countReport counts a request that report-only let through.
func (s *routeSeries) countReport(m *metrics, would *proxy.Decision) {
	reason := m.listed(would.Reason())
	if c := s.would[reason]; c != nil {
		c.Inc()
	} else {
		m.wouldRefuse.WithLabelValues(s.resource, s.route, string(reason)).Inc()
	}
	if would.Panicked() != "" {
		m.panics.Inc()
	}
}

// wouldOf is the decision that was not held to, or nil.
func wouldOf(o *proxy.Outcome) *proxy.Decision {
	if o.Decision == nil {
		return nil
	}
	return o.Decision.Would
}

// principalOf is whose token it is, also where the token is good and does not
// suffice; nil where that is not known.
func principalOf(o *proxy.Outcome) *token.Principal {
	switch would := wouldOf(o); {
	case would != nil:
		return would.Principal
	case o.Decision != nil:
		return o.Decision.Principal
	}
	return nil
}
