package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/redis"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// pool is the one client of a Redis block, wherever it is written. It lives as
// long as the process.
type pool struct {
	block  config.Redis
	name   string
	client *redis.Client
}

// openRedis returns the client of a block and begins to connect where there is
// none yet. at is the block's place.
func (s *stores) openRedis(c *config.File, at string, block config.Redis) (*redis.Client, error) {
	for _, p := range s.pools {
		if p.block.Equal(block) {
			return p.client, nil
		}
	}
	o, err := redisOptions(c, at, block)
	if err != nil {
		return nil, err
	}
	name := strings.Join(block.Addresses, ",")
	o.OnError = func(err error) { s.metrics.RedisError(name, err) }
	o.OnState = func(connected, unsafe bool) { s.metrics.RedisState(name, connected, unsafe) }
	client, err := redis.New(o)
	if err != nil {
		return nil, c.ErrorAt(at, err.Error())
	}
	s.pools = append(s.pools, pool{block, name, client})
	return client, nil
}

// closeRedis ends all connections.
func (s *stores) closeRedis() {
	for _, p := range s.pools {
		p.client.Close()
	}
}

// redisOptions compiles a block. It asks nobody.
func redisOptions(c *config.File, at string, block config.Redis) (redis.Options, error) {
	o := redis.Options{
		Addresses: block.Addresses, SentinelMaster: block.SentinelMaster, Cluster: block.Cluster,
		Username: block.Username, Database: block.Database, Prefix: block.Prefix, Timeout: block.Timeout,
	}
	if block.PasswordFile != "" {
		if _, err := readSecret(block.PasswordFile); err != nil {
			return o, c.ErrorAt(at+".password_file", err.Error())
		}
		o.Password = func() (string, error) { return readSecret(block.PasswordFile) }
	}
	if !block.TLS.Enabled {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: block.TLS.ServerName, CipherSuites: cipherSuites(c)}
	if block.TLS.CAFile != "" {
		pem, err := os.ReadFile(block.TLS.CAFile)
		if err != nil {
			return o, c.ErrorAt(at+".tls.ca_file", err.Error())
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return o, c.ErrorAt(at+".tls.ca_file", "holds no certificate in PEM form")
		}
	}
	if block.TLS.CertFile != "" {
		pair := func() (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(block.TLS.CertFile, block.TLS.KeyFile)
			return &certificate, err
		}
		if _, err := pair(); err != nil {
			return o, c.ErrorAt(at+".tls.cert_file", err.Error())
		}
		o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair() }
	}
	return o, nil
}

const replayRedis = "dpop.replay.redis"

// openReplays makes the store of used proofs that serve works with. What only
// checks a configuration does without, and asks nobody.
func (s *stores) openReplays(c *config.File) error {
	r := c.DPoP.Replay
	if r.Store != "redis" {
		return nil
	}
	client, err := s.openRedis(c, replayRedis, r.Redis)
	if err != nil {
		return err
	}
	if r.OnUnavailable == "local" {
		s.proofs = replay.NewSharedOrLocal(client, s.replays, s.started, s.metrics.ReplayAlone)
	} else {
		s.proofs = replay.NewShared(client)
	}
	return nil
}

// beginning is before which proofs are refused since nobody remembers them:
// when this process began, unless its memory is a Redis, which says that itself.
func (s *stores) beginning(c *config.File) time.Time {
	if c.DPoP.Replay.Store == "redis" {
		return time.Time{}
	}
	return s.started
}

// redisLine is how a Redis stands, for readyz.
func redisLine(p pool) string {
	state := p.client.State()
	switch {
	case !state.Connected:
		return "redis " + p.name + ": not connected (" + state.Err.Error() + ")"
	case state.Warning != "":
		return "redis " + p.name + ": unsafe (" + state.Warning + ")"
	}
	return "redis " + p.name + ": ok"
}
