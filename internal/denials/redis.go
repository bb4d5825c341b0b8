package denials

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

	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// Key is the hash in Redis with the rules, by their IDs.
const Key = "denied"

const (
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

// Shared is the deny rules that replicas share. All of them are held in
// memory: no request waits for Redis. It is safe for concurrent use.
type Shared struct {
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
func (s *Shared) run(ctx context.Context) {
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
func (s *Shared) refresh(ctx context.Context, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version, _, err := s.client.Get(ctx, versionKey)
	if err == nil && s.known && !told && string(version) == s.version && time.Since(s.whole) < wholeEvery {
		s.same(s.rules.Count(FromRedis))
		return
	}
	if err == nil && len(version) == 0 {
		version, err = s.begin(ctx)
	}
	var fields map[string]string
	if err == nil {
		fields, err = s.client.Fields(ctx, Key)
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
func (s *Shared) begin(ctx context.Context) ([]byte, error) {
	if s.version != "" {
		s.told(0, 0, errRulesLost)
	}
	for id, text := range s.last {
		if err := s.client.SetField(ctx, Key, id, text); err != nil {
			return nil, err
		}
	}
	version := []byte(rand.Text())
	return version, s.client.Set(ctx, versionKey, version, 0)
}

// take puts what was read in force. A rule that cannot be read costs itself
// only: others, and other versions of us, write there too.
func (s *Shared) take(ctx context.Context, fields map[string]string, now time.Time) {
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
	if err := s.rules.Set(FromRedis, revoke.NewSet(set...)); err != nil {
		s.told(0, 0, err)
		return
	}
	hash := [sha256.Size]byte(sum.Sum(nil))
	if count := s.rules.Count(FromRedis); hash != s.hash || !s.known {
		s.told(count, skipped, nil)
	} else {
		s.same(count)
	}
	s.hash, s.known, s.whole = hash, true, now
	_ = s.client.DeleteFields(ctx, Key, over...) // the next look tries again
}

// Add writes rules and puts them in force here; the others are told. An error
// tells that some may not have been written: none is in force here yet.
func (s *Shared) Add(ctx context.Context, rules ...revoke.Rule) error {
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
		if err := s.client.SetField(ctx, Key, id, text); err != nil {
			return err
		}
		s.last[id] = text
		s.octets += len(id) + len(text)
	}
	if err := s.changed(ctx); err != nil {
		return err
	}
	return s.rules.Add(FromRedis, redis.MaxFields, rules...)
}

// changed tells all replicas to read.
func (s *Shared) changed(ctx context.Context) error {
	if err := s.client.Set(ctx, versionKey, []byte(rand.Text()), 0); err != nil {
		return err
	}
	return s.client.Publish(ctx, deniedNews, "changed")
}

// Reach connects and reads the rules once, for commands. They go into rules,
// which has a source FromRedis. The error tells that no rules were got within 5
// seconds, or before ctx ended; without one, Close ends the connection.
func Reach(ctx context.Context, o redis.Options, rules *revoke.Rules) (*Shared, error) {
	stands := make(chan struct{}, 1)
	o.OnState = func(bool, bool) { ask(stands) }
	client, err := redis.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	var problem error
	s := &Shared{client: client, rules: rules, same: func(int) {}, told: func(_, _ int, err error) { problem = err }}
	for !s.known && ctx.Err() == nil {
		if s.refresh(ctx, true); s.known {
			return s, nil
		}
		select {
		case <-stands:
		case <-time.After(reachWithin / 20):
		case <-ctx.Done():
		}
	}
	client.Close()
	return nil, errors.Join(errNoRedis, problem)
}

// Close ends the connection.
func (s *Shared) Close() { s.client.Close() }

// List shows what is there by the IDs, also what cannot be read. The error is
// one of internal/redis.
func (s *Shared) List(ctx context.Context, each func(id, rule string)) error {
	fields, err := s.client.Fields(ctx, Key)
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		each(id, fields[id])
	}
	return err
}

// Remove removes the rule of an ID and tells the others. The error is one of
// internal/redis.
func (s *Shared) Remove(ctx context.Context, id string) (found bool, err error) {
	fields, err := s.client.Fields(ctx, Key)
	if _, found := fields[id]; err != nil || !found {
		return false, err
	}
	if err := s.client.DeleteFields(ctx, Key, id); err != nil {
		return true, err
	}
	return true, s.changed(ctx)
}

// ask leaves a wish in a channel that holds one.
func ask(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
