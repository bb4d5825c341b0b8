package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
	traceparent = "00-" + parentTrace + "-" + parentSpan + "-"
)

// spanCollector takes spans by OTLP over HTTP, and keeps every octet that comes.
type spanCollector struct {
	*httptest.Server
	mu     sync.Mutex // guards all below
	octets []byte
	list   []*tracepb.Span
}

func newSpanCollector(t testing.TB) *spanCollector {
	t.Helper()
	c := &spanCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var all tracepb.TracesData
		if err := proto.Unmarshal(body, &all); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.octets = append(c.octets, body...)
		for _, resource := range all.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.list = append(c.list, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *spanCollector) spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// traced is a fixture whose spans go to a collector, as settings of tracing say.
func newTraced(t *testing.T, settings string, edit func(string) string) (*fixture, *spanCollector) {
	t.Helper()
	c := newSpanCollector(t)
	f := newFixture(t, func(text string) string {
		if edit != nil {
			text = edit(text)
		}
		return text + fmt.Sprintf("tracing: {endpoint: %q%s}\n", c.URL, settings)
	})
	f.hurrySpans()
	return f, c
}

// hurrySpans sends each batch at once.
func (f *fixture) hurrySpans() {
	o := *f.gateway.plan.tracing
	o.Delay = time.Millisecond
	if err := f.gateway.tracer.Use(&o); err != nil {
		f.t.Fatal(err)
	}
}

// kept is a span in the words of a test.
func kept(s *tracepb.Span) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %q", strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")), s.Name)
	for _, a := range s.Attributes {
		if a.Key == "server.port" {
			continue
		}
		value := a.Value.GetStringValue()
		if n := a.Value.GetIntValue(); n != 0 {
			value = fmt.Sprint(n)
		}
		fmt.Fprintf(&text, " %s=%s", strings.TrimPrefix(a.Key, "wicketgate."), value)
	}
	if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		text.WriteString(" ERROR")
	}
	return text.String()
}

// next waits for n more spans than before and returns those.
func (c *spanCollector) next(t *testing.T, before, n int) []*tracepb.Span {
	t.Helper()
	eventually(t, fmt.Sprintf("%d spans arrive", n), func() bool { return len(c.spans()) >= before+n })
	list := c.spans()[before:]
	if len(list) != n {
		t.Fatalf("%d spans, want %d", len(list), n)
	}
	return list
}

// TestSpansOfRequests: who asks, what is refused and what fails is told in a tree,
// and the upstream is told its place in it.
func TestSpansOfRequests(t *testing.T) {
	f, c := newTraced(t, "", nil)
	f.untilReady() // who comes before may have to wait for keys, and then there is a span of that
	const about = " url.scheme=https resource=rs"
	server := " server.address=rs.example.com"
	for _, row := range []struct {
		method, path string
		header       []string
		want         []string
	}{
		{"GET", "/read", []string{"Authorization", "Bearer " + f.AT(nil)}, []string{
			`server "GET /read" http.request.method=GET http.route=/read http.response.status_code=200 network.protocol.version=1.1` + server + about + " route=read decision=allowed issuer=a",
			`client "GET" http.request.method=GET server.address=127.0.0.1 http.response.status_code=200`,
		}},
		{"POST", "/any/secret-path?secret-query=1", []string{"Authorization", "Bearer " + f.AT(map[string]any{"sub": "secret-subject"})}, []string{
			`server "POST /any/**" http.request.method=POST http.route=/any/** http.response.status_code=200 network.protocol.version=1.1` + server + about + " route=any decision=allowed issuer=a",
			`client "POST" http.request.method=POST server.address=127.0.0.1 http.response.status_code=200`,
		}},
		{"GET", "/write", nil, []string{`server "GET" http.request.method=GET http.response.status_code=404 network.protocol.version=1.1` + server + about + " decision=denied reason=no_route"}},
		{"GET", "/secret-path", nil, []string{`server "GET" http.request.method=GET http.response.status_code=404 network.protocol.version=1.1` + server + about + " decision=denied reason=no_route"}},
		{"SECRET", "/any/x", nil, []string{`server "HTTP /any/**" http.request.method=_OTHER http.route=/any/** http.response.status_code=401 network.protocol.version=1.1` + server + about + " route=any decision=denied reason=missing"}},
		{"POST", "/write", []string{"Authorization", "Bearer " + f.AT(map[string]any{"scope": "secret-scope"})}, []string{
			`server "POST /write" http.request.method=POST http.route=/write http.response.status_code=403 network.protocol.version=1.1` + server + about + " route=write decision=denied reason=scope issuer=a",
		}},
		{"GET", "/read", []string{"Authorization", "Bearer secret-token"}, []string{
			`server "GET /read" http.request.method=GET http.route=/read http.response.status_code=401 network.protocol.version=1.1` + server + about + " route=read decision=denied reason=malformed",
		}},
	} {
		before := len(c.spans())
		f.do(row.method, row.path, append(row.header, "Traceparent", traceparent+"01", "Tracestate", "secret=1", "Baggage", "secret=2")...)
		list := c.next(t, before, len(row.want))
		for i, want := range row.want {
			if got := kept(list[i]); got != want {
				t.Errorf("%s %s:\n got %s\nwant %s", row.method, row.path, got, want)
			}
		}
		wantTree(t, list)
		if last := f.upstream.last(); len(row.want) == 2 {
			if got, want := last.Header.Get("Traceparent"), fmt.Sprintf("00-%s-%x-01", parentTrace, list[1].SpanId); got != want {
				t.Errorf("the upstream is told %s, want %s", got, want)
			}
			if last.Header.Get("Tracestate") != "secret=1" || last.Header.Get("Baggage") != "secret=2" {
				t.Errorf("the upstream is told %v", last.Header)
			}
		}
		line := fmt.Sprintf(`"trace_id":"%s","span_id":"%x"`, parentTrace, list[0].SpanId)
		if !strings.Contains(f.log.String(), line) {
			t.Errorf("%s: no line of the log has %s", row.path, line)
		}
	}
	c.wantNoSecrets(t, f)
}

