package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/internal/tracing"
	"github.com/wicketgate/wicketgate/proxy"
)

// tracingOf is where spans go and which there are: what the file says, and for the
// rest the OTEL_* variables.
func tracingOf(c *config.File) (*tracing.Options, error) {
	t := c.Tracing
	o := tracing.Options{
		Endpoint: t.Endpoint, Protocol: tracing.Protocol(t.Protocol), Compression: t.Compression, Sampler: t.SamplerName(), Ratio: t.Ratio(),
		Service: t.ServiceName, Version: version(), ClientAddress: t.ClientAddress, Timeout: t.Timeout,
	}
	for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
		o.Attributes = append(o.Attributes, [2]string{name, t.Attributes[name]})
	}
	var problems []error
	for _, one := range []struct {
		to   *[]byte
		at   string
		path string
	}{{&o.CAs, "tracing.ca_file", t.CAFile}, {&o.Certificate, "tracing.cert_file", t.CertFile}, {&o.Key, "tracing.key_file", t.KeyFile}} {
		if one.path == "" {
			continue
		}
		var err error
		if *one.to, err = os.ReadFile(one.path); err != nil {
			problems = append(problems, c.ErrorAt(one.at, err.Error()))
		}
	}
	var err error
	if o.Headers, err = tracingHeaders(c); err != nil {
		problems = append(problems, err)
	}
	full, err := tracing.FromEnvironment(o, c.Environment())
	if err != nil {
		problems = append(problems, err)
	}
	if err := full.Check(); err != nil {
		problems = append(problems, c.ErrorAt("tracing", err.Error()))
	}
	return &full, errors.Join(problems...)
}

func tracingHeaders(c *config.File) (http.Header, error) {
	t := c.Tracing
	if len(t.Headers) == 0 && t.HeadersFile == "" {
		return nil, nil
	}
	h := make(http.Header)
	if t.HeadersFile != "" {
		text, err := os.ReadFile(t.HeadersFile)
		if err != nil {
			return nil, c.ErrorAt("tracing.headers_file", err.Error())
		}
		if h, err = tracing.ParseHeaders(text); err != nil {
			return nil, c.ErrorAt("tracing.headers_file", err.Error())
		}
	}
	for name, value := range t.Headers {
		if !tracing.Field(name, value) {
			return nil, c.ErrorAt("tracing.headers."+name, "is set by the protocol")
		}
		h.Set(name, value)
	}
	return h, nil
}

// traced adds the spans of a configuration to its plan.
func (p *plan) traced(c *config.File) (err error) {
	p.tracing, err = tracingOf(c)
	p.table.Tracing = p.tracing.NewSampler()
	return err
}

// traced is the hook of a front door, after all that counts and logs.
func (g *gateway) traced(next func(*http.Request, *proxy.Outcome)) func(*http.Request, *proxy.Outcome) {
	return func(r *http.Request, o *proxy.Outcome) {
		next(r, o)
		g.tracer.Decided(r, o)
	}
}

// newTracer sends no spans yet.
func newTracer(log *zap.Logger, metrics *telemetry.Telemetry) *tracing.Tracer {
	t := tracing.New(func(err error) {
		log.Warn("spans are not taken by the collector", zap.String("error", err.Error()))
	})
	metrics.Spans(t.Exported, t.Dropped, t.Failures)
	return t
}

// trace sends spans as a compiled configuration says.
func (g *gateway) trace(o *tracing.Options) {
	if err := g.tracer.Use(o); err != nil { // cannot be: it was checked
		g.log.Error("spans are sent as before", zap.Error(err))
	}
	for _, doubt := range o.Doubts {
		g.log.Warn("environment", zap.String("warning", doubt))
	}
}

// lastSpans is the longest that the end waits for a collector.
const lastSpans = 5 * time.Second

// closeTracer sends the spans that wait, in what is left of the time to drain, and
// in a second at least.
func (g *gateway) closeTracer() {
	left := lastLines
	if since := g.draining.Load(); since != nil {
		limits := g.drainLimits()
		left = max(left, min(lastSpans, limits.Delay+limits.Timeout-time.Since(*since)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	g.tracer.Close(ctx)
}
