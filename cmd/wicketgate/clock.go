package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/internal/clock"
	"github.com/wicketgate/wicketgate/jwks"
)

// clockEvery is how often the watch over our own clock looks.
const clockEvery = time.Second

// watchClock has verified tokens checked anew after a jump. Times are judged on
// every request anyway, and used proofs are remembered by the other clock; those
// that were forgotten are refused when the wall clock comes to them again.
func (g *gateway) watchClock(ctx context.Context, w *clock.Watch) {
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			g.lookAtClock(w)
		}
	}
}

func (g *gateway) lookAtClock(w *clock.Watch) {
	by := w.Look()
	if by < -clock.Back {
		g.stores.horizon.SetBack()
	}
	if by.Abs() <= clock.Jump {
		return
	}
	g.metrics.ClockJumped(by)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plan.validator.Forget()
}

// standing says of an issuer what an operator would want to know, the last error
// if that is for whoever asks.
func standing(s jwks.Status, lastError bool) string {
	text := fmt.Sprintf("%d keys", s.Keys)
	if s.Err != "" && !s.LastSuccess.IsZero() {
		text += fmt.Sprintf(", %s old", time.Since(s.LastSuccess).Round(time.Second))
	}
	if s.Skew.Beyond {
		text += fmt.Sprintf("; clock differs from ours by %s, more than the leeway", s.Skew.Ahead.Round(time.Second))
	}
	if s.Err != "" && lastError {
		text += "; last error: " + s.Err
	}
	return " (" + text + ")"
}
