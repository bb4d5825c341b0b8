package main

import (
	"context"
	"errors"
	"slices"

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
		o.OnRead, o.OnCurrent, o.OnAdded = metrics.RulesRead, metrics.RulesCurrent, metrics.RulesAdded
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
	var err error
	if c.Revocation.Redis.On() {
		_, err = redisOptions(c, rulesBlock, c.Revocation.Redis)
	}
	set, unread := s.denials.Load()
	if set != nil {
		s.strange(c, set)
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

// strange warns of rules that deny nobody's tokens.
func (s *stores) strange(c *config.File, set *revoke.Set) {
	unknown := 0
	for _, name := range set.Issuers() {
		if !slices.ContainsFunc(c.Issuers, func(i config.Issuer) bool {
			return slices.ContainsFunc(i.PerTenant(), func(one config.Issuer) bool { return one.Issuer == name })
		}) {
			unknown++
		}
	}
	if unknown > 0 && s.metrics != nil {
		s.metrics.RulesStrange(denials.FromFile, unknown)
	}
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
