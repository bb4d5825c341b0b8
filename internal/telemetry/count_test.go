package telemetry

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }

func TestRequestsAreCounted(t *testing.T) {
	r := newRig(t, Off, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/orders/broken" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	good := "Bearer " + r.mint(t, devissuer.Token{})
	expired := "Bearer " + r.mint(t, devissuer.Token{Claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}})
	stranger := "Bearer " + r.mint(t, devissuer.Token{Claims: map[string]any{"iss": "https://stranger.example"}})
	late := "Bearer " + r.mint(t, devissuer.Token{Claims: map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}})
	for _, c := range []struct {
		path, authorization string
		status              int
		series              string
	}{
		{"/orders/1", good, 200, `requests_total{code="2xx",decision="allowed",resource="api",route="orders"}`},
		{"/orders/broken", good, 418, `requests_total{code="4xx",decision="allowed",resource="api",route="orders"}`},
		{"/orders/1", "", 401, `requests_total{code="401",decision="denied",resource="api",route="orders"}`},
		{"/admin", good, 403, `requests_total{code="403",decision="denied",resource="api",route="admin"}`},
		{"/open", "", 200, `requests_total{code="2xx",decision="public",resource="api",route="open"}`},
		{"/maybe", "", 200, `requests_total{code="2xx",decision="public",resource="api",route="maybe"}`},
		{"/maybe", good, 200, `requests_total{code="2xx",decision="allowed",resource="api",route="maybe"}`},
		{"/nowhere", "", 404, `requests_total{code="4xx",decision="denied",resource="api",route="none"}`},
		{"/a//b", "", 400, `requests_total{code="4xx",decision="denied",resource="none",route="none"}`},
		{"/a%2fb", "", 400, `refusals_total{reason="path"}`},
		{"/admin", good, 403, `refusals_total{reason="scope"}`},
		{"/missing", "", 404, `refusals_total{reason="no_route"}`},
		{"/orders/1", expired, 401, `refusals_total{reason="expired"}`},
		{"/orders/1", stranger, 401, `validations_total{issuer="unknown",kind="bearer",reason="issuer",result="fail"}`},
		{"/orders/1", late, 401, `validations_total{issuer="unknown",kind="bearer",reason="not_yet",result="fail"}`},
		{"/orders/1", "", 401, `validations_total{issuer="unknown",kind="none",reason="missing",result="fail"}`},
		{"/orders/1", good, 200, `validations_total{issuer="corp",kind="bearer",reason="none",result="ok"}`},
		{"/orders/1", good, 200, `validation_duration_seconds_count{kind="bearer"}`},
		{"/orders/1", good, 200, `token_cache_requests_total{result="hit"}`},
		{"/orders/1", stranger, 401, `token_cache_requests_total{result="miss"}`},
		{"/orders/1", good, 200, `upstream_requests_total{result="ok",upstream="` + r.upstream.URL + `"}`},
		{"/orders/1", good, 200, `upstream_duration_seconds_count{upstream="` + r.upstream.URL + `"}`},
		{"/orders/1", good, 200, `request_duration_seconds_count{decision="allowed",resource="api",route="orders"}`},
		{"/open", "", 200, `overhead_seconds_count`},
	} {
		series := "wicketgate_" + c.series
		before := value(t, r.metrics, series)
		var headers []string
		if c.authorization != "" {
			headers = []string{"Authorization", c.authorization}
		}
		if status := r.send(t, "GET", c.path, headers...); status != c.status {
			t.Errorf("%s: status %d, want %d", c.path, status, c.status)
		}
		if before == "" {
			t.Errorf("%s: is not there before it is needed", c.series)
			continue
		}
		var was int
		_, _ = fmt.Sscan(before, &was)
		wantValue(t, r.metrics, series, fmt.Sprint(was+1))
	}
	wantValue(t, r.metrics, "wicketgate_token_cache_entries", "1")
	wantValue(t, r.metrics, `wicketgate_jwks_fetches_total{issuer="corp",result="changed"}`, "1")
	wantValue(t, r.metrics, `wicketgate_jwks_keys{issuer="corp"}`, "1")
	if r.log.String() != "" && strings.Contains(r.log.String(), "request") {
		t.Errorf("access log is off, yet: %s", r.log)
	}
}

