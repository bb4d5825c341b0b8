package main

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy/bound"
)

// boundClients puts the limits on connections in force.
func (s *servers) boundClients(c *config.File) {
	most := bound.Affordable(c.Limits.MaxConnections, bound.Descriptors())
	if most < c.Limits.MaxConnections {
		s.log.Warn("fewer connections than limits.max_connections: the process may not open as many files",
			zap.Int("connections", most), zap.Int("wanted", c.Limits.MaxConnections))
	}
	s.clients.Use(most, c.Timeouts.WriteStall)
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

// bodyLimits are those of a resource's routes, as proxy.Gate has them.
func bodyLimits(r config.Resource) []int64 {
	list := make([]int64, len(r.Routes))
	for i, route := range r.Routes {
		list[i] = int64(route.MaxBody)
	}
	return list
}
