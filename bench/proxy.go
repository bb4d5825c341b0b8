// Command bench measures whole proxies: the gate against a bare one that checks
// nothing, and against itself at another commit, in turns. docs/benchmarks.md
// says what the rows mean.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/wicketgate/wicketgate/bench/bare"
	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/gate"
	"github.com/wicketgate/wicketgate/bench/report"
	"github.com/wicketgate/wicketgate/bench/rounds"
	"github.com/wicketgate/wicketgate/bench/upstream"
)

const reference = "bare ReverseProxy"

// flags are what the command line says.
type flags struct {
	rounds.Options
	only     string
	against  string
	program  string
	markdown string
	extra    string
	resource string
	env      string
	profile  string
	rate     float64
	tokens   int
	skip     string
	peers    bool
}

func parse() flags {
	var f flags
	flag.IntVar(&f.Rounds, "rounds", 7, "rounds; medians count")
	flag.IntVar(&f.Requests, "requests", 2000, "requests of a case to a proxy in each round")
	flag.IntVar(&f.Connections, "connections", 32, "connections, each with one request at a time")
	flag.StringVar(&f.only, "only", "", "cases, by their IDs with commas between; default all")
	flag.StringVar(&f.skip, "skip", "", "parts to leave out, with commas between: cost, latency, memory, start")
	flag.StringVar(&f.against, "against", "", "a commit whose gate is measured as well")
	flag.StringVar(&f.program, "gate", "", "a program built already, instead of this tree's")
	flag.StringVar(&f.markdown, "markdown", "", "a file for the same as Markdown, put between its lines bench-proxy: begin and end, or bench-peers, if it has them")
	flag.StringVar(&f.extra, "config-extra", "", "YAML put at the end of this tree's gate's configuration, or @ and a file with it")
	flag.StringVar(&f.resource, "resource-extra", "", "YAML put into the resource of this tree's gate, or @ and a file with it")
	flag.StringVar(&f.env, "gate-env", "", "NAME=value for this tree's gate, with commas between")
	flag.StringVar(&f.profile, "cpuprofile", "", "a file for a profile of this tree's gate in the part cost; it makes the gate slower")
	flag.Float64Var(&f.rate, "rate", 2000, "requests a second where latency is measured")
	flag.IntVar(&f.tokens, "tokens", 100000, "tokens that a gate holds where its memory is measured")
	flag.BoolVar(&f.peers, "peers", false, "compare with what Debian ships")
	flag.Parse()
	if f.peers {
		f.forPeers()
	}
	f.Progress = os.Stderr
	return f
}

func main() {
	bare.Child()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, parse())
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// bench is what runs while measuring.
type bench struct {
	flags
	root    string
	world   *cases.World
	cases   []cases.Case
	server  *upstream.Server
	gates   []*built
	running []*gate.Gate // this tree's first
	targets []rounds.Target
	closers []io.Closer

	compared []compared // with -peers, the gate first
	rows     []rounds.Row
}

// built is a gate of one tree.
type built struct {
	name    string
	options gate.Options
}

func run(ctx context.Context, f flags) (err error) {
	b := &bench{flags: f}
	defer func() { err = errors.Join(err, b.close()) }()
	dir, err := os.MkdirTemp("", "wicketgate-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing is left in it that matters
	if err := b.prepare(ctx, dir); err != nil {
		return err
	}
	tables, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if err := report.Text(os.Stdout, tables); err != nil || f.markdown == "" {
		return err
	}
	return b.write(tables)
}

// write puts the tables into a file; its name is relative to the source's root,
// as is that of make bench-proxy.
func (b *bench) write(tables []report.Table) error {
	name, args := "bench-proxy", os.Args[1:]
	if b.peers {
		name, args = "bench-peers", slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "-peers" })
	}
	command := "make " + name
	if len(args) > 0 {
		command += " BENCHFLAGS='" + strings.Join(args, " ") + "'"
	}
	var text strings.Builder
	if err := report.Markdown(&text, report.Here(b.root, command), tables); err != nil {
		return err
	}
	file := b.markdown
	if !filepath.IsAbs(file) {
		file = filepath.Join(b.root, file)
	}
	return report.Put(file, name, text.String())
}

// part is one table.
type part struct {
	name string
	run  func(context.Context) (report.Table, error)
}

