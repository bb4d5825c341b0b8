//go:build !race

package main

import (
	"testing"
)

// TestAllocationsOfRequests counts, and times nothing: what a request allocates is
// what it leaves to the collector, and that is the larger part of what the gate
// itself costs. The race detector has pools forget, so this is not for it.
func TestAllocationsOfRequests(t *testing.T) {
	const requests = 2000
	c := newMeter(t)
	for _, w := range c.ways() {
		t.Run(w.name, func(t *testing.T) {
			one := c.dial()
			c.warm(one, w)
			each, octets := c.allocations(t, one, w, requests)
			t.Logf("%.2f allocations, %.0f octets", each, octets)
			if each > w.most {
				t.Errorf("%.2f allocations, at most %.0f are allowed", each, w.most)
			}
		})
	}
}
