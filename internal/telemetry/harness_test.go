package telemetry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

const (
	listener = ":8420"
	origin   = "http://rs.example.com"
)

// output is what was logged. The server writes while a test reads.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// logger logs everything, debug included, to the output it returns.
func logger(t *testing.T) (*zap.Logger, *output) {
	t.Helper()
	out := &output{}
	log, _, err := NewLogger("debug", out)
	if err != nil {
		t.Fatal(err)
	}
	return log, out
}

// scrape returns the series in the text format, one a line.
func scrape(t *testing.T, m *Telemetry) []string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("metrics: %d %s", rec.Code, rec.Body)
	}
	var series []string
	for line := range strings.Lines(rec.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			series = append(series, strings.TrimSpace(line))
		}
	}
	return series
}

// value is the value of a series, spelt as in the text format; empty when
// there is no such series.
func value(t *testing.T, m *Telemetry, series string) string {
	t.Helper()
	for _, line := range scrape(t, m) {
		if v, found := strings.CutPrefix(line, series+" "); found {
			return v
		}
	}
	return ""
}

func wantValue(t *testing.T, m *Telemetry, series, want string) {
	t.Helper()
	if got := value(t, m, series); got != want {
		t.Errorf("%s = %q, want %q", series, got, want)
	}
}

// rig is a gate that reports to a Telemetry: a real issuer, validator, front
// door and upstream.
type rig struct {
	metrics  *Telemetry
	log      *output
	issuer   *devissuer.Running
	gate     *httptest.Server
	upstream *httptest.Server
}

var rigRoutes = []policy.Options{
	{Name: "open", Path: "/open", Public: true},
	{Name: "maybe", Path: "/maybe", Optional: true},
	{Name: "orders", Path: "/orders/**", All: token.Scopes{"read"}},
	{Name: "admin", Path: "/admin", All: token.Scopes{"admin"}},
}

func newRig(t *testing.T, access Access, upstream http.HandlerFunc) *rig {
	t.Helper()
	log, out := logger(t)
	r := &rig{log: out, metrics: New(Options{Version: "1", Revision: "abc", Log: log, Access: access})}
	r.upstream = httptest.NewServer(upstream)
	t.Cleanup(r.upstream.Close)
	var err error
	if r.issuer, err = devissuer.Start(devissuer.Options{Algorithms: []string{"ES256"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.issuer.Close() })
	table := r.table(t)
	gates := &proxy.Switch{}
	gates.Set(table)
	r.gate = httptest.NewUnstartedServer(r.metrics.InFlight(listener, proxy.NewReverse(proxy.ReverseOptions{
		Listen: listener, Switch: gates, Decided: r.metrics.Decided(listener), ErrorLog: StdLog(log),
	})))
	r.gate.Config.ConnState = r.metrics.ConnState(listener)
	r.gate.Config.ErrorLog = StdLog(log)
	r.gate.Start()
	t.Cleanup(r.gate.Close)
	return r
}

// table compiles the configuration of the rig, binds it and has keys fetched.
func (r *rig) table(t *testing.T) *proxy.Table {
	t.Helper()
	m := r.metrics
	keys := jwks.NewCache(jwks.Options{OnLoad: m.KeysLoaded, OnUnknownKey: m.UnknownKey})
	store := replay.NewMemory(1000)
	confirmer, err := dpop.New(dpop.Options{OnSkew: m.ProofSkew}, store)
	if err != nil {
		t.Fatal(err)
	}
	judge, err := validator.New(validator.Parts{
		Issuers: []validator.Options{{Name: "corp", Issuer: r.issuer.Identifier(), Leeway: 30 * time.Second}},
		Keys:    keys, DPoP: confirmer, CacheSize: 100, OnLookup: m.TokenLookup, OnJudged: m.Judged,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Sizes(judge.Remembered, store.Len)
	gate := newGate(t, "api", r.upstream.URL, rigRoutes)
	gate.Validator = judge.For(validator.Audience{Any: []string{"https://rs.example.com"}})
	gate.Realm = token.Realm{Name: "api", Algorithms: confirmer.Algorithms()}
	gate.Origins = []string{origin}
	table := &proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: gate}}, Limits: proxy.DefaultLimits}
	m.Bind(table, []string{"corp"}) // before keys are asked for, or the first load is not counted
	keys.Configure([]jwks.Source{{Name: "corp", Issuer: r.issuer.Identifier()}})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { keys.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return table
}

func newGate(t testing.TB, name, upstream string, routes []policy.Options) *proxy.Gate {
	t.Helper()
	set, err := policy.Compile(routes, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	connections := proxy.NewUpstreams()
	t.Cleanup(connections.Close)
	up, err := connections.Open(upstream, proxy.DefaultTimeouts)
	if err != nil {
		t.Fatal(err)
	}
	gate := &proxy.Gate{Name: name, Policy: set, Upstream: up}
	for range set.Routes() {
		gate.Forward = append(gate.Forward, proxy.NewForward(proxy.ForwardOptions{}))
	}
	return gate
}

func (r *rig) mint(t *testing.T, alter devissuer.Token) string {
	t.Helper()
	raw, err := r.issuer.Mint(alter)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// send makes a request and returns its status. headers are names and values.
func (r *rig) send(t *testing.T, method, target string, headers ...string) int {
	t.Helper()
	req, err := http.NewRequest(method, r.gate.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := r.gate.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
