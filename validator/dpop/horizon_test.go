package dpop

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a machine whose wall clock can be set.
type machine struct {
	horizon *Horizon
	set     time.Duration
}

func (m *machine) now() time.Time { return time.Now().Add(m.set) }

// by sets the wall clock. Add sets both clocks of a time.Time, so the horizon's
// reading of the one that nobody can set goes along.
func (m *machine) by(d time.Duration) {
	m.horizon.look(m.now())
	m.set += d
	m.horizon.began = m.horizon.began.Add(d)
}

// nobody tells that the clock was set, and the first request after it finds
// no proof good twice.
func TestSetBackIsNoticedAtOnce(t *testing.T) {
	for _, steps := range [][]time.Duration{
		{-time.Hour}, {-30 * time.Second}, {-3 * time.Second}, {-time.Second - 1}, {time.Hour, -time.Hour}, {-600 * time.Millisecond, -600 * time.Millisecond},
		{90 * time.Second, -100 * time.Second}, {-time.Second}, {time.Hour}, {0},
	} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { setBack(t, steps) })
		})
	}
}

func setBack(t *testing.T, steps []time.Duration) {
	h, m, id := newClient(t), &machine{horizon: &Horizon{}}, 0
	jkt := h.jkt(t)
	v := newVerifier(t, Options{Horizon: m.horizon})
	prove := func() string {
		id++
		return h.proof(h.header(), claimsAt(m.now(), fmt.Sprint(id)))
	}
	var used []string
	use := func() {
		for range 12 { // two minutes: some of it is forgotten by now
			used = append(used, prove())
			want(t, confirm(v, jkt, m.now(), used[len(used)-1]), "", "")
			time.Sleep(10 * time.Second)
		}
	}
	use()
	furthest := time.Duration(0)
	for n, step := range steps {
		m.by(step)
		furthest = max(furthest, m.set)
		if n+1 < len(steps) && step > 0 {
			use()
		}
	}
	if furthest-m.set <= farBack {
		want(t, confirm(v, jkt, m.now(), prove()), "", "") // nobody is refused for it
	}
	for end := time.Now().Add(2*time.Hour + 3*time.Minute); time.Now().Before(end); time.Sleep(7 * time.Second) {
		v = again(t, v) // which has no texts of proofs at hand
		for n, proof := range used {
			if err := confirm(v, jkt, m.now(), proof); err == nil {
				t.Fatalf("proof %d was good twice", n)
			}
		}
	}
	want(t, confirm(v, jkt, m.now(), prove()), "", "")
}

// Smaller steps add up, and none forward refuses anybody.
func TestHowFarBack(t *testing.T) {
	for _, row := range []struct {
		steps []time.Duration
		hides bool
	}{
		{[]time.Duration{-time.Second}, false}, {[]time.Duration{-time.Second - 1}, true}, {[]time.Duration{-time.Second, -1}, true},
		{[]time.Duration{time.Hour}, false}, {[]time.Duration{time.Hour, -time.Second}, false}, {[]time.Duration{time.Minute, -time.Second - 1}, true},
		{[]time.Duration{-time.Second, time.Second, -time.Second}, false}, {nil, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &machine{horizon: &Horizon{}}
			issued := m.now()
			m.horizon.took("key", issued, m.horizon.look(issued))
			for _, step := range row.steps {
				m.by(step)
			}
			m.horizon.look(m.now())
			if got := m.horizon.hides("key", issued); got != row.hides {
				t.Errorf("%v: hidden %t", row.steps, got)
			}
		})
	}
}

// again is v as a reload makes it: with the same store.
func again(t *testing.T, v *Verifier) *Verifier {
	t.Helper()
	next, err := New(v.options, v.store)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// A proof that is judged while the clock is set back is among those that were
// taken before, whoever comes first.
func TestTakenWhileTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Horizon{}
		before := time.Now()
		set := h.look(before)
		h.began = h.began.Add(-time.Hour) // for all who look later the clock is set
		h.look(time.Now())                // by another request
		if h.took("key", before, set); !h.hides("key", before) {
			t.Error("it may be used again when the clock comes to its time")
		}
		if h.took("other", before, h.look(time.Now())); h.hides("other", before.Add(time.Second)) {
			t.Error("one that was judged later refuses its sender")
		}
	})
}

func TestLookAllocatesNothing(t *testing.T) {
	h := &Horizon{}
	if n := testing.AllocsPerRun(100, func() { h.look(time.Now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLook(b *testing.B) {
	h, now := &Horizon{}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		h.look(now)
	}
}
