package tracing

import (
	"bytes"
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/wicketgate/wicketgate/internal/spans"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answered is a request without a route that was answered with a status, and asked
// the upstream unless it was refused.
func answered(code int) (*http.Request, *proxy.Outcome) {
	tr := spans.NewSampler(spans.SamplerOptions{Ratio: 1}).Begin(nil, time.Now().Add(-time.Second))
	o := &proxy.Outcome{Trace: tr, Status: code, Duration: time.Second, Client: netip.MustParseAddr("192.0.2.7")}
	if code < 400 {
		tr.Asking()
		tr.Asked(time.Now().Add(-time.Second/2), code)
	} else {
		o.Door = token.Refuse(token.InvalidRequest, token.ReasonMalformed)
	}
	return httptest.NewRequest("GET", "/secret-path?access_token=secret-query", nil), o
}

func attributes(list []*commonpb.KeyValue) map[string]any {
	m := make(map[string]any)
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[a.Key] = int(v.IntValue)
		case *commonpb.AnyValue_BoolValue:
			m[a.Key] = v.BoolValue
		}
	}
	return m
}

func started(t *testing.T, o Options) *Tracer {
	t.Helper()
	tracer := New(nil)
	o.pause = time.Millisecond
	if err := tracer.Use(&o); err != nil {
		t.Fatal(err)
	}
	return tracer
}

// TestSpans: two requests arrive as spans, in the form of OTLP, by each protocol.
func TestSpans(t *testing.T) {
	for _, compression := range []string{"", "gzip"} {
		for _, protocol := range []Protocol{HTTP, GRPC} {
			t.Run(string(protocol), func(t *testing.T) {
				c := &collector{}
				o := Options{
					Protocol: protocol, Compression: compression, Service: "gate-1", Version: "v9", Attributes: [][2]string{{"deployment.environment.name", "täst"}},
					Headers: http.Header{"X-Api-Key": {"collector-secret"}}, ClientAddress: true,
				}
				if protocol == GRPC {
					o.Endpoint, _ = Address("http://"+overGRPC(t, c, nil), GRPC, true, false)
				} else {
					o.Endpoint, _ = Address(overHTTP(t, c).URL, HTTP, true, false)
				}
				tracer := started(t, o)
				tracer.Decided(answered(200))
				tracer.Decided(answered(503))
				flush(t, tracer)
				wantSpans(t, c)
				if tracer.Exported() != 3 || tracer.Dropped() != 0 || tracer.Failures() != 0 {
					t.Errorf("%d exported, %d dropped, %d failures", tracer.Exported(), tracer.Dropped(), tracer.Failures())
				}
			})
		}
	}
}

func wantSpans(t *testing.T, c *collector) {
	t.Helper()
	list := c.spans()
	if len(list) != 3 {
		t.Fatalf("%d spans", len(list))
	}
	if c.headers[0].Get("X-Api-Key") != "collector-secret" {
		t.Errorf("header fields: %v", c.headers[0])
	}
	resource := attributes(c.got[0].Resource.Attributes)
	if want := map[string]any{
		"service.name": "gate-1", "service.version": "v9", "deployment.environment.name": "täst",
		"telemetry.sdk.language": "go", "telemetry.sdk.name": "wicketgate",
	}; !reflect.DeepEqual(resource, want) {
		t.Errorf("resource: %v", resource)
	}
	server, client, failed := list[0], list[1], list[2]
	if server.Kind != tracepb.Span_SPAN_KIND_SERVER || client.Kind != tracepb.Span_SPAN_KIND_CLIENT || failed.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("kinds: %v, %v, %v", server.Kind, client.Kind, failed.Kind)
	}
	if !bytes.Equal(server.TraceId, client.TraceId) || !bytes.Equal(client.ParentSpanId, server.SpanId) || len(server.ParentSpanId) != 0 || bytes.Equal(server.TraceId, failed.TraceId) {
		t.Errorf("tree: %v\n%v\n%v", server, client, failed)
	}
	if took := server.EndTimeUnixNano - server.StartTimeUnixNano; took != uint64(time.Second) {
		t.Errorf("took %d", took)
	}
	if server.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET || failed.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("statuses %v and %v", server.Status, failed.Status)
	}
	if got, want := attributes(failed.Attributes), map[string]any{
		"http.request.method": "GET", "http.response.status_code": 503, "url.scheme": "http", "network.protocol.version": "1.1",
		"client.address": "192.0.2.7", "wicketgate.decision": "denied", "wicketgate.reason": "malformed", "error.type": "503",
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("attributes: %v, want %v", got, want)
	}
	if bytes.Contains(c.octets, []byte("secret")) {
		t.Error("a secret went out")
	}
}

