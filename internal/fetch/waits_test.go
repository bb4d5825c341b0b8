package fetch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/spans"
)

// TestWaitsAreNoted: a request that waits for a load says so, and one that finds
// the value does not.
func TestWaitsAreNoted(t *testing.T) {
	fails := true
	r := New(func(ctx context.Context) (int, time.Duration, error) {
		if fails {
			return 0, 0, errors.New("not yet")
		}
		return 1, time.Hour, nil
	}, Limits{Name: "keys"})
	trace := spans.NewSampler(spans.SamplerOptions{Ratio: 1}).Begin(nil, time.Now())
	ctx := trace.Within(t.Context())
	if _, err := r.Get(ctx); err == nil {
		t.Error("a value")
	}
	fails = false
	if _, _, _, err := r.Newer(ctx); err != nil {
		t.Error(err)
	}
	if _, err := r.Get(ctx); err != nil {
		t.Error(err)
	}
	if w := trace.Waits(); len(w) != 2 || w[0].Name != "keys" || !w[0].Failed || w[1].Failed {
		t.Errorf("%+v", w)
	}
}
