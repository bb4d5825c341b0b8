package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/jwks"
)

func (m *metrics) makeClocks(f promauto.Factory) {
	m.issuerSkew = f.NewGaugeVec(gauge("issuer_clock_skew_seconds",
		"By how much an issuer's clock is ahead of ours, give or take a second."), []string{"issuer"})
	m.copies = f.NewCounterVec(counter("jwks_copies_total",
		"Copies of issuers' keys on disk, by how it went with them."), []string{"issuer", "result"})
	m.clockJumps = f.NewCounterVec(counter("clock_jumps_total",
		"Times our wall clock was set, by more than two seconds."), []string{"direction"})
	m.clockJumps.WithLabelValues("forward")
	m.clockJumps.WithLabelValues("back")
}

// KeysCopied reports how it went with the copy of an issuer's keys on disk:
// jwks.Options.OnCopy. An issuer that is not bound is not counted.
func (t *Telemetry) KeysCopied(issuer string, c jwks.Copied) {
	bound, log := t.bound.Load().issuers[issuer] != nil, t.log.With(zap.String("gate.issuer", issuer))
	if bound {
		t.metrics.copies.WithLabelValues(issuer, c.Result).Inc()
	}
	switch c.Result {
	case jwks.CopyRestored:
		if bound {
			t.metrics.keys.WithLabelValues(issuer).Set(float64(c.Keys))
			t.metrics.fetchSuccess.WithLabelValues(issuer).Set(seconds(c.Loaded))
		}
		log.Info("issuer keys restored from disk", zap.Int("keys", c.Keys), zap.Float64("age_s", time.Since(c.Loaded).Seconds()))
	case jwks.CopyIgnored:
		log.Warn("copy of issuer keys on disk is not used", zap.String("error", clip(c.Err.Error())))
	case jwks.CopyFailed:
		log.Warn("copy of issuer keys could not be written to disk", zap.String("error", clip(c.Err.Error())))
	}
}

// MetadataDiffers reports that two documents of one issuer disagree:
// jwks.Options.OnDisagree.
func (t *Telemetry) MetadataDiffers(issuer, what string) {
	t.log.Warn("issuer publishes metadata that disagrees", zap.String("gate.issuer", issuer), zap.String("difference", clip(what)))
}

// logSkew says once that a clock is off, and once that it is right again.
func (t *Telemetry) logSkew(issuer string, s jwks.Skew) {
	if !s.News {
		return
	}
	log := t.log.With(zap.String("gate.issuer", issuer), zap.Float64("ahead_s", s.Ahead.Seconds()))
	if s.Beyond {
		log.Warn("issuer's clock differs from ours by more than the leeway: its tokens may be refused as expired or not yet valid")
		return
	}
	log.Info("issuer's clock is within the leeway again")
}

// ClockJumped reports that our wall clock was set, and by how much.
func (t *Telemetry) ClockJumped(by time.Duration) {
	direction := "forward"
	if by < 0 {
		direction = "back"
	}
	t.metrics.clockJumps.WithLabelValues(direction).Inc()
	t.log.Warn("the wall clock was set; verified tokens are checked anew", zap.Float64("by_s", by.Seconds()))
}