// TestTLS: a collector is believed when its authority is the one of ca_file.
func TestTLS(t *testing.T) {
	c := &collector{}
	plain := overHTTP(t, c)
	server := httptest.NewTLSServer(plain.Config.Handler)
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	call := overGRPC(t, c, nil, grpcTLS(server))
	for _, o := range []Options{
		{Endpoint: server.URL + "/v1/traces"},
		{Endpoint: "https://" + call, Protocol: GRPC},
	} {
		for _, known := range []bool{true, false} {
			before := len(c.spans())
			if o.CAs = nil; known {
				o.CAs = authority
			}
			tracer := started(t, o)
			tracer.Decided(answered(401))
			flush(t, tracer)
			if got := len(c.spans()) - before; (got == 1) != known || (tracer.Dropped() == 0) != known {
				t.Errorf("%s known %v: %d spans, %d dropped", o.Endpoint, known, got, tracer.Dropped())
			}
		}
	}
	for _, o := range []Options{{CAs: []byte("x")}, {Certificate: authority}, {Key: []byte("x"), Certificate: authority}} {
		if o.Check() == nil {
			t.Errorf("%q is good", o.CAs)
		}
	}
}

func grpcTLS(server *httptest.Server) grpc.ServerOption {
	config := server.TLS.Clone()
	config.NextProtos = []string{"h2"}
	return grpc.Creds(credentials.NewTLS(config))
}

// TestRefused: what may pass is tried again, what may not is dropped at once, and
// both are told.
func TestRefused(t *testing.T) {
	for _, row := range []struct {
		name     string
		first    []int
		exported uint64
		tries    int
	}{
		{"busy twice", []int{503, 429}, 1, 3},
		{"gateways", []int{502, 504, 503, 503}, 1, 5},
		{"busy for ever", []int{503, 503, 503, 503, 503}, 0, 5},
		{"broken", []int{500}, 0, 1},
		{"not for us", []int{401}, 0, 1},
		{"moved", []int{307}, 0, 1},
		{"nothing there", []int{404}, 0, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := &collector{}
			tracer := started(t, Options{Endpoint: overHTTP(t, c, row.first...).URL + "/v1/traces", Delay: time.Millisecond})
			tracer.Decided(answered(401))
			await(t, func() bool { return tracer.Exported()+tracer.Dropped() == 1 })
			flush(t, tracer)
			if tracer.Exported() != row.exported || c.tries != row.tries || tracer.Failures() != uint64(min(len(row.first), row.tries)) {
				t.Errorf("%d exported, %d tries, %d failures", tracer.Exported(), c.tries, tracer.Failures())
			}
		})
	}
	for code, again := range map[codes.Code]bool{codes.Unavailable: true, codes.ResourceExhausted: false, codes.Unauthenticated: false, codes.Aborted: true} {
		t.Run(code.String(), func(t *testing.T) {
			c := &collector{}
			address := overGRPC(t, c, func(try int) error {
				if try == 0 {
					return status.Error(code, "secret")
				}
				return nil
			})
			endpoint, _ := Address("http://"+address, GRPC, true, false)
			tracer := started(t, Options{Endpoint: endpoint, Protocol: GRPC, Delay: time.Millisecond})
			tracer.Decided(answered(401))
			await(t, func() bool { return tracer.Exported()+tracer.Dropped() == 1 })
			flush(t, tracer)
			if (tracer.Exported() == 1) != again {
				t.Errorf("%d exported", tracer.Exported())
			}
		})
	}
}

// await returns when something has become true.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatal("never")
		}
		time.Sleep(time.Millisecond) // there is nothing to be woken by
	}
}

// TestHanging: a collector that takes connections and says nothing holds up nobody
// that brings spans, and not the end.
func TestHanging(t *testing.T) {
	for _, protocol := range []Protocol{HTTP, GRPC} {
		t.Run(string(protocol), func(t *testing.T) { hang(t, protocol) })
	}
}

