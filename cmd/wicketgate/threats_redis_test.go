package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

var redisThreats = []conformanceRow{{"D-32", threatD32}}

// remembering is a siege of a gate whose used proofs are in a Redis that has
// remembered for an hour.
type remembering struct {
	*siege
	redis *miniredis.Miniredis
	where string // its address
	key   *devissuer.ClientKey
	raw   string
}

func newRemembering(t *testing.T, more string) *remembering {
	t.Helper()
	server := miniredis.RunT(t)
	if err := server.Set("wicketgate:replay:{0}:epoch", fmt.Sprint("unknown ", time.Now().Unix()-3600)); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(text string) string {
		return text + "dpop: {replay: {store: redis, redis: {addresses: [\"" + server.Addr() + "\"], timeout: 2s}" + more + "}}\n"
	})
	m := &remembering{redis: server, where: server.Addr(), key: newClientKey(t, "ES256")}
	m.siege = &siege{fixture: f}
	m.untilConnected("1")
	m.siege = besiege(f)
	m.raw = m.bound(m.key, nil)
	return m
}

func (m *remembering) untilConnected(want string) {
	m.t.Helper()
	eventually(m.t, "redis connected: "+want, func() bool {
		return strings.Contains(m.metrics("wicketgate_redis_connected"), `wicketgate_redis_connected{redis="`+m.where+`"} `+want+"\n")
	})
}

func (m *remembering) send(proof string) *reply { return m.sendProof(m.raw, proof) }

// outage takes Redis away while it runs.
func (m *remembering) outage(t *testing.T, during func()) {
	t.Helper()
	m.redis.Close()
	m.untilConnected("0")
	m.counts = m.counters()
	during()
	m.redis.FlushAll()
	if err := m.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	m.untilConnected("1")
}

func threatD32(t *testing.T) {
	t.Run("deny", func(t *testing.T) {
		m := newRemembering(t, "")
		used, unsure := m.good(m.key, m.raw), m.good(m.key, m.raw)
		m.passes(t, m.send(used))
		m.repels(t, m.send(used), badProof, token.ReasonDPoPReplay)
		m.outage(t, func() {
			r := m.send(used)
			m.undecided(t, r, token.ReasonReplayUnavailable)
			if got := r.Header.Get("Retry-After"); got != "2" {
				t.Errorf("Retry-After %q", got)
			}
			m.undecided(t, m.send(unsure), token.ReasonReplayUnavailable)
			m.passes(t, m.sendToken(m.AT(nil)))
			if r := m.ask("GET", "/readyz"); r.StatusCode != http.StatusOK {
				t.Errorf("readyz: %d %s", r.StatusCode, r.body)
			}
			if r := m.ask("GET", "/readyz?verbose"); !strings.Contains(r.body, "redis "+m.where+": not connected (") {
				t.Errorf("readyz?verbose: %s", r.body)
			}
		})
		m.repels(t, m.send(used), badProof, token.ReasonDPoPTime) // it came back empty
		m.passes(t, m.send(m.proof(m.key, m.raw, "GET", "/any/x", devissuer.Proof{IssuedAt: time.Now().Add(5 * time.Second)})))
		if got := seriesValue(t, m.fixture, `wicketgate_dpop_replay_store_errors_total{store="redis"}`); got != "2" {
			t.Errorf("%s errors of the store are counted", got)
		}
	})
	t.Run("local", func(t *testing.T) {
		m := newRemembering(t, ", on_unavailable: local")
		before, during := m.good(m.key, m.raw), m.good(m.key, m.raw)
		m.passes(t, m.send(before))
		m.outage(t, func() {
			m.repels(t, m.send(before), badProof, token.ReasonDPoPReplay)
			m.passes(t, m.send(during))
			m.repels(t, m.send(during), badProof, token.ReasonDPoPReplay)
			old := m.proof(m.key, m.raw, "GET", "/any/x", devissuer.Proof{IssuedAt: m.gateway.stores.started.Add(-5 * time.Second)})
			m.repels(t, m.send(old), badProof, token.ReasonDPoPTime)
		})
		m.repels(t, m.send(before), badProof, token.ReasonDPoPReplay)
		m.repels(t, m.send(during), badProof, token.ReasonDPoPReplay)
		m.passes(t, m.send(m.proof(m.key, m.raw, "GET", "/any/x", devissuer.Proof{IssuedAt: time.Now().Add(5 * time.Second)})))
		if got := seriesValue(t, m.fixture, "wicketgate_dpop_replay_local_total"); got != "1" {
			t.Errorf("%s proofs were taken on the local memory alone", got)
		}
	})
}

