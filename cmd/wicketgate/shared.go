package main

import (
	"fmt"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

func sharedAt(index int) string { return fmt.Sprintf("issuers[%d].introspection.shared", index) }

// openAnswers connects to where introspection answers are shared. What only
// checks a configuration does without, and asks nobody.
func (s *stores) openAnswers(c *config.File) error {
	for i, issuer := range c.Issuers {
		if shared := issuer.Introspection.Shared; shared.On() {
			if _, err := s.openRedis(c, sharedAt(i)+".redis", shared.Redis); err != nil {
				return err
			}
		}
	}
	return nil
}

// opened is the client of a block, or nil.
func (s *stores) opened(block config.Redis) *redis.Client {
	for _, p := range s.pools {
		if p.block.Equal(block) {
			return p.client
		}
	}
	return nil
}

// unopened tells whether file shares answers by a Redis that no connection is
// kept to.
func (s *stores) unopened(file *config.File) bool {
	for _, issuer := range file.Issuers {
		if shared := issuer.Introspection.Shared; shared.On() && s.opened(shared.Redis) == nil {
			return true
		}
	}
	return false
}

// sharedAnswers compiles where the answers of the issuer at index are shared; nil
// for nowhere, and where nothing is connected.
func (s *stores) sharedAnswers(c *config.File, index int) (*introspect.Shared, error) {
	o, at := c.Issuers[index].Introspection.Shared, sharedAt(index)
	if !o.On() {
		return nil, nil
	}
	if _, err := redisOptions(c, at+".redis", o.Redis); err != nil {
		return nil, err
	}
	text, err := readSecret(o.KeyFile)
	if err != nil {
		return nil, c.ErrorAt(at+".key_file", err.Error())
	}
	var secrets [][]byte
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			secrets = append(secrets, []byte(line))
		}
	}
	client := s.opened(o.Redis)
	shared, err := introspect.NewShared(client, secrets, o.Redis.Timeout)
	if err != nil {
		return nil, c.ErrorAt(at+".key_file", err.Error()+"; make one with: openssl rand -base64 32")
	}
	if client == nil {
		return nil, nil
	}
	return shared, nil
}
