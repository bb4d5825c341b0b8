package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/admin"
	"github.com/wicketgate/wicketgate/internal/bypass"
	"github.com/wicketgate/wicketgate/internal/clock"
	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/internal/probes"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/internal/tracing"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/bound"
)

// imageConfig is where the image expects the configuration.
const imageConfig = "/etc/wicketgate/config.yaml"

// watchEvery is how often the content of the configuration and of the files it
// names is looked at.
const watchEvery = 5 * time.Second

// lastLines is how long the end waits for whoever reads the log.
const lastLines = time.Second

type serveCommand struct {
	Config string `short:"c" help:"The configuration file. Default: $WICKETGATE_CONFIG, then /etc/wicketgate/config.yaml." placeholder:"FILE"`
}

// Help is shown by serve --help.
func (serveCommand) Help() string { return "Example: wicketgate serve --config config.yaml" }

// Run reads as the life of the process: read, build, listen, wait, drain.
func (s *serveCommand) Run(a *app) error {
	path, err := a.configPath(s.Config)
	if err != nil {
		return err
	}
	file, err := a.load(path)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // a reader of the log that goes away takes nobody with it
	limit, unbounded := boundMemory()
	defer a.paceCollector()()
	out := telemetry.NewSink(a.stderr)
	defer out.Close(lastLines)
	logged := *a
	logged.stderr = out
	g, err := newGateway(&logged, path, file)
	if err != nil {
		return logged.complain(err)
	}
	g.metrics.Sink(out)
	g.metrics.TakeStandardLog()
	g.log.Info("memory", zap.Int64("limit_octets", limit), zap.NamedError("unbounded", unbounded))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	err = g.serve(a.ctx, signals)
	if _, placed := errors.AsType[*config.Error](err); placed {
		return logged.complain(err)
	}
	return err
}

// configPath finds the configuration file, or shows the smallest one.
func (a *app) configPath(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if path, found := a.env("WICKETGATE_CONFIG"); found && path != "" {
		return path, nil
	}
	if _, err := os.Stat(imageConfig); err == nil {
		return imageConfig, nil
	}
	fmt.Fprintf(a.stderr, "wicketgate: name a configuration with --config or $WICKETGATE_CONFIG. The smallest one:\n\n%s\nTry without one: wicketgate demo\n", config.Smallest())
	return "", exitError(exitUsage)
}

// load reads a configuration file; what is wrong with it is said at once.
func (a *app) load(path string) (*config.File, error) {
	file, err := config.Load(path, a.env)
	if err != nil {
		return nil, a.complain(err)
	}
	return file, nil
}

// complain says what is wrong with a configuration and ends with its exit
// code.
func (a *app) complain(err error) error {
	for _, e := range inOrder(flatten(err)) {
		if at, ok := errors.AsType[*config.Error](e); ok {
			fmt.Fprintln(a.stderr, at.Detail())
		} else {
			fmt.Fprintf(a.stderr, "wicketgate: %v\n", e)
		}
	}
	return exitError(exitConfig)
}

// inOrder puts errors in the order of the file, those without a place first.
func inOrder(list []error) []error {
	line := func(e error) int {
		if at, ok := errors.AsType[*config.Error](e); ok {
			return at.Line
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b error) int { return line(a) - line(b) })
	return list
}

// flatten lists the errors that err joins.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, flatten(e)...)
	}
	return list
}

// gateway is a running gate: the stores, what is in force, and the servers.
type gateway struct {
	app       *app
	path      string
	log       *zap.Logger
	metrics   *telemetry.Telemetry
	stores    *stores
	gates     *proxy.Switch
	servers   *servers
	decisions *decisions.Log
	tracer    *tracing.Tracer
	bypass    bypass.Watch            // of upstreams on loopback
	probes    probes.Relay            // of health checks
	room      bound.Room              // of this process
	bound     map[string]net.Listener // bound before, by address; nil but in the demo

	draining atomic.Pointer[time.Time] // since when; nil while serving
	reload   chan chan<- bool          // asked for by the admin listener
	leaving  chan struct{}             // closed when nothing is replaced any more

	rates      admin.Recorder // of the status page
	explaining sync.Mutex     // one at a time

	mu   sync.Mutex   // guards all below
	file *config.File // in force
	plan *plan
}