func TestProofsAreCounted(t *testing.T) {
	r := newRig(t, Off, ok)
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	raw := r.mint(t, devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}}})
	proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: origin + "/orders/1", AccessToken: raw})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{200, 401} {
		if got := r.send(t, "GET", "/orders/1", "Authorization", "DPoP "+raw, "DPoP", proof); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	wantValue(t, r.metrics, `wicketgate_validations_total{issuer="corp",kind="dpop",reason="none",result="ok"}`, "1")
	wantValue(t, r.metrics, `wicketgate_validations_total{issuer="corp",kind="dpop",reason="dpop_replay",result="fail"}`, "1")
	wantValue(t, r.metrics, "wicketgate_dpop_clock_skew_seconds_count", "1")
	wantValue(t, r.metrics, `wicketgate_dpop_replay_entries{store="memory"}`, "1")
}

func TestUpstreamThatIsGone(t *testing.T) {
	r := newRig(t, Denied, ok)
	r.upstream.Close()
	if status := r.send(t, "GET", "/open"); status != http.StatusBadGateway {
		t.Fatalf("status %d, want 502", status)
	}
	wantValue(t, r.metrics, `wicketgate_requests_total{code="502",decision="public",resource="api",route="open"}`, "1")
	wantValue(t, r.metrics, `wicketgate_upstream_requests_total{result="error",upstream="`+r.upstream.URL+`"}`, "1")
	wantValue(t, r.metrics, `wicketgate_upstream_healthy{upstream="`+r.upstream.URL+`"}`, "0")
	wantValue(t, r.metrics, `wicketgate_upstream_duration_seconds_count{upstream="`+r.upstream.URL+`"}`, "0")
	if line := r.log.String(); !strings.Contains(line, "connection refused") || !strings.Contains(line, `"level":"warn"`) {
		t.Errorf("logged %s, want a warning that says why", line)
	}
}

func TestResultOfUpstream(t *testing.T) {
	for _, c := range []struct {
		outcome proxy.Outcome
		want    string
	}{
		{proxy.Outcome{Status: 401}, ""},
		{proxy.Outcome{Status: 200, Upstream: 1}, answered},
		{proxy.Outcome{Status: 401, Upstream: 1}, answered},
		{proxy.Outcome{Status: 503, Upstream: 1}, serverError},
		{proxy.Outcome{Status: 200, Upstream: 1, Cut: true}, cut},
		{proxy.Outcome{Status: 502, Upstream: 1, Err: errors.New("x")}, unreachable},
		{proxy.Outcome{Status: 504, Upstream: 1, Err: errors.New("x")}, timedOut},
		{proxy.Outcome{Status: 499, Upstream: 1, Err: errors.New("x")}, canceled},
	} {
		if got := resultOf(&c.outcome); got != c.want {
			t.Errorf("resultOf(%+v) = %q, want %q", c.outcome, got, c.want)
		}
	}
}

// TestUpstreamHealth: what the last request came to is told, and a client that
// went away tells nothing.
func TestUpstreamHealth(t *testing.T) {
	m := New(Options{})
	o := outcome(t, m, proxy.Allowed)
	const healthy = `wicketgate_upstream_healthy{upstream="http://127.0.0.1:1"}`
	wantValue(t, m, healthy, "1")
	gone := errors.New("gone")
	for _, c := range []struct {
		status int
		err    error
		want   string
	}{{502, gone, "0"}, {499, gone, "0"}, {500, nil, "1"}, {499, gone, "1"}, {504, gone, "0"}, {200, nil, "1"}} {
		o.Status, o.Err = c.status, c.err
		m.Decided(listener)(httptest.NewRequest("GET", "/", nil), o)
		if wantValue(t, m, healthy, c.want); t.Failed() {
			t.Fatalf("after status %d", c.status)
		}
	}
	o.Status, o.Err = 502, gone
	m.Decided(listener)(httptest.NewRequest("GET", "/", nil), o)
	m.Bind(&proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: o.Gate}}}, nil)
	wantValue(t, m, healthy, "0") // a reload is no sign of health
}

func TestCodeOf(t *testing.T) {
	for status, want := range map[int]string{
		0: "other", 101: "101", 100: "other", 200: "2xx", 204: "2xx", 302: "3xx", 400: "4xx", 401: "401", 403: "403", 404: "4xx",
		429: "429", 431: "4xx", 499: "4xx", 500: "5xx", 502: "502", 503: "503", 504: "504", 505: "5xx", 600: "other", 999: "other", -1: "other",
	} {
		if got := codeOf(status); got != want {
			t.Errorf("codeOf(%d) = %q, want %q", status, got, want)
		}
	}
}