// A Redis that forgot while nobody noticed refuses what it may have seen.
func TestRedisForgets(t *testing.T) {
	m := newRemembering(t, "")
	used := m.good(m.key, m.raw)
	m.passes(t, m.send(used))
	m.redis.FlushAll()
	m.repels(t, m.send(used), badProof, token.ReasonDPoPTime)
	fresh := m.proof(m.key, m.raw, "GET", "/any/x", devissuer.Proof{IssuedAt: time.Now().Add(5 * time.Second)})
	m.passes(t, m.send(fresh))
	m.repels(t, m.send(fresh), badProof, token.ReasonDPoPReplay)
}

// Requests without DPoP ask Redis nothing.
func TestWithoutDPoPRedisIsNotAsked(t *testing.T) {
	m := newRemembering(t, "")
	for range 20 {
		m.passes(t, m.sendToken(m.AT(nil)))
	}
	if keys := m.redis.Keys(); len(keys) != 1 || keys[0] != "wicketgate:replay:{0}:epoch" {
		t.Errorf("Redis holds %q", keys)
	}
	m.passes(t, m.send(m.good(m.key, m.raw)))
	if keys := m.redis.Keys(); len(keys) != 2 {
		t.Errorf("Redis holds %q", keys)
	}
}

// One step for two gates: of a proof sent to both, one passes.
func TestTwoGatesShareProofs(t *testing.T) {
	m := newRemembering(t, "")
	other := newFixture(t, func(text string) string {
		return strings.Replace(text, `"%[3]s"`, `"`+m.a.Identifier()+`"`, 1) + "dpop: {replay: {store: redis, redis: {addresses: [\"" + m.where + "\"], timeout: 2s}}}\n"
	})
	eventually(t, "the other is connected", func() bool {
		return strings.Contains(other.metrics("wicketgate_redis_connected"), `wicketgate_redis_connected{redis="`+m.where+`"} 1`)
	})
	used := m.good(m.key, m.raw)
	m.passes(t, m.send(used))
	if r := other.do("GET", "/any/x", "Authorization", "DPoP "+m.raw, "DPoP", used); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the other gate: %d %s", r.StatusCode, r.body)
	}
	if r := other.do("GET", "/any/x", "Authorization", "DPoP "+m.raw, "DPoP", m.good(m.key, m.raw)); r.StatusCode != http.StatusOK {
		t.Errorf("the other gate, a new proof: %d %s", r.StatusCode, r.body)
	}
}

func TestRedisOptionsNeedARestart(t *testing.T) {
	m := newRemembering(t, "")
	m.rewrite("timeout: 2s", "timeout: 1s")
	m.gateway.tryReload("test")
	if log := m.log.String(); !strings.Contains(log, "restart needed: dpop.replay changed") {
		t.Errorf("log: %s", log)
	}
}

func TestCheckLiveAsksRedis(t *testing.T) {
	m := newRemembering(t, "")
	command(t, "check", "--config", m.gateway.path).want(t, exitOK)
	// This server cannot say whether it evicts.
	command(t, "check", "--config", m.gateway.path, "--live").want(t, exitFailed, "FAILED redis of dpop.replay.redis: INFO is refused")
	m.redis.Close()
	command(t, "check", "--config", m.gateway.path, "--live").want(t, exitFailed, "FAILED redis of dpop.replay.redis: no connection to ")
}
