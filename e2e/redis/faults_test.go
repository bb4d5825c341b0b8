package redis

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// D-33: of one proof sent to two gates at once, exactly one passes.
func TestD33(t *testing.T) {
	s := newStand(t, 2, "deny", "2s") // a busy machine is no fault
	const rounds, workers = 1000, 8
	var next, wrong atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for next.Add(1) <= rounds {
				proof := s.proof()
				var statuses [2]int
				var pair sync.WaitGroup
				for i := range statuses {
					pair.Go(func() { statuses[i] = s.send(s.gates[i], proof) })
				}
				pair.Wait()
				if statuses != [2]int{200, 401} && statuses != [2]int{401, 200} {
					wrong.Add(1)
					t.Errorf("the gates answered %v", statuses)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d proofs to both gates, %d without exactly one success", rounds, wrong.Load())
}

// fault takes Redis away in some way, and gives it back.
type fault struct {
	name        string
	begin, heal func(*stand)
}

// epoch is the key beside the used proofs that says since when they are kept.
const epoch = "wicketgate:replay:{0}:epoch"

func noFault(*stand) {}

func faults() []fault {
	return []fault{
		{"killed and empty", func(s *stand) { s.redis.kill() }, func(s *stand) { s.redis.start() }},
		{"restarted from a snapshot, loading", func(s *stand) {
			s.redis.do("DEBUG", "POPULATE", "3000", "filler", "100")
			s.redis.do("SAVE")
			s.load(time.Second) // what is used now is in no snapshot
			s.redis.kill()
			s.redis.start("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
		}, noFault},
		{"stopped", func(s *stand) { s.redis.stop() }, func(s *stand) { s.redis.carryOn() }},
		{"black hole", func(s *stand) { s.spoil("timeout", `{"timeout":0}`) }, (*stand).heal},
		{"reset", func(s *stand) { s.spoil("reset_peer", `{"timeout":0}`) }, (*stand).heal},
		{"slow", func(s *stand) { s.spoil("latency", `{"latency":200}`) }, (*stand).heal},
		{"full", func(s *stand) { s.redis.do("CONFIG", "SET", "maxmemory", "1") }, func(s *stand) { s.redis.do("CONFIG", "SET", "maxmemory", "0") }},
		{"forbidden", func(s *stand) { s.redis.do("ACL", "SETUSER", user, "-set") }, func(s *stand) { s.redis.do("ACL", "SETUSER", user, "+set") }},
		{"wrong password", func(s *stand) {
			s.redis.login("another")
			s.redis.do("CLIENT", "KILL", "USER", user)
		}, func(s *stand) { s.redis.login(secret) }},
		{"wrong type", func(s *stand) {
			s.redis.do("EVAL", "redis.call('DEL', KEYS[1]); return redis.call('LPUSH', KEYS[1], 'x')", "1", epoch)
		}, func(s *stand) { s.redis.do("DEL", epoch) }},
		{"flushed", func(s *stand) { s.redis.forget() }, noFault},
	}
}

// recovery is how long proofs may be refused after Redis is back.
const recovery = 5 * time.Second

// whatever happens to Redis, no proof passes twice, whoever has no proof
// notices nothing, and proofs pass again soon after.
func TestR32(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) { suffer(t, newStand(t, 2, "deny", "50ms"), f) })
	}
}

// The same with one gate that trusts its own memory meanwhile.
func TestR32Local(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			s := newStand(t, 1, "local", "50ms")
			if c := suffer(t, s, f); c.unsure.Load() > 0 {
				t.Errorf("%d proofs were answered with 503", c.unsure.Load())
			}
		})
	}
}

