package telemetry

import (
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
)

func (m *metrics) makeKeyTables(f promauto.Factory) {
	m.keyTables = f.NewGauge(gauge("key_tables_in_use",
		"1 while signatures by keys seen again are checked with tables."))
	m.tablesWrong = f.NewCounterVec(counter("key_tables_wrong_total",
		"Verdicts of a table that the standard library did not agree to."), []string{"alg"})
	for _, alg := range [...]string{"ES256", "RS256", "PS256"} {
		m.tablesWrong.WithLabelValues(alg)
	}
}

// KeyTables notes whether tables are in use.
func (t *Telemetry) KeyTables(inUse bool) {
	t.metrics.keyTables.Set(0)
	if inUse {
		t.metrics.keyTables.Set(1)
	}
}

// KeyTablesWrong reports that a verdict by a table was wrong, whereupon none is
// used any more: jwks.NewTables.
func (t *Telemetry) KeyTablesWrong(alg string) {
	t.metrics.tablesWrong.WithLabelValues(alg).Inc()
	t.KeyTables(false)
	t.log.Error("a table of a key gave a wrong verdict, in which the standard library was believed; no tables are used until a restart: please report this", zap.String("alg", alg))
}