func TestOutcomesWithoutADecision(t *testing.T) {
	m := New(Options{})
	report := m.Decided(listener)
	r := httptest.NewRequest("GET", "/", nil)
	report(r, &proxy.Outcome{Status: 503})
	report(r, &proxy.Outcome{Status: 500, Panic: "proxy.f:1"})
	wantValue(t, m, `wicketgate_requests_total{code="503",decision="error",resource="none",route="none"}`, "1")
	wantValue(t, m, `wicketgate_requests_total{code="5xx",decision="error",resource="none",route="none"}`, "1")
	wantValue(t, m, `wicketgate_refusals_total{reason="internal"}`, "2")
	wantValue(t, m, "wicketgate_panics_total", "1")
}

func TestFaultsCountByReason(t *testing.T) {
	m := New(Options{})
	m.Bind(nil, []string{"corp"})
	full := &token.Fault{Reason: token.ReasonReplayUnavailable, Cause: errors.New("full")}
	m.Judged(validator.Result{Issuer: "corp", Scheme: token.DPoP, Err: full})
	m.Judged(validator.Result{Scheme: token.Bearer, Err: &token.Fault{Reason: token.ReasonKeysUnavailable}})
	m.Judged(validator.Result{Scheme: token.Bearer, Err: errors.New("what is this")})
	m.Judged(validator.Result{Issuer: "gone", Scheme: token.Bearer, Err: token.Refuse(token.InvalidToken, "made up")})
	wantValue(t, m, `wicketgate_validations_total{issuer="corp",kind="dpop",reason="replay_unavailable",result="fail"}`, "1")
	wantValue(t, m, `wicketgate_dpop_replay_store_errors_total{store="memory"}`, "1")
	wantValue(t, m, `wicketgate_validations_total{issuer="unknown",kind="bearer",reason="jwks_unavailable",result="fail"}`, "1")
	wantValue(t, m, `wicketgate_validations_total{issuer="unknown",kind="bearer",reason="internal",result="fail"}`, "2")
}

// TestEveryReasonHasAPlace holds the lists of what to expect against the
// closed list of package token.
func TestEveryReasonHasAPlace(t *testing.T) {
	outside := []token.Reason{
		token.ReasonMethod, token.ReasonTarget, token.ReasonPath, token.ReasonHost, token.ReasonHeaderSection,
		token.ReasonNoRoute, token.ReasonBody, token.ReasonTwoMethods, token.ReasonScope, token.ReasonClaims, token.ReasonMissing,
		token.ReasonOrigin, token.ReasonCrossSite, token.ReasonBinding, token.ReasonACR, token.ReasonAMR, token.ReasonMaxAge,
		token.ReasonClient, token.ReasonSubject, token.ReasonActor, token.ReasonRule, token.ReasonDetails,
		token.ReasonNetwork, token.ReasonTokenAge,
		token.ReasonOverload, token.ReasonVersion, token.ReasonLoop, token.ReasonEarlyData, token.ReasonBodySize,
		token.ReasonHandshake, token.ReasonHandshakeVersion, token.ReasonTunnels, token.ReasonUpstreamBusy, token.ReasonWhen,
		token.ReasonAsker, token.ReasonQuestion, token.ReasonReserved,
		token.ReasonFailures, token.ReasonBusy, // only while somebody floods
		token.ReasonIssuerClient, // only of issuers that list clients
	}
	places := slices.Concat(outside, earlyReasons, lateReasons, proofReasons)
	for _, r := range token.Reasons {
		if !slices.Contains(places, r.Reason) {
			t.Errorf("reason %q is expected nowhere: its series would not be there before it happens", r.Reason)
		}
	}
	for _, r := range places {
		if !slices.ContainsFunc(token.Reasons, func(known struct {
			Reason      token.Reason
			Description string
		}) bool {
			return known.Reason == r
		}) {
			t.Errorf("reason %q is not on the list of package token", r)
		}
	}
}

