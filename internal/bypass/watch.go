package bypass

import (
	"context"
	"sync"
	"time"
)

// Watch looks again and again. Its zero value has nothing to look at.
type Watch struct {
	// Report is told of each upstream whenever it was looked at. It must not call
	// Use.
	Report func(Finding)

	mu      sync.Mutex // guards targets and changed
	targets Targets
	changed chan struct{}
}

// Use replaces what is looked at; Run looks at it without delay. Nothing is
// reported any more of what was looked at before.
func (w *Watch) Use(t Targets) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets = t
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// current returns what to look at, and what is closed when that is over.
func (w *Watch) current() (Targets, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.targets, w.changed
}

// report tells of findings, unless they are out of date.
func (w *Watch) report(ctx context.Context, findings []Finding, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-ctx.Done(): // what was not reached in time is not known to be closed
		return
	case <-changed:
		return
	default:
	}
	for _, finding := range findings {
		w.Report(finding)
	}
}

// Run looks until ctx ends: at once, then soon, then every five minutes. The
// program beside a gate starts after it, and may take its time.
func (w *Watch) Run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		targets, changed := w.current()
		w.report(ctx, Look(ctx, targets), changed)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-changed:
			pause = firstPause
			timer.Stop()
			continue
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, longestPause)
	}
}
