package fetch

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("source is down")

// source is what a test loads from: it takes its time, counts, and fails when
// it is told to. Its value is the number of the load.
type source struct {
	takes, fresh time.Duration
	down         atomic.Bool
	loads        atomic.Int64
}

func (s *source) load(ctx context.Context) (int64, time.Duration, error) {
	n := s.loads.Add(1)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	if s.down.Load() {
		return 0, 0, errDown
	}
	return n, s.fresh, nil
}

var limits = Limits{
	MinFresh: time.Minute, MaxFresh: 24 * time.Hour, DefaultFresh: 10 * time.Minute,
	MaxStale: 24 * time.Hour, MinGap: 10 * time.Second,
}

func wantLoads(t *testing.T, s *source, want int64) {
	t.Helper()
	if got := s.loads.Load(); got != want {
		t.Errorf("%d loads, want %d", got, want)
	}
}

func wantValue(t *testing.T, r *Resource[int64], want int64) {
	t.Helper()
	if got, err := r.Get(t.Context()); err != nil || got != want {
		t.Errorf("Get is %d, %v, want %d", got, err, want)
	}
}

func TestNewStartsNothing(t *testing.T) {
	s := &source{}
	r := New(s.load, limits)
	wantLoads(t, s, 0)
	if v, loaded, err := r.Peek(); v != 0 || !loaded.IsZero() || err != nil {
		t.Errorf("Peek is %d, %v, %v before any load", v, loaded, err)
	}
}

func TestGetWhileFresh(t *testing.T) {
	for name, test := range map[string]struct{ says, want time.Duration }{
		"silent":    {0, 10 * time.Minute},
		"clamped":   {time.Second, time.Minute},
		"says":      {7 * time.Minute, 7 * time.Minute},
		"very long": {1000 * time.Hour, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{fresh: test.says}
				r := New(s.load, limits)
				wantValue(t, r, 1)
				time.Sleep(test.want - 1)
				wantValue(t, r, 1)
				synctest.Wait()
				wantLoads(t, s, 1)
				time.Sleep(time.Nanosecond)
				_, _ = r.Get(t.Context())
				synctest.Wait()
				wantLoads(t, s, 2)
			})
		})
	}
}

func TestGetFreshAllocatesNothing(t *testing.T) {
	s := &source{}
	r := New(s.load, limits)
	wantValue(t, r, 1)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Get(ctx); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// everybody who comes while there is nothing waits for one load.
func TestGetColdHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		r := New(s.load, limits)
		var herd sync.WaitGroup
		for range 5000 {
			herd.Go(func() { wantValue(t, r, 1) })
		}
		herd.Wait()
		wantLoads(t, s, 1)
	})
}

func TestGetOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		r := New(s.load, limits)
		ctx, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := r.Get(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		callers.Go(func() { wantValue(t, r, 1) })
		synctest.Wait()
		leave()
		callers.Wait()
		wantLoads(t, s, 1)
	})
}

// no request waits while there is something to serve, and the
// last good value ends after MaxStale.
func TestGetStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		r := New(s.load, limits)
		wantValue(t, r, 1)
		s.down.Store(true)
		s.takes = 3 * time.Second
		for range 24*60 - 1 {
			time.Sleep(time.Minute)
			before := time.Now()
			wantValue(t, r, 1)
			if took := time.Since(before); took != 0 {
				t.Fatalf("a caller waited %v", took)
			}
		}
		time.Sleep(time.Minute)
		if _, err := r.Get(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("after MaxStale: %v", err)
		}
		if v, loaded, err := r.Peek(); v != 0 || loaded.IsZero() || !errors.Is(err, errDown) {
			t.Errorf("Peek is %d, %v, %v", v, loaded, err)
		}
		time.Sleep(time.Minute)
		s.down.Store(false)
		if _, err := r.Get(t.Context()); err != nil {
			t.Errorf("after the source is back: %v", err)
		}
	})
}

func TestGetDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		s.down.Store(true)
		r := New(s.load, limits)
		if _, err := r.Get(t.Context()); !errors.Is(err, errDown) {
			t.Fatalf("got %v", err)
		}
		before := time.Now()
		for range 1000 {
			if _, err := r.Get(t.Context()); !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("callers waited %v", took)
		}
		wantLoads(t, s, 1)
	})
}

