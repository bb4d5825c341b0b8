package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// bound is the series of one configuration, looked up once: to count is then
// to add to a number that is at hand.
type bound struct {
	routes    map[place]*routeSeries
	upstreams map[string]*upstreamSeries
	issuers   map[string]*issuerSeries
	places    bool // are bounded
}

// place is where a request went.
type place struct{ resource, route string }

var nowhere = place{none, none}

type routeSeries struct {
	place
	requests  map[answer]prometheus.Counter
	durations map[string]prometheus.Observer // by decision

	would map[token.Reason]prometheus.Counter // with report-only
}

type answer struct{ code, decision string }

type upstreamSeries struct {
	results  map[string]prometheus.Counter
	duration prometheus.Observer
	healthy  prometheus.Gauge
}

type issuerSeries struct {
	judged              map[judgement]prometheus.Counter
	refetched, heldBack prometheus.Counter // tokens that named a key which is not there; nil for issuer unknown
}

// judgement is how a token was judged; without a reason it was found good.
type judgement struct {
	kind   string
	reason token.Reason
}

// Bind makes the series of a configuration, each at zero, before it is put in
// force. What it shares with the one before goes on counting; the series of
// routes, upstreams and issuers that are gone are deleted, so that nothing
// alerts on an issuer nobody uses. A request that ends after its route is gone
// counts under resource and route none.
func (t *Telemetry) Bind(table *proxy.Table, issuers []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, b := t.bound.Load(), t.metrics.bind(table, issuers)
	for name, upstream := range b.upstreams {
		if old.upstreams[name] == nil {
			upstream.healthy.Set(1) // as long as nothing else is known
		}
	}
	t.bound.Store(b)
	t.metrics.forget(old, b)
	t.forgetAsked(b)
}

func (m *metrics) bind(table *proxy.Table, issuers []string) *bound {
	b := &bound{
		routes:    map[place]*routeSeries{},
		upstreams: map[string]*upstreamSeries{},
		issuers:   map[string]*issuerSeries{unknown: m.bindUnknown()},
	}
	door := b.route(nowhere)
	door.expect(m, denied, "4xx")
	door.expect(m, failed, lost...)
	if table != nil {
		b.places = table.Limits.Upstream > 0
		for _, site := range table.Sites {
			m.bindGate(b, site.Only)
			for _, gate := range site.Hosts {
				m.bindGate(b, gate)
			}
		}
	}
	for _, name := range issuers {
		b.issuers[name] = m.bindIssuer(name)
	}
	return b
}

func (m *metrics) bindGate(b *bound, g *proxy.Gate) {
	if g == nil {
		return
	}
	if g.Upstream != nil {
		b.upstreams[g.Upstream.Name] = m.bindUpstream(g.Upstream.Name)
		if b.places {
			m.bindPlaces(g.Upstream.Name)
		}
	}
	m.bindUnmatched(b, g.Name)
	for _, r := range g.Policy.Routes() {
		s := b.route(place{g.Name, r.Name})
		if r.Public || r.Optional {
			s.expect(m, public, relayed...)
		}
		if !r.Public {
			s.expect(m, allowed, relayed...)
			s.expect(m, denied, refused...)
		}
		s.expect(m, failed, lost...)
		if !r.Public {
			m.expectReports(s, g, r.Index())
		}
	}
	m.expectReports(b.route(place{g.Name, none}), g, -1)
}

// bindUnmatched is for what no route matches. It is timed with what is refused
// at the door: a histogram for each resource would tell nobody anything.
func (m *metrics) bindUnmatched(b *bound, resource string) {
	s := b.route(place{resource, none})
	s.durations = b.route(nowhere).durations
	s.requests[answer{"4xx", denied}] = m.requests.WithLabelValues(resource, none, "4xx", denied)
}

// route returns the series of a place, which two routes of one name share.
func (b *bound) route(at place) *routeSeries {
	s := b.routes[at]
	if s == nil {
		s = &routeSeries{place: at, requests: map[answer]prometheus.Counter{}, durations: map[string]prometheus.Observer{}}
		b.routes[at] = s
	}
	return s
}

