// Package footprint measures what a gate takes beside processor time for requests:
// memory, and the time until it accepts them.
package footprint

import (
	"context"
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/cputime"
	"github.com/wicketgate/wicketgate/bench/gate"
	"github.com/wicketgate/wicketgate/bench/load"
)

// Connections is how many idle ones Connection opens.
const Connections = 2000

const settle = 3 * time.Second // for a gate to give memory back

// Memory is resident sets of a gate's process, in octets.
type Memory struct {
	Idle  int64 // before anything came
	Load  int64 // after many requests with one token
	Most  int64 // at any time
	Full  int64 // with all tokens known
	After int64 // when it has been quiet for a while
}

// Fill sends a fresh gate many requests with one token, then one with each, and
// then some of them again, as those who have tokens do.
func Fill(ctx context.Context, connections int, g *gate.Gate, tokens [][]byte) (m Memory, err error) {
	if m.Idle, err = cputime.RSS(g.PID()); err != nil {
		return m, err
	}
	const many = 20000
	if err := send(g, connections, tokens[:1], many); err != nil {
		return m, err
	}
	if m.Load, err = cputime.RSS(g.PID()); err != nil {
		return m, err
	}
	ctx, stop := context.WithCancel(ctx)
	most := make(chan int64)
	go func() { most <- watch(ctx, g.PID()) }()
	err = send(g, connections, tokens, 0)
	if err == nil {
		m.Full, err = cputime.RSS(g.PID())
	}
	if err == nil {
		err = send(g, connections, tokens[:len(tokens)/10], 0)
	}
	stop()
	m.Most = <-most
	if err != nil {
		return m, err
	}
	time.Sleep(settle)
	m.After, err = cputime.RSS(g.PID())
	return m, err
}

// watch is the largest resident set until the context is done.
func watch(ctx context.Context, pid int) (most int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return most
		case <-tick.C:
			if now, err := cputime.RSS(pid); err == nil {
				most = max(most, now)
			}
		}
	}
}

// Connection is what an idle keep-alive connection costs a gate, in octets: each
// of many has carried a request, and the gate keeps connections to the upstream.
func Connection(g *gate.Gate) (int64, error) {
	open := [][]byte{load.Get(cases.Host, cases.Open)}
	const few = 32
	if err := send(g, few, open, 100*few); err != nil {
		return 0, err
	}
	before, err := cputime.RSS(g.PID())
	if err != nil {
		return 0, err
	}
	clients, err := load.Open(g.Address, load.Options{Connections: Connections})
	if err != nil {
		return 0, err
	}
	defer func() { _ = clients.Close() }() // it has nothing to say
	if _, err := clients.Run(load.Plan{Requests: open, Count: Connections, Status: 200, Rate: 2000}); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	after, err := cputime.RSS(g.PID())
	return (after - before) / Connections, err
}

// send sends count requests, or each once for 0, in a closed loop.
func send(g *gate.Gate, connections int, requests [][]byte, count int) error {
	clients, err := load.Open(g.Address, load.Options{Connections: connections})
	if err != nil {
		return err
	}
	defer func() { _ = clients.Close() }() // it has nothing to say
	_, err = clients.Run(load.Plan{Requests: requests, Count: count, Status: 200})
	return err
}

// Begin starts a gate, waits until it accepts connections, and ends it. It tells
// how long that took on the clock, from before the exec, and in processor time.
func Begin(ctx context.Context, o gate.Options) (took, used time.Duration, err error) {
	began := time.Now()
	g, err := gate.Start(o)
	if err != nil {
		return 0, 0, err
	}
	err = g.Accepts(ctx)
	took = time.Since(began)
	used, errU := cputime.Process(g.PID())
	return took, used, errors.Join(err, errU, g.Close())
}