func TestLoadsOfKeys(t *testing.T) {
	log, out := logger(t)
	m := New(Options{Log: log})
	m.Bind(nil, []string{"corp", "other"})
	at := time.Unix(1_750_000_000, 0)
	m.KeysLoaded("corp", jwks.Load{Took: time.Millisecond, Changed: true, Keys: 3, At: at, Skipped: []jwks.Skipped{
		{Index: 3, ID: "k3", Reason: "unsupported kty"}, {Index: 4, Reason: "has private members", Private: true},
	}})
	m.KeysLoaded("corp", jwks.Load{Keys: 3, At: at.Add(time.Minute)})
	m.KeysLoaded("corp", jwks.Load{Err: errors.New("no complete answer in time"), At: at.Add(time.Hour)})
	m.KeysLoaded("stranger", jwks.Load{Keys: 1, At: at})
	m.UnknownKey("corp", true)
	m.UnknownKey("corp", false)
	m.UnknownKey("corp", false)
	m.UnknownKey("stranger", true)
	for series, want := range map[string]string{
		`jwks_fetches_total{issuer="corp",result="changed"}`:         "1",
		`jwks_fetches_total{issuer="corp",result="unchanged"}`:       "1",
		`jwks_fetches_total{issuer="corp",result="error"}`:           "1",
		`jwks_fetches_total{issuer="other",result="error"}`:          "0",
		`jwks_fetch_duration_seconds_count{issuer="corp"}`:           "3",
		`jwks_last_success_timestamp_seconds{issuer="corp"}`:         "1.75000006e+09",
		`jwks_last_success_timestamp_seconds{issuer="other"}`:        "0",
		`jwks_keys{issuer="corp"}`:                                   "3",
		`jwks_skipped_keys{issuer="corp"}`:                           "0",
		`jwks_private_keys_total{issuer="corp"}`:                     "1",
		`jwks_unknown_key_total{action="refetched",issuer="corp"}`:   "1",
		`jwks_unknown_key_total{action="held_back",issuer="corp"}`:   "2",
		`jwks_unknown_key_total{action="refetched",issuer="other"}`:  "0",
		`jwks_keys{issuer="stranger"}`:                               "",
		`jwks_unknown_key_total{action="refetched",issuer="strang"}`: "",
	} {
		wantValue(t, m, "wicketgate_"+series, want)
	}
	for _, want := range []string{"issuer keys loaded", "unsupported kty", "publishes private keys", "no complete answer in time"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log does not say %q: %s", want, out)
		}
	}
}

// bigTable is 20 routes in as many resources as asked for.
func bigTable(t *testing.T, resources int) *proxy.Table {
	t.Helper()
	table := &proxy.Table{Sites: map[string]*proxy.Site{listener: {Hosts: map[string]*proxy.Gate{}}}, Limits: proxy.DefaultLimits}
	for i := range resources {
		var routes []policy.Options
		for j := range 20 / resources {
			name := fmt.Sprintf("route-%d", j)
			routes = append(routes, policy.Options{Name: name, Path: "/" + name, Public: j == 0 && resources < 20, Optional: j == 1})
		}
		gate := newGate(t, fmt.Sprintf("resource-%d", i), fmt.Sprintf("http://127.0.0.1:%d", 3000+i), routes)
		table.Sites[listener].Hosts[fmt.Sprintf("h%d.example.com", i)] = gate
	}
	return table
}

var fiveIssuers = []string{"a", "b", "c", "d", "e"}

func TestSeriesBudget(t *testing.T) {
	const budget = 2000
	for _, resources := range []int{1, 4, 20} {
		m := New(Options{Version: "1.2.3", Revision: "abc"})
		m.Bind(bigTable(t, resources), fiveIssuers)
		for _, name := range fiveIssuers {
			m.IntrospectionPaused(name, false)
		}
		m.ConnState(listener)
		m.InFlight(listener, http.NotFoundHandler())
		m.Insecure([]string{"issuers[0].insecure_http"})
		m.Certificate("server", time.Now())
		m.Reloaded([32]byte{1}, nil)
		series := len(scrape(t, m))
		t.Logf("5 issuers, 20 routes in %d resources: %d series", resources, series)
		if series > budget {
			t.Errorf("%d resources: %d series, budget %d", resources, series, budget)
		}
	}
}

