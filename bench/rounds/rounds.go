// Package rounds measures proxies in turns: in every round each case goes to
// every proxy, one right after the other, so that whatever else the machine does
// slows all alike. Only ratios within one run mean anything.
package rounds

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/cputime"
	"github.com/wicketgate/wicketgate/bench/load"
)

// A Target is a running proxy.
type Target struct {
	Name      string
	Address   string // IP address and port of its listener
	PID       int    // of the process whose tree does the work
	Unchecked bool   // it forwards everything: each answer is 200
	Reconnect bool   // it may close connections after an answer

	// Status is what it answers to a case, and whether it can be asked at all;
	// nil: what the case says.
	Status func(cases.Case) (status int, also []int, can bool)
}

// Options of Run.
type Options struct {
	Rounds      int // default 7
	Requests    int // of a case to a proxy in each round; default 2000
	Connections int // default 32
	Progress    io.Writer
}

// A Row is what a case cost a proxy.
type Row struct {
	Case     cases.Case
	Target   string
	Checked  bool            // it looked at the token
	Costs    []time.Duration // processor time a request of the proxy's tree, by round
	Ratios   []float64       // to the first target in the same round, by round
	Statuses map[int]int
	Reopened int // connections the proxy closed
}

// Cost is the median of the rounds.
func (r Row) Cost() time.Duration { return median(r.Costs) }

// Ratio is the median of the rounds' ratios.
func (r Row) Ratio() float64 { return median(r.Ratios) }

func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// Run measures every case on every target that can be asked it. The first target
// is what the others are compared with, and must take every case. Rows come by
// case, then by target.
func Run(ctx context.Context, o Options, list []cases.Case, targets []Target) ([]Row, error) {
	o.Rounds, o.Requests, o.Connections = cmp.Or(o.Rounds, 7), cmp.Or(o.Requests, 2000), cmp.Or(o.Connections, 32)
	rows := make(map[[2]string]*Row)
	for round := range o.Rounds {
		for _, c := range list {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			requests, err := c.Requests(o.Requests)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.ID, err)
			}
			var first time.Duration
			for i := range targets {
				t := targets[i]
				row, err := once(o, round, c, t, requests)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", t.Name, c.ID, err)
				}
				if row == nil {
					continue
				}
				if i == 0 {
					first = row.Costs[0]
				}
				key := [2]string{c.ID, t.Name}
				if rows[key] == nil {
					rows[key] = &Row{Case: c, Target: t.Name, Checked: !t.Unchecked, Statuses: make(map[int]int)}
				}
				rows[key].add(row, first)
			}
		}
		if o.Progress != nil {
			fmt.Fprintf(o.Progress, "round %d of %d\n", round+1, o.Rounds)
		}
	}
	var out []Row
	for _, c := range list {
		for _, t := range targets {
			if row := rows[[2]string{c.ID, t.Name}]; row != nil {
				out = append(out, *row)
			}
		}
	}
	return out, nil
}

func (r *Row) add(one *Row, first time.Duration) {
	r.Costs = append(r.Costs, one.Costs...)
	r.Ratios = append(r.Ratios, float64(one.Costs[0])/float64(first))
	for status, n := range one.Statuses {
		r.Statuses[status] += n
	}
	r.Reopened += one.Reopened
}

// once is one round of a case on a target; nil: it cannot be asked that. The
// connections are open, and have carried a request each, before the clock starts.
func once(o Options, round int, c cases.Case, t Target, requests [][]byte) (*Row, error) {
	plan, can := t.Plan(c)
	if !can {
		return nil, nil
	}
	clients, err := load.Open(t.Address, load.Options{Connections: o.Connections, Local: c.Local})
	if err != nil {
		return nil, err
	}
	defer func() { _ = clients.Close() }() // it has nothing to say
	if err := warm(clients, plan, o, round, c); err != nil {
		return nil, err
	}
	before, err := cputime.Tree(t.PID)
	if err != nil {
		return nil, err
	}
	plan.Requests = requests
	result, err := clients.Run(plan)
	if err != nil {
		return nil, err
	}
	after, err := cputime.Tree(t.PID)
	if err != nil {
		return nil, err
	}
	used, err := after.Since(before)
	if err != nil {
		return nil, err
	}
	return &Row{Costs: []time.Duration{used / time.Duration(len(requests))}, Statuses: result.Statuses, Reopened: result.Reopened}, nil
}

// warm sends a request over each connection, and in the first round what the case
// wants to be known.
func warm(clients *load.Clients, plan load.Plan, o Options, round int, c cases.Case) error {
	if err := Greet(clients, o.Connections, plan.Reconnect); err != nil || round > 0 {
		return err
	}
	var err error
	if plan.Requests, err = c.Warm(); err != nil || len(plan.Requests) == 0 {
		return err
	}
	_, err = clients.Run(plan)
	return err
}

// Greet sends a request over each connection that every proxy lets pass, so that
// none of those that are measured is the first on its connection.
func Greet(clients *load.Clients, connections int, reconnect bool) error {
	first := load.Plan{Requests: [][]byte{load.Get(cases.Host, cases.Open)}, Count: connections, Status: 200, Reconnect: reconnect}
	if _, err := clients.Run(first); err != nil {
		return fmt.Errorf("a request without a token for %s: %w", cases.Open, err)
	}
	return nil
}

// Plan is how a case is sent to the target, and whether it can be.
func (t Target) Plan(c cases.Case) (load.Plan, bool) {
	p := load.Plan{Status: c.Status, Also: c.Also, Reconnect: t.Reconnect}
	if t.Unchecked {
		p.Status, p.Also = 200, nil
	}
	if t.Status == nil {
		return p, true
	}
	var can bool
	p.Status, p.Also, can = t.Status(c)
	return p, can
}

// Spread is the smallest and the largest ratio of a round.
func (r Row) Spread() (low, high float64) { return slices.Min(r.Ratios), slices.Max(r.Ratios) }
