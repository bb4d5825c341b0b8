// Package clock tells when somebody set the wall clock of this machine. It
// compares no clock with another machine's, and corrects nothing.
package clock

import "time"

// What is made of a step that Look returns.
const (
	Jump = 2 * time.Second // up to here it is no jump: clocks are kept right by smaller steps
	Back = time.Second     // further back is too far for used proofs, which are remembered for so much more than they are good
)

// Watch tells when the wall clock was set: it then moved by more or less
// than the clock that nobody can set. It is for one goroutine.
type Watch struct {
	read     func() (wall time.Time, mono time.Duration)
	lastWall time.Time
	lastMono time.Duration
}

// Now returns a reading of both clocks of this machine. It is one reading: a
// process that was stopped between two would see a jump that was none.
func Now() func() (wall time.Time, mono time.Duration) {
	began := time.Now()
	// Round takes one clock off, so that the other is compared.
	return func() (time.Time, time.Duration) { now := time.Now(); return now.Round(0), now.Sub(began) }
}

// NewWatch looks for the first time, by read; see Now.
func NewWatch(read func() (wall time.Time, mono time.Duration)) *Watch {
	w := &Watch{read: read}
	w.Look()
	return w
}

// Look returns by how much the wall clock was set since the last look, give or
// take what it drifted; negative for back.
func (w *Watch) Look() time.Duration {
	wall, mono := w.read()
	by := wall.Sub(w.lastWall) - (mono - w.lastMono)
	first := w.lastWall.IsZero()
	w.lastWall, w.lastMono = wall, mono
	if first {
		return 0
	}
	return by
}
