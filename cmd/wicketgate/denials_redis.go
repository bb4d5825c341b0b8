package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

const (
	fromRedis   = "redis"
	rulesBlock  = "revocation.redis"
	deniedKey   = "denied"         // a hash: rules by their IDs
	versionKey  = "denied-version" // is another one after each change
	deniedNews  = "denied"         // the channel that tells of one
	askEvery    = time.Second      // for the version
	wholeEvery  = 30 * time.Second // for the rules, in case somebody changed them and not the version
	pastItsEnd  = time.Minute      // when a rule that has ended is removed, by whoever sees it first
	reachWithin = 5 * time.Second  // for commands
)

var (
	errRulesUnread = errors.New("the rules in Redis have not been read yet")
	errRulesLost   = errors.New("the rules in Redis are gone; they are written again")
	errRulesFull   = errors.New("there are as many rules in Redis as a gate reads")
	errNoRedis     = errors.New("cannot be reached")
)

// sharedRules is the deny rules that replicas share. All of them are held in
// memory: no request waits for Redis.
type sharedRules struct {
	client *redis.Client
	rules  *revoke.Rules
	told   func(rules, skipped int, err error) // of changes and troubles
	same   func(rules int)                     // of each look that finds the rules those in force

	mu      sync.Mutex // guards all below: one reads or writes at a time
	version string     // empty before the first look only
	hash    [sha256.Size]byte
	known   bool              // they have been read once
	whole   time.Time         // when they were read last
	last    map[string]string // what was read, with what was added
	octets  int               // of it
}

// run takes over changes when it is told of them, and looks for itself each
// second: what is told while there is no connection is lost.
func (s *sharedRules) run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var listening sync.WaitGroup
	defer listening.Wait()
	listening.Go(func() {
		// The error is that of ctx: there is nothing else to end it.
		_ = s.client.Subscribe(ctx, deniedNews, func(string) { ask(changed) })
	})
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for told := true; ; {
		s.refresh(ctx, told)
		select {
		case <-ctx.Done():
			return
		case <-changed:
			told = true
		case <-ticker.C:
			told = false
		}
	}
}

// refresh reads the rules when they may have changed, or when told so. The version is read
// first: rules that are newer than it are only read once more.
func (s *sharedRules) refresh(ctx context.Context, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version, _, err := s.client.Get(ctx, versionKey)
	if err == nil && s.known && !told && string(version) == s.version && time.Since(s.whole) < wholeEvery {
		s.same(s.rules.Count(fromRedis))
		return
	}
	if err == nil && len(version) == 0 {
		version, err = s.begin(ctx)
	}
	var fields map[string]string
	if err == nil {
		fields, err = s.client.Fields(ctx, deniedKey)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.told(0, 0, err)
	default:
		s.version = string(version)
		s.take(ctx, fields, time.Now())
	}
}

// begin makes a version where there is none. If there was one before, Redis has
// lost its memory, and the rules are written again: nobody took them away.
func (s *sharedRules) begin(ctx context.Context) ([]byte, error) {
	if s.version != "" {
		s.told(0, 0, errRulesLost)
	}
	for id, text := range s.last {
		if err := s.client.SetField(ctx, deniedKey, id, text); err != nil {
			return nil, err
		}
	}
	version := []byte(rand.Text())
	return version, s.client.Set(ctx, versionKey, version, 0)
}