// newGateway compiles file and opens nothing yet.
func newGateway(a *app, path string, file *config.File) (*gateway, error) {
	level := file.Log.Level
	if named, found := a.env("WICKETGATE_LOG_LEVEL"); found && named != "" {
		level = named
	}
	log, _, err := telemetry.NewLogger(level, a.stderr)
	if err != nil {
		return nil, err
	}
	g := &gateway{
		app: a, path: path, log: log, gates: &proxy.Switch{}, reload: make(chan chan<- bool), leaving: make(chan struct{}),
	}
	g.metrics = telemetry.New(telemetry.Options{
		Version: version(), Revision: revision(), Log: log, Access: telemetry.ParseAccess(file.Log.Access),
	})
	g.rates.Take = g.metrics.Tally
	g.room = fit(file, log)
	g.stores = newStores(file, g.metrics)
	if err := errors.Join(g.stores.openReplays(file), g.stores.openAnswers(file)); err != nil {
		g.stores.closeRedis()
		return nil, err
	}
	if err := g.stores.openDenials(file); err != nil {
		g.stores.closeRedis()
		return nil, err
	}
	compiled, err := buildWhole(file, g.stores)
	if err != nil {
		g.stores.closeRedis()
		return nil, err
	}
	g.bypass.Report = func(f bypass.Finding) { g.metrics.Bypass(f.Upstream, f.Address) }
	g.metrics.Sizes(g.remembered, g.stores.replays.Len)
	g.decisions = decisions.NewLog(a.stdout, lastLines, newSink)
	g.metrics.DecisionLog(g.decisions.Lost)
	g.tracer = newTracer(log, g.metrics)
	lines, err := g.prepareDecisions(file)
	if err != nil {
		g.stores.closeRedis()
		return nil, err
	}
	g.enforce(file, compiled, lines)
	return g, nil
}

func (g *gateway) remembered() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.plan.validator.Remembered()
}

// enforce puts a compiled configuration in force.
func (g *gateway) enforce(file *config.File, compiled *plan, lines *decisions.Outlet) {
	g.mu.Lock()
	g.file, g.plan = file, compiled
	g.mu.Unlock()
	g.metrics.Bind(compiled.table, compiled.issuers) // before anything is counted for new issuers
	g.stores.tables.Use(file.Cache.KeyTables)
	g.stores.tables.Bound(roomIn(file).Tables)
	g.metrics.KeyTables(g.stores.tables.InUse())
	g.stores.keys.Configure(compiled.sources)
	g.stores.answers.Configure(compiled.asked)
	for _, source := range compiled.statuses {
		g.metrics.StatusExpected(source.Label)
	}
	g.stores.statuses.Configure(compiled.statuses)
	g.stores.receiver.use(compiled.signals)
	g.stores.nonces.Use(compiled.nonces, file.DPoP.NonceMaxAge)
	g.stores.signing.Publish(signingKeys(compiled.table), time.Now()) // before any of them signs
	g.metrics.Insecure(file.Insecure())
	g.decisions.Use(lines, recording(file, compiled.table))
	g.stores.upstreams.Bound(upstreamBounds(file))
	g.trace(compiled.tracing)
	g.gates.Set(compiled.table)
	g.stores.upstreams.Keep(compiled.table)
	g.useSidecar(file)
	if g.path != "" {
		g.metrics.Reloaded(config.Hash(g.path, file.Files()))
	}
	for _, w := range file.Warnings() {
		g.log.Warn("configuration", zap.String("setting", w.Path), zap.String("warning", w.Message), zap.String("rule", w.Rule))
	}
}

func (g *gateway) serve(ctx context.Context, signals <-chan os.Signal) error {
	servers, err := g.listen()
	if err != nil {
		_ = g.decisions.Close() // nothing was decided
		g.closeTracer()
		return err
	}
	g.servers = servers
	ctx, stop := context.WithCancel(ctx)
	changed := make(chan struct{}, 1)
	var background sync.WaitGroup
	background.Go(func() { g.stores.keys.Run(ctx) })
	background.Go(func() { g.watchClock(ctx, clock.NewWatch(clock.Now())) })
	background.Go(func() { g.stores.denials.Run(ctx) })
	background.Go(func() { g.bypass.Run(ctx) })
	background.Go(func() { g.rates.Run(ctx) })
	background.Go(func() { g.stores.upstreams.Follow(ctx) })
	if receiver := g.stores.receiver; receiver != nil {
		background.Go(func() { receiver.keys.Run(ctx) })
	}
	if file := g.file; g.path != "" {
		background.Go(func() {
			// The error is that of ctx: there is nothing else to end it.
			_ = file.Watch(ctx, watchEvery, func() { ask(changed) })
		})
	}
	servers.start()
	g.log.Info("serving", zap.Strings("listen", servers.addresses()), zap.String("admin", servers.adminAddress()), zap.String("signals", servers.signalsAddress()), zap.String("version", version()))
	err = g.wait(ctx, signals, changed)
	servers.close()
	g.closeTracer()
	stop()
	background.Wait()
	g.stores.upstreams.Close()
	g.stores.answers.Close()
	g.stores.statuses.Close()
	g.stores.closeRedis()
	if err := g.decisions.Close(); err != nil {
		g.log.Warn("decision log", zap.Error(err))
	}
	g.log.Info("stopped")
	_ = g.log.Sync() // a terminal or a pipe need not support it
	return err
}