// TestHostileValuesMakeNoSeries sends what an attacker can choose: methods,
// hosts, paths, issuers, key identifiers, algorithms, clients.
func TestHostileValuesMakeNoSeries(t *testing.T) {
	r := newRig(t, Off, ok)
	hostile := func(i int) (*http.Request, *httptest.ResponseRecorder) {
		raw := r.mint(t, devissuer.Token{
			Header: map[string]any{"kid": fmt.Sprintf("k%d", i), "typ": []string{"at+jwt", fmt.Sprintf("t%d", i)}[i%2]},
			Claims: map[string]any{"iss": []string{r.issuer.Identifier(), fmt.Sprintf("https://%d.example", i)}[i/2%2], "client_id": fmt.Sprintf("c%d", i), "sub": fmt.Sprintf("s%d", i)},
		})
		req := httptest.NewRequest(fmt.Sprintf("M%d", i%500), "/"+[]string{"orders", "open", fmt.Sprintf("p%d", i), "a//b"}[i%4]+"?q="+fmt.Sprint(i), nil)
		req.Host = fmt.Sprintf("h%d.example", i)
		req.Header.Set("Authorization", []string{"Bearer ", "DPoP ", fmt.Sprintf("S%d ", i)}[i%3]+raw)
		req.Header.Set(fmt.Sprintf("X-%d", i), "x")
		return req, httptest.NewRecorder()
	}
	send := func(i int) {
		req, rec := hostile(i)
		r.gate.Config.Handler.ServeHTTP(rec, req)
	}
	hooks := func(i int) {
		name := fmt.Sprint(i)
		path := url.URL{Path: "/" + name}
		r.metrics.Decided(listener)(&http.Request{Method: name, URL: &path, Host: name}, &proxy.Outcome{
			Status: 401, Door: token.Refuse(token.InvalidRequest, token.Reason(name)),
		})
		r.metrics.Judged(validator.Result{Issuer: name, Scheme: token.Bearer, Err: token.Refuse(token.InvalidToken, token.Reason(name))})
		r.metrics.UnknownKey(name, true)
		r.metrics.KeysLoaded(name, jwks.Load{Keys: 1})
		r.metrics.AnswerLookup(name, true)
		r.metrics.AnswerShared(name, name)
		r.metrics.IntrospectionPaused(name, true)
		r.metrics.Introspected(introspect.Asked{Issuer: name, Result: name})
	}
	for i := range 24 {
		send(i) // pairs that were not expected make their one series here
		hooks(i)
	}
	before := len(scrape(t, r.metrics))
	for i := range 10_000 {
		send(i)
		hooks(i)
	}
	if after := len(scrape(t, r.metrics)); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

// outcome is one of a bound route.
func outcome(t testing.TB, m *Telemetry, verdict proxy.Verdict) *proxy.Outcome {
	t.Helper()
	gate := newGate(t, "api", "http://127.0.0.1:1", rigRoutes)
	m.Bind(&proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: gate}}}, []string{"corp"})
	o := &proxy.Outcome{
		Gate: gate, Decision: &proxy.Decision{Verdict: verdict, Route: gate.Policy.Route("GET", "", "/orders/1")},
		Status: 200, Duration: 2 * time.Millisecond, Overhead: 40 * time.Microsecond,
	}
	switch verdict {
	case proxy.Allowed:
		o.Decision.Principal = &token.Principal{Issuer: "corp"}
		o.Upstream = time.Millisecond
	case proxy.Refused:
		o.Status, o.Decision.Refusal = 401, token.Refuse(token.InvalidToken, token.ReasonSignature)
	case proxy.Failed:
		o.Status, o.Decision.Fault = 503, &token.Fault{Reason: token.ReasonKeysUnavailable}
	case proxy.Answered:
		o.Decision.Reply = &proxy.Reply{Status: 200}
	}
	return o
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := New(Options{Access: Off})
	r := httptest.NewRequest("GET", "/orders/1", nil)
	for _, verdict := range []proxy.Verdict{proxy.Allowed, proxy.Refused, proxy.Failed, proxy.Answered} {
		o := outcome(t, m, verdict)
		report := m.Decided(listener)
		if n := testing.AllocsPerRun(1000, func() { report(r, o) }); n != 0 {
			t.Errorf("verdict %d: Decided makes %v allocations", verdict, n)
		}
	}
	good := validator.Result{Issuer: "corp", Scheme: token.DPoP, Took: 30 * time.Microsecond}
	if n := testing.AllocsPerRun(1000, func() { m.Judged(good); m.TokenLookup(true); m.ProofSkew(-time.Second) }); n != 0 {
		t.Errorf("Judged makes %v allocations", n)
	}
	m.IntrospectionPaused("corp", false)
	asked := introspect.Asked{Issuer: "corp", Result: introspect.Active}
	if n := testing.AllocsPerRun(1000, func() {
		m.UnknownKey("corp", false)
		m.AnswerLookup("corp", true)
		m.Introspected(asked)
		m.AnswerShared("corp", introspect.SharedHit)
	}); n != 0 {
		t.Errorf("what an issuer is asked makes %v allocations", n)
	}
}

func BenchmarkDecided(b *testing.B) {
	m := New(Options{Access: Denied})
	r := httptest.NewRequest("GET", "/orders/1", nil)
	o := outcome(b, m, proxy.Allowed)
	report := m.Decided(listener)
	b.ReportAllocs()
	for b.Loop() {
		report(r, o)
	}
}