// take puts what was read in force. A rule that cannot be read costs itself
// only: others, and other versions of us, write there too.
func (s *sharedRules) take(ctx context.Context, fields map[string]string, now time.Time) {
	sum := sha256.New()
	set, over, skipped := []revoke.Rule(nil), []string(nil), 0
	s.last, s.octets = fields, 0
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		s.octets += len(id) + len(fields[id])
		sum.Write([]byte(id + "\x00" + fields[id] + "\x00"))
		r, err := revoke.ParseRule(strings.TrimSpace(fields[id]))
		switch {
		case err != nil:
			skipped++
		case r.Over(now.Add(-pastItsEnd)):
			over = append(over, id)
		default:
			set = append(set, r)
		}
	}
	if err := s.rules.Set(fromRedis, revoke.NewSet(set...)); err != nil {
		s.told(0, 0, err)
		return
	}
	hash := [sha256.Size]byte(sum.Sum(nil))
	if count := s.rules.Count(fromRedis); hash != s.hash || !s.known {
		s.told(count, skipped, nil)
	} else {
		s.same(count)
	}
	s.hash, s.known, s.whole = hash, true, now
	_ = s.client.DeleteFields(ctx, deniedKey, over...) // the next look tries again
}

// add writes rules and puts them in force here; the others are told.
func (s *sharedRules) add(ctx context.Context, rules []revoke.Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return errRulesUnread
	}
	for _, r := range rules {
		id, text := r.Name(), r.String()
		if s.last[id] == text {
			continue
		}
		if len(s.last) >= redis.MaxFields || s.octets+len(id)+len(text) > redis.MaxValue {
			return errRulesFull
		}
		if err := s.client.SetField(ctx, deniedKey, id, text); err != nil {
			return err
		}
		s.last[id] = text
		s.octets += len(id) + len(text)
	}
	if err := s.changed(ctx); err != nil {
		return err
	}
	return s.rules.Add(fromRedis, redis.MaxFields, rules...)
}

// changed tells all replicas to read.
func (s *sharedRules) changed(ctx context.Context) error {
	if err := s.client.Set(ctx, versionKey, []byte(rand.Text()), 0); err != nil {
		return err
	}
	return s.client.Publish(ctx, deniedNews, "changed")
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
	d := s.denials
	failing := false
	d.shared = &sharedRules{client: client, rules: d.rules,
		same: func(rules int) { failing = false; s.metrics.RulesCurrent(fromRedis, rules) },
		told: func(rules, skipped int, err error) {
			if err != nil && failing && !errors.Is(err, errRulesLost) {
				s.metrics.RulesAdded(fromRedis, 0, err) // it is in the log already
				return
			}
			failing = err != nil
			s.metrics.RulesRead(fromRedis, rules, skipped, err)
		},
	}
	return nil
}

// reachRules reads the rules once, for commands. Without an error, end closes
// the connection.
func reachRules(ctx context.Context, c *config.File, rules *revoke.Rules) (_ *sharedRules, end func(), err error) {
	o, err := redisOptions(c, rulesBlock, c.Revocation.Redis)
	if err != nil {
		return nil, nil, err
	}
	stands := make(chan struct{}, 1)
	o.OnState = func(bool, bool) { ask(stands) }
	client, err := redis.New(o)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	var problem error
	s := &sharedRules{client: client, rules: rules, same: func(int) {}, told: func(_, _ int, err error) { problem = err }}
	for !s.known && ctx.Err() == nil {
		if s.refresh(ctx, true); s.known {
			return s, client.Close, nil
		}
		select {
		case <-stands:
		case <-time.After(reachWithin / 20):
		case <-ctx.Done():
		}
	}
	client.Close()
	return nil, nil, errors.Join(errNoRedis, problem)
}

// redisRules is where people write rules that replicas share.
type redisRules struct{ *sharedRules }

func (r redisRules) add(ctx context.Context, rule revoke.Rule) error {
	return r.sharedRules.add(ctx, []revoke.Rule{rule})
}

// list shows what is there, also what cannot be read.
func (r redisRules) list(ctx context.Context, each func(id, rule string)) error {
	fields, err := r.client.Fields(ctx, deniedKey)
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		each(id, fields[id])
	}
	return err
}

func (r redisRules) remove(ctx context.Context, id string) (bool, error) {
	fields, err := r.client.Fields(ctx, deniedKey)
	if _, found := fields[id]; err != nil || !found {
		return false, err
	}
	if err := r.client.DeleteFields(ctx, deniedKey, id); err != nil {
		return true, err
	}
	return true, r.changed(ctx)
}
