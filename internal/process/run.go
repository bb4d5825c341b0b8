package process

import (
	"testing"
	"time"
)

// Run starts a gate for a test, ends it with the test, and shows what it logged
// when the test failed. It waits until the gate is ready when o.Admin is set.
func Run(t testing.TB, o Options) *Gate {
	t.Helper()
	var log Log
	if o.Log == nil {
		o.Log = &log
	}
	g, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.Stop(10 * time.Second) // how a gate ends is the business of those who ask
		if t.Failed() {
			t.Log(log.String())
		}
	})
	if o.Admin == "" {
		return g
	}
	if err := g.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

// Free is an address that nobody listens at.
func Free(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
