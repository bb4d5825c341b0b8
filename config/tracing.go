package config

import (
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Tracing says which requests get OpenTelemetry spans, and who takes them. What the
// file leaves open, the OTEL_* variables say.
type Tracing struct {
	Endpoint    string            `yaml:"endpoint" doc:"URL of the collector that takes spans by OTLP, like http://collector:4318; /v1/traces is added where it has no path; default $OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or $OTEL_EXPORTER_OTLP_ENDPOINT, and without all three there are no spans."`
	Protocol    string            `yaml:"protocol" enum:"http/protobuf,grpc" doc:"How they are sent; default $OTEL_EXPORTER_OTLP_PROTOCOL, then http/protobuf."`
	Headers     map[string]string `yaml:"headers" secret:"true" doc:"What is sent to the collector with them, by header name; default $OTEL_EXPORTER_OTLP_HEADERS."`
	HeadersFile string            `yaml:"headers_file" doc:"File with lines like Authorization: Bearer x, which are sent too; read again when it changes; default none."`
	CAFile      string            `yaml:"ca_file" doc:"File with the certificate authorities in PEM that vouch for the collector; default $OTEL_EXPORTER_OTLP_CERTIFICATE, then the system's."`
	CertFile    string            `yaml:"cert_file" doc:"File with our certificate chain in PEM, for a collector that wants one; default $OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE."`
	KeyFile     string            `yaml:"key_file" doc:"File with its private key in PEM; default $OTEL_EXPORTER_OTLP_CLIENT_KEY."`
	Compression string            `yaml:"compression" enum:"gzip,none" doc:"How batches are compressed; default $OTEL_EXPORTER_OTLP_COMPRESSION, then none."`
	Timeout     time.Duration     `yaml:"timeout" min:"100ms" max:"1m" doc:"For the collector to take a batch, as a duration; default $OTEL_EXPORTER_OTLP_TIMEOUT, then 10s."`
	Sampler     string            `yaml:"sampler" enum:"always_on,always_off,traceidratio,parentbased_always_on,parentbased_always_off,parentbased_traceidratio" doc:"Which requests get spans: those named parentbased follow the sampled flag of a valid traceparent; default parentbased_traceidratio with sample, else $OTEL_TRACES_SAMPLER, then parentbased_always_on."`
	Sample      string            `yaml:"sample" doc:"Share of the traces that the sampler takes where its name ends in ratio, like 10% or 0.1%; default 100%."`
	ServiceName string            `yaml:"service_name" doc:"Name of this gate in traces; default $OTEL_SERVICE_NAME, then wicketgate."`
	Attributes  map[string]string `yaml:"attributes" doc:"What else is said of this gate, by name like deployment.environment.name; default $OTEL_RESOURCE_ATTRIBUTES."`

	ClientAddress bool `yaml:"client_address" default:"false" doc:"Whether spans tell the address of the client, which may be personal data; default false."`
}

// Ratio is the share of Sample, from 0 to 1; 1 where nothing is said.
func (t Tracing) Ratio() float64 {
	ratio, ok := ratioOf(t.Sample)
	if !ok {
		return 1
	}
	return ratio
}

func ratioOf(text string) (ratio float64, ok bool) {
	digits, ok := strings.CutSuffix(text, "%")
	if !ok || strings.Trim(digits, "0123456789.") != "" || len(digits) > 12 {
		return 0, false
	}
	share, ok := new(big.Rat).SetString(digits)
	if !ok || share.Cmp(big.NewRat(100, 1)) > 0 {
		return 0, false
	}
	ratio, _ = share.Quo(share, big.NewRat(100, 1)).Float64()
	return ratio, true
}

// SamplerName is the sampler that the file asks for; empty where it says nothing.
func (t Tracing) SamplerName() string {
	if t.Sampler == "" && t.Sample != "" {
		return "parentbased_traceidratio"
	}
	return t.Sampler
}

func (t *Tracing) files() []namedFile {
	return []namedFile{
		{"tracing.headers_file", &t.HeadersFile}, {"tracing.ca_file", &t.CAFile},
		{"tracing.cert_file", &t.CertFile}, {"tracing.key_file", &t.KeyFile},
	}
}

// Environment is the variables that the file was read with.
func (f *File) Environment() func(string) (string, bool) { return f.env }

func (c *checker) tracing() {
	const at = "tracing"
	t := c.Tracing
	if t.Sample != "" {
		if _, ok := ratioOf(t.Sample); !ok {
			c.bad(at+".sample", "is no share", "like 10% or 0.1%")
		}
		if t.Sampler != "" && !strings.HasSuffix(t.Sampler, "ratio") {
			c.bad(at+".sample", "means nothing with sampler: "+t.Sampler, "remove it, or name a sampler that ends in ratio")
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		c.bad(at, "needs both cert_file and key_file, or none", "")
	}
	for name := range t.Headers {
		if !headerName.MatchString(name) {
			c.badKey(join(at+".headers", name), "is no header", "like x-team: gate")
		}
	}
	for name := range t.Attributes {
		if name == "" || len(name) > 128 || slices.Contains([]string{"service.name", "service.version"}, name) {
			c.badKey(join(at+".attributes", name), "is no name of an attribute, or one that is set elsewhere", "for service.name write service_name")
		}
	}
	c.collector(at+".endpoint", t)
}

func (c *checker) collector(at string, t Tracing) {
	if t.Endpoint == "" {
		return
	}
	u, err := url.Parse(t.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		c.bad(at, "is no URL of a collector", "like http://collector:4318, or :4317 for grpc, without user, query and escapes")
	}
}
