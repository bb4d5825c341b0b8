package main

import (
	"fmt"
	"net/http"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/bound"
	"github.com/wicketgate/wicketgate/proxy/forwardauth"
)

// doorsOf lists what a door cannot change while it is open.
func doorsOf(c *config.File) (list []string) {
	for _, d := range c.Doors() {
		list = append(list, fmt.Sprint(d.Key, d.Listen, d.TLS))
	}
	return append(list, c.ForwardAuth.Form)
}

// checker decides about what proxies ask at a door.
func (g *gateway) checker(d config.Door, copies bool) *proxy.Checker {
	return proxy.NewChecker(proxy.CheckerOptions{
		Door: d.Listen, Switch: g.gates, Copies: copies, Decided: g.decided(d.Listen),
	})
}

// openDoors binds where other proxies ask.
func (g *gateway) openDoors(s *servers) error {
	for _, d := range g.file.Doors() {
		if d.Key == "ext_authz" {
			one, err := g.newAuthzServer(s, d)
			if err != nil {
				return err
			}
			s.authz = one
			continue
		}
		one, err := g.doorServer(s, d, g.checker(d, true))
		if err != nil {
			return err
		}
		s.traffic = append(s.traffic, one)
	}
	return nil
}

// doorHandler is what answers at a door.
func (g *gateway) doorHandler(c *proxy.Checker) http.Handler {
	form := forwardauth.XForwarded
	if g.file.ForwardAuth.Form == "x-original" {
		form = forwardauth.XOriginal
	}
	return forwardauth.New(forwardauth.Options{Checker: c, Form: form})
}

// doorServer makes the server of a door. Who asks may keep connections for as long as
// it likes, and over HTTP/2 without TLS.
func (g *gateway) doorServer(s *servers, d config.Door, c *proxy.Checker) (*server, error) {
	h := &http.Server{
		Handler:                      bound.Handler(s.parting(g.metrics.InFlight(d.Listen, g.doorHandler(c)))),
		ConnContext:                  bound.Context, // and not the proxy's: the connection is not the client's
		ReadHeaderTimeout:            g.file.Timeouts.ReadHeader,
		IdleTimeout:                  g.file.Timeouts.Idle,
		MaxHeaderBytes:               int(g.file.Limits.HeaderSection+2*g.file.Limits.Target) + 4<<10, // a question says the target again
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     telemetry.StdLog(g.log),
		ConnState:                    g.metrics.ConnState(d.Listen),
		Protocols:                    new(http.Protocols),
	}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	one, err := g.bind(d.Listen, h)
	if err != nil {
		return nil, err
	}
	one.listener = s.clients.Door(one.listener, c.MayAsk, g.metrics.ConnectionRefused(d.Listen))
	if d.TLS {
		h.TLSConfig = s.tlsConfig()
	}
	return one, nil
}
