package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/denials"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

const rulesBlock = "revocation.redis"

func newDenials(c *config.File, metrics *telemetry.Telemetry) *denials.Sources {
	r := c.Revocation
	o := denials.Options{File: r.File, Redis: r.Redis.On(), Events: r.Signals.Listen != "", Kept: r.Signals.File}
	if metrics != nil {
		o.OnRead, o.OnCurrent, o.OnAdded, o.OnStrange = metrics.RulesRead, metrics.RulesCurrent, metrics.RulesAdded, metrics.RulesStrange
	}
	d := denials.New(o)
	if metrics != nil && d.Rules() != nil {
		metrics.Denials(d.Names(), o.Events)
	}
	return d
}

// loadDenials reads what the configuration says about rules, and their files
// for the first time.
func (s *stores) loadDenials(c *config.File) error {
	if s.borrowed {
		return nil
	}
	var err error
	if c.Revocation.Redis.On() {
		_, err = redisOptions(c, rulesBlock, c.Revocation.Redis)
	}
	s.denials.Expect(issuersOf(c))
	unread := s.denials.Load()
	if unknown := s.denials.Strange(denials.FromFile); unknown > 0 && s.metrics == nil {
		c.Warn("denied-strangers", "revocation.file", fmt.Sprintf("has rules about %d issuers that are not in the configuration, or not spelt so: they deny nothing", unknown), "write iss in its rules exactly as in issuers[].issuer")
	}
	if bad, ok := errors.AsType[*denials.Error](unread); ok {
		at := "revocation.file"
		if bad.Source == denials.FromSignals {
			at = "revocation.signals.file"
		}
		unread = c.ErrorAt(at, bad.Error())
	}
	return errors.Join(err, unread)
}

// issuersOf lists whose tokens a configuration takes.
func issuersOf(c *config.File) []string {
	var issuers []string
	for _, i := range c.Issuers {
		for _, one := range i.PerTenant() {
			issuers = append(issuers, one.Issuer)
		}
	}
	return issuers
}

// openDenials connects serve with the Redis that has the rules.
func (s *stores) openDenials(c *config.File) error {
	if !c.Revocation.Redis.On() {
		return nil
	}
	client, err := s.openRedis(c, rulesBlock, c.Revocation.Redis)
	if err != nil {
		return err
	}
	s.denials.Share(client)
	return nil
}

// reachRules reads the rules in Redis once, for commands.
func reachRules(ctx context.Context, c *config.File, rules *revoke.Rules) (*denials.Shared, error) {
	o, err := redisOptions(c, rulesBlock, c.Revocation.Redis)
	if err != nil {
		return nil, err
	}
	return denials.Reach(ctx, o, rules)
}
