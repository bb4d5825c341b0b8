package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
)

// Of the watch over our own clock: how often it looks, what is no jump yet, and
// how far back is too far for used proofs, which are remembered for a second
// more than they are good.
const (
	clockEvery = time.Second
	clockJump  = 2 * time.Second
	clockBack  = time.Second
)

// clockWatch tells when the wall clock was set: it then moved by more or less
// than the clock that nobody can set.
type clockWatch struct {
	read     func() (wall time.Time, mono time.Duration)
	lastWall time.Time
	lastMono time.Duration
}

func newClockWatch() *clockWatch {
	began := time.Now()
	// One reading has both clocks: a process that was stopped between two would
	// see a jump that was none. Round takes one off, so that the other is compared.
	w := &clockWatch{read: func() (time.Time, time.Duration) { now := time.Now(); return now.Round(0), now.Sub(began) }}
	w.look()
	return w
}

// look returns by how much the wall clock was set since the last look, give or
// take what it drifted.
func (w *clockWatch) look() time.Duration {
	wall, mono := w.read()
	by := wall.Sub(w.lastWall) - (mono - w.lastMono)
	first := w.lastWall.IsZero()
	w.lastWall, w.lastMono = wall, mono
	if first {
		return 0
	}
	return by
}

// watchClock has verified tokens checked anew after a jump. Times are judged on
// every request anyway, and used proofs are remembered by the other clock; those
// that were forgotten are refused when the wall clock comes to them again.
func (g *gateway) watchClock(ctx context.Context, w *clockWatch) {
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

func (g *gateway) lookAtClock(w *clockWatch) {
	by := w.look()
	if by < -clockBack {
		g.stores.horizon.SetBack()
	}
	if by.Abs() <= clockJump {
		return
	}
	g.metrics.ClockJumped(by)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plan.validator.Forget()
}

// standing says of an issuer what an operator would want to know.
func standing(s jwks.Status) string {
	text := fmt.Sprintf("%d keys", s.Keys)
	if s.Err != "" && !s.LastSuccess.IsZero() {
		text += fmt.Sprintf(", %s old", time.Since(s.LastSuccess).Round(time.Second))
	}
	if s.Skew.Beyond {
		text += fmt.Sprintf("; clock differs from ours by %s, more than the leeway", s.Skew.Ahead.Round(time.Second))
	}
	if s.Err != "" {
		text += "; last error: " + s.Err
	}
	return " (" + text + ")"
}
