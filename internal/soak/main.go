// Command soak drives a running gate for any length of time and knows for each
// request the only answers it may get. It owns all that surrounds the gate:
// three authorization servers whose keys change and one of which is away now
// and then, the upstream, and the clients, honest and not. What it counts as
// wrong is wrong by the timeline of keys, expiry and outages (timeline.go,
// verdict.go), not by chance; it asserts no latency.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	duration time.Duration
	rate     int
	gate     string // the program to try; empty: built from this tree
	keep     bool

	echo int64   // requests of an echo run, which is done instead; 0: none
	odd  float64 // the share of those that meet a fault
	seed uint64  // of their choices; 0: a random one
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long to send requests, from 20s")
	flag.IntVar(&o.rate, "rate", 300, "requests a second")
	flag.StringVar(&o.gate, "gate", "", "the wicketgate program to try; default: built from this tree")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder with the gate's log and configuration")
	flag.Int64Var(&o.echo, "echo", 0, "send this many requests that name themselves through faults on all sides, and nothing else (docs/guide/soak.md)")
	flag.Float64Var(&o.odd, "odd", 0.05, "the share of requests of -echo that meet a fault")
	flag.Uint64Var(&o.seed, "seed", 0, "the seed of -echo; default: a random one, which is printed")
	flag.Parse()
	if o.duration < 20*time.Second || o.rate < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "soak: -duration is 20s or more, -rate 1 or more, and there are no arguments")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	what := run
	if o.echo > 0 {
		what = runEcho
	}
	good, err := what(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// run is the whole life of a soak: start everything, send, stop, tell.
func run(ctx context.Context, o options) (good bool, err error) {
	dir, err := os.MkdirTemp("", "wicketgate-soak")
	if err != nil {
		return false, err
	}
	defer func() {
		if o.keep || !good {
			fmt.Printf("\nthe gate's log and configuration: %s\n", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	s, err := newStage(ctx, o, dir)
	defer s.close()
	if err != nil {
		return false, err
	}
	l, err := newLoad(s, o)
	if err != nil {
		return false, err
	}
	w := newWatch(s.gate)
	if err := w.begin(); err != nil {
		return false, err
	}
	fmt.Printf("soak: %s at %d requests a second, process %d\n", o.duration, o.rate, s.gate.pid())
	loading, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	background := start(loading, w.run, newSchedule(s, l, o).run)
	began := time.Now()
	l.run(loading)
	background.Wait()
	took := time.Since(began)
	r := &report{stage: s, load: l, watch: w, took: took}
	r.counters(ctx)
	s.quiet(l)
	w.end(s.gate)
	r.log(filepath.Join(dir, "gate.log"), s.gate.stop())
	return r.print(os.Stdout), nil
}
