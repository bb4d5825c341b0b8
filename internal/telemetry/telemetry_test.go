package telemetry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/validator/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full is a Telemetry in which every metric has a series.
func full(t *testing.T) *Telemetry {
	t.Helper()
	m := New(Options{Version: "1.2.3", Revision: "abc"})
	m.Decided(listener)(httptest.NewRequest("GET", "/", nil), outcome(t, m, proxy.Allowed))
	_, table := lenient(t, 100)
	table.Limits.Upstream = 10
	m.Bind(table, []string{"corp"})
	m.ConnState(listener)
	m.ConnectionRefused(listener)
	m.HeaderRefused(listener)
	m.InFlight(listener, http.NotFoundHandler())
	m.Sizes(func() int { return 7 }, func() int { return 8 })
	m.Spans(func() uint64 { return 5 }, func() uint64 { return 6 }, func() uint64 { return 7 })
	m.Insecure([]string{"issuers[0].insecure_http"})
	m.Certificate("server", time.Unix(1_800_000_000, 0))
	m.IntrospectionPaused("corp", false)
	m.StatusLoaded(status.Load{Issuer: "corp"})
	m.BypassWatched([]string{"http://127.0.0.1:3000"})
	m.Denials([]string{"file"}, true)
	m.RedisState("redis.example.com:6379", true, false)
	m.Reloaded([32]byte{0xab}, nil)
	return m
}

