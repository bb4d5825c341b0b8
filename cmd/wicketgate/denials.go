package main

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/validator/revoke"
	"github.com/wicketgate/wicketgate/validator/signals"
)

// Sources of deny rules, as metrics and logs name them.
const (
	fromFile    = "file"
	fromSignals = "signals" // without Redis
)

const (
	// lookEvery is how often the file of deny rules is looked at. A change counts
	// at the second look that finds it the same: a file that is being written is
	// read by no one.
	lookEvery  = 250 * time.Millisecond
	sweepEvery = time.Minute

	maxSignalRules = 100_000 // of events, in memory
)

// denials is the deny rules and where they come from. It lives with the
// process: what was denied stays so over a reload.
type denials struct {
	rules   *revoke.Rules // nil: there are none
	file    *ruleFile     // nil for none
	shared  *sharedRules  // nil for none, and but in serve
	kept    *keptRules    // of events; nil when they are not received, or in Redis
	metrics *telemetry.Telemetry
	loaded  bool // the files have been read once

	receiver    *signals.Receiver // nil for none
	keys        *jwks.Cache       // of the transmitters
	certificate atomic.Pointer[tls.Certificate]
}

func newDenials(c *config.File, metrics *telemetry.Telemetry) *denials {
	d := &denials{metrics: metrics}
	r := c.Revocation
	if !r.On() {
		return d
	}
	var sources []string
	if r.File != "" {
		sources = append(sources, fromFile)
		d.file = &ruleFile{name: r.File}
	}
	if r.Redis.On() {
		sources = append(sources, fromRedis)
	}
	if r.Signals.Listen != "" {
		d.receive(r.Signals)
	}
	if r.Signals.Listen != "" && !r.Redis.On() {
		sources = append(sources, fromSignals)
		d.kept = &keptRules{name: r.Signals.File}
	}
	d.rules = revoke.New(sources...)
	if metrics != nil {
		metrics.Denials(sources, d.receiver != nil)
	}
	return d
}

// build reads what the configuration says about rules and events.
func (d *denials) build(c *config.File) (*signalsPlan, error) {
	plan, err := signalsOf(c)
	if c.Revocation.Redis.On() {
		_, problem := redisOptions(c, rulesBlock, c.Revocation.Redis)
		err = errors.Join(err, problem)
	}
	return plan, errors.Join(err, d.load(c))
}

// load reads the files for the first time. What is wrong with them then is a
// fault of the configuration: no old rules could stay in force.
func (d *denials) load(c *config.File) error {
	if d.rules == nil || d.loaded {
		return nil
	}
	if d.file != nil {
		set, err := d.file.first()
		if err == nil {
			err = d.rules.Set(fromFile, set)
		}
		if err != nil {
			return c.ErrorAt("revocation.file", err.Error())
		}
		d.changed(fromFile, set, 0, nil)
		d.strange(c, fromFile, set)
	}
	if d.kept != nil {
		set, err := d.kept.read(time.Now())
		if err == nil {
			err = d.rules.Set(fromSignals, set)
		}
		if err != nil {
			return c.ErrorAt("revocation.signals.file", err.Error())
		}
		d.changed(fromSignals, set, 0, nil)
	}
	d.loaded = true
	return nil
}

// changed reports rules that were read.
func (d *denials) changed(source string, set *revoke.Set, skipped int, err error) {
	if d.metrics == nil {
		return
	}
	rules := 0
	if set != nil {
		rules = set.Len()
	}
	d.metrics.RulesRead(source, rules, skipped, err)
}

// strange warns of rules that deny nobody's tokens.
func (d *denials) strange(c *config.File, source string, set *revoke.Set) {
	unknown := 0
	for _, name := range set.Issuers() {
		if !slices.ContainsFunc(c.Issuers, func(i config.Issuer) bool {
			return slices.ContainsFunc(i.PerTenant(), func(one config.Issuer) bool { return one.Issuer == name })
		}) {
			unknown++
		}
	}
	if unknown > 0 && d.metrics != nil {
		d.metrics.RulesStrange(source, unknown)
	}
}

// run keeps the rules as their sources have them. It returns when ctx ends.
func (d *denials) run(ctx context.Context) {
	if d.rules == nil {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	if d.keys != nil {
		running.Go(func() { d.keys.Run(ctx) })
	}
	if d.file != nil {
		running.Go(func() { every(ctx, lookEvery, d.look) })
	}
	if d.shared != nil {
		running.Go(func() { d.shared.run(ctx) })
	}
	every(ctx, sweepEvery, d.sweep)
}

func every(ctx context.Context, period time.Duration, do func()) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

func (d *denials) sweep() {
	d.rules.Sweep(time.Now())
	if d.kept != nil {
		d.metrics.RulesCurrent(fromSignals, d.rules.Count(fromSignals))
	}
}

// look takes over the file when it has changed.
func (d *denials) look() {
	set, same, err := d.file.look()
	if err == nil && set != nil {
		err = d.rules.Set(fromFile, set)
	}
	switch {
	case err != nil || set != nil:
		d.changed(fromFile, set, 0, err)
	case same:
		d.metrics.RulesCurrent(fromFile, d.rules.Count(fromFile))
	}
}

// deny puts rules in force that events made, and keeps them.
func (d *denials) deny(ctx context.Context, rules []revoke.Rule) error {
	if d.shared != nil {
		err := d.shared.add(ctx, rules)
		d.metrics.RulesAdded(fromRedis, d.rules.Count(fromRedis), err)
		return err
	}
	err := d.rules.Add(fromSignals, maxSignalRules, rules...)
	if err == nil {
		err = d.kept.add(rules)
	}
	d.metrics.RulesAdded(fromSignals, d.rules.Count(fromSignals), err)
	return err
}
