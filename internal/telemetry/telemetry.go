// Package telemetry turns what the other packages report through their hooks
// into Prometheus metrics and log lines. All metric names are here, and
// docs/metrics.md lists them.
//
// It decides nothing, and nothing waits for it. Label values come from the
// configuration or from closed lists, never from a request, so that no client
// can make series. Nothing a token, a proof, a query or a header field says is
// logged.
package telemetry

import (
	"encoding/hex"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// maxScrapes is how many scrapes are answered at once; more get a 503.
const maxScrapes = 8

// Options are what a Telemetry is made of.
type Options struct {
	Version, Revision string      // of this build, for build_info
	Log               *zap.Logger // nil logs nothing
	Access            Access      // which requests are logged
}

// Telemetry counts and logs. Its methods fit the hooks of the other packages
// and are safe for concurrent use. It lives as long as the process and starts
// no goroutine.
type Telemetry struct {
	registry *prometheus.Registry
	metrics  *metrics
	counted  *prometheus.Registry // what a Tally is of
	log      *zap.Logger
	access   Access
	lines    *zap.Logger // the access log: log, sampled
	noise    standardLog // what libraries print

	mu    sync.Mutex // guards the writing of bound and asked
	bound atomic.Pointer[bound]
	asked atomic.Pointer[map[string]*askedSeries] // by issuer; never changed, only replaced
	sizes atomic.Pointer[sizes]
	sink  atomic.Pointer[Sink] // nil for none

	decisionsLost atomic.Pointer[func() uint64] // nil for none
	spans         atomic.Pointer[spanCounts]    // nil for none
}

type sizes struct{ tokens, replay func() int }

// New makes a Telemetry with a registry of its own. Until Bind, every request
// counts as refused at the door.
func New(o Options) *Telemetry {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	t := &Telemetry{registry: prometheus.NewRegistry(), log: o.Log, access: o.Access}
	t.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	t.metrics = newMetrics(t.registry)
	t.counted = t.metrics.counted()
	t.noise = standardLog{kindOnly{limited(o.Log)}, t.metrics.unsolicited.Inc}
	t.metrics.build.WithLabelValues(o.Version, o.Revision, runtime.Version(), FIPS()).Set(1)
	t.metrics.sizes(t.registry,
		func() float64 { return t.size(func(s *sizes) func() int { return s.tokens }) },
		func() float64 { return t.size(func(s *sizes) func() int { return s.replay }) })
	t.metrics.lost(t.registry, func() float64 {
		if s := t.sink.Load(); s != nil {
			return float64(s.Lost())
		}
		return 0
	})
	t.metrics.decisionsLost(t.registry, func() float64 {
		if lost := t.decisionsLost.Load(); lost != nil {
			return float64((*lost)())
		}
		return 0
	})
	t.metrics.spans(t.registry, &t.spans)
	t.lines = sampled(o.Log, t.metrics.dropped)
	t.bound.Store(t.metrics.bind(nil, nil))
	t.asked.Store(&map[string]*askedSeries{})
	return t
}

// Handler serves the metrics, as OpenMetrics or with native histograms to
// whoever asks for that.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		ErrorLog:            scrapeLog{t.log},
	})
}

type scrapeLog struct{ log *zap.Logger }

// Println implements promhttp.Logger. What it is told quotes our own series.
func (s scrapeLog) Println(...any) { s.log.Error("metrics could not be served") }

// Sizes says how to ask for the number of verified tokens and of used proofs
// that are remembered. Both are asked at each scrape.
func (t *Telemetry) Sizes(tokens, replay func() int) { t.sizes.Store(&sizes{tokens, replay}) }

// Sink says where the log goes, so that the lines lost there are counted.
func (t *Telemetry) Sink(s *Sink) { t.sink.Store(s) }

// DecisionLog says how to ask how many lines of the decision log were lost.
func (t *Telemetry) DecisionLog(lost func() uint64) { t.decisionsLost.Store(&lost) }

func (t *Telemetry) size(of func(*sizes) func() int) float64 {
	s := t.sizes.Load()
	if s == nil {
		return 0
	}
	return float64(of(s)())
}

// Reloaded reports an attempt to put a configuration in force, the first one
// included. hash is that of its files; it counts only without an error.
func (t *Telemetry) Reloaded(hash [32]byte, err error) {
	m := t.metrics
	if err != nil {
		m.reloads.WithLabelValues("error").Inc()
		m.reloadOK.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
	m.configHash.Reset()
	m.configHash.WithLabelValues(hex.EncodeToString(hash[:])).Set(1)
}

// Insecure reports the options in force that weaken a check. They are named in
// one warning line.
func (t *Telemetry) Insecure(names []string) {
	t.metrics.insecure.Reset()
	for _, name := range names {
		t.metrics.insecure.WithLabelValues(name).Set(1)
	}
	if len(names) > 0 {
		t.log.Warn("insecure options are in force", zap.Strings("options", names))
	}
}

// Certificate reports when a certificate that is served ends. name is how the
// configuration calls it. The zero time says that there is none any more.
func (t *Telemetry) Certificate(name string, notAfter time.Time) {
	if notAfter.IsZero() {
		t.metrics.certificate.DeleteLabelValues(name)
		return
	}
	t.metrics.certificate.WithLabelValues(name).Set(seconds(notAfter))
}

func seconds(at time.Time) float64 { return float64(at.UnixNano()) / 1e9 }

// ConnState returns the hook of the http.Server of one listener. listener is
// its address as configured.
func (t *Telemetry) ConnState(listener string) func(net.Conn, http.ConnState) {
	open := t.metrics.connections.WithLabelValues(listener)
	return func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Inc()
		case http.StateHijacked, http.StateClosed:
			open.Dec()
		case http.StateActive, http.StateIdle:
		}
	}
}

// ConnectionRefused returns what counts the connections that a listener closes
// because there are too many. listener is its address as configured.
func (t *Telemetry) ConnectionRefused(listener string) func() {
	return t.metrics.turnedAway.WithLabelValues(listener).Inc
}

// HeaderRefused returns what counts the connections that a listener with the
// PROXY protocol closes. listener is its address as configured.
func (t *Telemetry) HeaderRefused(listener string) func() {
	return t.metrics.headerRefused.WithLabelValues(listener).Inc
}

// InFlight counts the requests of one listener that next has not answered yet.
func (t *Telemetry) InFlight(listener string, next http.Handler) http.Handler {
	running := t.metrics.inFlight.WithLabelValues(listener)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Inc()
		defer running.Dec()
		next.ServeHTTP(w, r)
	})
}