func TestMetricsPassTheLinter(t *testing.T) {
	problems, err := testutil.GatherAndLint(full(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestProcessMetrics(t *testing.T) {
	m := full(t)
	hash := "ab" + strings.Repeat("0", 62)
	for series, want := range map[string]string{
		`wicketgate_build_info{fips="` + FIPS() + `",goversion="` + runtime.Version() + `",revision="abc",version="1.2.3"}`: "1",
		`wicketgate_token_cache_entries`:                                                "7",
		`wicketgate_dpop_replay_entries{store="memory"}`:                                "8",
		`wicketgate_insecure_options{option="issuers[0].insecure_http"}`:                "1",
		`wicketgate_tls_certificate_expiry_timestamp_seconds{name="server"}`:            "1.8e+09",
		`wicketgate_config_last_reload_successful`:                                      "1",
		`wicketgate_config_hash_info{sha256="` + hash + `"}`:                            "1",
		`wicketgate_config_reloads_total{result="ok"}`:                                  "1",
		`wicketgate_config_reloads_total{result="error"}`:                               "0",
		`wicketgate_upstream_requests_total{result="ok",upstream="http://127.0.0.1:1"}`: "1",
	} {
		wantValue(t, m, series, want)
	}
	if v := value(t, m, "go_goroutines"); v == "" {
		t.Error("no metrics of the Go runtime")
	}
	if v := value(t, m, "process_start_time_seconds"); v == "" {
		t.Error("no metrics of the process")
	}
}

func TestReloads(t *testing.T) {
	m := full(t)
	when := value(t, m, "wicketgate_config_last_reload_success_timestamp_seconds")
	m.Reloaded([32]byte{}, errors.New("no such key"))
	wantValue(t, m, "wicketgate_config_last_reload_successful", "0")
	wantValue(t, m, `wicketgate_config_reloads_total{result="error"}`, "1")
	wantValue(t, m, "wicketgate_config_last_reload_success_timestamp_seconds", when)
	wantValue(t, m, `wicketgate_config_hash_info{sha256="ab`+strings.Repeat("0", 62)+`"}`, "1")
	m.Reloaded([32]byte{0xcd}, nil)
	wantValue(t, m, "wicketgate_config_last_reload_successful", "1")
	wantValue(t, m, `wicketgate_config_hash_info{sha256="ab`+strings.Repeat("0", 62)+`"}`, "")
	wantValue(t, m, `wicketgate_config_hash_info{sha256="cd`+strings.Repeat("0", 62)+`"}`, "1")
}

func TestInsecureOptionsAreToldOnce(t *testing.T) {
	log, out := logger(t)
	m := New(Options{Log: log})
	m.Insecure([]string{"a", "b"})
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"level":"warn"`) || !strings.Contains(text, `["a","b"]`) {
		t.Errorf("logged %s, want one warning that names both", text)
	}
	m.Insecure(nil)
	wantValue(t, m, `wicketgate_insecure_options{option="a"}`, "")
}

func TestConnections(t *testing.T) {
	m := New(Options{})
	const open = `wicketgate_connections{listener=":8420"}`
	hook := m.ConnState(listener)
	wantValue(t, m, open, "0")
	for _, step := range []struct {
		state http.ConnState
		want  string
	}{
		{http.StateNew, "1"}, {http.StateNew, "2"}, {http.StateActive, "2"}, {http.StateIdle, "2"},
		{http.StateClosed, "1"}, {http.StateNew, "2"}, {http.StateHijacked, "1"}, {http.StateClosed, "0"},
	} {
		hook(nil, step.state)
		wantValue(t, m, open, step.want)
	}
}

func TestRequestsInFlight(t *testing.T) {
	m := New(Options{})
	const running = `wicketgate_requests_in_flight{listener=":8420"}`
	handler := m.InFlight(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		wantValue(t, m, running, "1")
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
	}))
	wantValue(t, m, running, "0")
	for _, path := range []string{"/", "/abort"} {
		func() {
			defer func() { _ = recover() }() // as net/http does
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}()
		wantValue(t, m, running, "0")
	}
}

// TestSeriesAreThereFromTheStart asks for what alerts are made of.
func TestSeriesAreThereFromTheStart(t *testing.T) {
	m := New(Options{})
	outcome(t, m, proxy.Allowed)
	for _, series := range []string{
		`requests_total{code="2xx",decision="allowed",resource="api",route="orders"}`,
		`requests_total{code="504",decision="allowed",resource="api",route="orders"}`,
		`requests_total{code="401",decision="denied",resource="api",route="orders"}`,
		`requests_total{code="403",decision="denied",resource="api",route="orders"}`,
		`requests_total{code="503",decision="error",resource="api",route="orders"}`,
		`requests_total{code="502",decision="public",resource="api",route="open"}`,
		`requests_total{code="2xx",decision="public",resource="api",route="maybe"}`,
		`requests_total{code="4xx",decision="denied",resource="api",route="none"}`,
		`requests_total{code="4xx",decision="denied",resource="none",route="none"}`,
		`requests_total{code="503",decision="error",resource="none",route="none"}`,
		`request_duration_seconds_count{decision="error",resource="api",route="orders"}`,
		`refusals_total{reason="dpop_replay"}`,
		`refusals_total{reason="internal"}`,
		`validations_total{issuer="unknown",kind="bearer",reason="signature",result="fail"}`,
		`validations_total{issuer="corp",kind="dpop",reason="dpop_replay",result="fail"}`,
		`validations_total{issuer="corp",kind="dpop",reason="replay_unavailable",result="fail"}`,
		`jwks_fetches_total{issuer="corp",result="error"}`,
		`jwks_private_keys_total{issuer="corp"}`,
		`jwks_unknown_key_total{action="held_back",issuer="corp"}`,
		`upstream_requests_total{result="timeout",upstream="http://127.0.0.1:1"}`,
		`dpop_replay_store_errors_total{store="memory"}`,
		`token_cache_requests_total{result="hit"}`,
		`config_reloads_total{result="error"}`,
		`panics_total`,
	} {
		wantValue(t, m, "wicketgate_"+series, "0")
	}
	wantValue(t, m, `wicketgate_requests_total{code="2xx",decision="allowed",resource="api",route="open"}`, "")
}

func TestScrapeFormats(t *testing.T) {
	m := full(t)
	for accept, want := range map[string]string{
		"": "text/plain",
		"application/openmetrics-text;version=1.0.0":                                                                 "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,*/*;q=0.1": "application/vnd.google.protobuf",
	} {
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		m.Handler().ServeHTTP(rec, req)
		if got := rec.Header().Get("Content-Type"); rec.Code != 200 || !strings.HasPrefix(got, want) {
			t.Errorf("Accept %q: %d %s, want %s", accept, rec.Code, got, want)
		}
	}
}

// row is a row of the table in docs/metrics.md.
var row = regexp.MustCompile("(?m)^\\| `(wicketgate_[a-z0-9_]+)` \\| ([a-z]+) \\| ([^|]*) \\| ([^|]+) \\|$")

// TestDocs holds docs/metrics.md and the registry against each other: name,
// type and labels of every metric, both ways.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, cells := range row.FindAllStringSubmatch(string(page), -1) {
		if documented[cells[1]] != "" {
			t.Errorf("%s has two rows", cells[1])
		}
		documented[cells[1]] = strings.TrimSpace(cells[2] + " " + cells[3])
	}
	m := full(t)
	described := described(m.registry)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, namespace+"_") {
			continue
		}
		described = slices.DeleteFunc(described, func(d string) bool { return d == name })
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		want := strings.TrimSpace(strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, ", "))
		if documented[name] != want {
			t.Errorf("docs/metrics.md says %q of %s, want %q", documented[name], name, want)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md lists %s, which is not there", name)
	}
	for _, name := range described {
		t.Errorf("%s has no series in this test", name)
	}
}

// described lists the names of our metrics, with or without series.
func described(r *prometheus.Registry) []string {
	descriptions := make(chan *prometheus.Desc)
	go func() { r.Describe(descriptions); close(descriptions) }()
	name := regexp.MustCompile(`fqName: "(` + namespace + `_[^"]+)"`)
	var list []string
	for d := range descriptions {
		if found := name.FindStringSubmatch(d.String()); found != nil {
			list = append(list, found[1])
		}
	}
	return list
}
