package budget

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func address(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSources(Options{Burst: 20, PerSecond: 10, Count: 100})
		hostile, other := s.Of(address("192.0.2.1"), ""), s.Of(address("192.0.2.2"), "")
		for n := range 20 {
			if wait := s.Wait(hostile); wait != 0 {
				t.Fatalf("after %d failures: wait %v", n, wait)
			}
			s.Charge(hostile)
		}
		if wait := s.Wait(hostile); wait < 100*time.Millisecond || wait > 101*time.Millisecond {
			t.Errorf("the budget is spent: wait %v, want a tenth of a second", wait)
		}
		if wait := s.Wait(other); wait != 0 {
			t.Errorf("another source waits %v", wait)
		}
		for range 50 { // under way when it ran out
			s.Charge(hostile)
		}
		if wait := s.Wait(hostile); wait > 101*time.Millisecond {
			t.Errorf("what was under way is a debt: %v", wait)
		}
		time.Sleep(time.Second)
		for range 10 {
			if wait := s.Wait(hostile); wait != 0 {
				t.Fatalf("a second later: wait %v", wait)
			}
			s.Charge(hostile)
		}
		if s.Wait(hostile) == 0 {
			t.Error("more came back than ten a second")
		}
		time.Sleep(time.Hour)
		for range 20 {
			s.Charge(hostile)
		}
		if s.Wait(hostile) == 0 {
			t.Error("an hour saves up more than the burst")
		}
	})
}

func TestNothingComesBack(t *testing.T) {
	s := NewSources(Options{Burst: 1, Count: 1})
	source := s.Of(address("192.0.2.1"), "")
	s.Charge(source)
	if wait := s.Wait(source); wait != forever {
		t.Errorf("wait %v", wait)
	}
}

func TestSourcesAre(t *testing.T) {
	s := NewSources(Options{Burst: 1, PerSecond: 1, Count: 10})
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"hosts of IPv4":          {"192.0.2.1", "192.0.2.2", false},
		"IPv4 in IPv6":           {"192.0.2.1", "::ffff:192.0.2.1", true},
		"others of IPv4 in IPv6": {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		"one network":            {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		"two networks":           {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		"IPv4 by a translator":   {"64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false},
		"by one of our own":      {"64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.2", false},
		"a zone":                 {"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if got := s.Of(address(c.a), "") == s.Of(address(c.b), ""); got != c.same {
			t.Errorf("%s: the same: %v", name, got)
		}
	}
	a := address("192.0.2.1")
	if s.Of(a, "x") == s.Of(a, "y") || s.Of(a, "x") == s.Of(a, "") {
		t.Error("owners run together")
	}
}

func TestNobodyPays(t *testing.T) {
	var none *Sources
	none.Charge(Source{})
	if none.Wait(none.Of(address("192.0.2.1"), "")) != 0 || none.Len() != 0 {
		t.Error("somebody pays where nothing is bounded")
	}
	if NewSources(Options{PerSecond: 10, Count: 10}) != nil || NewSources(Options{Burst: 1}) != nil {
		t.Error("a budget of nothing")
	}
	s := NewSources(Options{Burst: 1, PerSecond: 1, Count: 10})
	unknown := s.Of(netip.Addr{}, "x")
	for range 3 {
		s.Charge(unknown)
	}
	if s.Wait(unknown) != 0 || s.Len() != 0 {
		t.Error("nobody knows who, and somebody pays")
	}
}

func TestSourcesAreBounded(t *testing.T) {
	s := NewSources(Options{Burst: 1, PerSecond: 1, Count: 100})
	for n := range 10_000 {
		s.Charge(s.Of(address(fmt.Sprintf("192.0.%d.%d", n/250, n%250)), ""))
	}
	if s.Len() != 100 {
		t.Errorf("%d sources are remembered", s.Len())
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2, 50*time.Millisecond)
		for range 2 {
			if waited, err := g.Enter(t.Context()); waited || err != nil {
				t.Fatalf("a free place: waited %v, %v", waited, err)
			}
		}
		began := time.Now()
		if _, err := g.Enter(t.Context()); !errors.Is(err, ErrBusy) || time.Since(began) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		gone, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began = time.Now()
		if _, err := g.Enter(gone); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		var order []int
		var mu sync.Mutex
		var wait sync.WaitGroup
		for n := range 3 {
			wait.Go(func() {
				if waited, err := g.Enter(t.Context()); !waited || err != nil {
					t.Errorf("number %d: waited %v, %v", n, waited, err)
					return
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				g.Leave()
			})
			synctest.Wait()
		}
		g.Leave()
		wait.Wait()
		if fmt.Sprint(order) != "[0 1 2]" {
			t.Errorf("they entered in the order %v", order)
		}
		g.Leave()
		if waited, err := g.Enter(t.Context()); waited || err != nil {
			t.Errorf("a place got lost: %v", err)
		}
	})
}

func TestGates(t *testing.T) {
	var open *Gate
	if waited, err := open.Enter(t.Context()); waited || err != nil {
		t.Error(err)
	}
	open.Leave()
	if n := cap(NewGate(0, 0).places); n < 1 {
		t.Errorf("%d places", n)
	}
}

// What a good request pays for the bounds must be next to nothing.
func BenchmarkGate(b *testing.B) {
	g := NewGate(0, time.Second)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = g.Enter(b.Context())
		g.Leave()
	}
}

func BenchmarkWait(b *testing.B) {
	s := NewSources(Options{Burst: 20, PerSecond: 10, Count: 10_000})
	spent := s.Of(address("192.0.2.1"), "")
	for range 30 {
		s.Charge(spent)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Wait(spent)
	}
}
