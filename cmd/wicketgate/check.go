package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/jwks"
)

type checkCommand struct {
	Config string `short:"c" help:"The configuration file." placeholder:"FILE"`
	Live   bool   `help:"Ask the issuers and the upstreams too."`
	Strict bool   `help:"Fail on warnings as well."`
}

// Help is shown by check --help.
func (checkCommand) Help() string {
	return "Exit code 0: good. 78: the file is wrong. 1: a live check failed, or a warning with --strict.\nExample: wicketgate check --config config.yaml --live"
}

// Run says all that is wrong at once.
func (c *checkCommand) Run(a *app) error {
	path, err := a.configPath(c.Config)
	if err != nil {
		return err
	}
	file, err := a.load(path)
	if err != nil {
		return err
	}
	compiled, err := build(file, newStores(file, nil))
	if file.TLS.On() {
		_, problem := readHandshake(file)
		err = errors.Join(err, problem)
	}
	if err != nil {
		return a.complain(err)
	}
	for _, f := range file.Filled() {
		fmt.Fprintf(a.stdout, "filled: %s: %s (preset: %s)\n", f.Path, f.Value, f.Preset)
	}
	failed := false
	for _, w := range file.Warnings() {
		fmt.Fprintf(a.stdout, "warning: %s: %s\n", w.Path, w.Message)
		failed = failed || c.Strict
	}
	fmt.Fprintf(a.stdout, "%s: %d issuers, %d resources, no mistakes\n", path, len(file.Issuers), len(file.Resources))
	if c.Live {
		failed = !a.checkLive(file, compiled) || failed
	}
	if failed {
		return exitError(exitFailed)
	}
	return nil
}

// liveTimeout bounds the questions to one issuer or upstream.
const liveTimeout = 15 * time.Second

// checkLive asks everybody the configuration names and tells what they said.
func (a *app) checkLive(file *config.File, compiled *plan) bool {
	good := true
	say := func(ok bool, format string, args ...any) {
		word := "ok     "
		if !ok {
			word, good = "FAILED ", false
		}
		fmt.Fprintf(a.stdout, word+format+"\n", args...)
	}
	for _, source := range compiled.sources {
		ctx, cancel := context.WithTimeout(a.ctx, liveTimeout)
		liveIssuer(ctx, source, say)
		cancel()
	}
	for _, server := range compiled.asked {
		ctx, cancel := context.WithTimeout(a.ctx, liveTimeout)
		liveIntrospection(ctx, server, compiled.sourceOf(server.Name), say)
		cancel()
	}
	if file.DPoP.Replay.Store == "redis" {
		liveRedis(a.ctx, file, replayRedis, file.DPoP.Replay.Redis, say)
	}
	if file.Revocation.Redis.On() {
		liveRedis(a.ctx, file, rulesBlock, file.Revocation.Redis, say)
	}
	for _, r := range file.Resources {
		err := dialUpstream(a.ctx, r.Upstream)
		if err != nil {
			say(false, "upstream of %s: %v", r.Name, err)
			continue
		}
		say(true, "upstream of %s accepts connections", r.Name)
	}
	return good
}

// liveIssuer goes the way serve goes: metadata, then keys.
func liveIssuer(ctx context.Context, s jwks.Source, say func(bool, string, ...any)) {
	client := s.Client()
	if s.JWKSURI == "" && s.File == "" {
		m, err := jwks.Discover(ctx, client, s.Issuer, s.DiscoveryURL)
		if err != nil && s.Optional {
			say(true, "issuer %s: no keys, so only its opaque tokens are good: %v", s.Name, err)
			return
		}
		if err != nil {
			say(false, "issuer %s: %v", s.Name, err)
			if twin, found := liveTwin(ctx, client, s); found {
				say(false, "issuer %s: but %s calls itself so: write it exactly like that, since the iss claim must match", s.Name, twin)
			}
			return
		}
		say(true, "issuer %s: metadata at %s", s.Name, m.URL)
		if !m.Date.IsZero() {
			skew := m.Ahead.Round(time.Second)
			say(skew.Abs() <= max(s.Leeway, time.Second), "issuer %s: its clock differs from ours by %s", s.Name, skew)
		}
		if s.DiscoveryURL == "" {
			for _, what := range jwks.Compare(ctx, client, s.Issuer) {
				say(true, "issuer %s: warning: %s", s.Name, what)
			}
		}
	}
	cache := jwks.NewCache(jwks.Options{OnLoad: func(_ string, l jwks.Load) {
		for _, skipped := range l.Skipped {
			say(!skipped.Private, "issuer %s: key %d (%s) is not used: %s", s.Name, skipped.Index, skipped.ID, skipped.Reason)
		}
	}})
	cache.Configure([]jwks.Source{s})
	_, err := cache.Keys(ctx, s.Name, "", "RS256", time.Time{})
	if err != nil && s.Optional {
		say(true, "issuer %s: no keys, so only its opaque tokens are good: %v", s.Name, err)
		return
	}
	if err != nil && !errors.Is(err, jwks.ErrNoKey) {
		say(false, "issuer %s: %v", s.Name, err)
		return
	}
	say(true, "issuer %s: %d usable keys", s.Name, cache.Status()[0].Keys)
}

// liveTwin tries the usual misspellings of an issuer: the slash at its end, and
// the version Entra ID leaves out.
func liveTwin(ctx context.Context, client *fetch.Client, s jwks.Source) (string, bool) {
	if s.DiscoveryURL != "" {
		return "", false
	}
	twins := []string{s.Issuer + "/", s.Issuer + "/v2.0"}
	trimmed := strings.TrimSuffix(s.Issuer, "/")
	if trimmed != s.Issuer {
		twins = []string{trimmed, trimmed + "/v2.0"}
	}
	if first, two := strings.CutSuffix(trimmed, "/v2.0"); two {
		twins = append(twins, first, first+"/")
	}
	for _, twin := range twins {
		if _, err := jwks.Discover(ctx, client, twin, ""); err == nil {
			return twin, true
		}
	}
	return "", false
}

func dialUpstream(ctx context.Context, location string) error {
	at, err := url.Parse(location)
	if err != nil {
		return err
	}
	network, address := "tcp", at.Host
	if at.Scheme == "unix" {
		network, address = "unix", at.Path
	} else if at.Port() == "" {
		port := "80"
		if at.Scheme == "https" {
			port = "443"
		}
		address = net.JoinHostPort(at.Hostname(), port)
	}
	dialer := net.Dialer{Timeout: liveTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}
