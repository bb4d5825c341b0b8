package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sample is what the gate's process holds at one moment.
type sample struct {
	rss             int // KiB
	goroutines, fds int
}

// watch looks at the process while the load runs, and before and after it.
type watch struct {
	gate  *gate
	start sample
	last  sample // after the load, with everybody gone
	err   error

	mu   sync.Mutex // guards all below
	list []sample
}

// The rules for what may grow.
const (
	// everyMany is how often the process is looked at.
	everyMany = 500 * time.Millisecond
	// The median memory of the last fifth of the run may exceed that of the second
	// fifth by a tenth and this much: what a garbage collector leaves to chance.
	slackKiB = 8 << 10
	// Goroutines and descriptors must be back where they were before the load, give
	// or take this many, within settleTime after everybody has gone.
	slackCount = 5
	settleTime = 5 * time.Second
)

func newWatch(g *gate) *watch { return &watch{gate: g} }

func (w *watch) begin() (err error) {
	w.start, err = w.gate.sample(context.Background())
	return err
}

func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(everyMany)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, err := w.gate.sample(ctx)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.err = cmp.Or(w.err, err)
		if w.list = append(w.list, s); err != nil {
			w.list = w.list[:len(w.list)-1]
		}
		w.mu.Unlock()
	}
}

// end waits for goroutines and descriptors to be given back.
func (w *watch) end(g *gate) {
	for until := time.Now().Add(settleTime); ; time.Sleep(100 * time.Millisecond) {
		var err error
		if w.last, err = g.sample(context.Background()); err != nil || time.Now().After(until) {
			w.err = cmp.Or(w.err, err)
			return
		}
		if w.last.goroutines <= w.start.goroutines+slackCount && w.last.fds <= w.start.fds+slackCount {
			return
		}
	}
}

func (g *gate) sample(ctx context.Context) (s sample, err error) {
	all, err := g.scrape(ctx)
	if err != nil {
		return s, err
	}
	s.goroutines = int(all["go_goroutines"])
	proc := filepath.Join("/proc", strconv.Itoa(g.pid()))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return s, fmt.Errorf("this needs Linux: %w", err)
	}
	s.fds = len(fds)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			s.rss, err = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return s, err
}

// fifth is the median memory of the n-th fifth of the run, from 0.
func (w *watch) fifth(n int) int {
	part := slices.Clone(w.list[n*len(w.list)/5 : (n+1)*len(w.list)/5])
	if len(part) == 0 {
		return 0
	}
	slices.SortFunc(part, func(a, b sample) int { return a.rss - b.rss })
	return part[len(part)/2].rss
}

// most is the largest of each figure, wherever it was seen.
func (w *watch) most() (m sample) {
	for _, s := range w.list {
		m.rss, m.goroutines, m.fds = max(m.rss, s.rss), max(m.goroutines, s.goroutines), max(m.fds, s.fds)
	}
	return m
}

// grown says what grew beyond the rules.
func (w *watch) grown() (out []string) {
	early, late := w.fifth(1), w.fifth(4)
	if late > early+early/10+slackKiB {
		out = append(out, fmt.Sprintf("memory grew from %d MiB to %d MiB", early>>10, late>>10))
	}
	if w.last.goroutines > w.start.goroutines+slackCount {
		out = append(out, fmt.Sprintf("goroutines grew from %d to %d", w.start.goroutines, w.last.goroutines))
	}
	if w.last.fds > w.start.fds+slackCount {
		out = append(out, fmt.Sprintf("descriptors grew from %d to %d", w.start.fds, w.last.fds))
	}
	if w.err != nil {
		out = append(out, w.err.Error())
	}
	return out
}
