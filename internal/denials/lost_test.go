package denials

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// replica is one that shares rules and is looked after by the test, not by Run.
type replica struct {
	*Shared
	rules *revoke.Rules
}

func newReplica(t *testing.T, server *miniredis.Miniredis) replica {
	t.Helper()
	rules := revoke.New(FromRedis)
	shared, err := Reach(t.Context(), redis.Options{Addresses: []string{server.Addr()}, Timeout: 5 * time.Second}, rules)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shared.Close)
	shared.told = func(int, int, error) {}
	return replica{shared, rules}
}

func (r replica) denies(subject string) bool {
	_, denied := r.rules.Denies(revoke.Token{Issuer: rule("").Issuer, Subject: subject}, time.Now())
	return denied
}

// TestMemoryLost has the memory of Redis lost, in every order in which those
// that share it may notice.
func TestMemoryLost(t *testing.T) {
	hash := redis.DefaultPrefix + Key
	for name, lose := range map[string]func(*testing.T, *miniredis.Miniredis){
		"all of it, and nobody came before": func(_ *testing.T, s *miniredis.Miniredis) { s.FlushAll() },
		"all of it, and a new replica came before": func(t *testing.T, s *miniredis.Miniredis) {
			s.FlushAll()
			newReplica(t, s)
		},
		"all of it, and a new rule came before": func(t *testing.T, s *miniredis.Miniredis) {
			s.FlushAll()
			if err := newReplica(t, s).Add(t.Context(), rule("bob")); err != nil {
				t.Error(err)
			}
		},
		"all of it, and other tools wrote before": func(_ *testing.T, s *miniredis.Miniredis) {
			s.FlushAll()
			s.HSet(hash, "by hand", rule("bob").String())
		},
		"the hash":                             func(_ *testing.T, s *miniredis.Miniredis) { s.Del(hash) },
		"the version, which says nothing else": func(_ *testing.T, s *miniredis.Miniredis) { s.Del(redis.DefaultPrefix + versionKey) },
	} {
		t.Run(name, func(t *testing.T) {
			server := miniredis.RunT(t)
			one, two := newReplica(t, server), newReplica(t, server)
			if err := one.Add(t.Context(), rule("alice")); err != nil {
				t.Fatal(err)
			}
			two.refresh(t.Context(), true)
			lose(t, server)
			for range 2 {
				for i, r := range []replica{one, two} {
					if r.refresh(t.Context(), true); !r.denies("alice") {
						t.Errorf("replica %d lets through what was denied", i)
					}
				}
			}
			if three := newReplica(t, server); !three.denies("alice") || three.epoch != one.epoch || three.epoch != two.epoch {
				t.Error("they do not agree on what there is")
			}
			if found, err := two.Remove(t.Context(), rule("alice").Name()); !found || err != nil {
				t.Fatal(found, err)
			}
			for _, r := range []replica{one, two, one} {
				if r.refresh(t.Context(), true); r.denies("alice") {
					t.Error("what was removed comes back")
				}
			}
		})
	}
}

// TestMemoryLostInBetween has it lost while rules are written again.
func TestMemoryLostInBetween(t *testing.T) {
	server := miniredis.RunT(t)
	one := newReplica(t, server)
	for i := range 20 {
		if err := one.Add(t.Context(), rule(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	server.FlushAll()
	ctx, stop := context.WithCancel(t.Context())
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		for ctx.Err() == nil {
			server.FlushAll()
			time.Sleep(time.Millisecond)
		}
	}()
	for range 20 {
		one.refresh(t.Context(), true)
	}
	stop()
	<-flushed
	one.refresh(t.Context(), true)
	if one.rules.Len() != 20 || newReplica(t, server).rules.Len() != 20 {
		t.Errorf("%d rules, and %d for others", one.rules.Len(), newReplica(t, server).rules.Len())
	}
}

// TestEpochIsNoRule wants it hidden from people.
func TestEpochIsNoRule(t *testing.T) {
	server := miniredis.RunT(t)
	one := newReplica(t, server)
	skipped := -1
	one.told = func(_, s int, _ error) { skipped = s }
	if err := one.Add(t.Context(), rule("alice")); err != nil {
		t.Fatal(err)
	}
	if one.refresh(t.Context(), true); skipped > 0 {
		t.Error("counted as a rule that cannot be read")
	}
	count := 0
	if err := one.List(t.Context(), func(string, string) { count++ }); err != nil || count != 1 {
		t.Errorf("%d listed, %v", count, err)
	}
	if found, err := one.Remove(t.Context(), epochField); found || err != nil {
		t.Errorf("removed: %v %v", found, err)
	}
}
