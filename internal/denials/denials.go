// Package denials keeps deny rules as their sources have them: a file that
// others write, a hash in Redis that replicas share, and security events.
//
// It knows where rules come from and how they stay in force while a source is
// in trouble. Whether a rule names a token is for validator/revoke, and what an
// event means for validator/signals.
package denials

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// Sources of deny rules, as metrics and logs name them.
const (
	FromFile    = "file"
	FromRedis   = "redis"
	FromSignals = "signals" // without Redis
)

const (
	// lookEvery is how often the file of deny rules is looked at. A change counts
	// at the second look that finds it the same: a file that is being written is
	// read by no one.
	lookEvery  = 250 * time.Millisecond
	sweepEvery = time.Minute

	maxSignalRules = 100_000 // of events, in memory
)

var errNotShared = errors.New("there is no connection to the Redis that rules are shared by")

// Options says where rules come from, and who is told. Func fields may be nil;
// several goroutines call them.
type Options struct {
	File   string // with rules that others write; empty for none
	Redis  bool   // replicas share rules; see Share
	Events bool   // events make rules; see Deny
	Kept   string // the file in which those are kept without Redis; empty for none

	// OnRead is told of rules that were read, since they may have changed, or that
	// could not be. Skipped are those that are no rules.
	OnRead func(source string, rules, skipped int, err error)
	// OnCurrent is told of each look that finds the rules those in force.
	OnCurrent func(source string, rules int)
	// OnAdded is told of each Deny, and of troubles that OnRead knows of already.
	OnAdded func(source string, rules int, err error)
}

// An Error says which source could not be read, and why.
type Error struct {
	Source string // FromFile or FromSignals
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Sources is the deny rules and where they come from. It lives with the
// process: what was denied stays so over a reload.
type Sources struct {
	options Options
	names   []string
	rules   *revoke.Rules // nil: there are none
	file    *ruleFile     // nil for none
	shared  *Shared       // nil for none, and before Share
	kept    *keptRules    // of events; nil when they are not received, or in Redis
	loaded  bool          // the files have been read once
}

// New makes Sources. It reads nothing and starts nothing.
func New(o Options) *Sources {
	if o.OnRead == nil {
		o.OnRead = func(string, int, int, error) {}
	}
	if o.OnCurrent == nil {
		o.OnCurrent = func(string, int) {}
	}
	if o.OnAdded == nil {
		o.OnAdded = func(string, int, error) {}
	}
	s := &Sources{options: o}
	if o.File != "" {
		s.names = append(s.names, FromFile)
		s.file = &ruleFile{name: o.File}
	}
	if o.Redis {
		s.names = append(s.names, FromRedis)
	}
	if o.Events && !o.Redis {
		s.names = append(s.names, FromSignals)
		s.kept = &keptRules{name: o.Kept}
	}
	if len(s.names) > 0 {
		s.rules = revoke.New(s.names...)
	}
	return s
}

// Names lists the sources.
func (s *Sources) Names() []string { return s.names }

// Rules is the rules in force; nil where there are no sources.
func (s *Sources) Rules() *revoke.Rules { return s.rules }

// Load reads the files for the first time and returns the rules of Options.File;
// nil for no such file, and once they have been read. What is wrong with a file
// then is an *Error, and a fault of the configuration: no old rules could stay
// in force.
func (s *Sources) Load() (*revoke.Set, error) {
	if s.rules == nil || s.loaded {
		return nil, nil
	}
	var file *revoke.Set
	if s.file != nil {
		set, err := s.file.first()
		if err == nil {
			err = s.rules.Set(FromFile, set)
		}
		if err != nil {
			return nil, &Error{FromFile, err}
		}
		file = set
		s.changed(FromFile, set, nil)
	}
	if s.kept != nil {
		set, err := s.kept.read(time.Now())
		if err == nil {
			err = s.rules.Set(FromSignals, set)
		}
		if err != nil {
			return file, &Error{FromSignals, err}
		}
		s.changed(FromSignals, set, nil)
	}
	s.loaded = true
	return file, nil
}

// changed reports rules that were read.
func (s *Sources) changed(source string, set *revoke.Set, err error) {
	rules := 0
	if set != nil {
		rules = set.Len()
	}
	s.options.OnRead(source, rules, 0, err)
}

// Share has the rules in Redis kept by Run. It is called before Run; the client
// stays the caller's.
func (s *Sources) Share(client *redis.Client) {
	failing := false
	s.shared = &Shared{client: client, rules: s.rules,
		same: func(rules int) { failing = false; s.options.OnCurrent(FromRedis, rules) },
		told: func(rules, skipped int, err error) {
			if err != nil && failing && !errors.Is(err, errRulesLost) {
				s.options.OnAdded(FromRedis, 0, err) // it was told already
				return
			}
			failing = err != nil
			s.options.OnRead(FromRedis, rules, skipped, err)
		},
	}
}

// Run keeps the rules as their sources have them. It returns when ctx ends, and
// at once where there are no sources.
func (s *Sources) Run(ctx context.Context) {
	if s.rules == nil {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	if s.file != nil {
		running.Go(func() { every(ctx, lookEvery, s.look) })
	}
	if s.shared != nil {
		running.Go(func() { s.shared.run(ctx) })
	}
	every(ctx, sweepEvery, s.sweep)
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

func (s *Sources) sweep() {
	s.rules.Sweep(time.Now())
	if s.kept != nil {
		s.options.OnCurrent(FromSignals, s.rules.Count(FromSignals))
	}
}

// look takes over the file when it has changed.
func (s *Sources) look() {
	set, same, err := s.file.look()
	if err == nil && set != nil {
		err = s.rules.Set(FromFile, set)
	}
	switch {
	case err != nil || set != nil:
		s.changed(FromFile, set, err)
	case same:
		s.options.OnCurrent(FromFile, s.rules.Count(FromFile))
	}
}

// Deny puts rules in force that events made, and keeps them: in Redis where
// rules are shared, else in memory and Options.Kept. After an error
// they may be in force, here or elsewhere, but need not stay so.
func (s *Sources) Deny(ctx context.Context, rules []revoke.Rule) error {
	switch {
	case s.shared != nil:
		err := s.shared.Add(ctx, rules...)
		s.options.OnAdded(FromRedis, s.rules.Count(FromRedis), err)
		return err
	case s.kept == nil:
		return errNotShared
	}
	err := s.rules.Add(FromSignals, maxSignalRules, rules...)
	if err == nil {
		err = s.kept.add(rules)
	}
	s.options.OnAdded(FromSignals, s.rules.Count(FromSignals), err)
	return err
}
