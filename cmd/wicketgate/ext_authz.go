package main

import (
	"crypto/tls"
	"net"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy/extauthz"
)

// authzServer is where Envoy asks, over gRPC.
type authzServer struct {
	listener net.Listener
	grpc     *extauthz.Server
}

// newAuthzServer binds where Envoy asks. What proxies may open is what limits say of
// clients, and is counted apart from them.
func (g *gateway) newAuthzServer(s *servers, d config.Door) (*authzServer, error) {
	bound, err := g.bind(d.Listen, nil)
	if err != nil {
		return nil, err
	}
	var served *tls.Config
	if d.TLS {
		served = s.tlsConfig()
	}
	return &authzServer{bound.listener, extauthz.New(extauthz.Options{
		Checker: g.checker(d, false), TLS: served, Ready: g.isReady,
		Streams: g.file.Limits.Streams, Connections: g.file.Limits.MaxConnections, Refused: g.metrics.ConnectionRefused(d.Listen),
	})}, nil
}

// isReady tells what readyz would answer.
func (g *gateway) isReady() bool {
	ready := true
	g.readiness(false, func(ok bool, _, _ string) { ready = ready && ok })
	return ready
}
