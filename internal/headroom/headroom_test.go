package headroom

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestPercent(t *testing.T) {
	const mib = 1 << 20
	for _, row := range []struct {
		live, roots uint64
		want        int
	}{
		{0, 0, most},
		{2 * mib, mib, most},
		{8 * mib, 0, 400},
		{6 * mib, 2 * mib, 400},
		{32 * mib, 0, 100},
		{64 * mib, 0, 50},
		{100 * mib, 0, 50},
		{1 << 40, 0, 50},
		{100 * mib, 100 * mib, 25},
	} {
		if got := percent(row.live, row.roots); got != row.want {
			t.Errorf("%d live and %d in roots: %d, want %d", row.live, row.roots, got, row.want)
		}
	}
}

// inForce is the percentage that the runtime goes by.
func inForce() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// TestPace has the heap grow and shrink, and looks at what the runtime goes by
// after each cycle.
func TestPace(t *testing.T) {
	before := inForce()
	adjusted := make(chan int)
	stop := start(func(percent int) { adjusted <- percent })
	cycle := func() int {
		for range 2 { // the first to be told of may be one that the runtime began
			runtime.GC()
			<-adjusted
		}
		return inForce()
	}
	if got := cycle(); got < 200 {
		t.Errorf("with little live: %d in force", got)
	}
	held := make([]byte, 128<<20)
	if got := cycle(); got > 60 || got < 40 {
		t.Errorf("with 128 MiB live: %d in force", got)
	}
	runtime.KeepAlive(held)
	if got := cycle(); got < 200 {
		t.Errorf("with little live again: %d in force", got)
	}
	go func() {
		for range adjusted { // of cycles nobody asked for
		}
	}()
	stop()
	stop()
	if inForce() != before {
		t.Errorf("%d in the end, and %d in the beginning", inForce(), before)
	}
	close(adjusted)
}
