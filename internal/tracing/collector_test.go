package tracing

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // what a collector takes
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// collector takes spans as a real one does: it reads them with the messages that
// OpenTelemetry generates.
type collector struct {
	mu      sync.Mutex // guards all below
	got     []*tracepb.ResourceSpans
	octets  []byte // of all bodies, decompressed
	headers []http.Header
	tries   int
	answer  []byte // to a call
}

func (c *collector) take(t testing.TB, body []byte, h http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all tracepb.TracesData // on the wire what an ExportTraceServiceRequest is
	if err := (proto.UnmarshalOptions{}).Unmarshal(body, &all); err != nil {
		t.Errorf("no request of OTLP: %v", err)
	}
	if unknown := all.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("unknown fields: %x", unknown)
	}
	c.got, c.octets, c.headers = append(c.got, all.ResourceSpans...), append(c.octets, body...), append(c.headers, h)
}

func (c *collector) spans() (list []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.got {
		for _, s := range r.ScopeSpans {
			list = append(list, s.Spans...)
		}
	}
	return list
}

// overHTTP serves it, with a status first for as many attempts as there are.
func overHTTP(t testing.TB, c *collector, first ...int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		try := c.tries
		c.tries++
		c.mu.Unlock()
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(r.Body); err != nil {
				t.Error(err)
				return
			}
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		if try < len(first) {
			http.Error(w, "not now", first[try])
			return
		}
		if r.URL.Path != "/v1/traces" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s of type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		c.take(t, text, r.Header)
	}))
	t.Cleanup(server.Close)
	return server
}

// octetCodec leaves messages as they are.
type octetCodec struct{}

func (octetCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (octetCodec) Unmarshal(text []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), text...)
	return nil
}
func (octetCodec) Name() string { return "proto" }

// overGRPC serves it with grpc-go. refuse, if not nil, is what each call is told
// instead.
func overGRPC(t testing.TB, c *collector, refuse func(try int) error, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newCollector(t, c, refuse, options...)
	go func() { _ = server.Serve(l) }()
	return l.Addr().String()
}

// newCollector serves nobody yet; it stops with the test.
func newCollector(t testing.TB, c *collector, refuse func(try int) error, options ...grpc.ServerOption) *grpc.Server {
	t.Helper()
	options = append(options, grpc.ForceServerCodec(octetCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		if method != "/opentelemetry.proto.collector.trace.v1.TraceService/Export" {
			t.Errorf("called %s", method)
		}
		var body []byte
		if err := stream.RecvMsg(&body); err != nil {
			t.Error(err)
			return err
		}
		c.mu.Lock()
		try := c.tries
		c.tries++
		c.mu.Unlock()
		if refuse != nil {
			if err := refuse(try); err != nil {
				return err
			}
		}
		h := make(http.Header)
		md, _ := metadata.FromIncomingContext(stream.Context())
		for name, values := range md {
			h[http.CanonicalHeaderKey(name)] = values
		}
		c.take(t, body, h)
		return stream.SendMsg(&c.answer)
	}))
	server := grpc.NewServer(options...)
	t.Cleanup(server.Stop)
	return server
}

// flush ends a tracer, and so sends what waits.
func flush(t testing.TB, tracer *Tracer) {
	t.Helper()
	tracer.Close(context.Background())
}
