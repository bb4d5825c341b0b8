// Package echo sends requests that name themselves in each of their parts
// through a gate, to upstreams that answer each with its own name, and faults on
// every side in between; and it finds each octet that came to somebody else.
package echo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Token is an access token and whose it is.
type Token struct{ Raw, Subject string }

// Hosts are the names under which the two upstreams are asked: HTTP/1.1 and
// HTTP/2.
const (
	PlainHost  = "plain.echo.test"
	StreamHost = "stream.echo.test"
)

// The clients: most speak HTTP/1.1, and those who speak HTTP/2 share
// connections.
const (
	wireClients   = 24
	streams       = 4
	streamClients = 4 // on each
)

// Options are what a run is made of.
type Options struct {
	Requests int64
	Share    float64 // of requests that meet a fault
	Seed     uint64
	Tokens   []Token
}

// Echo is the clients and the upstreams of a run, and what they know.
type Echo struct {
	options  Options
	only     []fault
	hosts    []string
	ledger   *ledger
	raw      *rawUpstream
	stream   *http.Server
	streamAt net.Listener
	begun    atomic.Int64
}

// New starts the upstreams.
func New(o Options) (*Echo, error) {
	e := &Echo{options: o, ledger: newLedger(), hosts: []string{PlainHost, StreamHost}}
	for f := none + 1; f < faults; f++ {
		e.only = append(e.only, f)
	}
	var err error
	if e.raw, err = newRawUpstream(e.ledger); err != nil {
		return nil, err
	}
	if e.stream, e.streamAt, err = newStreamUpstream(e.ledger); err != nil {
		e.raw.close()
		return nil, err
	}
	return e, nil
}

// Close stops the upstreams and cuts their connections.
func (e *Echo) Close() error {
	e.raw.close()
	return e.stream.Close()
}

// Plain is the URL of the upstream that speaks HTTP/1.1, for the gate's
// configuration.
func (e *Echo) Plain() string { return "http://" + e.raw.Addr().String() }

// Stream is that of the one that speaks HTTP/2.
func (e *Echo) Stream() string { return "h2c://" + e.streamAt.Addr().String() }

// Begun is how many requests were begun so far.
func (e *Echo) Begun() int64 { return min(e.begun.Load(), e.options.Requests) }

// Run sends all requests to the gate at target, host and port, or as many as
// there is time for before ctx ends.
func (e *Echo) Run(ctx context.Context, target string) {
	more := func() bool { return e.begun.Add(1) <= e.options.Requests }
	var running sync.WaitGroup
	for n := range wireClients {
		w := &wireClient{planner: e.planner(n), ledger: e.ledger, target: target}
		running.Go(func() { w.run(ctx, more) })
	}
	for n := range streams {
		t := newStreams()
		defer t.CloseIdleConnections()
		for m := range streamClients {
			s := &streamClient{planner: e.planner(wireClients + n*streamClients + m), ledger: e.ledger, target: target, client: t}
			running.Go(func() { s.run(ctx, more) })
		}
	}
	running.Wait()
}

func (e *Echo) planner(n int) *planner {
	return &planner{
		Rand:   rand.New(rand.NewPCG(e.options.Seed, uint64(n))), //nolint:gosec // a run that can be run again
		tokens: e.options.Tokens, hosts: e.hosts, share: e.options.Share, only: e.only,
	}
}

// Reached bounds how many requests the gate must have decided about: at least
// those that were answered or arrived, at most those that were sent.
func (e *Echo) Reached() (least, most int) {
	return int(e.ledger.reached.Load()), int(e.ledger.perhaps.Load())
}

// Left is how many clients went away with their request on its way to a decision,
// or so it was planned.
func (e *Echo) Left() int {
	return int(e.ledger.planned[cutBody].Load() + e.ledger.planned[dropRequest].Load())
}

// Report prints what was seen. The error says what must never happen and did.
func (e *Echo) Report(to io.Writer) error {
	l := e.ledger
	fmt.Fprintf(to, "%d requests, seed %d; with a fault:", l.perhaps.Load(), e.options.Seed)
	spoiling, faulty := int64(0), int64(0)
	for f := range l.planned {
		n := l.planned[f].Load()
		if f == int(none) {
			continue
		}
		faulty += n
		if fault(f).spoils() {
			spoiling += n
		}
		fmt.Fprintf(to, " %s %d,", fault(f), n)
	}
	fmt.Fprintf(to, " in all %d\n", faulty)
	fmt.Fprintf(to, "answers of the gate's own: %d, of them %d since another's fault had spoilt the connection; repeated by the transport: %d\n", l.own.Load(), l.spared.Load(), l.retried.Load())
	var all error
	for w := range l.counts {
		fmt.Fprintf(to, "%-22s %d\n", wrongNames[w]+":", l.counts[w].Load())
		if n := l.counts[w].Load(); n > 0 {
			all = errors.Join(all, fmt.Errorf("%d %s", n, wrongNames[w]))
		}
	}
	if n := l.spared.Load(); n > spoiling {
		all = errors.Join(all, fmt.Errorf("%d answers were lost to faults of others, of which there were %d", n, spoiling))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failures {
		fmt.Fprintln(to, "  ", f)
	}
	return all
}
