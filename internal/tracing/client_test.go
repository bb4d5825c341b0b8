package tracing

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bothWays are the options for one collector by each protocol.
func bothWays(t *testing.T, c *collector) []Options {
	t.Helper()
	return []Options{{Endpoint: overHTTP(t, c).URL + "/v1/traces", Protocol: HTTP}, {Endpoint: "http://" + overGRPC(t, c, nil), Protocol: GRPC}}
}

// hostile is an environment that the library would follow, or quote.
func hostile(proxy, authority string) []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://secret:secret@127.0.0.1:1/secret\x7f", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/secret",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_INSECURE=false",
		"OTEL_EXPORTER_OTLP_HEADERS=secret,x y=secret,x=%zzsecret", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-other=secret",
		"OTEL_EXPORTER_OTLP_TIMEOUT=secret", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=1",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=" + authority, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE=/nowhere/secret", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/nowhere/secret", "OTEL_EXPORTER_OTLP_CLIENT_KEY=/nowhere/secret",
		"OTEL_GO_X_OBSERVABILITY=true", "HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "http_proxy=" + proxy, "https_proxy=" + proxy,
	}
}

// TestProcessEnvironment: what the library finds in the environment of the process
// changes nothing of what an exporter was told, is quoted nowhere, and no proxy of it
// is asked.
func TestProcessEnvironment(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &collector{}
	ways := bothWays(t, c)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program, "-test.run=^TestInHostileEnvironment$", "-test.count=1")
	child.Env = append(hostile(proxy.URL, authority), "TRACING_TEST_COLLECTORS="+ways[0].Endpoint+" "+ways[1].Endpoint)
	out, err := child.CombinedOutput()
	if err != nil || strings.Contains(string(out), "secret") || strings.Contains(string(out), "otlp") {
		t.Errorf("%v: %s", err, out)
	}
	if n := len(c.spans()); n != 2 {
		t.Errorf("%d spans", n)
	}
	for _, h := range c.headers {
		if h.Get("X-Ours") != "a" || h.Get("X-Other") != "" || h.Get("Content-Encoding") != "" || h.Get("Grpc-Encoding") != "" && h.Get("Grpc-Encoding") != "identity" {
			t.Errorf("header fields: %v", h)
		}
	}
	if asked.Load() != 0 {
		t.Error("the proxy was asked")
	}
}

// TestInHostileEnvironment is what TestProcessEnvironment runs in a process of its
// own, and nothing without.
func TestInHostileEnvironment(t *testing.T) {
	for i, endpoint := range strings.Fields(os.Getenv("TRACING_TEST_COLLECTORS")) {
		protocol := []Protocol{HTTP, GRPC}[i]
		tracer := started(t, Options{Endpoint: endpoint, Protocol: protocol, Headers: http.Header{"X-Ours": {"a"}}})
		tracer.Decided(answered(401))
		flush(t, tracer)
		if tracer.Exported() != 1 {
			t.Errorf("%s: %d exported, %d failures", protocol, tracer.Exported(), tracer.Failures())
		}
		for _, nobody := range []string{"http://192.0.2.1:4317", "https://192.0.2.1:4317"} {
			tracer := started(t, Options{Endpoint: nobody, Protocol: protocol, Timeout: 50 * time.Millisecond})
			tracer.Decided(answered(401))
			flush(t, tracer)
			if tracer.Exported() != 0 {
				t.Errorf("somebody answers at %s", nobody)
			}
		}
	}
}

// TestRedirects are not followed, and so nobody else is sent header fields.
func TestRedirects(t *testing.T) {
	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL+"/v1/traces", code))
		defer server.Close()
		for _, protocol := range []Protocol{HTTP, GRPC} {
			tracer := started(t, Options{Endpoint: server.URL, Protocol: protocol, Headers: http.Header{"X-Api-Key": {"secret"}}})
			tracer.Decided(answered(401))
			flush(t, tracer)
			if tracer.Exported() != 0 || tracer.Dropped() != 1 || asked.Load() != 0 {
				t.Errorf("%d by %s: %d exported, %d asked", code, protocol, tracer.Exported(), asked.Load())
			}
		}
	}
}

