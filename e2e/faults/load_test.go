package faults

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestR33Restarts restarts the upstream every 2 s under load: what must not be
// repeated is executed at most once, and every answer is its request's own.
func TestR33Restarts(t *testing.T) {
	upstream := newCounter(t, nil)
	s := newStand(t, "http://"+upstream.address, "")
	var sent, good, lost, cut, twice atomic.Int64
	stop := make(chan struct{})
	var sending sync.WaitGroup
	for n := range 16 {
		sending.Go(func() {
			client, method := s.h1, http.MethodPost
			if n%4 == 3 {
				client = s.h2
			}
			if n%8 == 0 {
				method = http.MethodGet
			}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				path := fmt.Sprintf("/%d-%d", n, i)
				body := ""
				if method == http.MethodPost {
					body = "body of " + path
				}
				got := s.send(client, method, path, body)
				sent.Add(1)
				switch times := upstream.times(method + " " + path); {
				case method == http.MethodPost && times > 1, times > 16:
					twice.Add(1)
					t.Errorf("%s executed %d times", path, times)
				case got.err != nil:
					cut.Add(1)
				case got.status == 502:
					lost.Add(1)
					time.Sleep(5 * time.Millisecond)
				case got.status != 200 || got.body != path+body || times == 0:
					t.Errorf("%s was answered %d %.200q, executed %d times", path, got.status, got.body, times)
				default:
					good.Add(1)
				}
			}
		})
	}
	const restarts = 8
	for range restarts {
		time.Sleep(2 * time.Second)
		upstream.stop()
		time.Sleep(100 * time.Millisecond)
		upstream.start(t)
		until(t, "it recovers", 5*time.Second, func() bool { return s.send(s.h1, http.MethodGet, "/recovered", "").status == 200 })
	}
	close(stop)
	sending.Wait()
	t.Logf("%d requests, %d restarts: %d good, %d answered 502, %d cut, %d executed twice", sent.Load(), restarts, good.Load(), lost.Load(), cut.Load(), twice.Load())
	if good.Load() < sent.Load()/2 {
		t.Error("fewer than half were good")
	}
}

// TestR34 asks ten times as much as the gate and the upstream can do at once.
func TestR34(t *testing.T) {
	const capacity, takes = 16, 40 * time.Millisecond
	room := make(chan struct{}, capacity)
	var atOnce, most atomic.Int64
	upstream := newCounter(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := atOnce.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer atOnce.Add(-1)
		room <- struct{}{} // beyond its capacity it is slower for everybody
		time.Sleep(takes)
		<-room
		w.WriteHeader(http.StatusNoContent)
	})
	s := newStand(t, "http://"+upstream.address, fmt.Sprintf("limits: {max_inflight: %d}", capacity))
	full, _, _ := s.ask(capacity, 4*time.Second)
	before := s.memory()
	over, shed, wrong := s.ask(10*capacity, 8*time.Second)
	after := s.memory()
	ratio := float64(over) / 8 / (float64(full) / 4)
	t.Logf("at capacity %d a second; at ten times that %d a second, ratio %.2f; %d shed; memory %d KiB, then %d KiB", full/4, over/8, ratio, shed, before, after)
	if ratio < 0.9 {
		t.Errorf("goodput fell to %.2f of capacity", ratio)
	}
	if wrong != 0 || shed == 0 {
		t.Errorf("%d answers were neither good nor 503 with Retry-After; %d were shed", wrong, shed)
	}
	if n := most.Load(); n > capacity {
		t.Errorf("the upstream had %d requests at once, %d are allowed", n, capacity)
	}
	if after > before+32<<10 {
		t.Errorf("memory grew from %d KiB to %d KiB", before, after)
	}
}

// ask keeps so many clients asking. Those that are turned away come back soon,
// far earlier than they were told.
func (s *stand) ask(clients int, long time.Duration) (good, shed, wrong int64) {
	var g, n, w atomic.Int64
	end := time.Now().Add(long)
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			for time.Now().Before(end) {
				switch got := s.send(s.h1, http.MethodGet, "/", ""); {
				case got.err == nil && got.status == http.StatusNoContent:
					g.Add(1)
				case got.err == nil && got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") != "":
					n.Add(1)
					time.Sleep(100 * time.Millisecond)
				default:
					w.Add(1)
				}
			}
		})
	}
	asking.Wait()
	return g.Load(), n.Load(), w.Load()
}

// memory is what the gate's process holds, in KiB.
func (s *stand) memory() (kib int) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.gate.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	if err != nil || kib == 0 {
		s.t.Fatal("no memory is told", err)
	}
	return kib
}