// wantTree wants one trace: the caller's, with the request below it and all else
// below that.
func wantTree(t *testing.T, list []*tracepb.Span) {
	t.Helper()
	for i, s := range list {
		parent, remote := parentSpan, uint32(0x300)
		if i > 0 {
			parent, remote = hex.EncodeToString(list[0].SpanId), 0x100
		}
		if hex.EncodeToString(s.TraceId) != parentTrace || hex.EncodeToString(s.ParentSpanId) != parent || s.Flags != remote|1 {
			t.Errorf("span %d: %v", i, s)
		}
		if s.StartTimeUnixNano < list[0].StartTimeUnixNano || s.EndTimeUnixNano > list[0].EndTimeUnixNano || s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("span %d is not within that of its request: %v", i, s)
		}
	}
}

// wantNoSecrets looks through every octet that left the gate for what no span may
// tell.
func (c *spanCollector) wantNoSecrets(t *testing.T, f *fixture) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.octets) == 0 || bytes.Contains(c.octets, []byte("secret")) {
		t.Errorf("%d octets, or a secret among them", len(c.octets))
	}
	if at := confided.find(string(c.octets)); at >= 0 {
		t.Errorf("a token or proof is in a span, at %d", at)
	}
	for _, r := range f.upstream.requests() {
		if subject := r.Header.Get("X-Auth-Subject"); subject != "" && bytes.Contains(c.octets, []byte(subject)) {
			t.Errorf("subject %q is in a span", subject)
		}
	}
}

func (u *recordingUpstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// TestSpansOfFailures: an upstream that fails, and how.
func TestSpansOfFailures(t *testing.T) {
	f, c := newTraced(t, "", nil)
	for _, row := range []struct {
		name         string
		answer       http.HandlerFunc
		server, asks string
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "http.response.status_code=500", "http.response.status_code=500 error.type=500 ERROR"},
		{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "http.response.status_code=404", "http.response.status_code=404 error.type=404 ERROR"},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "http.response.status_code=502", "error.type=_OTHER ERROR"},
	} {
		f.upstream.setAnswer(row.answer)
		before := len(c.spans())
		f.do("POST", "/open/x", "Traceparent", traceparent+"01") // no GET: it might be sent twice
		list := c.next(t, before, 2)
		wantTree(t, list)
		if got := kept(list[0]); !strings.Contains(got, row.server) || strings.HasSuffix(got, "ERROR") != strings.Contains(row.server, "=50") {
			t.Errorf("%s: %s", row.name, got)
		}
		if got := kept(list[1]); !strings.HasSuffix(got, row.asks) {
			t.Errorf("%s: %s", row.name, got)
		}
	}
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	before := len(c.spans())
	f.raw("GET /open/x HTTP/1.1\r\nHost: rs.example.com\r\nTraceparent: " + traceparent + "01\r\nConnection: close\r\n\r\n")
	for _, s := range c.next(t, before, 2) {
		if got := kept(s); !strings.HasSuffix(got, "error.type=cut ERROR") {
			t.Errorf("half an answer: %s", got)
		}
	}
}

