package telemetry

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wicketgate/wicketgate/internal/masked"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// Access says which requests are logged.
type Access uint8

// The kinds of access log.
const (
	Denied Access = iota // what was not let through, or only by report-only, and what failed behind the gate
	All
	Off
)

// ParseAccess reads the setting log.access: "denied", "all" or "off". Anything
// else is Denied.
func ParseAccess(name string) Access {
	switch name {
	case "all":
		return All
	case "off":
		return Off
	}
	return Denied
}

// Of each kind of line, the first hundred of a second are written, and then
// every hundredth: a flood of one kind neither fills a disk nor hides others.
const (
	linesPerSecond = 100
	thenEach       = 100
)

// maxField is the longest text of a field, in octets.
const maxField = 256

// lineOf is what a line says; the lines of each decision are sampled apart.
var lineOf = map[string]string{
	allowed: "request allowed", public: "request allowed without a token", denied: "request denied", failed: "request failed",
	reported: "request would be denied",
}

func sampled(log *zap.Logger, dropped prometheus.Counter) *zap.Logger {
	count := zapcore.SamplerHook(func(_ zapcore.Entry, d zapcore.SamplingDecision) {
		if d&zapcore.LogDropped != 0 {
			dropped.Inc()
		}
	})
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, linesPerSecond, thenEach, count)
	}))
}

// wanted reports whether a request is logged.
func (t *Telemetry) wanted(o *proxy.Outcome, decision string) bool {
	switch t.access {
	case All:
		return true
	case Off:
		return false
	case Denied:
	}
	return decision == denied || decision == failed || decision == reported || o.Err != nil && o.Status != statusClientClosed
}

// write writes the line of one request: info, or a warning when the client is
// not to blame. The fields are named as OpenTelemetry names them. Of what the
// client sent there is the method, if it is a known one, and the path.
func (t *Telemetry) write(listener string, r *http.Request, o *proxy.Outcome, decision string, reason token.Reason) {
	level := zapcore.InfoLevel
	if decision == failed || o.Err != nil && o.Status != statusClientClosed {
		level = zapcore.WarnLevel
	}
	entry := t.lines.Check(level, lineOf[decision])
	if entry == nil {
		return
	}
	at := placeOf(o)
	fields := make([]zap.Field, 0, 18)
	fields = append(fields,
		zap.String("http.request.method", methodOf(r.Method)),
		zap.String("url.path", pathOf(r)),
		zap.Int("http.response.status_code", o.Status),
		zap.String("client.address", addressOf(o.Client)),
		zap.String("gate.listener", listener),
		zap.String("gate.resource", at.resource),
		zap.String("gate.route", at.route),
		zap.String("gate.decision", decision),
	)
	if reason != token.ReasonNone {
		fields = append(fields, zap.String("gate.reason", string(reason)))
	}
	if would := wouldOf(o); would != nil && decision == reported {
		fields = append(fields, zap.String("gate.would_refuse", string(would.Reason())))
	}
	if p := principalOf(o); p != nil {
		fields = append(fields, zap.String("gate.issuer", p.Issuer))
	}
	if cause := causeOf(o); cause != "" {
		fields = append(fields, zap.String("gate.cause", clip(cause)))
	}
	if o.Cut {
		fields = append(fields, zap.Bool("gate.cut", true))
	}
	fields = append(fields,
		zap.Float64("duration_ms", milliseconds(o.Duration)),
		zap.Int64("overhead_us", o.Overhead.Microseconds()),
	)
	entry.Write(traced(fields, r, o)...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// methodOf keeps what a client made up out of the log.
func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// pathOf is the path as it was sent, less what may carry a token or be one.
func pathOf(r *http.Request) string {
	if r.URL == nil {
		return ""
	}
	path, _ := masked.Path(r.URL.EscapedPath(), r.Header, maxField)
	return path
}

// addressOf writes the address of a client, and nothing where it is not known.
func addressOf(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	return client.WithZone("").String()
}

// clip bounds a text. What it may cut in two is replaced by the encoder.
func clip(text string) string {
	if len(text) <= maxField {
		return text
	}
	return text[:maxField]
}

// causeOf is the text behind a refusal or fault. Those of our own packages are
// constant, or tell of a fetch; what an upstream did is told by its kind, since
// it may echo what it was sent.
func causeOf(o *proxy.Outcome) string {
	switch {
	case o.Panic != "":
		return "panic at " + o.Panic
	case o.Door != nil:
		return behind(o.Door)
	case o.Decision == nil:
		return "no configuration is in force"
	case o.Decision.Refusal != nil || o.Decision.Fault != nil:
		return causeOfDecision(o.Decision)
	case o.Err != nil:
		return upstreamCause(o.Err)
	case o.Decision.Would != nil:
		return causeOfDecision(o.Decision.Would)
	}
	return ""
}

func causeOfDecision(d *proxy.Decision) string {
	if d.Refusal != nil {
		return behind(d.Refusal)
	}
	if fault, ok := errors.AsType[*token.Fault](d.Fault); ok && fault.Cause != nil {
		return fault.Cause.Error()
	}
	return d.Fault.Error()
}

// behind is the cause of a refusal, without its code and reason.
func behind(e *token.Error) string {
	for _, err := range e.Unwrap() {
		if _, is := errors.AsType[token.Code](err); !is {
			return err.Error()
		}
	}
	return ""
}

func upstreamCause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Error()
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return bad.Error()
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ok && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed before the answer"
	}
	return "no usable answer"
}
