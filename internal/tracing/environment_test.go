package tracing

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestEnvironment is the table of variables: what each changes, beside the ones
// that ask for spans, and what is said of values that mean nothing.
func TestEnvironment(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(pem, []byte("octets"), 0o600); err != nil {
		t.Fatal(err)
	}
	const base = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"
	at := func(change func(*Options)) Options {
		o := Options{Endpoint: "http://c:4318/v1/traces", Protocol: HTTP}
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, row := range map[string]struct {
		file  Options
		set   string // lines
		want  Options
		doubt string // variable
	}{
		"nothing":               {want: Options{}},
		"empty":                 {set: "OTEL_EXPORTER_OTLP_ENDPOINT=", want: Options{}},
		"endpoint":              {set: base, want: at(nil)},
		"endpoint with a path":  {set: "OTEL_EXPORTER_OTLP_ENDPOINT=https://c/otlp/", want: at(func(o *Options) { o.Endpoint = "https://c/otlp/v1/traces" })},
		"traces endpoint":       {set: base + "\nOTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:9/x", want: at(func(o *Options) { o.Endpoint = "http://t:9/x" })},
		"traces, no path":       {set: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:9", want: at(func(o *Options) { o.Endpoint = "http://t:9/" })},
		"exporter otlp":         {set: "OTEL_TRACES_EXPORTER=otlp", want: at(func(o *Options) { o.Endpoint = "http://localhost:4318/v1/traces" })},
		"exporter none":         {set: base + "\nOTEL_TRACES_EXPORTER=none", want: Options{}},
		"exporter of another":   {set: base + "\nOTEL_TRACES_EXPORTER=zipkin", want: Options{}, doubt: "OTEL_TRACES_EXPORTER"},
		"exporters":             {set: base + "\nOTEL_TRACES_EXPORTER=otlp,console", want: at(nil), doubt: "OTEL_TRACES_EXPORTER"},
		"disabled":              {set: base + "\nOTEL_SDK_DISABLED=TRUE", want: Options{}},
		"disabled, in the file": {file: Options{Endpoint: "http://f:1"}, set: "OTEL_SDK_DISABLED=true", want: Options{}},
		"not disabled":          {set: base + "\nOTEL_SDK_DISABLED=1", want: at(nil)},
		"grpc": {set: base + "\nOTEL_EXPORTER_OTLP_PROTOCOL=grpc", want: at(func(o *Options) {
			o.Protocol, o.Endpoint = GRPC, "http://c:4318"
		})},
		"grpc without scheme": {set: "OTEL_EXPORTER_OTLP_ENDPOINT=c:4317\nOTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", want: at(func(o *Options) {
			o.Protocol, o.Endpoint = GRPC, "https://c:4317"
		})},
		"grpc, insecure": {set: "OTEL_EXPORTER_OTLP_ENDPOINT=c:4317\nOTEL_EXPORTER_OTLP_PROTOCOL=grpc\nOTEL_EXPORTER_OTLP_INSECURE=true", want: at(func(o *Options) {
			o.Protocol, o.Endpoint = GRPC, "http://c:4317"
		})},
		"json":         {set: base + "\nOTEL_EXPORTER_OTLP_PROTOCOL=http/json", want: at(nil), doubt: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"gzip":         {set: base + "\nOTEL_EXPORTER_OTLP_COMPRESSION=gzip", want: at(func(o *Options) { o.Compression = "gzip" })},
		"zstd":         {set: base + "\nOTEL_EXPORTER_OTLP_TRACES_COMPRESSION=zstd", want: at(nil), doubt: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"},
		"none, file":   {file: Options{Compression: "none"}, set: base + "\nOTEL_EXPORTER_OTLP_COMPRESSION=gzip", want: at(func(o *Options) { o.Compression = "none" })},
		"headers":      {set: base + "\nOTEL_EXPORTER_OTLP_HEADERS= api-key = a%20b ,x=y=z,", want: at(func(o *Options) { o.Headers = http.Header{"Api-Key": {"a b"}, "X": {"y=z"}} })},
		"bad headers":  {set: base + "\nOTEL_EXPORTER_OTLP_HEADERS=a=b,secret", want: at(nil), doubt: "OTEL_EXPORTER_OTLP_HEADERS"},
		"split header": {set: base + "\nOTEL_EXPORTER_OTLP_HEADERS=a=secret%0d%0ax:y", want: at(nil), doubt: "OTEL_EXPORTER_OTLP_HEADERS"},
		"our header":   {set: base + "\nOTEL_EXPORTER_OTLP_HEADERS=content-type=secret", want: at(nil), doubt: "OTEL_EXPORTER_OTLP_HEADERS"},
		"timeout":      {set: base + "\nOTEL_EXPORTER_OTLP_TIMEOUT=1500\nOTEL_EXPORTER_OTLP_TRACES_TIMEOUT=20", want: at(func(o *Options) { o.Timeout = 20 * time.Millisecond })},
		"bad timeout":  {set: base + "\nOTEL_EXPORTER_OTLP_TIMEOUT=10s", want: at(nil), doubt: "OTEL_EXPORTER_OTLP_TIMEOUT"},
		"authorities":  {set: base + "\nOTEL_EXPORTER_OTLP_CERTIFICATE=" + pem, want: at(func(o *Options) { o.CAs = []byte("octets") })},
		"a pair": {set: base + "\nOTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + pem + "\nOTEL_EXPORTER_OTLP_CLIENT_KEY=" + pem, want: at(func(o *Options) {
			o.Certificate, o.Key = []byte("octets"), []byte("octets")
		})},
		"sampler":                 {set: base + "\nOTEL_TRACES_SAMPLER=always_off", want: at(func(o *Options) { o.Sampler, o.Ratio = AlwaysOff, 1 })},
		"ratio":                   {set: base + "\nOTEL_TRACES_SAMPLER=traceidratio\nOTEL_TRACES_SAMPLER_ARG=0.25", want: at(func(o *Options) { o.Sampler, o.Ratio = Ratio, 0.25 })},
		"no ratio":                {set: base + "\nOTEL_TRACES_SAMPLER=parentbased_traceidratio", want: at(func(o *Options) { o.Sampler, o.Ratio = ParentBasedRatio, 1 })},
		"bad ratio":               {set: base + "\nOTEL_TRACES_SAMPLER=traceidratio\nOTEL_TRACES_SAMPLER_ARG=NaN", want: at(func(o *Options) { o.Sampler, o.Ratio = Ratio, 1 }), doubt: "OTEL_TRACES_SAMPLER_ARG"},
		"other sampler":           {set: base + "\nOTEL_TRACES_SAMPLER=jaeger_remote", want: at(func(o *Options) { o.Ratio = 1 }), doubt: "OTEL_TRACES_SAMPLER"},
		"propagators":             {set: base + "\nOTEL_PROPAGATORS=baggage,tracecontext", want: at(nil)},
		"no propagator":           {set: base + "\nOTEL_PROPAGATORS=none", want: at(func(o *Options) { o.Unlinked = true })},
		"b3":                      {set: base + "\nOTEL_PROPAGATORS=b3", want: at(func(o *Options) { o.Unlinked = true }), doubt: "OTEL_PROPAGATORS"},
		"service":                 {set: base + "\nOTEL_SERVICE_NAME=edge\nOTEL_RESOURCE_ATTRIBUTES=service.name=no,a=%C3%A4", want: at(func(o *Options) { o.Service, o.Attributes = "edge", [][2]string{{"a", "ä"}} })},
		"service as an attribute": {set: base + "\nOTEL_RESOURCE_ATTRIBUTES=service.name=edge, b = 1", want: at(func(o *Options) { o.Service, o.Attributes = "edge", [][2]string{{"b", "1"}} })},
		"bad attributes":          {set: base + "\nOTEL_RESOURCE_ATTRIBUTES=a=1,secret,c=3", want: at(func(o *Options) { o.Attributes = [][2]string{{"a", "1"}, {"c", "3"}} }), doubt: "OTEL_RESOURCE_ATTRIBUTES"},
		"batches": {set: base + "\nOTEL_BSP_SCHEDULE_DELAY=10\nOTEL_BSP_MAX_QUEUE_SIZE=100\nOTEL_BSP_MAX_EXPORT_BATCH_SIZE=200", want: at(func(o *Options) {
			o.Delay, o.Queue, o.Batch = 10*time.Millisecond, 100, 100
		})},
		"bad queue": {set: base + "\nOTEL_BSP_MAX_QUEUE_SIZE=-1", want: at(nil), doubt: "OTEL_BSP_MAX_QUEUE_SIZE"},
		"the file is first": {
			file: Options{Endpoint: "http://f:1", Protocol: HTTP, Headers: http.Header{"A": {"b"}}, Sampler: AlwaysOn, Ratio: 1, Service: "x", Timeout: time.Second, Attributes: [][2]string{{"a", "1"}}},
			set: base + "\nOTEL_EXPORTER_OTLP_PROTOCOL=grpc\nOTEL_EXPORTER_OTLP_HEADERS=c=d\nOTEL_TRACES_SAMPLER=always_off\nOTEL_SERVICE_NAME=y\nOTEL_EXPORTER_OTLP_TIMEOUT=7\n" +
				"OTEL_RESOURCE_ATTRIBUTES=a=2,b=3\nOTEL_TRACES_EXPORTER=none",
			want: Options{Endpoint: "http://f:1/v1/traces", Protocol: HTTP, Headers: http.Header{"A": {"b"}}, Sampler: AlwaysOn, Ratio: 1, Service: "x", Timeout: time.Second, Attributes: [][2]string{{"a", "1"}, {"b", "3"}}},
		},
	} {
		got, err := FromEnvironment(row.file, lines(row.set))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		doubts := strings.Join(got.Doubts, "\n")
		if got.Doubts = nil; !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, row.want)
		}
		if (doubts == "") != (row.doubt == "") || !strings.HasPrefix(doubts, "$"+row.doubt+" ") && row.doubt != "" || strings.Contains(doubts, "secret") {
			t.Errorf("%s: doubts: %s", name, doubts)
		}
	}
	for _, set := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://c", "OTEL_EXPORTER_OTLP_ENDPOINT=http://user:secret@c",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c?secret", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c/a%2Fsecret", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c/secret%20", base + "\nOTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere",
	} {
		name := strings.Fields(strings.ReplaceAll(set, "=", " "))[strings.Count(set, "\n")*2]
		if o, err := FromEnvironment(Options{}, lines(set)); err == nil || o.On() || !strings.Contains(err.Error(), "$"+name+" ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", set, err)
		}
	}
	if o, err := FromEnvironment(Options{}, nil); err != nil || o.On() {
		t.Error(err)
	}
}

// lines is an environment that is written as lines.
func lines(text string) func(string) (string, bool) {
	set := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		set[name] = value
	}
	return func(name string) (string, bool) { value, found := set[name]; return value, found }
}

func TestParseHeaders(t *testing.T) {
	h, err := ParseHeaders([]byte("# of the vendor\n\nAuthorization: Bearer x:y \r\nx-team:gate\n"))
	if want := (http.Header{"Authorization": {"Bearer x:y"}, "X-Team": {"gate"}}); err != nil || !reflect.DeepEqual(h, want) {
		t.Errorf("%v, %v", h, err)
	}
	for _, text := range []string{"secret", "a b: secret", ": secret", "a: secret\x01", "Host: secret", "ä: secret"} {
		if _, err := ParseHeaders([]byte("x: y\n" + text)); err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