// TestSpansOfWebSockets end with the connection.
func TestSpansOfWebSockets(t *testing.T) {
	f, c := newTraced(t, "", withWebSocket(""))
	wsUpstream(f)
	ws := f.shake(t, "/free", "Traceparent", traceparent+"01")
	ws.wantStatus(t, http.StatusSwitchingProtocols)
	opened := time.Now()
	ws.echo(t, "hello")
	f.do("GET", "/nothing")
	if got := kept(c.next(t, 0, 1)[0]); !strings.Contains(got, "=404") { // the other one would have come first
		t.Errorf("a span came before its connection ended: %s", got)
	}
	closed := time.Now()
	_ = ws.Close()
	list := c.next(t, 1, 2)
	wantTree(t, list)
	for _, s := range list {
		if got := kept(s); !strings.Contains(got, "http.response.status_code=101") || strings.Contains(got, "ERROR") {
			t.Errorf("%s", got)
		}
		if s.StartTimeUnixNano > uint64(opened.UnixNano()) || s.EndTimeUnixNano < uint64(closed.UnixNano()) {
			t.Errorf("from %d to %d", s.StartTimeUnixNano, s.EndTimeUnixNano)
		}
	}
}

// TestSpansOfWaits: who else is asked is told too.
func TestSpansOfWaits(t *testing.T) {
	server := miniredis.RunT(t)
	c := newSpanCollector(t)
	a := newAskingOf(t, devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}, "", func(text string) string {
		return text + fmt.Sprintf("tracing: {endpoint: %q}\ndpop: {replay: {store: redis, redis: {addresses: [%q], timeout: 2s}}}\n", c.URL, server.Addr())
	})
	a.hurrySpans()
	eventually(t, "redis is connected", func() bool {
		return strings.Contains(a.metrics("wicketgate_redis_connected"), `"} 1`)
	})
	raw := a.opaque(nil)
	key := newClientKey(t, "ES256")
	bound := a.mint(a.b, devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}}})
	proven := func() []string {
		return []string{"Authorization", "DPoP " + bound, "DPoP", a.proof(key, bound, "GET", "/dpop/x", devissuer.Proof{})}
	}
	eventually(t, "proofs are younger than what Redis knows", func() bool {
		return a.do("GET", "/dpop/x", append(proven(), "Traceparent", traceparent+"00")...).StatusCode == http.StatusOK
	})
	for _, row := range []struct {
		path   string
		header []string
		want   string
	}{
		{"/any/x", []string{"Authorization", "Bearer " + raw}, "introspection"},
		{"/any/x", []string{"Authorization", "Bearer " + raw}, ""}, // remembered
		{"/dpop/x", proven(), "redis"},
	} {
		before, names := len(c.spans()), strings.Fields(row.want)
		if r := a.do("GET", row.path, append(row.header, "Traceparent", traceparent+"01")...); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d", row.path, r.StatusCode)
		}
		list := c.next(t, before, 2+len(names))
		wantTree(t, list)
		for i, name := range names {
			if got := list[2+i]; got.Name != name || got.Kind != tracepb.Span_SPAN_KIND_INTERNAL {
				t.Errorf("%s: %v", row.path, got)
			}
		}
	}
	c.wantNoSecrets(t, a.fixture)
}

// passing is what a client may say of its trace, and what the upstream gets when
// the gate adds no span: the same.
var passing = map[string][][2]string{
	"nothing":        nil,
	"not sampled":    {{"Traceparent", traceparent + "00"}, {"Tracestate", "a=1"}, {"Tracestate", "b=2"}, {"Baggage", "user=x"}},
	"later version":  {{"Traceparent", "cc" + traceparent[2:] + "00-more"}},
	"twice":          {{"Traceparent", traceparent + "01"}, {"Traceparent", traceparent + "01"}, {"Tracestate", "a=1"}},
	"joined":         {{"Traceparent", traceparent + "01," + traceparent + "01"}},
	"upper case":     {{"Traceparent", strings.ToUpper(traceparent + "01")}, {"Tracestate", "not: even, valid"}},
	"zeros":          {{"Traceparent", "00-00000000000000000000000000000000-0000000000000000-01"}},
	"another thing":  {{"Traceparent", "hello, world"}, {"Baggage", "a=%C3%A4;p=1 , b=2"}, {"Baggage", ""}},
	"state alone":    {{"Tracestate", "a=1"}},
	"without a span": {{"Traceparent", "00-" + parentTrace + "-0000000000000000-01"}},
}

