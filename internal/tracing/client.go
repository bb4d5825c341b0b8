package tracing

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

// maxAnswer is how much is read of what a collector says, in octets; maxPause is how
// long it may ask us to wait, and maxReconnect how long gRPC waits of itself between
// two attempts to connect.
const (
	maxAnswer    = 64 << 10
	maxPause     = 30 * time.Second
	maxReconnect = 5 * time.Second
)

// A client hands batches to a collector, each once. It uses no proxy of the
// environment and follows no redirect: headers can be secrets, and spans tell who
// uses an API.
type client struct {
	upload  otlptrace.Client
	timeout time.Duration
	idle    func() // closes what upload leaves open
}

// newClient makes the library's client say and do what o says. The library reads the
// environment too, and quotes what it cannot read of it on standard error; so it is
// told everything, and not let speak.
func newClient(o *Options, failed func(error)) (*client, error) {
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { failed(errors.New("the library that sends them says so")) }))
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	headers := make(map[string]string, len(o.Headers))
	for name := range o.Headers {
		headers[name] = o.Headers.Get(name)
	}
	c := &client{timeout: o.Timeout, idle: func() {}}
	if o.Protocol == GRPC {
		c.upload = newGRPC(o, config, headers)
	} else {
		t := &http.Transport{
			TLSClientConfig: config, TLSHandshakeTimeout: o.Timeout, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxResponseHeaderBytes: maxAnswer, MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second,
		}
		c.upload, c.idle = newHTTP(o, t, headers), t.CloseIdleConnections
	}
	if err := c.upload.Start(context.Background()); err != nil {
		return nil, errors.New("the collector's address means nothing to gRPC")
	}
	return c, nil
}

func newHTTP(o *Options, t *http.Transport, headers map[string]string) otlptrace.Client {
	compression := otlptracehttp.NoCompression
	if o.Compression == "gzip" {
		compression = otlptracehttp.GzipCompression
	}
	return otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL(o.Endpoint), otlptracehttp.WithHeaders(headers), otlptracehttp.WithCompression(compression),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf), otlptracehttp.WithMaxResponseSize(maxAnswer),
		otlptracehttp.WithTLSClientConfig(nil), otlptracehttp.WithHTTPClient(&http.Client{Transport: answers{t}}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}),
	)
}

func newGRPC(o *Options, config *tls.Config, headers map[string]string) otlptrace.Client {
	compressor := encoding.Identity
	if o.Compression == "gzip" {
		compressor = "gzip"
	}
	trust := credentials.NewTLS(config)
	address, plain := strings.CutPrefix(o.Endpoint, "http://")
	if plain {
		trust = insecure.NewCredentials()
	}
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = min(o.pause, maxReconnect), maxReconnect
	return otlptracegrpc.NewClient(
		// The system says where the collector is, and no record in the DNS how to call it.
		otlptracegrpc.WithEndpoint("passthrough:///"+strings.TrimPrefix(address, "https://")),
		otlptracegrpc.WithHeaders(headers), otlptracegrpc.WithTLSCredentials(trust), otlptracegrpc.WithTimeout(o.Timeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}),
		otlptracegrpc.WithDialOption(
			grpc.WithNoProxy(), grpc.WithDefaultCallOptions(grpc.UseCompressor(compressor), grpc.MaxCallRecvMsgSize(maxAnswer)),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: o.Timeout}),
		),
	)
}

// A refusal is an answer that takes no spans, or a failure to get one. It quotes
// nothing of what a collector says.
type refusal struct {
	text  string
	again bool          // the same batch may be taken later
	pause time.Duration // not before; 0 where nothing was said
}

// Error implements error.
func (r *refusal) Error() string { return r.text }

// answers makes a refusal of each answer that is no success, as the specification of
// OTLP over HTTP has it; so nobody sees a redirect, or what such an answer says.
type answers struct{ next *http.Transport }

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if err != nil || resp.StatusCode/100 == 2 {
		return resp, err
	}
	_ = resp.Body.Close()
	why := &refusal{text: "status " + strconv.Itoa(resp.StatusCode)}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		why.again = true
		if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
			why.pause = min(time.Duration(seconds)*time.Second, maxPause)
		}
	}
	return nil, why
}

// send hands one batch over, once. It says how many of its spans the collector did
// not take all the same. The error is a refusal.
func (c *client) send(ctx context.Context, batch []*tracepb.ResourceSpans) (refused uint64, why *refusal) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.upload.UploadTraces(ctx, batch)
	if err == nil {
		return 0, nil
	}
	if refused, partly := partial(err); partly {
		return refused, nil
	}
	return 0, refusalOf(err)
}

// partial reads how many spans were not taken of a batch that was. The library keeps
// the type of that error to itself, and ends its text with the number.
func partial(err error) (refused uint64, is bool) {
	if _, call := status.FromError(err); call {
		return 0, false // whose text may be the collector's
	}
	text, is := strings.CutSuffix(err.Error(), " spans rejected)")
	if !is {
		return 0, false
	}
	n, err := strconv.ParseInt(text[strings.LastIndexByte(text, '(')+1:], 10, 64)
	return uint64(max(n, 0)), err == nil
}

// refusalOf tells why a batch was not taken, without the URL and what the collector
// says.
func refusalOf(err error) *refusal {
	if why, is := errors.AsType[*refusal](err); is {
		return why
	}
	if s, is := status.FromError(err); is { // those of passing may be sent again, as the specification of OTLP has it
		passing := []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss}
		return &refusal{text: fmt.Sprintf("gRPC status %d, %v", s.Code(), s.Code()), again: slices.Contains(passing, s.Code())}
	}
	if timeout, is := errors.AsType[net.Error](err); is && timeout.Timeout() {
		return &refusal{text: "the collector did not answer in time", again: true}
	}
	if op, is := errors.AsType[*net.OpError](err); is {
		return &refusal{text: op.Error(), again: true}
	}
	if _, is := errors.AsType[*url.Error](err); is {
		return &refusal{text: "the collector could not be asked", again: true}
	}
	return &refusal{text: "the answer is not one of OTLP"}
}

// close ends the connections. Nothing is being sent any more.
func (c *client) close() {
	_ = c.upload.Stop(context.Background())
	c.idle()
}
