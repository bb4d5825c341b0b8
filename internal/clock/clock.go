// Package clock tells when somebody set the wall clock of this machine. It
// compares no clock with another machine's, and corrects nothing.
package clock

import "time"

// Jump is what is no jump yet: clocks are kept right by smaller steps.
const Jump = 2 * time.Second

// Watch tells when the wall clock was set: it then moved by more or less
// than the clock that nobody can set. It is for one goroutine.
type Watch struct {
	wall func() time.Time
	mono func() time.Duration

	lastWall time.Time
	lastMono time.Duration
}

// NewWatch looks for the first time. Wall is the wall clock; nil for that of
// this machine.
func NewWatch(wall func() time.Time) *Watch {
	if wall == nil {
		// Round takes the monotonic reading off, so that the wall clock is compared.
		wall = func() time.Time { return time.Now().Round(0) }
	}
	began := time.Now()
	w := &Watch{wall: wall, mono: func() time.Duration { return time.Since(began) }}
	w.Look()
	return w
}

// Look returns by how much the wall clock was set since the last look, negative
// for back, or 0.
func (w *Watch) Look() time.Duration {
	wall, mono := w.wall(), w.mono()
	by := wall.Sub(w.lastWall) - (mono - w.lastMono)
	first := w.lastWall.IsZero()
	w.lastWall, w.lastMono = wall, mono
	if first || by.Abs() <= Jump {
		return 0
	}
	return by
}
