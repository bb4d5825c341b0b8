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
	versionKey  = "denied-version"     // is another one after each change
	epochField  = "epoch"              // of the hash: made with it, and so lost with it
	deniedNews  = "denied"             // the channel that tells of one
	askEvery    = time.Second          // for the version
	wholeEvery  = 30 * time.Second     // for the rules, in case somebody changed them and not the version
	pastItsEnd  = time.Minute          // when a rule that has ended is forgotten here, and removed where room is needed
	maxShared   = redis.MaxFields - 10 // the epoch is another field, and a rule is written before those it replaces go
	maxOld      = 64 << 10             // octets left for that
	reachWithin = 5 * time.Second      // for commands
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
	version string     // of the rules in last
	epoch   string     // of the memory that has them
	hash    [sha256.Size]byte
	known   bool                   // they have been read once
	whole   time.Time              // when they were read last
	last    map[string]string      // what was read, with what was added
	octets  int                    // of it
	alike   map[revoke.Rule][]held // the rules of it, by what they say without dates
}

// held is a rule with the name it has in Redis.
type held struct {
	id   string
	rule revoke.Rule
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
	same := s.known && len(version) > 0 && string(version) == s.version
	if err == nil && same && !told && time.Since(s.whole) < wholeEvery {
		s.same(s.rules.Count(FromRedis))
		return
	}
	var fields map[string]string
	if err == nil {
		fields, err = s.read(ctx)
	}
	if err == nil && len(version) == 0 {
		version = []byte(rand.Text())
		err = s.client.Set(ctx, versionKey, version, 0)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.told(0, 0, err)
	default:
		s.version, s.epoch = string(version), fields[epochField]
		delete(fields, epochField)
		s.take(ctx, fields, time.Now())
	}
}

// read reads the hash, with its epoch. One without an epoch, or with another one
// than before, is not what was read before with something changed: that was
// lost, and nobody took its rules away. They are written again then, to what
// others have written there meanwhile.
//
// The order matters. A memory that is lost once more after it got an epoch has
// another one, or none, when all is written, and this begins anew.
func (s *Shared) read(ctx context.Context) (map[string]string, error) {
	fields, err := s.client.Fields(ctx, Key)
	epoch := fields[epochField]
	if err != nil || epoch != "" && (epoch == s.epoch || !s.known) {
		return fields, err
	}
	if s.known {
		s.told(0, 0, errRulesLost)
	}
	if epoch == "" {
		if err := s.client.SetFieldNew(ctx, Key, epochField, rand.Text()); err != nil {
			return nil, err
		}
		if fields, err = s.client.Fields(ctx, Key); err != nil {
			return nil, err
		}
		epoch = fields[epochField]
	}
	for id, text := range s.last {
		if fields[id] != "" {
			continue
		}
		if err := s.client.SetField(ctx, Key, id, text); err != nil {
			return nil, err
		}
	}
	if err := s.changed(ctx); err != nil {
		return nil, err
	}
	fields, err = s.client.Fields(ctx, Key)
	if err == nil && (epoch == "" || fields[epochField] != epoch) {
		err = errRulesLost
	}
	return fields, err
}

// take puts what was read in force. A rule that cannot be read costs itself
// only: others, and other versions of us, write there too.
func (s *Shared) take(ctx context.Context, fields map[string]string, now time.Time) {
	sum := sha256.New()
	set, skipped := []revoke.Rule(nil), 0
	s.last, s.octets, s.alike = fields, 0, make(map[revoke.Rule][]held)
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		s.octets += len(id) + len(fields[id])
		sum.Write([]byte(id + "\x00" + fields[id] + "\x00"))
		r, err := revoke.ParseRule(strings.TrimSpace(fields[id]))
		if err != nil {
			skipped++
			continue
		}
		s.hold(id, r)
		if !r.Over(now.Add(-pastItsEnd)) {
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
	s.sweep(ctx, now, revoke.Kept)
}

func (s *Shared) hold(id string, r revoke.Rule) {
	key := r.Undated()
	s.alike[key] = append(s.alike[key], held{id, r})
}

// sweep removes rules that ended some time ago, by our clock and that of Redis:
// one that was set ahead would remove them for all replicas. What fails here is
// tried again.
func (s *Shared) sweep(ctx context.Context, now time.Time, ago time.Duration) {
	over := s.over(now.Add(-ago))
	if len(over) == 0 {
		return
	}
	if theirs, err := s.client.Now(ctx); err != nil {
		return
	} else if theirs.Before(now) {
		over = s.over(theirs.Add(-ago))
	}
	s.drop(ctx, over)
}

func (s *Shared) over(now time.Time) (ids []string) {
	for _, rules := range s.alike {
		for _, h := range rules {
			if h.rule.Over(now) {
				ids = append(ids, h.id)
			}
		}
	}
	return ids
}

// drop removes rules that nobody needs. Where it fails they do no harm.
func (s *Shared) drop(ctx context.Context, ids []string) {
	if len(ids) == 0 || s.client.DeleteFields(ctx, Key, ids...) != nil {
		return
	}
	gone := make(map[string]bool)
	for _, id := range ids {
		gone[id] = true
		s.octets -= len(id) + len(s.last[id])
		delete(s.last, id)
	}
	for key, rules := range s.alike {
		if s.alike[key] = slices.DeleteFunc(rules, func(h held) bool { return gone[h.id] }); len(s.alike[key]) == 0 {
			delete(s.alike, key)
		}
	}
}

// Add writes rules and puts them in force here; the others are told. An error
// tells that some may not have been written: none is in force here yet.
func (s *Shared) Add(ctx context.Context, rules ...revoke.Rule) error {
	return s.add(ctx, rules, func(*revoke.Rule) []string { return nil })
}

// Deny is Add for rules that events made: they replace those that they cover,
// or who logs out often would fill what there is. Those of people do not, since
// people take rules out again.
func (s *Shared) Deny(ctx context.Context, rules ...revoke.Rule) error {
	return s.add(ctx, rules, s.covered)
}

// covered lists the rules that say nothing beside r.
func (s *Shared) covered(r *revoke.Rule) (ids []string) {
	for _, h := range s.alike[r.Undated()] {
		if r.Covers(&h.rule) {
			ids = append(ids, h.id)
		}
	}
	return ids
}

func (s *Shared) add(ctx context.Context, rules []revoke.Rule, replaced func(*revoke.Rule) []string) error {
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
		old, more := replaced(&r), len(id)+len(text)
		if s.full(len(old), more) {
			s.sweep(ctx, time.Now(), pastItsEnd)
			old = replaced(&r)
		}
		if s.full(len(old), more) {
			return errRulesFull
		}
		if err := s.client.SetField(ctx, Key, id, text); err != nil {
			return err
		}
		s.last[id] = text
		s.octets += more
		s.drop(ctx, old)
		s.hold(id, r)
	}
	if err := s.changed(ctx); err != nil {
		return err
	}
	return s.rules.Add(FromRedis, redis.MaxFields, rules...)
}

// full tells of no room for one more in the place of some.
func (s *Shared) full(replaced, more int) bool {
	return len(s.last)-replaced >= maxShared || replaced == 0 && s.octets+more > redis.MaxValue-maxOld
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
	delete(fields, epochField)
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		each(id, fields[id])
	}
	return err
}

// Remove removes the rule of an ID and tells the others. The error is one of
// internal/redis.
func (s *Shared) Remove(ctx context.Context, id string) (found bool, err error) {
	fields, err := s.client.Fields(ctx, Key)
	if _, found := fields[id]; err != nil || !found || id == epochField {
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
