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

	Iss          string `help:"The issuer of the tokens, as in issuers[].issuer. Default: the only one." placeholder:"ISSUER"`
	Jti          string `help:"The token." placeholder:"ID"`
	Sub          string `help:"The subject." placeholder:"SUBJECT"`
	Client       string `help:"The client." placeholder:"ID"`
	Sid          string `help:"The session." placeholder:"ID"`
	Kid          string `help:"The key that signed them." placeholder:"ID"`
	Email        string `help:"The email claim." placeholder:"ADDRESS"`
	IssuedBefore string `help:"Only tokens issued before: a date like 2026-01-31T12:00:00Z, or now." placeholder:"DATE"`
	Until        string `help:"When the rule ends: a date, or how long it lasts, like 24h." placeholder:"DATE"`

	List   bool   `help:"List the rules with their IDs."`
	Remove string `help:"Remove the rule of this ID." placeholder:"ID"`
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
	errDate    = errors.New("wants a date like 2026-01-31T12:00:00Z")
)

// Run adds, removes or lists rules.
func (r *revokeCommand) Run(a *app) error {
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
	case r.Remove != "":
		found, err := store.Remove(a.ctx, r.Remove)
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

// rule is what the command line asks for.
func (r *revokeCommand) rule(file *config.File, now time.Time) (revoke.Rule, error) {
	rule := revoke.Rule{Issuer: r.Iss, ID: r.Jti, Subject: r.Sub, Client: r.Client, Session: r.Sid, KeyID: r.Kid, Email: r.Email}
	var issuers []string
	for _, i := range file.Issuers {
		for _, one := range i.PerTenant() {
			issuers = append(issuers, one.Issuer)
		}
	}
	switch {
	case rule.Issuer == "" && len(issuers) == 1:
		rule.Issuer = issuers[0]
	case rule.Issuer == "":
		return rule, errNoIss
	case !slices.Contains(issuers, rule.Issuer):
		return rule, fmt.Errorf("--iss: the configuration has no issuer %q", rule.Issuer)
	}
	var err error
	if rule.IssuedBefore, err = dateOf(r.IssuedBefore, now); err != nil {
		return rule, fmt.Errorf("--issued-before: %w", err)
	}
	if rule.Until, err = dateOf(r.Until, now); err != nil {
		return rule, fmt.Errorf("--until: %w", err)
	}
	return rule, rule.Valid()
}

// dateOf reads a date, or a time from now on.
func dateOf(text string, now time.Time) (time.Time, error) {
	now = now.Truncate(time.Second)
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now.Add(time.Second), nil // tokens of this second are taken too
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, errDate
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
