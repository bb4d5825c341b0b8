package telemetry

import (
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
)

// bypassMetrics tells of upstreams that can be reached past the gate.
type bypassMetrics struct {
	possible *prometheus.GaugeVec
	open     map[string]bool // by upstream, those watched
}

func makeBypass(f promauto.Factory) bypassMetrics {
	return bypassMetrics{possible: f.NewGaugeVec(gauge("upstream_bypass_possible",
		"1 when an upstream on loopback was reached at another address of the machine, past the gate."), []string{"upstream"})}
}

// BypassWatched makes the series of the upstreams that are watched from now on,
// and deletes those of all others.
func (t *Telemetry) BypassWatched(upstreams []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.metrics.bypass
	now := make(map[string]bool, len(upstreams))
	for _, name := range upstreams {
		now[name] = m.open[name]
		m.possible.WithLabelValues(name).Set(truth(now[name]))
	}
	for name := range m.open {
		if _, watched := now[name]; !watched {
			m.possible.DeleteLabelValues(name)
		}
	}
	m.open = now
}

// Bypass reports whether an upstream that is watched was reached past the gate,
// and at which address. A change is logged, and no more.
func (t *Telemetry) Bypass(upstream string, at netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, open := &t.metrics.bypass, at.IsValid()
	was, watched := m.open[upstream]
	if !watched || was == open {
		return
	}
	m.open[upstream] = open
	m.possible.WithLabelValues(upstream).Set(truth(open))
	if open {
		t.log.Warn("the upstream can be reached past the gate: have it listen on loopback only, or shut its port with a NetworkPolicy",
			zap.String("upstream", upstream), zap.String("reached", at.String()), zap.String("setting", "bypass_check"))
		return
	}
	t.log.Info("the upstream can be reached through the gate only", zap.String("upstream", upstream))
}
