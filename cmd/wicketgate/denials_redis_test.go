package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/wicketgate/wicketgate/token"
)

// sharing is gates whose deny rules are in a Redis.
type sharing struct {
	redis *miniredis.Miniredis
	gates []*denying
}

const ruleHash = "wicketgate:denied"

func sharedBlock(server *miniredis.Miniredis) string {
	return `redis: {addresses: ["` + server.Addr() + `"], timeout: 2s}`
}

func newSharing(t *testing.T, gates int) *sharing {
	t.Helper()
	s := &sharing{redis: miniredis.RunT(t)}
	for range gates {
		d := newDenying(t, sharedBlock(s.redis), nil)
		eventually(t, "the rules to be read", func() bool { return d.gateway.stores.denials.Rules().Complete() })
		d.siege = besiege(d.fixture)
		s.gates = append(s.gates, d)
	}
	return s
}

// rules waits until a gate has n rules in force.
func (d *denying) has(t *testing.T, n int) {
	t.Helper()
	began := time.Now()
	eventually(t, strconv.Itoa(n)+" rules", func() bool { return d.gateway.stores.denials.Rules().Len() == n })
	t.Logf("in force after %s", time.Since(began).Round(time.Millisecond))
}

func TestRulesInRedis(t *testing.T) {
	s := newSharing(t, 2)
	one, two := s.gates[0], s.gates[1]
	raw := two.AT(changes{"sub": "alice"})
	two.passes(t, two.sendToken(raw))
	two.passes(t, two.sendToken(raw))
	code, said := one.command("--iss", one.a.Identifier(), "--sub", "alice")
	if code != 0 {
		t.Fatalf("%d %s", code, said)
	}
	if code, said = two.command("--iss", two.a.Identifier(), "--sub", "alice", "--issued-before", "now"); code != 0 {
		t.Fatalf("%d %s", code, said)
	}
	id, rule, _ := strings.Cut(strings.TrimSpace(said), " ")
	one.has(t, 2)
	two.has(t, 2)
	two.denied(t, raw)
	if code, said = one.command("--list"); code != 0 || !strings.Contains(said, id+" "+rule+"\n") || strings.Count(said, "\n") != 2 {
		t.Errorf("%d %s", code, said)
	}
	if said := explainText(t, two.config, raw); !strings.Contains(said, "FAIL  deny rules") {
		t.Errorf("explain says %s", said)
	}
	if code, said = one.command("--remove", id); code != 0 {
		t.Errorf("%d %s", code, said)
	}
	two.has(t, 1)
	two.passes(t, two.sendToken(raw))
	if code, _ = one.command("--remove", id); code != exitFailed {
		t.Errorf("removed twice: %d", code)
	}

	t.Run("a bad value", func(t *testing.T) {
		s.redis.HSet(ruleHash, "bad", `{"iss":"x","subject":"y"}`, "by hand", two.rule(`"sub":"alice"`), "over", two.rule(`"sub":"bob","until":1`))
		s.redis.Publish(ruleHash, "look")
		two.has(t, 2)
		two.denied(t, raw)
		const skipped = `revocation_updates_total{result="skipped",source="redis"}`
		eventually(t, "it to be counted", func() bool { return two.series(skipped) == "1" })
		eventually(t, "what is over to be removed", func() bool { return s.redis.HGet(ruleHash, "over") == "" })
		if s.redis.HGet(ruleHash, "bad") == "" {
			t.Error("what cannot be read was removed")
		}
	})
	t.Run("a new replica", func(t *testing.T) {
		three := newDenying(t, sharedBlock(s.redis), nil)
		three.has(t, 2)
	})
}

// TestRulesOutliveRedis wants rules in force while Redis is away, and there
// again when it comes back without its memory.
func TestRulesOutliveRedis(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 1)
	d := s.gates[0]
	raw, other := d.AT(changes{"sub": "alice"}), d.AT(changes{"sub": "bob"})
	if code, said := d.command("--iss", d.a.Identifier(), "--sub", "alice"); code != 0 {
		t.Fatalf("%d %s", code, said)
	}
	d.has(t, 1)
	s.redis.Close()
	const failed = `revocation_updates_total{result="error",source="redis"}`
	eventually(t, "the outage to be seen", func() bool { return d.series(failed) != "0" })
	d.denied(t, raw)
	d.passes(t, d.sendToken(other))
	if code, _ := d.command("--iss", d.a.Identifier(), "--sub", "bob"); code != exitFailed {
		t.Error("a rule was written nowhere")
	}
	s.redis.FlushAll()
	if err := s.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rule to be written again", func() bool { fields, _ := s.redis.HKeys(ruleHash); return len(fields) == 2 })
	d.denied(t, raw)
	if !strings.Contains(d.log.String(), "the rules in Redis are gone") {
		t.Error("nobody is told")
	}
}

// TestRulesNeverSeen wants no token let through that may have been taken back.
func TestRulesNeverSeen(t *testing.T) {
	server := miniredis.RunT(t)
	block := sharedBlock(server)
	server.Close()
	d := newDenying(t, block, nil)
	raw := d.AT(changes{"sub": "alice"})
	d.undecided(t, d.sendToken(raw), token.ReasonRevocationUnavailable)
	d.repels(t, d.sendToken(d.AT(changes{"exp": time.Now().Unix() - 60})), badToken, token.ReasonExpired)
	if r := d.ask("GET", "/readyz"); r.StatusCode != 503 || !strings.Contains(r.body, "deny rules: not ready") {
		t.Errorf("readyz: %d %s", r.StatusCode, r.body)
	}
	wantPassed(t, d.do("GET", "/open/x"))
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rules to be read", func() bool { return d.gateway.stores.denials.Rules().Complete() })
	wantPassed(t, d.sendToken(raw))
}

// TestSignalsInRedis wants what one replica was told in force at the other.
func TestSignalsInRedis(t *testing.T) {
	server := miniredis.RunT(t)
	r := newReceivingWith(t, sharedBlock(server)+", ", "")
	other := newDenying(t, sharedBlock(server), func(text string) string { return instead(t, text, "%[3]s", r.a.Identifier()) })
	for _, d := range []*denying{r.denying, other} {
		eventually(t, "the rules to be read", func() bool { return d.gateway.stores.denials.Rules().Complete() })
	}
	raw := r.AT(changes{"sub": "alice"})
	other.siege, r.siege = besiege(other.fixture), besiege(r.fixture)
	other.passes(t, other.sendToken(raw))
	event := r.event(accountDisabled, changes{}, changes{"sub_id": r.about("alice")})
	r.accepted(t, r.push(event))
	r.denied(t, raw)
	other.has(t, 1)
	other.denied(t, raw)
	server.Close()
	got := r.push(r.event(accountDisabled, changes{}, changes{"sub_id": r.about("bob")}))
	if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s: acknowledged though it is kept nowhere", got.StatusCode, got.body)
	}
}