// suffer loads the gates before, during and after a fault, and presents every
// proof that passed again.
func suffer(t *testing.T, s *stand, f fault) *counts {
	t.Helper()
	c := &counts{passes: make(map[string]int)}
	s.counts = c
	s.load(time.Second)
	stop := s.loadAlong()
	f.begin(s)
	time.Sleep(1500 * time.Millisecond) // the length of the outage
	f.heal(s)
	healed := time.Now()
	for _, g := range s.gates {
		for s.present(g, s.proof()) != http.StatusOK && time.Since(healed) < 20*time.Second {
			time.Sleep(20 * time.Millisecond) // a client's next attempt
		}
	}
	back := time.Since(healed)
	stop()
	s.load(500 * time.Millisecond)
	s.presentAgain()
	t.Logf("%s: %d proofs passed, %d of %d replays accepted, %d requests without DPoP of which %d refused, %d proofs without a verdict, %d too old; recovered after %d ms",
		f.name, c.fresh.Load(), c.replayed.Load(), c.again.Load(), c.plain.Load(), c.refused.Load(), c.unsure.Load(), c.old.Load(), back.Milliseconds())
	if c.replayed.Load() > 0 || c.refused.Load() > 0 || c.odd.Load() > 0 {
		t.Errorf("%d replays accepted, %d requests without DPoP refused, %d odd answers", c.replayed.Load(), c.refused.Load(), c.odd.Load())
	}
	if back > recovery {
		t.Errorf("recovered after %v", back)
	}
	if c.fresh.Load() < 20 {
		t.Errorf("only %d proofs passed: nothing was tried", c.fresh.Load())
	}
	return c
}

// counts is what the clients saw.
type counts struct {
	fresh, replayed, again, plain, refused, unsure, old, odd atomic.Int64

	mu     sync.Mutex // guards passes and recent
	passes map[string]int
	recent []string
}

// present sends a proof and counts how often it passed in its life.
func (s *stand) present(g gate, proof string) int {
	status := s.send(g, proof)
	c := s.counts
	switch status {
	case http.StatusOK:
		c.mu.Lock()
		c.passes[proof]++
		if c.passes[proof] > 1 {
			c.replayed.Add(1)
		} else {
			c.fresh.Add(1)
			c.recent = append(c.recent, proof)
		}
		c.mu.Unlock()
	case http.StatusServiceUnavailable:
		c.unsure.Add(1)
	case http.StatusUnauthorized:
		c.old.Add(1)
	default:
		c.odd.Add(1)
	}
	return status
}

// replay presents a proof that passed before.
func (s *stand) replay(g gate, proof string) {
	s.counts.again.Add(1)
	switch s.send(g, proof) {
	case http.StatusOK:
		s.counts.replayed.Add(1)
	case http.StatusUnauthorized, http.StatusServiceUnavailable:
	default:
		s.counts.odd.Add(1)
	}
}

// presentAgain replays all that passed to every gate.
func (s *stand) presentAgain() {
	s.counts.mu.Lock()
	passed := s.counts.recent
	s.counts.mu.Unlock()
	for _, proof := range passed {
		for _, g := range s.gates {
			s.replay(g, proof)
		}
	}
}

// load runs clients for a while.
func (s *stand) load(d time.Duration) {
	stop := s.loadAlong()
	time.Sleep(d) // the length of the load
	stop()
}

// loadAlong runs clients until stop is called: for each gate one with proofs,
// one with replays, and one without either.
func (s *stand) loadAlong() (stop func()) {
	done := make(chan struct{})
	var loading sync.WaitGroup
	for _, g := range s.gates {
		loading.Go(func() { s.pace(done, func() { s.present(g, s.proof()) }) })
		loading.Go(func() {
			s.pace(done, func() {
				if proof, ok := s.older(); ok {
					s.replay(g, proof)
				}
			})
		})
		loading.Go(func() {
			s.pace(done, func() {
				s.counts.plain.Add(1)
				if s.get(g.url+"/x", "Bearer "+s.bearer, "") != http.StatusOK {
					s.counts.refused.Add(1)
				}
			})
		})
	}
	return func() {
		close(done)
		loading.Wait()
	}
}

// pace calls act a hundred times a second, or as often as it ends.
func (s *stand) pace(done <-chan struct{}, act func()) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			act()
		}
	}
}

// older is a proof that passed, the newest and the oldest in turns.
func (s *stand) older() (string, bool) {
	c := s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.recent)
	if n == 0 {
		return "", false
	}
	turn := int(c.again.Load())
	if turn%2 == 0 {
		return c.recent[n-1], true
	}
	return c.recent[turn*7919%n], true
}
