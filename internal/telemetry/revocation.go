package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/validator/signals"
)

func (m *metrics) makeRevocation(f promauto.Factory) {
	m.rules = f.NewGaugeVec(gauge("revocation_rules",
		"Deny rules in force."), []string{"source"})
	m.ruleUpdates = f.NewCounterVec(counter("revocation_updates_total",
		"Changes of the deny rules of a source, and failures to read them."), []string{"result", "source"})
	m.rulesSuccess = f.NewGaugeVec(gauge("revocation_last_success_timestamp_seconds",
		"When the deny rules of a source were last known to be those in force; 0 for never."), []string{"source"})
	m.signals = f.NewCounterVec(counter("signals_received_total",
		"Security events pushed, by what came of them."), []string{"result"})
}

// Denials says which sources of deny rules there are, and whether events are
// received.
func (t *Telemetry) Denials(sources []string, received bool) {
	m := t.metrics
	for _, name := range sources {
		m.rules.WithLabelValues(name)
		m.rulesSuccess.WithLabelValues(name)
		for _, result := range [...]string{"ok", "error", "skipped", "unknown_issuer"} {
			m.ruleUpdates.WithLabelValues(result, name)
		}
	}
	if received {
		for _, result := range signals.Results() {
			m.signals.WithLabelValues(result)
		}
	}
}

// RulesCurrent notes that the rules of a source in force are those it has now,
// and how many these are.
func (t *Telemetry) RulesCurrent(source string, rules int) {
	t.metrics.rules.WithLabelValues(source).Set(float64(rules))
	t.metrics.rulesSuccess.WithLabelValues(source).Set(seconds(time.Now()))
}

// RulesRead reports an attempt to read changed rules of a source, and how many
// of them could not be understood.
func (t *Telemetry) RulesRead(source string, rules, skipped int, err error) {
	log := t.log.With(zap.String("source", source))
	if err != nil {
		t.metrics.ruleUpdates.WithLabelValues("error", source).Inc()
		log.Error("deny rules could not be read; those read before stay in force", zap.String("error", clip(err.Error())))
		return
	}
	t.metrics.ruleUpdates.WithLabelValues("ok", source).Inc()
	t.RulesCurrent(source, rules)
	if skipped > 0 {
		t.metrics.ruleUpdates.WithLabelValues("skipped", source).Add(float64(skipped))
		log.Error("deny rules that cannot be read are not in force", zap.Int("rules", skipped))
	}
	log.Info("deny rules are in force", zap.Int("rules", rules))
}

// RulesAdded reports rules that an event made, or why they could not be kept.
func (t *Telemetry) RulesAdded(source string, rules int, err error) {
	if err != nil {
		t.metrics.ruleUpdates.WithLabelValues("error", source).Inc()
		return
	}
	t.metrics.ruleUpdates.WithLabelValues("ok", source).Inc()
	t.RulesCurrent(source, rules)
}

// RulesStrange counts and warns of rules about issuers that are not configured: the name
// may be misspelt, and no token is denied by them.
func (t *Telemetry) RulesStrange(source string, issuers int) {
	t.metrics.ruleUpdates.WithLabelValues("unknown_issuer", source).Add(float64(issuers))
	t.log.Warn("deny rules are about issuers that are not in the configuration, or not spelt so", zap.String("source", source), zap.Int("issuers", issuers))
}

// Signal counts a push: signals.Options.OnReceived. What it says of itself is
// not logged.
func (t *Telemetry) Signal(result string, err error) {
	t.metrics.signals.WithLabelValues(result).Inc()
	if err == nil {
		return
	}
	t.log.Warn("security event not taken", zap.String("result", result), zap.String("error", clip(err.Error())))
}
