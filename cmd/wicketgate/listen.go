package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/admin"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/bound"
	"github.com/wicketgate/wicketgate/proxy/proxyprotocol"
	"github.com/wicketgate/wicketgate/proxy/streams"
	"github.com/wicketgate/wicketgate/proxy/tunnel"
)

// servers is everything that listens.
type servers struct {
	traffic []*server
	admin   *server
	signals *server      // for security events; nil for none
	authz   *authzServer // where Envoy asks; nil for nowhere
	failed  chan error   // a listener ended by itself
	running sync.WaitGroup

	handshake atomic.Pointer[tls.Config] // for the next connection
	leaving   atomic.Bool                // clients are told to look elsewhere
	streams   *streams.Set
	clients   *bound.Connections // of all traffic listeners
	metrics   *telemetry.Telemetry
	log       *zap.Logger
}

type server struct {
	configured string
	listener   net.Listener
	http       *http.Server
}

// listenAddresses lists the addresses a configuration serves at, sorted.
func listenAddresses(c *config.File) []string {
	var list []string
	for _, r := range c.Resources {
		if r.Served() {
			list = append(list, listenOf(c, r))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

type timeouts struct {
	readHeader, idle time.Duration
	streams          int
}

func serverTimeouts(c *config.File) timeouts {
	return timeouts{c.Timeouts.ReadHeader, c.Timeouts.Idle, c.Limits.Streams}
}

// listen binds every address. Nothing is served before start.
func (g *gateway) listen() (_ *servers, err error) {
	s := &servers{failed: make(chan error, 1), streams: g.stores.streams, metrics: g.metrics, log: g.log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.reloadCertificates(g.file); err != nil {
		return nil, err
	}
	s.clients = bound.NewConnections()
	s.clients.Use(g.file.Limits.MaxConnections, g.room.Heads, g.file.Timeouts.WriteStall)
	for _, address := range listenAddresses(g.file) {
		one, err := g.trafficServer(s, address)
		if err != nil {
			return nil, err
		}
		s.traffic = append(s.traffic, one)
	}
	if err := g.openDoors(s); err != nil {
		return nil, err
	}
	pages := &http.Server{
		Handler: g.adminHandler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: adminWrite,
		MaxHeaderBytes: 16 << 10, ErrorLog: telemetry.StdLog(g.log),
	}
	if s.admin, err = g.bind(g.file.Admin.Listen, pages); err != nil || g.stores.receiver == nil {
		return s, err
	}
	s.signals, err = g.signalsServer()
	return s, err
}

func (g *gateway) bind(address string, h *http.Server) (*server, error) {
	l, bound := g.bound[address]
	if !bound {
		listen := func() (net.Listener, error) { return net.Listen("tcp", address) }
		if path := g.file.Admin.Socket(); path != "" && address == g.file.Admin.Listen {
			listen = func() (net.Listener, error) { return admin.ListenSocket(path) }
		}
		var err error
		if l, err = listen(); err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
		}
	}
	return &server{configured: address, listener: l, http: h}, nil
}

func (g *gateway) trafficServer(s *servers, address string) (*server, error) {
	h := &http.Server{
		Handler: bound.Handler(s.parting(g.metrics.InFlight(address, proxy.NewReverse(proxy.ReverseOptions{
			Listen: address, Switch: g.gates, Streams: g.stores.streams, Decided: g.traced(g.decided(address)), ErrorLog: telemetry.StdLog(g.log),
		})))),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return proxy.ConnContext(bound.Context(ctx, c), c)
		},
		ReadHeaderTimeout:            g.file.Timeouts.ReadHeader,
		IdleTimeout:                  g.file.Timeouts.Idle,
		MaxHeaderBytes:               int(g.file.Limits.HeaderSection + g.file.Limits.Target),
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     telemetry.StdLog(g.log),
		ConnState:                    g.metrics.ConnState(address),
		Protocols:                    new(http.Protocols),
		HTTP2:                        streamLimits(g.file),
	}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	one, err := g.bind(address, h)
	if err == nil && slices.Contains(g.file.ProxyProtocol, address) {
		one.listener = proxyprotocol.Listen(one.listener, proxyprotocol.Options{
			Timeout: h.ReadHeaderTimeout, Refused: g.metrics.HeaderRefused(address),
			Trusted: func(peer netip.Addr) bool { return g.gates.Table().Trusted.Trusts(peer) },
		})
	}
	if err == nil {
		one.listener = s.clients.Listener(one.listener, g.metrics.ConnectionRefused(address))
	}
	if err != nil || !g.file.TLS.On() {
		return one, err
	}
	h.TLSConfig = s.tlsConfig()
	return one, nil
}

// tlsConfig serves with the certificates in force.
func (s *servers) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.handshake.Load(), nil
		},
	}
}

