package main

import (
	"runtime/metrics"
	"testing"
)

// TestCollectorIsPaced: unless whoever runs the gate has said how.
func TestCollectorIsPaced(t *testing.T) {
	inForce := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before := inForce()
	for own, paced := range map[string]bool{"": true, "50": false, "off": false} {
		a := &app{env: func(name string) (string, bool) { return own, name == "GOGC" && own != "" }}
		stop := a.paceCollector()
		if now := inForce(); (now != before) != paced {
			t.Errorf("GOGC %q: %d, and %d before", own, now, before)
		}
		stop()
		if now := inForce(); now != before {
			t.Errorf("GOGC %q: %d in the end, and %d before", own, now, before)
		}
	}
}
