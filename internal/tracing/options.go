package tracing

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/wicketgate/wicketgate/internal/spans"
)

// Protocol is how spans are sent.
type Protocol string

// The protocols of OTLP that are spoken here. They are written as in
// OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	HTTP Protocol = "http/protobuf"
	GRPC Protocol = "grpc"
)

// The samplers, as in OTEL_TRACES_SAMPLER.
const (
	AlwaysOn         = "always_on"
	AlwaysOff        = "always_off"
	Ratio            = "traceidratio"
	ParentBasedOn    = "parentbased_always_on"
	ParentBasedOff   = "parentbased_always_off"
	ParentBasedRatio = "parentbased_traceidratio"
)

// Samplers lists them.
func Samplers() []string {
	return []string{AlwaysOn, AlwaysOff, Ratio, ParentBasedOn, ParentBasedOff, ParentBasedRatio}
}

// Options say where spans go, and which there are. Two that are equal make the same
// exporter.
type Options struct {
	Endpoint    string   // the URL that is asked, whole, and for gRPC without a path; empty: there are no spans
	Protocol    Protocol // default HTTP
	Headers     http.Header
	CAs         []byte // PEM; empty: the system's
	Certificate []byte // PEM, our own chain, for a collector that wants one; may be empty
	Key         []byte // PEM
	Compression string // gzip, or none; default none

	Sampler  string  // default ParentBasedOn
	Ratio    float64 // for the samplers with one; default 1
	Unlinked bool    // traceparent is neither read nor written

	Service       string      // default wicketgate
	Version       string      // of this build
	Attributes    [][2]string // of the resource
	ClientAddress bool        // on the spans of requests

	Timeout time.Duration // of one attempt; default 10 s
	Delay   time.Duration // until a batch that is not full is sent; default 5 s
	Queue   int           // spans that wait; default 2048
	Batch   int           // spans in one batch; default 512

	pause time.Duration // after the first attempt that failed; default 1 s

	Doubts []string // what could not be understood, by name of the variable and never with its value
}

// The defaults of the OpenTelemetry specification.
const (
	defaultTimeout = 10 * time.Second
	defaultDelay   = 5 * time.Second
	defaultQueue   = 2048
	defaultBatch   = 512
)

func (o *Options) setDefaults() {
	o.Protocol, o.Sampler, o.Service = cmp.Or(o.Protocol, HTTP), cmp.Or(o.Sampler, ParentBasedOn), cmp.Or(o.Service, "wicketgate")
	o.Timeout, o.Delay, o.pause = cmp.Or(o.Timeout, defaultTimeout), cmp.Or(o.Delay, defaultDelay), cmp.Or(o.pause, firstPause)
	o.Queue = cmp.Or(o.Queue, defaultQueue)
	o.Batch = cmp.Or(o.Batch, min(defaultBatch, o.Queue))
}

// On reports whether there are spans.
func (o *Options) On() bool { return o != nil && o.Endpoint != "" }

// NewSampler makes what decides which requests get spans; nil where none do.
func (o *Options) NewSampler() *spans.Sampler {
	if !o.On() {
		return nil
	}
	s := spans.SamplerOptions{Unlinked: o.Unlinked}
	switch o.Sampler {
	case AlwaysOn, AlwaysOff, Ratio:
	default:
		s.Parent = true
	}
	switch o.Sampler {
	case AlwaysOff, ParentBasedOff:
	case Ratio, ParentBasedRatio:
		s.Ratio = o.Ratio
	default:
		s.Ratio = 1
	}
	return spans.NewSampler(s)
}

// Address makes the URL that spans go to from what an operator writes: scheme and
// host, perhaps a path. base says that the path of the signal is still to be added,
// as for OTEL_EXPORTER_OTLP_ENDPOINT.
func Address(text string, protocol Protocol, base, insecure bool) (string, error) {
	if protocol == GRPC && !strings.Contains(text, "://") {
		scheme := "https://"
		if insecure {
			scheme = "http://"
		}
		text = scheme + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("is no URL with http or https and a host, like http://collector:4318")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("takes no user, query or fragment: what proves who we are goes into headers_file")
	case u.RawPath != "" || strings.TrimSpace(u.Path) != u.Path:
		return "", errors.New("has escapes in its path that would not arrive as they are written")
	case protocol == GRPC:
		if u.Path, u.RawPath = "", ""; u.Port() == "" { // gRPC has no default of its own
			u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
	case base:
		u = u.JoinPath("v1", "traces")
	case u.Path == "":
		u.Path = "/"
	}
	return u.String(), nil
}

// ParseHeaders reads lines like "Authorization: Bearer x". Empty lines and those
// that begin with # are nothing. The error names a line and quotes nothing of it.
func ParseHeaders(text []byte) (http.Header, error) {
	h := make(http.Header)
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !Field(name, strings.TrimSpace(value)) {
			return nil, fmt.Errorf("line %d is no header, like Authorization: Bearer x", i+1)
		}
		h.Set(name, strings.TrimSpace(value))
	}
	return h, nil
}

// Field reports whether a header may be sent to a collector: a token as name, no
// control characters in its value, and none that the protocol sets.
func Field(name, value string) bool {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool {
		return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) {
		return false
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return false
	}
	return !slices.Contains([]string{
		"Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Host", "Te", "Trailer", "Upgrade", "Grpc-Encoding", "Grpc-Timeout",
	}, http.CanonicalHeaderKey(name))
}

// tls is how a collector is known. The error says which part is bad.
func (o *Options) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.CAs) > 0 {
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(o.CAs) {
			return nil, errors.New("the authorities hold no certificate in PEM form")
		}
	}
	if len(o.Certificate) > 0 || len(o.Key) > 0 {
		pair, err := tls.X509KeyPair(o.Certificate, o.Key)
		if err != nil {
			return nil, errors.New("the client certificate and its key are no pair in PEM form")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Check reports what no exporter can be made of.
func (o *Options) Check() error {
	for name, values := range o.Headers {
		if o.Protocol == GRPC && (strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" ||
			strings.ContainsFunc(strings.Join(values, ""), func(c rune) bool { return c < ' ' || c > '~' })) {
			return errors.New("the headers hold one that gRPC does not send: names are of letters, digits, - _ and . and values of printable ASCII")
		}
	}
	_, err := o.tls()
	return err
}

// resource is who we are, on each batch.
func (o *Options) resource() *resourcepb.Resource {
	r := &resourcepb.Resource{}
	say := func(key, value string) {
		if value != "" {
			r.Attributes = append(r.Attributes, textOf(clip(key), value))
		}
	}
	say("service.name", o.Service)
	say("service.version", o.Version)
	for _, pair := range o.Attributes {
		if pair[0] != "service.name" && pair[0] != "service.version" {
			say(pair[0], pair[1])
		}
	}
	say("telemetry.sdk.language", "go")
	say("telemetry.sdk.name", "wicketgate")
	return r
}

func (o *Options) scope() *commonpb.InstrumentationScope {
	return &commonpb.InstrumentationScope{Name: "github.com/wicketgate/wicketgate", Version: clip(o.Version)}
}