// TestAway: a collector that says goodbye and comes back at the same address gets
// what comes then, and what it was not there for.
func TestAway(t *testing.T) {
	c := &collector{}
	first := newCollector(t, c, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { _ = first.Serve(l); close(served) }()
	tracer := started(t, Options{Endpoint: "http://" + l.Addr().String(), Protocol: GRPC, Delay: time.Millisecond, pause: 20 * time.Millisecond})
	tracer.Decided(answered(401))
	await(t, func() bool { return tracer.Exported() == 1 })
	first.GracefulStop() // with GOAWAY
	<-served
	tracer.Decided(answered(401))
	await(t, func() bool { return tracer.Failures() > 0 })
	if l, err = net.Listen("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	second := newCollector(t, c, nil)
	go func() { _ = second.Serve(l) }()
	await(t, func() bool { return tracer.Exported()+tracer.Dropped() == 2 })
	flush(t, tracer)
	if tracer.Exported() != 2 || len(c.spans()) != 2 {
		t.Errorf("%d exported, %d dropped, %d spans", tracer.Exported(), tracer.Dropped(), len(c.spans()))
	}
}

// TestTold: what a collector says and where it is asked is in no error; what failed
// is.
func TestTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	_ = l.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/secret/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/secret/400":
			w.WriteHeader(http.StatusBadRequest)
		case "/secret/broken":
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = io.WriteString(w, "\x0a\xffsecret")
			return
		}
		_, _ = io.WriteString(w, "secret (1 spans rejected)")
	}))
	defer server.Close()
	call := "http://" + overGRPC(t, &collector{}, func(int) error { return status.Error(codes.InvalidArgument, "secret (1 spans rejected)") })
	for _, row := range []struct {
		options Options
		want    string
	}{
		{Options{Endpoint: server.URL + "/secret/503"}, "status 503"},
		{Options{Endpoint: server.URL + "/secret/400"}, "status 400"},
		{Options{Endpoint: server.URL + "/secret/broken"}, "the answer is not one of OTLP"},
		{Options{Endpoint: "http://" + gone + "/secret"}, "dial tcp " + gone + ": connect: connection refused"},
		{Options{Endpoint: "http://" + gone, Protocol: GRPC}, "gRPC status 14, Unavailable"},
		{Options{Endpoint: call, Protocol: GRPC}, "gRPC status 3, InvalidArgument"},
	} {
		told := ""
		tracer := New(func(err error) { told = err.Error() })
		row.options.Headers = http.Header{"X-Api-Key": {"secret"}}
		if err := tracer.Use(&row.options); err != nil {
			t.Fatal(err)
		}
		tracer.Decided(answered(401))
		flush(t, tracer)
		if told != row.want || tracer.Dropped() != 1 || tracer.Failures() != 1 {
			t.Errorf("%s: told %q, %d dropped, %d failures", row.options.Endpoint, told, tracer.Dropped(), tracer.Failures())
		}
	}
}

// TestCallHeaders: what gRPC would not send is refused when the configuration is read.
func TestCallHeaders(t *testing.T) {
	for _, row := range []struct {
		name, value string
		good        bool
	}{{"X-Api-Key", "Bearer x", true}, {"X!", "secret", false}, {"X", "sécret", false}} {
		o := Options{Protocol: GRPC, Headers: http.Header{row.name: {row.value}}}
		if err := o.Check(); (err == nil) != row.good || err != nil && strings.Contains(err.Error(), row.value) {
			t.Errorf("%s by gRPC: %v", row.name, err)
		}
		if o.Protocol = HTTP; o.Check() != nil {
			t.Errorf("%s by HTTP: %v", row.name, o.Check())
		}
	}
}
