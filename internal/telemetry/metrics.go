package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/wicketgate/wicketgate/token"
)

// metrics is every metric of ours, by what it tells about.
type metrics struct {
	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	overhead        prometheus.Histogram
	refused         *prometheus.CounterVec
	refusals        map[token.Reason]prometheus.Counter // of refused
	inFlight        *prometheus.GaugeVec
	connections     *prometheus.GaugeVec
	turnedAway      *prometheus.CounterVec
	headerRefused   *prometheus.CounterVec
	panics          prometheus.Counter
	dropped         prometheus.Counter

	upstreamRequests *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	upstreamHealthy  *prometheus.GaugeVec
	upstreamWaiting  *prometheus.GaugeVec
	upstreamRefused  *prometheus.CounterVec
	bypass           bypassMetrics
	challenges       prometheus.Counter
	unsolicited      prometheus.Counter

	validations        *prometheus.CounterVec
	validationDuration map[string]prometheus.Observer // by kind
	cacheHits          prometheus.Counter
	cacheMisses        prometheus.Counter
	signatures         signatureCounters
	skew               prometheus.Histogram
	storeErrors        prometheus.Counter
	sharedErrors       prometheus.Counter
	localProofs        prometheus.Counter
	redisUp            *prometheus.GaugeVec
	redisUnsafe        *prometheus.GaugeVec

	fetches       *prometheus.CounterVec
	fetchDuration *prometheus.HistogramVec
	fetchSuccess  *prometheus.GaugeVec
	keys          *prometheus.GaugeVec
	skippedKeys   *prometheus.GaugeVec
	privateKeys   *prometheus.CounterVec
	unknownKeys   *prometheus.CounterVec
	issuerSkew    *prometheus.GaugeVec
	copies        *prometheus.CounterVec
	clockJumps    *prometheus.CounterVec
	keyTables     prometheus.Gauge
	tablesWrong   *prometheus.CounterVec

	questions        *prometheus.CounterVec
	questionDuration *prometheus.HistogramVec
	answersKept      *prometheus.CounterVec
	answersShared    *prometheus.CounterVec
	paused           *prometheus.GaugeVec

	statuses     statusMetrics
	rules        *prometheus.GaugeVec
	ruleUpdates  *prometheus.CounterVec
	rulesSuccess *prometheus.GaugeVec
	signals      *prometheus.CounterVec

	wouldRefuse *prometheus.CounterVec
	reportOnly  *prometheus.GaugeVec

	streams      *prometheus.GaugeVec
	streamsEnded *prometheus.CounterVec

	reloads     *prometheus.CounterVec
	reloadOK    prometheus.Gauge
	reloadTime  prometheus.Gauge
	configHash  *prometheus.GaugeVec
	insecure    *prometheus.GaugeVec
	certificate *prometheus.GaugeVec
	build       *prometheus.GaugeVec
}

const namespace = "wicketgate"

// The kinds of replay store.
const (
	memoryStore = "memory"
	redisStore  = "redis"
)

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{}
	f := promauto.With(registry)
	m.makeRequests(f)
	m.makeValidations(f)
	m.makeIssuers(f)
	m.makeIntrospection(f)
	m.statuses = makeStatuses(f)
	m.makeClocks(f)
	m.makeKeyTables(f)
	m.makeRevocation(f)
	m.makeStreams(f)
	m.makePlaces(f)
	m.makeReports(f)
	m.bypass = makeBypass(f)
	m.makeProcess(f)
	return m
}

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
}

func gauge(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}
}