func (b *bench) measure(ctx context.Context) (tables []report.Table, err error) {
	skip := strings.Split(b.skip, ",")
	parts := []part{{"cost", b.costs}, {"latency", b.latencies}, {"memory", b.memories}, {"start", b.beginnings}}
	if b.peers {
		parts = []part{{"trials", b.trials}, {"cost", b.sideBySide}, {"cost", b.ofTheGate}, {"latency", b.latencies}, {"memory", b.sizes}}
	}
	for _, part := range parts {
		if slices.Contains(skip, part.name) {
			continue
		}
		t, err := part.run(ctx)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func (b *bench) costs(ctx context.Context) (report.Table, error) {
	own := b.running[0]
	if b.profile != "" {
		own.Profile()
	}
	rows, err := rounds.Run(ctx, b.Options, b.cases, b.targets)
	if err == nil && b.profile != "" {
		own.Profile()
		err = own.SaveProfile(b.profile)
	}
	return report.Costs(b.Options, reference, rows), err
}

// prepare builds and starts everything.
func (b *bench) prepare(ctx context.Context, dir string) (err error) {
	if b.root, err = gate.Root(); err != nil {
		return err
	}
	if b.world, err = cases.New(); err != nil {
		return err
	}
	b.closers = append(b.closers, b.world)
	var ids []string
	if b.only != "" {
		ids = strings.Split(b.only, ",")
	}
	if b.cases, err = b.world.Find(ids...); err != nil {
		return err
	}
	if b.server, err = upstream.Start(); err != nil {
		return err
	}
	b.closers = append(b.closers, b.server)
	for _, kind := range [][2]string{{bare.Reference, reference}, {bare.Tuned, "bare, tuned"}} {
		p, err := bare.Start(kind[0], b.server.URL())
		if err != nil {
			return err
		}
		b.closers = append(b.closers, p)
		b.targets = append(b.targets, p.Target(kind[1]))
	}
	b.targets[1].Status = passes
	b.targets = append(b.targets, rounds.Target{
		Name: "client and upstream, without a proxy", Address: b.server.Address(), PID: os.Getpid(), Unchecked: true, Status: passes,
	})
	if err := b.build(ctx, dir); err != nil {
		return err
	}
	for _, g := range b.gates {
		running, err := b.start(ctx, g)
		if err != nil {
			return err
		}
		b.closers, b.running = append(b.closers, running), append(b.running, running)
		b.targets = append(b.targets, running.Target(g.name))
	}
	if b.peers {
		return b.startPeers(ctx, dir)
	}
	return nil
}

// passes is for what is asked one case only.
func passes(c cases.Case) (int, []int, bool) { return 200, nil, c.ID == "pass" }

// build makes the programs.
func (b *bench) build(ctx context.Context, dir string) error {
	extra, errE := text(b.extra)
	resource, errR := text(b.resource)
	if err := errors.Join(errE, errR); err != nil {
		return err
	}
	own := gate.Options{Program: cmp.Or(b.program, filepath.Join(dir, "wicketgate")), Upstream: b.server.URL(), World: b.world, Extra: extra, Resource: resource}
	if b.env != "" {
		own.Env = strings.Split(b.env, ",")
	}
	compile := gate.Build
	if b.profile != "" {
		compile = gate.BuildProfiled
	}
	if b.program == "" {
		if err := compile(ctx, b.root, own.Program); err != nil {
			return err
		}
	}
	b.gates = append(b.gates, &built{"gate", own})
	if b.against == "" {
		return nil
	}
	other := gate.Options{Program: filepath.Join(dir, "wicketgate-other"), Upstream: own.Upstream, World: b.world}
	name, err := gate.BuildAt(ctx, b.root, b.against, other.Program)
	if err != nil {
		return err
	}
	b.gates = append(b.gates, &built{"gate at " + name[:12], other})
	return nil
}

// text is what a flag says, or the file that it names.
func text(given string) (string, error) {
	name, found := strings.CutPrefix(given, "@")
	if !found {
		return given, nil
	}
	content, err := os.ReadFile(name)
	return string(content), err
}

// start starts a gate of a tree and waits until it is ready.
func (b *bench) start(ctx context.Context, g *built) (*gate.Gate, error) {
	running, err := gate.Start(g.options)
	if err != nil {
		return nil, err
	}
	if err := running.Ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", g.name, err), running.Close())
	}
	return running, nil
}

func (b *bench) close() (err error) {
	for _, c := range slices.Backward(b.closers) {
		err = errors.Join(err, c.Close())
	}
	return err
}
