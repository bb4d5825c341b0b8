package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/denials"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

type revokeCommand struct {
	Config string `short:"c" help:"The configuration file." placeholder:"FILE"`

	Iss          *string `help:"The issuer of the tokens, as in issuers[].issuer. Default: the only one." placeholder:"ISSUER"`
	Jti          *string `help:"The token." placeholder:"ID"`
	Sub          *string `help:"The subject." placeholder:"SUBJECT"`
	Client       *string `help:"The client." placeholder:"ID"`
	Sid          *string `help:"The session." placeholder:"ID"`
	Kid          *string `help:"The key that signed them." placeholder:"ID"`
	Email        *string `help:"The email claim." placeholder:"ADDRESS"`
	IssuedBefore *string `help:"Only tokens issued before: a date like 2026-01-31T12:00:00Z, or now." placeholder:"DATE"`
	Until        *string `help:"When the rule ends: a date, or how long it lasts, like 24h." placeholder:"DATE"`

	List   bool    `help:"List the rules with their IDs."`
	Remove *string `help:"Remove the rule of this ID." placeholder:"ID"`
}

// Help is shown by revoke --help.
func (revokeCommand) Help() string {
	return "Adds a deny rule where the configuration has its rules: gates in service take it over by themselves.\n" +
		"Example: wicketgate revoke --config config.yaml --iss https://login.example.com/ --sub alice --issued-before now --until 24h"
}

// ruleStore is where people keep deny rules.
type ruleStore interface {
	Add(context.Context, ...revoke.Rule) error
	Remove(ctx context.Context, id string) (found bool, err error)
	List(ctx context.Context, each func(id, rule string)) error
}

var (
	errNoStore = errors.New("the configuration has neither revocation.redis nor revocation.file")
	errNoID    = errors.New("no rule has this ID; see --list")
	errNoIss   = errors.New("--iss is needed where there are several issuers")
	errBefore  = errors.New("wants a date like 2026-01-31T12:00:00Z, or now")
	errUntil   = errors.New("wants a date like 2026-01-31T12:00:00Z, or how long the rule lasts, like 24h")
	errOver    = errors.New("is past: the rule would deny nothing")
	errAlone   = errors.New("--list and --remove go with none of the others")
)

// Run adds, removes or lists rules.
func (r *revokeCommand) Run(a *app) error {
	if err := r.sound(); err != nil {
		return err
	}
	path, err := a.configPath(r.Config)
	if err != nil {
		return err
	}
	file, err := a.load(path)
	if err != nil {
		return err
	}
	store, closeStore, err := openRules(a.ctx, file)
	if err != nil {
		return err
	}
	defer closeStore()
	switch {
	case r.List:
		return store.List(a.ctx, func(id, rule string) { fmt.Fprintf(a.stdout, "%s %s\n", id, rule) })
	case r.Remove != nil:
		found, err := store.Remove(a.ctx, *r.Remove)
		if err == nil && !found {
			err = errNoID
		}
		return err
	}
	rule, err := r.rule(file, time.Now())
	if err != nil {
		return err
	}
	if err := store.Add(a.ctx, rule); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s\n", rule.Name(), rule)
	return nil
}

// sound refuses what could mean something else than it says: a variable of a
// shell that is empty would make a rule wider.
func (r *revokeCommand) sound() error {
	given := 0
	for _, flag := range [...]struct {
		name  string
		value *string
	}{
		{"iss", r.Iss}, {"jti", r.Jti}, {"sub", r.Sub}, {"client", r.Client}, {"sid", r.Sid}, {"kid", r.Kid}, {"email", r.Email},
		{"issued-before", r.IssuedBefore}, {"until", r.Until}, {"remove", r.Remove},
	} {
		if flag.value == nil {
			continue
		}
		if *flag.value == "" {
			return fmt.Errorf("--%s is empty", flag.name)
		}
		given++
	}
	if r.List && given > 0 || r.Remove != nil && given > 1 {
		return errAlone
	}
	return nil
}

// rule is what the command line asks for.
func (r *revokeCommand) rule(file *config.File, now time.Time) (revoke.Rule, error) {
	rule := revoke.Rule{
		Issuer: given(r.Iss), ID: given(r.Jti), Subject: given(r.Sub), Client: given(r.Client), Session: given(r.Sid), KeyID: given(r.Kid), Email: given(r.Email),
	}
	issuers := issuersOf(file)
	switch {
	case rule.Issuer == "" && len(issuers) == 1:
		rule.Issuer = issuers[0]
	case rule.Issuer == "":
		return rule, errNoIss
	case !slices.Contains(issuers, rule.Issuer):
		return rule, fmt.Errorf("--iss: the configuration has no issuer %q", rule.Issuer)
	}
	var err error
	if rule.IssuedBefore, err = before(given(r.IssuedBefore), now); err != nil {
		return rule, fmt.Errorf("--issued-before: %w", err)
	}
	if rule.Until, err = until(given(r.Until), now); err != nil {
		return rule, fmt.Errorf("--until: %w", err)
	}
	return rule, rule.Valid()
}

func given(flag *string) string {
	if flag == nil {
		return ""
	}
	return *flag
}

// before takes no duration: 1h could be an hour ago as well as one ahead.
func before(text string, now time.Time) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now.Truncate(time.Second).Add(time.Second), nil // tokens of this second are taken too
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Unix() <= 0 {
		return at, errBefore
	}
	return at, nil
}

func until(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if d, lasts := time.ParseDuration(text); lasts == nil {
		at, err = now.Truncate(time.Second).Add(d), nil
	}
	switch {
	case err != nil:
		return at, errUntil
	case !at.After(now):
		return at, errOver
	}
	return at, nil
}

// openRules finds where the configuration has its rules.
func openRules(ctx context.Context, file *config.File) (ruleStore, func(), error) {
	if file.Revocation.Redis.On() {
		shared, err := reachRules(ctx, file, revoke.New(denials.FromRedis))
		if err != nil {
			return nil, nil, fmt.Errorf("revocation.redis: %w", err)
		}
		return shared, shared.Close, nil
	}
	if file.Revocation.File == "" {
		return nil, nil, errNoStore
	}
	return denials.File(file.Revocation.File), func() {}, nil
}
