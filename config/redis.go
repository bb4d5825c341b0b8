package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Redis says where a Redis or Valkey is. The same block at several places is
// one connection.
type Redis struct {
	Addresses      []string      `yaml:"addresses" doc:"host:port, or the path of a Unix socket; several for sentinels or a cluster; required."`
	SentinelMaster string        `yaml:"sentinel_master" doc:"Name of the master that the sentinels at addresses watch; default there are no sentinels."`
	Cluster        bool          `yaml:"cluster" default:"false" doc:"Whether the addresses are nodes of a cluster; default false."`
	Username       string        `yaml:"username" doc:"User of the ACL; default the one without a name."`
	PasswordFile   string        `yaml:"password_file" doc:"File with the password, read for each connection; default no password."`
	Database       int           `yaml:"database" default:"0" max:"10000" doc:"Number of the database; default 0."`
	TLS            RedisTLS      `yaml:"tls" doc:"Encryption on the way."`
	Prefix         string        `yaml:"prefix" default:"wicketgate:" doc:"What every key and channel begins with; default wicketgate:."`
	Timeout        time.Duration `yaml:"timeout" default:"50ms" min:"5ms" max:"2s" doc:"For one operation, as a duration from 5ms to 2s; default 50ms."`
}

// RedisTLS says how a Redis is known.
type RedisTLS struct {
	Enabled    bool   `yaml:"enabled" default:"false" doc:"Whether connections use TLS; default false."`
	CAFile     string `yaml:"ca_file" doc:"File with the authorities that vouch for the servers, in PEM, read at the start; default the system's."`
	CertFile   string `yaml:"cert_file" doc:"File with our certificate chain in PEM, read for each connection; default none."`
	KeyFile    string `yaml:"key_file" doc:"File with its private key in PEM."`
	ServerName string `yaml:"server_name" doc:"Name in the servers' certificates; default the host of the address."`
}

// On reports whether a Redis is named.
func (r Redis) On() bool { return len(r.Addresses) > 0 }

// Equal reports whether two blocks are the same.
func (r Redis) Equal(other Redis) bool { return reflect.DeepEqual(r, other) }

func (r *Redis) files(at string) []namedFile {
	return []namedFile{
		{at + ".password_file", &r.PasswordFile}, {at + ".tls.ca_file", &r.TLS.CAFile},
		{at + ".tls.cert_file", &r.TLS.CertFile}, {at + ".tls.key_file", &r.TLS.KeyFile},
	}
}

// Equal reports whether two memories are the same one.
func (r Replay) Equal(other Replay) bool { return reflect.DeepEqual(r, other) }

// replay checks the memory of used proofs.
func (c *checker) replay() {
	const at = "dpop.replay"
	r := c.DPoP.Replay
	switch {
	case r.Store == "redis":
		c.redis(at+".redis", r.Redis)
		if r.OnUnavailable == "deny" && c.has(at+".max_entries") {
			c.bad(at+".max_entries", "means nothing while all used proofs are in Redis", "remove it, or set on_unavailable: local")
		}
	case c.has(at + ".redis"):
		c.bad(at+".redis", "means nothing with store: memory", "add store: redis, or remove it")
	case c.has(at + ".on_unavailable"):
		c.bad(at+".on_unavailable", "means nothing with store: memory", "add store: redis, or remove it")
	}
}

// redis checks a block that must name a Redis.
func (c *checker) redis(at string, r Redis) {
	if !r.On() {
		c.bad(at+".addresses", "is missing", "like [redis.example.com:6379] or [/run/redis.sock]")
	}
	for i, address := range r.Addresses {
		c.redisAddress(fmt.Sprintf("%s.addresses[%d]", at, i), address, r)
	}
	switch {
	case r.SentinelMaster != "" && r.Cluster:
		c.bad(at+".cluster", "is for clusters, and sentinels watch none", "remove it, or sentinel_master")
	case r.Cluster && r.Database != 0:
		c.bad(at+".database", "is always 0 in a cluster", "remove it")
	case len(r.Addresses) > 1 && r.SentinelMaster == "" && !r.Cluster:
		c.bad(at+".addresses[1]", "is one too many", "name one server, or add sentinel_master or cluster: true")
	}
	if r.Username != "" && r.PasswordFile == "" {
		c.bad(at+".password_file", "is missing", "a username needs its password")
	}
	if strings.ContainsFunc(r.Prefix, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("{}*?[]\\", r) }) || len(r.Prefix) > 64 {
		c.bad(at+".prefix", "wants up to 64 printable ASCII characters without spaces, braces, brackets, *, ? and \\", "like wicketgate:")
	}
	c.redisTLS(at, r)
}

func (c *checker) redisAddress(at, address string, r Redis) {
	if strings.HasPrefix(address, "/") {
		if filepath.Clean(address) != address {
			c.bad(at, "is no path of a socket", "like /run/redis.sock")
		}
		if r.Cluster || r.SentinelMaster != "" || r.TLS.Enabled {
			c.bad(at, "is a socket, which goes with neither sentinels, clusters nor tls", "name host:port")
		}
		return
	}
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, " /@") {
		c.bad(at, "is no host:port", "like redis.example.com:6379, or /run/redis.sock for a socket")
		return
	}
	if ip, err := netip.ParseAddr(host); !r.TLS.Enabled && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		c.warn("plain-redis", at, "is asked in plain text: whoever is on the path can make used proofs pass again, or take deny rules away", "write tls: {enabled: true}")
	}
}

func (c *checker) redisTLS(at string, r Redis) {
	at += ".tls"
	if (r.TLS.CertFile == "") != (r.TLS.KeyFile == "") {
		c.bad(at, "needs both cert_file and key_file, or none", "")
	}
	if r.TLS.Enabled {
		return
	}
	for _, key := range []string{"ca_file", "cert_file", "key_file", "server_name"} {
		if c.has(at + "." + key) {
			c.bad(at+"."+key, "means nothing without enabled: true", "add enabled: true, or remove it")
		}
	}
}
