package tracing

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/wicketgate/wicketgate/internal/spans"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/proxy"
)

// maxText is the longest value of an attribute, in octets: names and paths are the
// configuration's, and not bounded there.
const maxText = 512

// A tree is the spans of one request.
type tree struct {
	trace []byte
	flags uint32
	spans record
}

// A span is being told of.
type span struct{ tracepb.Span }

// add begins a span below parent, which is nil where the trace begins here.
func (t *tree) add(kind tracepb.Span_SpanKind, name string, id [8]byte, parent []byte, began, end time.Time) *span {
	s := &span{}
	s.TraceId, s.SpanId, s.ParentSpanId, s.Flags = t.trace, id[:], parent, t.flags
	s.Kind, s.Name, s.Attributes = kind, name, make([]*commonpb.KeyValue, 0, 8)
	s.StartTimeUnixNano, s.EndTimeUnixNano = uint64(max(began.UnixNano(), 0)), uint64(max(end.UnixNano(), 0))
	t.spans = append(t.spans, &s.Span)
	return s
}

// An attribute is one in one piece, since a span has a dozen.
type attribute struct {
	pair   commonpb.KeyValue
	value  commonpb.AnyValue
	text   commonpb.AnyValue_StringValue
	number commonpb.AnyValue_IntValue
}

func textOf(key, value string) *commonpb.KeyValue {
	a := &attribute{}
	a.pair.Key, a.pair.Value, a.value.Value, a.text.StringValue = key, &a.value, &a.text, clip(value)
	return &a.pair
}

func (s *span) say(key, value string) {
	if value != "" {
		s.Attributes = append(s.Attributes, textOf(key, value))
	}
}

func (s *span) sayNumber(key string, value int) {
	a := &attribute{}
	a.pair.Key, a.pair.Value, a.value.Value, a.number.IntValue = key, &a.value, &a.number, int64(value)
	s.Attributes = append(s.Attributes, &a.pair)
}

// fail marks a span as failed. kind is an HTTP status, or a word of ours.
func (s *span) fail(kind string) {
	s.say("error.type", kind)
	s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
}

// clip bounds a text, and keeps what is no UTF-8 out of a format that takes none.
func clip(text string) string {
	if len(text) <= maxText && utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}

// describe makes the spans of one answered request.
func describe(o *Options, r *http.Request, outcome *proxy.Outcome) record {
	t := outcome.Trace
	p, server := t.Parent(), t.Span()
	all := &tree{
		trace: p.Trace[:], spans: make(record, 0, 2),
		flags: uint32(p.Flags&spans.Random|spans.Sampled) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK),
	}
	cut := ""
	if outcome.Cut && r.Context().Err() == nil {
		cut = "cut" // not by the client, who went away
	}
	all.addServer(o, r, outcome, cut)
	if up := t.Upstream(); !up.Began.IsZero() {
		end := t.Began().Add(outcome.Duration) // that of the answer, and so of a stream
		if outcome.Err != nil {
			end = up.Began.Add(outcome.Upstream)
		}
		all.add(tracepb.Span_SPAN_KIND_CLIENT, nameOf(r), up.Span, server[:], up.Began, end).describeUpstream(r, outcome, up.Status, cut)
	}
	for _, wait := range t.Waits() {
		s := all.add(tracepb.Span_SPAN_KIND_INTERNAL, wait.Name, spans.NewID(), server[:], wait.Began, wait.Ended)
		if wait.Failed {
			s.fail("_OTHER")
		}
	}
	return all.spans
}