// TestTraceContextPasses octet by octet where the gate adds no span: without a
// collector, and with one that wants none of these.
func TestTraceContextPasses(t *testing.T) {
	off := newFixture(t, nil)
	unsampled, c := newTraced(t, ", sample: 0%%", nil)
	for _, f := range []*fixture{off, unsampled} {
		for name, fields := range passing {
			wantSameTrace(t, f, name, fields)
		}
	}
	wantSameTrace(t, off, "sampled", [][2]string{{"Traceparent", traceparent + "01"}, {"Tracestate", "a=1"}})
	wantSameTrace(t, off, "what others use", [][2]string{{"B3", parentTrace + "-" + parentSpan + "-1"}, {"X-B3-Traceid", parentTrace}})
	if line := `"trace_id":"` + parentTrace + `"}`; !strings.Contains(off.log.String(), line) {
		t.Error("the trace of the caller is not in the log")
	}
	if n := len(c.spans()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

func wantSameTrace(t *testing.T, f *fixture, name string, fields [][2]string) {
	t.Helper()
	text, want := "", make(http.Header)
	for _, one := range fields {
		text += one[0] + ": " + one[1] + "\r\n"
		want[one[0]] = append(want[one[0]], one[1])
	}
	f.raw("GET /open/x HTTP/1.1\r\nHost: rs.example.com\r\n" + text + "Connection: close\r\n\r\n")
	got := f.upstream.last().Header
	for _, field := range []string{"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid"} {
		if !slices.Equal(got[field], want[field]) {
			t.Errorf("%s: %s is %q, want %q", name, field, got[field], want[field])
		}
	}
}

// TestSpansWithoutParent: a trace that cannot be read begins anew, and its state
// goes with it.
func TestSpansWithoutParent(t *testing.T) {
	f, c := newTraced(t, "", nil)
	for name, fields := range passing {
		if name == "not sampled" || name == "later version" {
			continue
		}
		before, header := len(c.spans()), []string{}
		for _, one := range fields {
			header = append(header, one[0], one[1])
		}
		f.do("GET", "/open/x", header...)
		list := c.next(t, before, 2)
		told := f.upstream.last().Header
		if hex.EncodeToString(list[0].TraceId) == parentTrace || len(list[0].ParentSpanId) != 0 || list[0].Flags != 0x101 {
			t.Errorf("%s: %v", name, list[0])
		}
		if want := fmt.Sprintf("00-%x-%x-01", list[0].TraceId, list[1].SpanId); !slices.Equal(told["Traceparent"], []string{want}) || told["Tracestate"] != nil {
			t.Errorf("%s: the upstream is told %q, %q", name, told["Traceparent"], told["Tracestate"])
		}
	}
}

// TestSpansAcrossReload: another collector takes over, and none when tracing is
// taken away; what was under way is not lost.
func TestSpansAcrossReload(t *testing.T) {
	f, one := newTraced(t, "", nil)
	two := newSpanCollector(t)
	f.do("GET", "/open/x")
	one.next(t, 0, 2)
	change := func(old, with string) {
		text, err := os.ReadFile(f.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.config, []byte(instead(t, string(text), old, with)), 0o600); err != nil {
			t.Fatal(err)
		}
		f.reloadedAs(true)
	}
	change(one.URL, two.URL)
	f.do("GET", "/open/x")
	change(fmt.Sprintf("tracing: {endpoint: %q}\n", two.URL), "")
	two.next(t, 0, 2)
	f.do("GET", "/open/x", "Traceparent", traceparent+"01")
	if got := f.upstream.last().Header.Get("Traceparent"); got != traceparent+"01" {
		t.Errorf("the upstream is told %s", got)
	}
	if one, two := len(one.spans()), len(two.spans()); one != 2 || two != 2 {
		t.Errorf("%d and %d spans", one, two)
	}
	eventually(t, "spans are counted", func() bool { return f.metric("wicketgate_spans_exported_total") == "4" })
	for _, name := range []string{"wicketgate_spans_dropped_total", "wicketgate_span_export_failures_total"} {
		if got := f.metric(name); got != "0" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// TestSpansAtTheEnd: what waits is sent before the process ends.
func TestSpansAtTheEnd(t *testing.T) {
	c := newSpanCollector(t)
	t.Run("gate", func(t *testing.T) {
		f := newFixture(t, func(text string) string { return text + fmt.Sprintf("tracing: {endpoint: %q}\n", c.URL) })
		f.do("GET", "/open/x") // a batch waits five seconds
	})
	if n := len(c.spans()); n != 2 {
		t.Errorf("%d spans", n)
	}
}

// TestSpansWithoutCollector: requests are answered all the same.
func TestSpansWithoutCollector(t *testing.T) {
	c := newSpanCollector(t)
	f := newFixture(t, func(text string) string { return text + fmt.Sprintf("tracing: {endpoint: %q}\n", c.URL) })
	c.Close()
	f.hurrySpans()
	for range 3 {
		if r := f.do("GET", "/open/x"); r.StatusCode != http.StatusOK {
			t.Errorf("status %d", r.StatusCode)
		}
	}
	eventually(t, "a failure is counted", func() bool { return f.gateway.tracer.Failures() > 0 })
	eventually(t, "it is told", func() bool { return strings.Contains(f.log.String(), "spans are not taken by the collector") })
}