func hang(t *testing.T, protocol Protocol) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	endpoint, err := Address("http://"+l.Addr().String()+"/secret", protocol, false, false)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	tracer := New(func(err error) {
		if told++; strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	})
	if err := tracer.Use(&Options{
		Protocol: protocol, Endpoint: endpoint, Queue: 20, Batch: 5, Delay: time.Millisecond, Timeout: 20 * time.Millisecond, pause: time.Millisecond,
	}); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		tracer.Decided(answered(401))
	}
	if tracer.Dropped() == 0 {
		t.Error("a thousand spans found room")
	}
	await(t, func() bool { return tracer.Failures() > 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tracer.Close(ctx)
	if tracer.Exported() != 0 || tracer.Dropped() != 1000 {
		t.Errorf("%d exported, %d dropped", tracer.Exported(), tracer.Dropped())
	}
	if told != 1 {
		t.Errorf("told %d times within a minute", told)
	}
}

// TestReplacedHanging: an exporter that was replaced does not hold up the end for
// longer than the end takes.
func TestReplacedHanging(t *testing.T) {
	for _, protocol := range []Protocol{HTTP, GRPC} {
		t.Run(string(protocol), func(t *testing.T) { hangReplaced(t, protocol) })
	}
}

func hangReplaced(t *testing.T, protocol Protocol) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	tracer := started(t, Options{Protocol: protocol, Endpoint: "http://" + l.Addr().String(), Timeout: time.Hour, Delay: time.Millisecond})
	tracer.Decided(answered(401))
	conn, err := l.Accept() // it is asked, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := tracer.Use(nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	tracer.Close(ctx)
	if took := time.Since(began); took >= replacedWithin || tracer.Dropped() != 1 {
		t.Errorf("the end took %v, %d dropped", took, tracer.Dropped())
	}
}

// TestPartly: what the collector says it did not take counts as dropped, by each
// protocol, and what it says besides is nothing to us.
func TestPartly(t *testing.T) {
	answer := func(rejected int64) []byte {
		text, err := proto.Marshal(&coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: "(7 spans rejected)"}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, row := range []struct {
		answer            []byte
		exported, dropped uint64
	}{
		{answer(1), 1, 1}, {answer(0), 2, 0}, {answer(99), 0, 2}, {answer(-1), 2, 0}, {nil, 2, 0}, {[]byte("\x0a\xff\xff\xff"), 0, 2},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write(row.answer)
		}))
		defer server.Close()
		call := overGRPC(t, &collector{answer: row.answer}, nil)
		for _, o := range []Options{{Endpoint: server.URL}, {Endpoint: "http://" + call, Protocol: GRPC}} {
			tracer := started(t, o)
			tracer.Decided(answered(200))
			flush(t, tracer)
			if tracer.Exported() != row.exported || tracer.Dropped() != row.dropped {
				t.Errorf("%s %x: %d exported, %d dropped", o.Protocol, row.answer, tracer.Exported(), tracer.Dropped())
			}
		}
	}
}

// TestUse: the same options keep the exporter, others replace it, and none end it;
// nothing that was taken is lost.
func TestUse(t *testing.T) {
	one, two := &collector{}, &collector{}
	tracer := started(t, Options{Endpoint: overHTTP(t, one).URL + "/v1/traces"})
	first := tracer.current.Load()
	again := first.options
	if err := tracer.Use(&again); err != nil || tracer.current.Load() != first {
		t.Errorf("the exporter was replaced without need, %v", err)
	}
	tracer.Decided(answered(401))
	next := Options{Endpoint: overHTTP(t, two).URL + "/v1/traces"}
	if err := tracer.Use(&next); err != nil {
		t.Fatal(err)
	}
	tracer.Decided(answered(401))
	if err := tracer.Use(&Options{Endpoint: next.Endpoint, CAs: []byte("x")}); err == nil {
		t.Error("an authority that is none")
	}
	if err := tracer.Use(nil); err != nil {
		t.Fatal(err)
	}
	tracer.Decided(answered(401))
	flush(t, tracer)
	if len(one.spans()) != 1 || len(two.spans()) != 1 || tracer.Exported() != 2 {
		t.Errorf("%d and %d spans", len(one.spans()), len(two.spans()))
	}
}

// TestBounds: no attribute is longer than its bound, and all are UTF-8, which
// protobuf asks for.
func TestBounds(t *testing.T) {
	for _, text := range []string{strings.Repeat("ü", maxText), "\xff\xfe", strings.Repeat("a", maxText-1) + "ü"} {
		for _, one := range []*commonpb.KeyValue{textOf("k", text), (&Options{Attributes: [][2]string{{text, text}}}).resource().Attributes[0]} {
			if _, err := proto.Marshal(one); err != nil || len(one.Value.GetStringValue()) > maxText || len(one.Key) > maxText {
				t.Errorf("%q: %v", text[:2], err)
			}
		}
	}
}

func BenchmarkDecided(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	tracer := New(nil)
	_ = tracer.Use(&Options{Endpoint: "http://" + l.Addr().String(), Queue: 1 << 16, Delay: time.Hour, Batch: 1 << 16})
	r, o := answered(200)
	b.ReportAllocs()
	for b.Loop() {
		tracer.Decided(r, o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tracer.Close(ctx)
}
