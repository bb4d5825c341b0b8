package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/url"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/denials"
	"github.com/wicketgate/wicketgate/internal/redis"
)

// liveRedis is a block to ask about and its first place in the file.
type liveRedis struct {
	at      string
	block   config.Redis
	replays bool // it remembers used proofs, and must forget nothing
	answers bool // of introspection
	rules   bool // which tokens are refused
}

// liveRedises lists the blocks of a file, each once, with all it is for.
func liveRedises(c *config.File) []liveRedis {
	var list []liveRedis
	add := func(one liveRedis) {
		for i, known := range list {
			if known.block.Equal(one.block) {
				list[i].answers, list[i].rules = known.answers || one.answers, known.rules || one.rules
				return
			}
		}
		list = append(list, one)
	}
	if c.DPoP.Replay.Store == "redis" {
		add(liveRedis{at: replayRedis, block: c.DPoP.Replay.Redis, replays: true})
	}
	for i, issuer := range c.Issuers {
		if shared := issuer.Introspection.Shared; shared.On() {
			add(liveRedis{at: sharedAt(i) + ".redis", block: shared.Redis, answers: true})
		}
	}
	if c.Revocation.Redis.On() {
		add(liveRedis{at: rulesBlock, block: c.Revocation.Redis, rules: true})
	}
	return list
}

// ask connects the way serve does, and does what serve does there with a key
// that is gone after a second.
func (l liveRedis) ask(ctx context.Context, r *liveReport, c *config.File) {
	for _, address := range l.block.Addresses {
		if !strings.HasPrefix(address, "/") && !r.connect(ctx, liveTarget{location: &url.URL{Scheme: "redis", Host: address}}) {
			return
		}
	}
	o, err := redisOptions(c, l.at, l.block)
	if err != nil { // build has read it
		r.fail("", ": %v", err)
		return
	}
	changed := make(chan struct{}, 1)
	o.OnState = func(bool, bool) { ask(changed) }
	client, err := redis.New(o)
	if err != nil {
		r.fail("", ": %v", err)
		return
	}
	defer client.Close()
	state := connected(ctx, client, changed)
	if !state.Connected {
		r.fail("look at username, password_file, tls and the rights of that user: see docs/guide/replicas.md", ": %v", state.Err)
		return
	}
	switch {
	case state.Warning == "":
		r.good(" remembers, and evicts nothing")
	case l.replays:
		r.fail("change that setting of the server: used proofs could pass again", ": %s", state.Warning)
	default:
		r.good(": %s; here that costs no more than questions", state.Warning)
	}
	l.use(ctx, r, client)
}

// connected waits for a connection, but not for long.
func connected(ctx context.Context, client *redis.Client, changed <-chan struct{}) redis.State {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if state := client.State(); state.Connected {
			return state
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return client.State()
		}
	}
}

// use does what it is for, with a key that nobody else has, and tells how long
// that takes.
func (l liveRedis) use(ctx context.Context, r *liveReport, client *redis.Client) {
	const rights = "give its user the rights that docs/guide/replicas.md lists"
	began, operations := time.Now(), time.Duration(0)
	if l.replays {
		operations++
		if _, _, err := client.First(ctx, sha256.Sum256([]byte(rand.Text())), time.Second); err != nil {
			r.fail(rights, ": remembers no proof: %v", err)
			return
		}
	}
	if l.answers {
		operations += 2
		key := "introspection:check-" + rand.Text()
		if err := client.Set(ctx, key, []byte(key), time.Second); err != nil {
			r.fail(rights, ": keeps no answer: %v", err)
			return
		}
		value, _, err := client.Get(ctx, key)
		if err != nil || string(value) != key {
			r.fail(rights, ": gives no answer back: %v", err)
			return
		}
	}
	if l.rules {
		operations++
		if _, err := client.Fields(ctx, denials.Key); err != nil {
			r.fail(rights, ": gives no deny rules: %v", err)
			return
		}
	}
	if took := time.Since(began) / operations; took > l.block.Timeout/2 {
		r.warn("have it closer, or raise timeout: what takes longer than that has failed", ": an operation took %s of the %s it may", took.Round(time.Millisecond), l.block.Timeout)
		return
	}
	r.good(" answers well within %s", l.block.Timeout)
}