// addServer adds the span of the request itself.
func (t *tree) addServer(o *Options, r *http.Request, outcome *proxy.Outcome, cut string) {
	trace := outcome.Trace
	name, p := nameOf(r), trace.Parent()
	if route := routeOf(outcome); route.path != "" {
		name += " " + clip(route.path)
	}
	var parent []byte
	if p.Span != [8]byte{} {
		parent = p.Span[:]
	}
	s := t.add(tracepb.Span_SPAN_KIND_SERVER, name, trace.Span(), parent, trace.Began(), trace.Began().Add(outcome.Duration))
	if parent != nil {
		s.Flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	s.describe(o, r, outcome, cut)
}

func (s *span) describe(o *Options, r *http.Request, outcome *proxy.Outcome, cut string) {
	resource, route := "", routeOf(outcome)
	s.say("http.request.method", methodOf(r.Method))
	s.say("http.route", route.path)
	s.sayNumber("http.response.status_code", outcome.Status)
	s.say("network.protocol.version", protocols[r.ProtoMajor])
	scheme := "http"
	if g := outcome.Gate; g != nil {
		resource = g.Name
		if len(g.Origins) > 0 {
			s.sayAddress(g.Origins[0])
		}
		if g.BehindTLS {
			scheme = "https"
		}
	}
	if r.TLS != nil {
		scheme = "https"
	}
	s.say("url.scheme", scheme)
	if o.ClientAddress && outcome.Client.IsValid() {
		s.say("client.address", outcome.Client.WithZone("").String())
	}
	s.say("wicketgate.resource", resource)
	s.say("wicketgate.route", route.name)
	decision, reason := telemetry.Said(outcome)
	s.say("wicketgate.decision", decision)
	s.say("wicketgate.reason", string(reason))
	if d := outcome.Decision; d != nil && d.Principal != nil {
		s.say("wicketgate.issuer", d.Principal.Issuer)
	}
	switch {
	case outcome.Status >= http.StatusInternalServerError:
		s.fail(strconv.Itoa(outcome.Status))
	case cut != "":
		s.fail(cut)
	}
}

func (s *span) describeUpstream(r *http.Request, outcome *proxy.Outcome, status int, cut string) {
	s.say("http.request.method", methodOf(r.Method))
	if outcome.Gate != nil && outcome.Gate.Upstream != nil {
		s.sayAddress(outcome.Gate.Upstream.Name)
	}
	switch {
	case status != 0:
		s.sayNumber("http.response.status_code", status)
		if status >= http.StatusBadRequest {
			s.fail(strconv.Itoa(status))
		} else if cut != "" {
			s.fail(cut)
		}
	case outcome.Err != nil:
		s.fail(kindOf(r, outcome.Err))
	}
}

// kindOf tells an error by its kind: its text may quote what was sent.
func kindOf(r *http.Request, err error) string {
	timeout, network := errors.AsType[net.Error](err)
	switch {
	case r.Context().Err() != nil:
		return "canceled"
	case network && timeout.Timeout():
		return "timeout"
	}
	return "_OTHER"
}

// sayAddress says where an origin of the configuration is.
func (s *span) sayAddress(origin string) {
	u, err := url.Parse(origin)
	if err != nil {
		return
	}
	if u.Scheme == "unix" {
		s.say("server.address", u.Path)
		return
	}
	s.say("server.address", u.Hostname())
	port, err := strconv.Atoi(u.Port())
	switch {
	case err == nil:
	case u.Scheme == "https":
		port = 443
	default:
		port = 80
	}
	s.sayNumber("server.port", port)
}

type route struct{ name, path string }

// routeOf is the route as it is configured: what a client sent is in no span.
func routeOf(o *proxy.Outcome) route {
	if o.Decision == nil || o.Decision.Route == nil || !o.Decision.Route.Matched() {
		return route{}
	}
	return route{o.Decision.Route.Name, o.Decision.Route.Path}
}

// otherMethod stands for what no standard names.
const otherMethod = "_OTHER"

// nameOf is what the name of a span begins with.
func nameOf(r *http.Request) string {
	if method := methodOf(r.Method); method != otherMethod {
		return method
	}
	return "HTTP"
}

func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}

var protocols = map[int]string{1: "1.1", 2: "2"}
