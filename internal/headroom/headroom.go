// Package headroom paces the garbage collector by octets instead of by a
// percentage. What the runtime does by itself, a cycle whenever the heap has
// doubled, makes a small program collect all the time and a large one hold twice
// what it needs.
package headroom

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Least is the room for garbage on top of what is live, in octets. Where more than
// twice as much is live, the room is half of that.
const Least = 32 << 20

// most is the percentage that makes the runtime's own least target, 4 MiB at 100,
// as large as Least. More would not be a headroom any more.
const most = 800

// worthwhile is the change of the percentage, as a part of it, below which nothing
// is changed: to set it stops the world.
const worthwhile = 1.0 / 8

// percent is the GOGC by which the collector's target is what is live and the
// room. roots is what counts for the runtime beside the heap: stacks and globals.
func percent(live, roots uint64) int {
	room := max(Least, float64(live)/2)
	return int(min(most, math.Ceil(room*100/max(1, float64(live+roots)))))
}

// The names of what is read after a cycle.
const (
	liveHeap    = "/gc/heap/live:bytes"
	liveStacks  = "/gc/scan/stack:bytes"
	liveGlobals = "/gc/scan/globals:bytes"
)

// pacer sets the percentage after each cycle.
type pacer struct {
	cycle   chan struct{} // a cycle has ended
	samples []metrics.Sample
	current int
	changed func(percent int) // for tests; may be nil
}

// Start paces the collector until stop is called, which leaves it as it was. A
// memory limit goes first, as ever. There is one goroutine, which sleeps between
// cycles.
func Start() (stop func()) { return start(nil) }

func start(changed func(percent int)) (stop func()) {
	p := &pacer{
		cycle: make(chan struct{}, 1), changed: changed, current: most,
		samples: []metrics.Sample{{Name: liveHeap}, {Name: liveStacks}, {Name: liveGlobals}},
	}
	before := debug.SetGCPercent(most) // nothing was collected yet, and little is live
	p.watch()
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { p.run(end) })
	return sync.OnceFunc(func() {
		close(end)
		running.Wait()
		debug.SetGCPercent(before)
	})
}

// sentinel is garbage at once: that it is cleaned up tells that a cycle has ended.
// It holds a pointer, or the runtime would put it together with others.
type sentinel struct{ _ *sentinel }

// watch has the end of the next cycle told. There is one sentinel at a time, so
// telling never waits.
func (p *pacer) watch() {
	runtime.AddCleanup(&sentinel{}, func(cycle chan<- struct{}) { cycle <- struct{}{} }, p.cycle)
}

func (p *pacer) run(end <-chan struct{}) {
	for {
		select {
		case <-end:
			return
		case <-p.cycle:
			p.watch() // before anything else: a cycle may end meanwhile
			p.adjust()
		}
	}
}

func (p *pacer) adjust() {
	metrics.Read(p.samples)
	wanted := percent(p.samples[0].Value.Uint64(), p.samples[1].Value.Uint64()+p.samples[2].Value.Uint64())
	if math.Abs(float64(wanted-p.current)) > worthwhile*float64(p.current) {
		debug.SetGCPercent(wanted)
		p.current = wanted
	}
	if p.changed != nil {
		p.changed(p.current)
	}
}