// ask leaves a wish in a channel that holds one.
func ask(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait handles what happens until it is time to stop, and then drains.
func (g *gateway) wait(ctx context.Context, signals <-chan os.Signal, changed <-chan struct{}) error {
	for {
		select {
		case <-changed:
			g.tryReload("file")
		case asked := <-g.reload:
			asked <- g.tryReload("admin")
		case err := <-g.servers.failed:
			return fmt.Errorf("listener: %w", err)
		case <-ctx.Done():
			g.stop(signals)
			return nil
		case s := <-signals:
			if s == syscall.SIGHUP {
				g.tryReload("signal")
				continue
			}
			g.log.Info("draining", zap.String("signal", s.String()))
			g.stop(signals)
			return nil
		}
	}
}

// stop drains: look unready and keep serving while the cluster notices, then
// take no more requests and wait for those in flight. Time that was spent
// looking unready before, by /drain, counts.
func (g *gateway) stop(signals <-chan os.Signal) {
	close(g.leaving)
	limits := g.drainLimits()
	g.servers.shutdown(limits.Delay-time.Since(g.unready()), limits.Timeout, signals)
}

// unready makes readyz fail from now on, and tells since when it does.
func (g *gateway) unready() time.Time {
	now := time.Now()
	g.draining.CompareAndSwap(nil, &now)
	return *g.draining.Load()
}

func (g *gateway) drainLimits() config.Drain {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.file.Drain
}

// tryReload replaces the configuration in force, whole or not at all.
func (g *gateway) tryReload(why string) (replaced bool) {
	if err := g.decisions.Reopen(); err != nil {
		g.log.Error("decision log not opened again", zap.Error(err))
	}
	if err := g.tryBuild(); err != nil {
		g.metrics.Reloaded([32]byte{}, err)
		for _, e := range flatten(err) {
			g.log.Error("configuration not replaced", zap.String("asked by", why), zap.String("error", e.Error()))
		}
		return false
	}
	g.log.Info("configuration replaced", zap.String("asked by", why))
	return true
}

// tryBuild turns a panic into an error: a file that brings one out is a bad
// file, and no reason to end.
func (g *gateway) tryBuild() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the configuration panicked: %T", p)
		}
	}()
	file, err := config.Load(g.path, g.app.env)
	if err != nil {
		return err
	}
	fit(file, g.log)
	if err := g.needsRestart(file); err != nil {
		return err
	}
	compiled, err := build(file, g.stores)
	if err != nil {
		return err
	}
	lines, err := g.prepareDecisions(file)
	if err != nil {
		return err
	}
	if err := g.servers.reloadCertificates(file); err != nil {
		g.decisions.Drop(lines)
		return err
	}
	g.servers.clients.Use(file.Limits.MaxConnections, g.room.Heads, file.Timeouts.WriteStall)
	g.enforce(file, compiled, lines)
	return nil
}

// renamed tells whether a name of old stands for another issuer in file. Keys
// are found by name, and requests that began under old are still on their way.
func renamed(old, file *config.File) bool {
	for _, a := range old.Issuers {
		for _, b := range file.Issuers {
			if a.Name == b.Name && a.Issuer != b.Issuer {
				return true
			}
		}
	}
	return false
}

// needsRestart refuses a change of what lives as long as the process.
func (g *gateway) needsRestart(file *config.File) error {
	g.mu.Lock()
	old := g.file
	g.mu.Unlock()
	switch {
	case !slices.Equal(listenAddresses(old), listenAddresses(file)) || old.Admin.Listen != file.Admin.Listen:
		return errors.New("restart needed: the listen addresses changed")
	case !slices.Equal(doorsOf(old), doorsOf(file)):
		return errors.New("restart needed: forward_auth or ext_authz was switched on or off, or changed its address, tls or form")
	case !slices.Equal(old.ProxyProtocol, file.ProxyProtocol):
		return errors.New("restart needed: proxy_protocol changed")
	case old.TLS.On() != file.TLS.On():
		return errors.New("restart needed: tls was switched on or off")
	case !old.DPoP.Replay.Equal(file.DPoP.Replay):
		return errors.New("restart needed: dpop.replay changed, and a new store would forget which proofs were used")
	case g.stores.unopened(file):
		return errors.New("restart needed: introspection.shared names a Redis that no connection is kept to")
	case file.DPoP.MaxAge > old.DPoP.MaxAge:
		return errors.New("restart needed: dpop.max_age grew, and proofs forgotten by now would be good again")
	case old.CacheDir != file.CacheDir:
		return errors.New("restart needed: cache_dir changed")
	case renamed(old, file):
		return errors.New("restart needed: a name in issuers now means another issuer; choose another name")
	case old.Limits.HeaderSection != file.Limits.HeaderSection || old.Limits.Target != file.Limits.Target:
		return errors.New("restart needed: limits.header_section or limits.target changed")
	case !reflect.DeepEqual(old.Revocation, file.Revocation):
		return errors.New("restart needed: revocation changed")
	case old.Log != file.Log:
		return errors.New("restart needed: log changed")
	case serverTimeouts(old) != serverTimeouts(file):
		return errors.New("restart needed: timeouts of the listeners or limits.streams changed")
	}
	return nil
}
