package process

import (
	"context"
	"testing"
	"time"
)

// readyWithin is how long a gate of a test may take to be ready, on a machine
// that has much else to do.
const readyWithin = time.Minute

// Run starts a gate for a test, ends it with the test, and shows what it logged
// when the test failed, unless o.Log is a writer other than a [Log]. It waits
// until the gate is ready when o.Admin is set.
func Run(t testing.TB, o Options) *Gate {
	t.Helper()
	if o.Log == nil {
		o.Log = new(Log)
	}
	g, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.Stop(10 * time.Second) // how a gate ends is the business of those who ask, as Serve does
		if log, ours := o.Log.(*Log); ours && t.Failed() {
			t.Log(log.String())
		}
	})
	if o.Admin == "" {
		return g
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	if err := g.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return g
}

// Serve is Run for a gate that must end with 0 when it is asked to.
func Serve(t testing.TB, o Options) *Gate {
	t.Helper()
	g := Run(t, o)
	t.Cleanup(func() {
		if err := g.Stop(10 * time.Second); err != nil {
			t.Errorf("the gate ended with %v", err)
		}
	})
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
