package main

import (
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/proxy/bound"
	"github.com/wicketgate/wicketgate/proxy/places"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/budget"
)

// fit lowers the limits of a file to what the process can hold: it may open so
// many files, and have so much memory. It says so. It tells the room there is.
func fit(c *config.File, log *zap.Logger) bound.Room {
	memory := debug.SetMemoryLimit(-1)
	room := roomIn(c)
	files := bound.Descriptors()
	room.Connections = bound.Affordable(room.Connections, files)
	room.Requests = bound.Affordable(room.Requests, files)
	for _, limit := range [...]struct {
		name  string
		value *int
		most  int
	}{
		{"limits.max_connections", &c.Limits.MaxConnections, room.Connections},
		{"limits.max_inflight", &c.Limits.MaxInFlight, room.Requests},
		{"cache.tokens", &c.Cache.Tokens, room.Tokens},
		{"dpop.replay.max_entries", &c.DPoP.Replay.MaxEntries, room.Proofs},
	} {
		if *limit.value > limit.most {
			log.Info("a limit is lowered to what this process can hold", zap.String("setting", limit.name),
				zap.Int("from", *limit.value), zap.Int("to", limit.most), zap.Int64("memory_octets", memory), zap.Uint64("files", files))
			*limit.value = limit.most
		}
	}
	return room
}

// roomIn is what the memory of the process has room for under a file.
func roomIn(c *config.File) bound.Room {
	return bound.RoomIn(debug.SetMemoryLimit(-1), c.TLS.On(), jwks.TablesMemory(c.Cache.KeyTables))
}

// boundsOf are what bad tokens and proofs may cost. They begin anew with each
// configuration.
func boundsOf(c *config.File) validator.Bounds {
	o := c.Verification
	return validator.Bounds{
		Refused:  c.Cache.Refused,
		Failures: budget.NewSources(budget.Options{Burst: o.Failures, PerSecond: float64(o.PerSecond), Count: o.Sources}),
		Gate:     budget.NewGate(o.AtOnce, o.Wait),
	}
}

// streamLimits bounds what an HTTP/2 client can make the gate hold: so many
// streams, a little of each before it is read, and no frame larger than the
// least that every peer must take (RFC 9113 section 4.2).
func streamLimits(c *config.File) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          c.Limits.Streams,
		MaxReadFrameSize:              16 << 10,
		MaxReceiveBufferPerStream:     64 << 10,
		MaxReceiveBufferPerConnection: 1 << 20,
	}
}

// upstreamBounds are how many requests an upstream has at once.
func upstreamBounds(c *config.File) places.Bounds {
	return places.Bounds{Most: c.Limits.UpstreamConnections, Queue: c.Limits.UpstreamQueue, Wait: c.Timeouts.UpstreamQueue}
}

// bodyLimits are those of a resource's routes, as proxy.Gate has them.
func bodyLimits(r config.Resource) []int64 {
	list := make([]int64, len(r.Routes))
	for i, route := range r.Routes {
		list[i] = int64(route.MaxBody)
	}
	return list
}

// headerTimeouts are those of a resource's routes, as proxy.Gate has them.
func headerTimeouts(r config.Resource) []time.Duration {
	list := make([]time.Duration, len(r.Routes))
	for i, route := range r.Routes {
		list[i] = route.Timeout
	}
	return list
}

// longestTimeout is how long any route of the file has its upstream take. It is one
// for all of them, so that resources with the same upstream share its connections.
func longestTimeout(c *config.File) time.Duration {
	longest := c.Timeouts.UpstreamHeader
	for _, r := range c.Resources {
		longest = max(longest, slices.Max(append(headerTimeouts(r), 0)))
	}
	return longest
}
