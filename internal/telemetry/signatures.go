package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// signatureCounters count what costs most: signatures that were checked.
type signatureCounters struct {
	tokens, proofs verdicts
	spared         prometheus.Counter
}

type verdicts struct{ held, failed prometheus.Counter }

func (v verdicts) count(held bool) {
	if held {
		v.held.Inc()
		return
	}
	v.failed.Inc()
}

func makeSignatures(f promauto.Factory) signatureCounters {
	checks := f.NewCounterVec(counter("signature_checks_total",
		"Signatures of access tokens and DPoP proofs that were checked."), []string{"of", "result"})
	of := func(what string) verdicts {
		return verdicts{checks.WithLabelValues(what, "ok"), checks.WithLabelValues(what, "fail")}
	}
	return signatureCounters{
		tokens: of("token"), proofs: of("proof"),
		spared: f.NewCounter(counter("signature_checks_spared_total",
			"Tokens refused because their signature was found bad a moment before.")),
	}
}

// TokenSignature counts a checked signature: validator.Bounds.OnSignature.
func (t *Telemetry) TokenSignature(held bool) { t.metrics.signatures.tokens.count(held) }

// ProofSignature counts a checked signature: dpop.Options.OnSignature.
func (t *Telemetry) ProofSignature(held bool) { t.metrics.signatures.proofs.count(held) }

// RefusedByMemory counts a token that cost no signature: validator.Bounds.OnRefused.
func (t *Telemetry) RefusedByMemory() { t.metrics.signatures.spared.Inc() }