func (s *routeSeries) expect(m *metrics, decision string, codes ...string) {
	for _, c := range codes {
		s.requests[answer{c, decision}] = m.requests.WithLabelValues(s.resource, s.route, c, decision)
	}
	s.durations[decision] = m.requestDuration.WithLabelValues(s.resource, s.route, decision)
}

func (m *metrics) bindUpstream(name string) *upstreamSeries {
	s := &upstreamSeries{map[string]prometheus.Counter{}, m.upstreamDuration.WithLabelValues(name), m.upstreamHealthy.WithLabelValues(name)}
	for _, r := range results {
		s.results[r] = m.upstreamRequests.WithLabelValues(name, r)
	}
	return s
}

func (m *metrics) bindIssuer(name string) *issuerSeries {
	for _, result := range [...]string{"changed", "unchanged", "error"} {
		m.fetches.WithLabelValues(name, result)
	}
	for _, gauge := range [...]*prometheus.GaugeVec{m.fetchSuccess, m.keys, m.skippedKeys} {
		gauge.WithLabelValues(name)
	}
	m.fetchDuration.WithLabelValues(name)
	m.privateKeys.WithLabelValues(name)
	m.issuerSkew.WithLabelValues(name)
	for _, result := range jwks.CopyResults() {
		m.copies.WithLabelValues(name, result)
	}
	judged := map[judgement]prometheus.Counter{}
	for _, kind := range [...]string{kindBearer, kindDPoP, kindOpaque} {
		m.expect(judged, name, kind, token.ReasonNone)
		m.expect(judged, name, kind, lateReasons...)
	}
	m.expect(judged, name, kindDPoP, proofReasons...)
	return &issuerSeries{judged, m.unknownKeys.WithLabelValues(name, "refetched"), m.unknownKeys.WithLabelValues(name, "held_back")}
}

func (m *metrics) bindUnknown() *issuerSeries {
	judged := map[judgement]prometheus.Counter{}
	m.expect(judged, unknown, none, token.ReasonMissing)
	m.expect(judged, unknown, kindBearer, earlyReasons...)
	m.expect(judged, unknown, kindDPoP, earlyReasons...)
	m.expect(judged, unknown, kindOpaque, opaqueReasons...)
	return &issuerSeries{judged: judged}
}

func (m *metrics) expect(judged map[judgement]prometheus.Counter, issuer, kind string, reasons ...token.Reason) {
	for _, r := range reasons {
		j := judgement{kind, r}
		judged[j] = m.judged(issuer, j)
	}
}

// judged looks a counter up by its labels.
func (m *metrics) judged(issuer string, j judgement) prometheus.Counter {
	if j.reason == token.ReasonNone {
		return m.validations.WithLabelValues(issuer, "ok", none, j.kind)
	}
	return m.validations.WithLabelValues(issuer, "fail", string(j.reason), j.kind)
}

// vector is what all labelled metrics can do.
type vector interface {
	DeletePartialMatch(prometheus.Labels) int
}

// forget deletes the series of what is in old and not in now.
func (m *metrics) forget(old, now *bound) {
	drop := func(labels prometheus.Labels, from ...vector) {
		for _, v := range from {
			v.DeletePartialMatch(labels)
		}
	}
	for at := range old.routes {
		if now.routes[at] == nil {
			drop(prometheus.Labels{"resource": at.resource, "route": at.route}, m.requests, m.requestDuration, m.wouldRefuse, m.reportOnly)
		} else if now.routes[at].would == nil {
			m.reportOnly.DeleteLabelValues(at.resource, at.route)
		}
	}
	for name := range old.upstreams {
		if now.upstreams[name] == nil {
			drop(prometheus.Labels{"upstream": name}, m.upstreamRequests, m.upstreamDuration, m.upstreamHealthy, m.upstreamWaiting, m.upstreamRefused)
		}
	}
	for name := range old.issuers {
		if now.issuers[name] == nil {
			drop(prometheus.Labels{"issuer": name}, m.validations, m.fetches, m.fetchDuration, m.fetchSuccess,
				m.keys, m.skippedKeys, m.privateKeys, m.unknownKeys, m.issuerSkew, m.copies, m.questions, m.questionDuration, m.answersKept, m.answersShared, m.paused)
			drop(prometheus.Labels{"issuer": name}, m.statuses.vectors()...)
		}
	}
}