// histogram has few classic buckets, since each is a series of every child;
// who wants to look closer scrapes the native histogram.
func histogram(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

func (m *metrics) makeRequests(f promauto.Factory) {
	m.requests = f.NewCounterVec(counter("requests_total",
		"Requests answered."), []string{"resource", "route", "code", "decision"})
	m.requestDuration = f.NewHistogramVec(histogram("request_duration_seconds",
		"Time from a request's head to the end of its answer.",
		.005, .025, .1, .5, 2.5, 10), []string{"resource", "route", "decision"})
	m.overhead = f.NewHistogram(histogram("overhead_seconds",
		"The gate's own part of a request: until it was handed on or answered.",
		.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1))
	m.refused = f.NewCounterVec(counter("refusals_total",
		"Requests that were refused or could not be decided, by the check that said so."), []string{"reason"})
	m.refusals = map[token.Reason]prometheus.Counter{}
	for _, r := range token.Reasons {
		m.refusals[r.Reason] = m.refused.WithLabelValues(string(r.Reason))
	}
	m.inFlight = f.NewGaugeVec(gauge("requests_in_flight",
		"Requests that are not answered yet."), []string{"listener"})
	m.connections = f.NewGaugeVec(gauge("connections",
		"Open client connections."), []string{"listener"})
	m.turnedAway = f.NewCounterVec(counter("connections_refused_total",
		"Connections closed because there were too many."), []string{"listener"})
	m.challenges = f.NewCounter(counter("upstream_connection_challenges_total",
		"Answers of upstreams that asked for NTLM or Negotiate, which prove a shared connection."))
	m.headerRefused = f.NewCounterVec(counter("proxy_protocol_refused_total",
		"Connections closed for want of a PROXY header from a trusted peer."), []string{"listener"})
	m.panics = f.NewCounter(counter("panics_total",
		"Panics of the gate, each the end of one request."))
	m.dropped = f.NewCounter(counter("access_log_dropped_total",
		"Access log lines left out because there were too many a second."))
	m.upstreamRequests = f.NewCounterVec(counter("upstream_requests_total",
		"Requests handed to an upstream, by what became of them."), []string{"upstream", "result"})
	m.upstreamDuration = f.NewHistogramVec(histogram("upstream_duration_seconds",
		"Time until the upstream's response header, of requests that got one.",
		.005, .025, .1, .5, 5), []string{"upstream"})
	m.upstreamHealthy = f.NewGaugeVec(gauge("upstream_healthy",
		"0 when the last request to an upstream got no answer, or none in time."), []string{"upstream"})
	m.unsolicited = f.NewCounter(counter("upstream_unsolicited_total",
		"Times that an upstream sent octets that answer no request. Each cost its connection."))
}

func (m *metrics) makeValidations(f promauto.Factory) {
	m.validations = f.NewCounterVec(counter("validations_total",
		"Access tokens judged."), []string{"issuer", "result", "reason", "kind"})
	duration := f.NewHistogramVec(histogram("validation_duration_seconds",
		"Time it took to judge an access token.",
		.00001, .000025, .00005, .0001, .00025, .001, .01, .1, 1), []string{"kind"})
	m.validationDuration = map[string]prometheus.Observer{
		kindBearer: duration.WithLabelValues(kindBearer), kindDPoP: duration.WithLabelValues(kindDPoP), kindOpaque: duration.WithLabelValues(kindOpaque),
	}
	lookups := f.NewCounterVec(counter("token_cache_requests_total",
		"Looks into the cache of verified tokens."), []string{"result"})
	m.cacheHits, m.cacheMisses = lookups.WithLabelValues("hit"), lookups.WithLabelValues("miss")
	m.signatures = makeSignatures(f)
	m.skew = f.NewHistogram(histogram("dpop_clock_skew_seconds",
		"iat of accepted DPoP proofs less the gate's time.",
		-60, -30, -10, -5, -2, -1, 0, 1, 2, 5, 10, 30))
	stores := f.NewCounterVec(counter("dpop_replay_store_errors_total",
		"Proofs that could not be checked for replay: the store is full or out of reach."), []string{"store"})
	m.storeErrors, m.sharedErrors = stores.WithLabelValues(memoryStore), stores.WithLabelValues(redisStore)
	m.localProofs = f.NewCounter(counter("dpop_replay_local_total",
		"Proofs taken on this process's memory alone, since Redis could not be asked."))
	m.redisUp = f.NewGaugeVec(gauge("redis_connected",
		"Whether there is a connection to a Redis that answers."), []string{"redis"})
	m.redisUnsafe = f.NewGaugeVec(gauge("redis_unsafe",
		"Whether a Redis is set up so that it may forget, or cannot be asked whether it is."), []string{"redis"})
}

// sizes makes the gauges that are asked for at scrape time.
func (*metrics) sizes(registry prometheus.Registerer, tokens, replay func() float64) {
	f := promauto.With(registry)
	f.NewGaugeFunc(gauge("token_cache_entries", "Verified tokens remembered."), tokens)
	entries := gauge("dpop_replay_entries", "Used DPoP proofs remembered by this process.")
	entries.ConstLabels = prometheus.Labels{"store": memoryStore}
	f.NewGaugeFunc(entries, replay)
}

// lost makes the counter of log lines that nobody took.
func (*metrics) lost(registry prometheus.Registerer, lines func() float64) {
	promauto.With(registry).NewCounterFunc(counter("log_lost_total", "Log lines that could not be written in time, or at all."), lines)
}

// decisionsLost makes the counter of lines of the decision log that nobody took.
func (*metrics) decisionsLost(registry prometheus.Registerer, lines func() float64) {
	promauto.With(registry).NewCounterFunc(counter("decision_log_lost_total", "Lines of the decision log that could not be written in time, or at all."), lines)
}

func (m *metrics) makeIssuers(f promauto.Factory) {
	issuer := []string{"issuer"}
	m.fetches = f.NewCounterVec(counter("jwks_fetches_total",
		"Attempts to get an issuer's keys."), []string{"issuer", "result"})
	m.fetchDuration = f.NewHistogramVec(histogram("jwks_fetch_duration_seconds",
		"Time an attempt to get an issuer's keys took, metadata included.",
		.01, .05, .25, 1, 2.5, 5), issuer)
	m.fetchSuccess = f.NewGaugeVec(gauge("jwks_last_success_timestamp_seconds",
		"When an issuer's keys were last got; 0 for never."), issuer)
	m.keys = f.NewGaugeVec(gauge("jwks_keys",
		"Usable keys in an issuer's set."), issuer)
	m.skippedKeys = f.NewGaugeVec(gauge("jwks_skipped_keys",
		"Keys in an issuer's set that cannot be used."), issuer)
	m.privateKeys = f.NewCounterVec(counter("jwks_private_keys_total",
		"Private or secret keys found in an issuer's public set, at each fetch."), issuer)
	m.unknownKeys = f.NewCounterVec(counter("jwks_unknown_key_total",
		"Tokens that named a key the issuer's set did not have."), []string{"issuer", "action"})
}

func (m *metrics) makeProcess(f promauto.Factory) {
	m.reloads = f.NewCounterVec(counter("config_reloads_total",
		"Attempts to put a configuration in force, the first one included."), []string{"result"})
	m.reloads.WithLabelValues("ok")
	m.reloads.WithLabelValues("error")
	m.reloadOK = f.NewGauge(gauge("config_last_reload_successful",
		"1 when the last attempt to put a configuration in force succeeded."))
	m.reloadTime = f.NewGauge(gauge("config_last_reload_success_timestamp_seconds",
		"When a configuration was last put in force."))
	m.configHash = f.NewGaugeVec(gauge("config_hash_info",
		"The SHA-256 of the files of the configuration in force."), []string{"sha256"})
	m.insecure = f.NewGaugeVec(gauge("insecure_options",
		"Options in force that weaken a check."), []string{"option"})
	m.certificate = f.NewGaugeVec(gauge("tls_certificate_expiry_timestamp_seconds",
		"When a certificate that is served, or vouches for clients, or a list of revoked ones ends."), []string{"name"})
	m.build = f.NewGaugeVec(gauge("build_info",
		"The build that runs."), []string{"version", "revision", "goversion", "fips"})
}