// reloadCertificates reads the files that tls names. When one of them will not
// do, all the old ones stay in force.
func (s *servers) reloadCertificates(c *config.File) error {
	if !c.TLS.On() {
		return nil
	}
	h, err := readHandshake(c)
	if err != nil {
		return err
	}
	for _, name := range [...]string{"server", "client_ca", "client_crl"} {
		s.metrics.Certificate(name, h.ends[name])
	}
	if h.lists != nil {
		h.lists.OnStale = sync.OnceFunc(func() { // once a reload: a client can try as often as it likes
			s.log.Warn("clients are turned away: an authority has no revocation list of today", zap.String("setting", "tls.client_crl_file"))
		})
	}
	s.handshake.Store(h.config)
	return nil
}

func (s *servers) all() []*server {
	all := append(slices.Clone(s.traffic), s.admin)
	if s.signals != nil {
		all = append(all, s.signals)
	}
	return all
}

func (s *servers) start() {
	for _, one := range s.all() {
		s.running.Go(func() {
			serve := func() error { return one.http.Serve(one.listener) }
			if one.http.TLSConfig != nil {
				serve = func() error { return one.http.ServeTLS(one.listener, "", "") }
			}
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				s.fail(err)
			}
		})
	}
	if s.authz != nil {
		s.running.Go(func() {
			if err := s.authz.grpc.Serve(s.authz.listener); err != nil {
				s.fail(err)
			}
		})
	}
}

// fail notes that a listener has ended by itself.
func (s *servers) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

func (s *servers) addresses() []string {
	list := make([]string, len(s.traffic))
	for i, one := range s.traffic {
		list[i] = one.listener.Addr().String()
	}
	if s.authz != nil {
		list = append(list, s.authz.listener.Addr().String())
	}
	return list
}

// signalsAddress is empty where no events are received.
func (s *servers) signalsAddress() string {
	if s.signals == nil {
		return ""
	}
	return s.signals.listener.Addr().String()
}

func (s *servers) adminAddress() string { return s.admin.listener.Addr().String() }

// quiet makes clients look for another replica: a connection closes after the
// answer it carries. One that carries none stays open as yet: a request may be
// on its way there, and closing would lose it.
func (s *servers) quiet() { s.leaving.Store(true) }

// parting says goodbye with each answer once the gate is leaving. Over HTTP/2
// net/http makes a GOAWAY of it.
func (s *servers) parting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// shutdown stops taking requests, after delay, and waits for those in flight.
// A second signal ends the wait.
func (s *servers) shutdown(delay, timeout time.Duration, signals <-chan os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { defer cancel(); untilSignal(ctx, signals) })
	defer watching.Wait()
	defer cancel()
	s.quiet()
	wait(ctx, delay)
	deadline, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	s.finish(deadline)
	_ = s.streams.Wait(deadline) // no server knows of tunnels, and the last may have begun just now
	if deadline.Err() != nil {
		s.cutOff(ctx)
	}
}

// finish takes no more requests, and waits until ctx for those under way.
func (s *servers) finish(ctx context.Context) {
	var ended sync.WaitGroup
	for _, one := range s.traffic {
		ended.Go(func() { _ = one.http.Shutdown(ctx) }) // what outlives ctx is cut off
	}
	if s.authz != nil {
		ended.Go(func() { s.authz.grpc.Shutdown(ctx) })
	}
	ended.Wait()
}

// lastOctets is how long answers that have ended take to be written.
const lastOctets = 250 * time.Millisecond

// cutOff ends what is still under way, streams in good order as far as their
// other ends keep it.
func (s *servers) cutOff(ctx context.Context) {
	ended := s.streams.End()
	grace, stop := context.WithTimeout(ctx, tunnel.Grace)
	defer stop()
	_ = s.streams.Wait(grace) // those left are cut off
	s.streams.Close()
	last, stop := context.WithTimeout(ctx, lastOctets)
	defer stop()
	s.finish(last) // a stream is counted out before its end is written
	if ended > 0 { // what a stream ends with is written once its handler is done
		s.finish(grace)
	}
	for _, one := range s.traffic {
		_ = one.http.Close()
	}
}

// untilSignal returns when somebody asks once more to stop.
func untilSignal(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case s := <-signals:
			if s != syscall.SIGHUP {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// close ends every server at once and waits for them.
func (s *servers) close() {
	s.streams.Close()
	for _, one := range s.all() {
		if one != nil {
			_ = one.http.Close()
			_ = one.listener.Close() // closed already where it was served
		}
	}
	if s.authz != nil {
		s.authz.grpc.Close()
		_ = s.authz.listener.Close()
	}
	s.running.Wait()
}
