package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Tally is what some counters stand at, summed up for people.
type Tally struct {
	Decisions map[string]float64 // requests answered
	Routes    map[Place]float64  // likewise
	Refusals  map[string]float64 // by reason

	InFlight, Connections, Streams float64

	Reloads      float64 // configurations put in force
	ReloadErrors float64
	ReloadOK     bool // the last attempt
	ReloadedAt   time.Time
}

// A Place is a route of a resource.
type Place struct{ Resource, Route string }

// counted makes a registry of what a Tally sums up, so that to look takes no
// more than these.
func (m *metrics) counted() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(m.requests, m.refused, m.inFlight, m.connections, m.streams, m.reloads, m.reloadOK, m.reloadTime)
	return r
}

// Tally sums up. It reads the counters where they are, so that those who count
// pay nothing for it.
func (t *Telemetry) Tally() Tally {
	sum := Tally{Decisions: map[string]float64{}, Routes: map[Place]float64{}, Refusals: map[string]float64{}}
	families, _ := t.counted.Gather() // the error is of series that contradict each other, and leaves the others
	for _, family := range families {
		for _, series := range family.GetMetric() {
			value, labels := series.GetCounter().GetValue()+series.GetGauge().GetValue(), map[string]string{}
			for _, label := range series.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			sum.add(family.GetName(), labels, value)
		}
	}
	return sum
}

func (t *Tally) add(name string, labels map[string]string, value float64) {
	switch name {
	case namespace + "_requests_total":
		t.Decisions[labels["decision"]] += value
		t.Routes[Place{labels["resource"], labels["route"]}] += value
	case namespace + "_refusals_total":
		t.Refusals[labels["reason"]] += value
	case namespace + "_requests_in_flight":
		t.InFlight += value
	case namespace + "_connections":
		t.Connections += value
	case namespace + "_streams":
		t.Streams += value
	case namespace + "_config_reloads_total":
		if labels["result"] == "ok" {
			t.Reloads += value
		} else {
			t.ReloadErrors += value
		}
	case namespace + "_config_last_reload_successful":
		t.ReloadOK = value == 1
	case namespace + "_config_last_reload_success_timestamp_seconds":
		t.ReloadedAt = time.Unix(int64(value), 0)
	}
}
