//go:build !race

package main

import (
	"runtime"
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
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range requests {
				if status, err := one.ask(w.request); status != w.status {
					t.Fatalf("status %d, %v", status, err)
				}
			}
			runtime.ReadMemStats(&after)
			each := float64(after.Mallocs-before.Mallocs) / requests
			t.Logf("%.2f allocations, %d octets", each, (after.TotalAlloc-before.TotalAlloc)/requests)
			if each > w.most {
				t.Errorf("%.2f allocations, at most %.0f are allowed", each, w.most)
			}
		})
	}
}
