package tracing

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An environment is the variables of OpenTelemetry that an operator sets for all
// programs alike.
type environment struct {
	get  func(string) (string, bool)
	bad  []string // what is wrong, by variable; never with a value, which may be a secret
	base *Options
}

// FromEnvironment fills in what o leaves open from the OTEL_* variables that get
// finds, and completes o.Endpoint, which is what an operator wrote. As their
// specification wants it, what cannot be understood counts as not set, and
// Options.Doubts says so. The error tells of a file that a variable names and that
// cannot be read, or of an endpoint that is none.
func FromEnvironment(o Options, get func(string) (string, bool)) (Options, error) {
	e := &environment{get: get, base: &o}
	if off := e.text("OTEL_SDK_DISABLED"); strings.EqualFold(off, "true") {
		return Options{}, nil
	}
	e.protocol()
	if err := e.endpoint(); err != nil || o.Endpoint == "" {
		return Options{Doubts: e.bad}, err
	}
	e.headers()
	if err := e.files(); err != nil {
		return Options{}, err
	}
	e.sampler()
	e.propagators()
	e.resource()
	if o.Timeout == 0 {
		o.Timeout = e.milliseconds("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
	}
	o.Delay = e.milliseconds("OTEL_BSP_SCHEDULE_DELAY")
	o.Queue = e.count(1<<16, "", "OTEL_BSP_MAX_QUEUE_SIZE")
	o.Batch = e.count(1<<13, "", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
	if o.Queue > 0 && o.Batch > o.Queue {
		o.Batch = o.Queue
	}
	o.Doubts = e.bad
	return o, nil
}

// text is the first of some variables that is set and not empty, and its name is
// not told.
func (e *environment) text(names ...string) string {
	value, _ := e.first(names...)
	return value
}

func (e *environment) first(names ...string) (value, name string) {
	for _, name := range names {
		if e.get == nil {
			break
		}
		if value, _ := e.get(name); strings.TrimSpace(value) != "" {
			return strings.TrimSpace(value), name
		}
	}
	return "", ""
}

func (e *environment) doubt(name, what string) { e.bad = append(e.bad, "$"+name+" "+what) }

func (e *environment) protocol() {
	value, name := e.first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	switch {
	case e.base.Protocol != "" || value == "":
	case value == string(HTTP) || value == string(GRPC):
		e.base.Protocol = Protocol(value)
	default:
		e.doubt(name, "is neither http/protobuf nor grpc, so it is http/protobuf")
	}
	if e.base.Protocol == "" {
		e.base.Protocol = HTTP
	}
	value, name = e.first("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
	switch {
	case e.base.Compression != "":
	case value == "", value == "gzip", value == "none":
		e.base.Compression = value
	default:
		e.doubt(name, "is neither gzip nor none, so nothing is compressed")
	}
}

// endpoint finds where spans go when the configuration does not say. Nobody is
// asked unless some variable wants it.
func (e *environment) endpoint() (err error) {
	insecure := strings.EqualFold(e.text("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"), "true")
	if written := e.base.Endpoint; written != "" {
		u, err := url.Parse(written)
		e.base.Endpoint, err = Address(written, e.base.Protocol, err == nil && strings.Trim(u.Path, "/") == "", insecure)
		return err
	}
	exporters := strings.Split(e.text("OTEL_TRACES_EXPORTER"), ",")
	wanted := false
	for _, one := range exporters {
		switch strings.TrimSpace(one) {
		case "none":
			return nil
		case "otlp":
			wanted = true
		case "":
		default:
			e.doubt("OTEL_TRACES_EXPORTER", "names an exporter that is not here; there is otlp, and none")
		}
	}
	if len(e.bad) > 0 && !wanted && exporters[0] != "" {
		return nil
	}
	text, name := e.first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if text == "" {
		if !wanted {
			return nil
		}
		text, name = "http://localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"
		if e.base.Protocol == GRPC {
			text = "http://localhost:4317"
		}
	}
	if e.base.Endpoint, err = Address(text, e.base.Protocol, name == "OTEL_EXPORTER_OTLP_ENDPOINT", insecure); err != nil {
		return fmt.Errorf("$%s %w", name, err)
	}
	return nil
}

// pairs reads a list like a=b,c=d, with values in the coding of URLs, and leaves out
// what is no pair. whole says that there was nothing of that.
func pairs(text string) (list [][2]string, whole bool) {
	whole = true
	for one := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(one, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		switch {
		case found && key != "" && err == nil:
			list = append(list, [2]string{key, value})
		case strings.TrimSpace(one) != "":
			whole = false
		}
	}
	return list, whole
}

func (e *environment) headers() {
	text, name := e.first("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	if text == "" || e.base.Headers != nil {
		return
	}
	list, whole := pairs(text)
	h := make(http.Header)
	for _, pair := range list {
		h.Set(pair[0], pair[1])
		whole = whole && Field(pair[0], pair[1])
	}
	if !whole {
		e.doubt(name, "is no list like name=value,name=value, so no header is sent")
		return
	}
	e.base.Headers = h
}

func (e *environment) files() error {
	for _, one := range []struct {
		to   *[]byte
		rest string
	}{{&e.base.CAs, "CERTIFICATE"}, {&e.base.Certificate, "CLIENT_CERTIFICATE"}, {&e.base.Key, "CLIENT_KEY"}} {
		path, name := e.first("OTEL_EXPORTER_OTLP_TRACES_"+one.rest, "OTEL_EXPORTER_OTLP_"+one.rest)
		if path == "" || len(*one.to) > 0 {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("$%s names a file: %w", name, err)
		}
		*one.to = text
	}
	return nil
}

func (e *environment) sampler() {
	o := e.base
	if value := e.text("OTEL_TRACES_SAMPLER"); o.Sampler == "" && value != "" {
		if slices.Contains(Samplers(), value) {
			o.Sampler = value
		} else {
			e.doubt("OTEL_TRACES_SAMPLER", "names a sampler that is not here, so it is parentbased_always_on")
		}
		o.Ratio = 1
		if value == Ratio || value == ParentBasedRatio {
			o.Ratio = e.ratio()
		}
	}
}

func (e *environment) ratio() float64 {
	text := e.text("OTEL_TRACES_SAMPLER_ARG")
	if text == "" {
		return 1
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		e.doubt("OTEL_TRACES_SAMPLER_ARG", "is no number from 0 to 1, so it is 1")
		return 1
	}
	return ratio
}

func (e *environment) propagators() {
	text := e.text("OTEL_PROPAGATORS")
	if text == "" {
		return
	}
	e.base.Unlinked = true
	for one := range strings.SplitSeq(text, ",") {
		switch strings.TrimSpace(one) {
		case "tracecontext":
			e.base.Unlinked = false
		case "baggage", "none", "": // baggage passes in any case
		default:
			e.doubt("OTEL_PROPAGATORS", "names a form that is not here; there are tracecontext, baggage and none")
		}
	}
}

// resource reads what the gate is called, and what else is said of it.
func (e *environment) resource() {
	o := e.base
	list, whole := pairs(e.text("OTEL_RESOURCE_ATTRIBUTES"))
	if !whole {
		e.doubt("OTEL_RESOURCE_ATTRIBUTES", "is no list like name=value,name=value, so a part of it is left out")
	}
	if o.Service == "" {
		o.Service = e.text("OTEL_SERVICE_NAME")
	}
	for _, pair := range list {
		switch {
		case pair[0] == "service.name":
			o.Service = cmp.Or(o.Service, pair[1])
		case !slices.ContainsFunc(o.Attributes, func(have [2]string) bool { return have[0] == pair[0] }):
			o.Attributes = append(o.Attributes, pair)
		}
	}
}

func (e *environment) milliseconds(names ...string) time.Duration {
	const most = 10 * time.Minute
	return time.Duration(e.count(int(most.Milliseconds()), " of milliseconds", names...)) * time.Millisecond
}

// count is a number from 1 to most, or 0 where there is none.
func (e *environment) count(most int, of string, names ...string) int {
	text, name := e.first(names...)
	n, err := strconv.ParseUint(text, 10, 31)
	if text != "" && (err != nil || n == 0 || int(n) > most) {
		e.doubt(name, fmt.Sprintf("is no number%s from 1 to %d, so the default is used", of, most))
		return 0
	}
	return int(n)
}