// a source that is away is asked ever less, and found soon when back.
func TestRunBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.down.Store(true)
		r := New(s.load, limits)
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		time.Sleep(time.Minute)
		if n := s.loads.Load(); n < 5 || n > 15 {
			t.Errorf("%d loads in the first minute", n)
		}
		time.Sleep(time.Hour)
		before := s.loads.Load()
		time.Sleep(time.Hour)
		if n := s.loads.Load() - before; n < 100 || n > 150 {
			t.Errorf("%d loads an hour", n)
		}
		s.down.Store(false)
		time.Sleep(36 * time.Second)
		if _, _, err := r.Peek(); err != nil {
			t.Errorf("36 s after it came back: %v", err)
		}
		stop()
		run.Wait()
	})
}

// with Run, nobody ever sees a stale value, and nobody waits.
func TestRunRefreshesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: 3 * time.Second}
		r := New(s.load, limits)
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		time.Sleep(4 * time.Second)
		wantLoads(t, s, 1)
		for range 100 {
			time.Sleep(time.Minute)
			if _, loaded, _ := r.Peek(); time.Since(loaded) > 8*time.Minute+34*time.Second {
				t.Fatalf("value is %v old", time.Since(loaded))
			}
		}
		if n := s.loads.Load(); n < 11 || n > 15 {
			t.Errorf("%d loads in 100 minutes", n)
		}
		stop()
		run.Wait()
	})
}

func TestRunEndsItsLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		r := New(func(ctx context.Context) (int, time.Duration, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return 0, 0, ctx.Err()
		}, limits)
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		synctest.Wait()
		before := time.Now()
		stop()
		run.Wait()
		if took := time.Since(before); !ended || took != time.Second {
			t.Errorf("Run returned after %v, its load ended: %v", took, ended)
		}
	})
}

// KEY-08: however many ask for something newer, and however often.
func TestNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		r := New(s.load, limits)
		wantValue(t, r, 1)
		time.Sleep(time.Second)
		began := time.Now()
		var herd sync.WaitGroup
		for range 100 {
			herd.Go(func() {
				v, loaded, asked, err := r.Newer(t.Context())
				if v != 2 || !loaded.Equal(began) || !asked || err != nil {
					t.Errorf("Newer is %d, %v, %v, %v", v, loaded, asked, err)
				}
			})
		}
		herd.Wait()
		for range 8 {
			time.Sleep(time.Second)
			if v, loaded, asked, err := r.Newer(t.Context()); v != 2 || !loaded.Equal(began) || asked || err != nil {
				t.Fatalf("held back: %d, %v, %v, %v", v, loaded, asked, err)
			}
		}
		wantLoads(t, s, 2)
		time.Sleep(time.Second)
		if v, _, asked, err := r.Newer(t.Context()); v != 3 || !asked || err != nil {
			t.Errorf("after the gap: %d, %v, %v", v, asked, err)
		}
		s.down.Store(true)
		time.Sleep(10 * time.Second)
		if v, _, asked, err := r.Newer(t.Context()); v != 3 || !asked || !errors.Is(err, errDown) {
			t.Errorf("source down: %d, %v, %v", v, asked, err)
		}
		wantValue(t, r, 3)
	})
}

// A load that somebody else began counts as an answer, not as one of ours.
func TestNewerJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		r := New(s.load, limits)
		var first sync.WaitGroup
		first.Go(func() { wantValue(t, r, 1) })
		synctest.Wait()
		if v, _, asked, err := r.Newer(t.Context()); v != 1 || !asked || err != nil {
			t.Errorf("joined: %d, %v, %v", v, asked, err)
		}
		first.Wait()
		if v, _, asked, err := r.Newer(t.Context()); v != 2 || !asked || err != nil {
			t.Errorf("then: %d, %v, %v", v, asked, err)
		}
	})
}

func TestLoadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Hour}
		r := New(s.load, Limits{Timeout: 5 * time.Second})
		before := time.Now()
		if _, err := r.Get(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(before); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestLoadPanics(t *testing.T) {
	var told error
	r := New(func(context.Context) (int, time.Duration, error) {
		panic("what the server sent")
	}, Limits{OnLoad: func(_ time.Duration, err error) { told = err }})
	_, err := r.Get(t.Context())
	if err == nil || strings.Contains(err.Error(), "server") {
		t.Errorf("got %v", err)
	}
	if !errors.Is(told, err) {
		t.Errorf("OnLoad was told %v", told)
	}
}

func TestOnLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: 2 * time.Second}
		var took []time.Duration
		l := limits
		l.OnLoad = func(d time.Duration, err error) {
			took = append(took, d)
			if (err != nil) != s.down.Load() {
				t.Errorf("told %v", err)
			}
		}
		r := New(s.load, l)
		wantValue(t, r, 1)
		s.down.Store(true)
		_, _, _, _ = r.Newer(t.Context())
		if len(took) != 2 || took[0] != 2*time.Second || took[1] != 2*time.Second {
			t.Errorf("told of %v", took)
		}
	})
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := jitter(time.Minute, 0.2)
		if d < 48*time.Second || d > 72*time.Second {
			t.Fatalf("%v is out of bounds", d)
		}
		seen[d] = true
	}
	if len(seen) < 100 {
		t.Errorf("%d different values", len(seen))
	}
}

func BenchmarkGetFresh(b *testing.B) {
	s := &source{}
	r := New(s.load, limits)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Get(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// a value from before serves by its own age, and is loaded anew at once.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.down.Store(true)
		r := New(s.load, Limits{DefaultFresh: 10 * time.Minute, MaxStale: 24 * time.Hour})
		r.Restore(7, time.Now().Add(-23*time.Hour), 0)
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		synctest.Wait()
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads", n)
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 7}, {59 * time.Minute, 7}, {time.Minute, 0}} {
			time.Sleep(step.after)
			if got, loaded, _ := r.Peek(); int(got) != step.want || time.Since(loaded) < 23*time.Hour {
				t.Errorf("%v later: %v of %s ago", step.after, got, time.Since(loaded))
			}
			if got, err := r.Get(ctx); (err == nil) != (step.want != 0) || int(got) != step.want {
				t.Errorf("%v later: %v, %v", step.after, got, err)
			}
		}
		s.down.Store(false)
		time.Sleep(30 * time.Second)
		if got, loaded, err := r.Peek(); err != nil || time.Since(loaded) > time.Minute {
			t.Errorf("when it is back: %v of %s ago, %v", got, time.Since(loaded), err)
		}
		stop()
		run.Wait()
	})
}

// A fresh one is served without a load by those who ask.
func TestRestoreFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		r := New(s.load, Limits{DefaultFresh: 10 * time.Minute})
		r.Restore(7, time.Now().Add(-9*time.Minute), 0)
		if got, err := r.Get(t.Context()); err != nil || got != 7 || s.loads.Load() != 0 {
			t.Errorf("%v, %v after %d loads", got, err, s.loads.Load())
		}
	})
}

// Again and Newer take nothing from each other's gap.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		r := New(s.load, Limits{DefaultFresh: time.Hour, MinGap: 10 * time.Second, AgainGap: time.Minute})
		for n, step := range []struct {
			again, asked bool
			wait         time.Duration
		}{{false, true, 0}, {true, true, 0}, {false, false, 0}, {true, false, 0}, {false, true, 10 * time.Second}, {true, false, 49 * time.Second}, {true, true, time.Second}} {
			time.Sleep(step.wait)
			before := s.loads.Load()
			if step.again {
				r.Again(t.Context())
			} else if _, _, _, err := r.Newer(t.Context()); err != nil {
				t.Error(err)
			}
			if got := s.loads.Load() - before; (got == 1) != step.asked {
				t.Errorf("step %d: %d loads", n, got)
			}
		}
		s.down.Store(true)
		time.Sleep(time.Minute)
		held, _, _ := r.Peek()
		if got := r.Again(t.Context()); got != held {
			t.Errorf("%v, want what is held", got)
		}
	})
}

// Who asks and goes away takes the load from nobody who comes while it is on
// its way.
func TestAgainLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: 3 * time.Second}
		r := New(s.load, Limits{DefaultFresh: time.Hour, AgainGap: time.Minute})
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if got := r.Again(gone); got != 0 {
			t.Errorf("got %v before anything was loaded", got)
		}
		if got := r.Again(t.Context()); got == 0 || s.loads.Load() != 1 {
			t.Errorf("got %v after %d loads", got, s.loads.Load())
		}
	})
}
