package main

import (
	"testing"
)

// TestRulesOutliveALoss wants rules in force after Redis came back empty and
// somebody else wrote there first, or lost the rules alone.
func TestRulesOutliveALoss(t *testing.T) {
	for name, lose := range map[string]func(*sharing){
		"everything, and revoke came first": func(s *sharing) {
			s.redis.FlushAll()
			if code, said := s.gates[0].command("--iss", s.gates[0].a.Identifier(), "--sub", "bob"); code != 0 {
				t.Errorf("%d %s", code, said)
			}
		},
		"the rules alone": func(s *sharing) {
			s.redis.Del(ruleHash)
			s.redis.Publish(ruleHash, "look")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSharing(t, 1)
			d := s.gates[0]
			raw := d.AT(changes{"sub": "alice"})
			if code, said := d.command("--iss", d.a.Identifier(), "--sub", "alice"); code != 0 {
				t.Fatalf("%d %s", code, said)
			}
			d.has(t, 1)
			keys, _ := s.redis.HKeys(ruleHash)
			lose(s)
			eventually(t, "the rule to be written again", func() bool {
				now, _ := s.redis.HKeys(ruleHash)
				return len(now) >= len(keys)
			})
			d.denied(t, raw)
			eventually(t, "a new replica to have it", func() bool {
				other := newDenying(t, sharedBlock(s.redis), nil)
				eventually(t, "the rules to be read", func() bool { return other.gateway.stores.denials.Rules().Complete() })
				return other.gateway.stores.denials.Rules().Len() > 0
			})
			d.denied(t, raw)
		})
	}
}
