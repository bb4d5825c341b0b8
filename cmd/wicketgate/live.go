package main

import (
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/live"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

// liveQuestions are about everybody the configuration names, in the order of
// the file.
func liveQuestions(file *config.File, compiled *plan) ([]live.Question, error) {
	asked := map[string]*introspect.Server{}
	for i, server := range compiled.asked {
		asked[server.Name] = &compiled.asked[i]
	}
	var list []live.Question
	for _, source := range compiled.sources {
		list = append(list, live.Issuer(source, asked[source.Name]))
	}
	for _, one := range liveRedises(file) {
		o, err := redisOptions(file, one.At, one.block)
		if err != nil {
			return nil, err
		}
		one.Options = o
		list = append(list, one.Question())
	}
	for _, resource := range file.Resources {
		if resource.Served() {
			list = append(list, live.Upstream(resource.Name, resource.Upstream))
		}
	}
	return list, nil
}

// liveRedis is a block to ask about, at its first place in the file.
type liveRedis struct {
	live.Redis
	block config.Redis
}

// liveRedises lists the blocks of a file, each once, with all it is for.
func liveRedises(c *config.File) []liveRedis {
	var list []liveRedis
	add := func(block config.Redis, one live.Redis) {
		for i, known := range list {
			if known.block.Equal(block) {
				list[i].Answers, list[i].Rules = known.Answers || one.Answers, known.Rules || one.Rules
				return
			}
		}
		list = append(list, liveRedis{one, block})
	}
	if c.DPoP.Replay.Store == "redis" {
		add(c.DPoP.Replay.Redis, live.Redis{At: replayRedis, Proofs: true})
	}
	for i, issuer := range c.Issuers {
		if shared := issuer.Introspection.Shared; shared.On() {
			add(shared.Redis, live.Redis{At: sharedAt(i) + ".redis", Answers: true})
		}
	}
	if c.Revocation.Redis.On() {
		add(c.Revocation.Redis, live.Redis{At: rulesBlock, Rules: true})
	}
	return list
}
