package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/load"
	"github.com/wicketgate/wicketgate/bench/report"
	"github.com/wicketgate/wicketgate/bench/rounds"
)

const latencyRounds = 3 // of a second each

// latencies sends requests at a fixed rate, in turns, and tells how long answers
// took from the moment each request was meant to be sent.
func (b *bench) latencies(ctx context.Context) (report.Table, error) {
	t := report.Table{
		Title: fmt.Sprintf("Latency at %.0f requests a second", b.rate),
		Notes: "From the moment a request was meant to be sent to the end of its answer, the load generator's own lateness included.",
		Head:  []string{"case", "proxy", "p50 us", "p99 us"},
	}
	list, err := b.world.Find("pass", "es256-repeated", "es256-once", "dpop")
	if err != nil {
		return t, err
	}
	for _, c := range list {
		histograms := make([]load.Histogram, len(b.targets))
		for range latencyRounds {
			requests, err := c.Requests(int(b.rate))
			if err != nil {
				return t, err
			}
			for i, target := range b.targets {
				if err := ctx.Err(); err != nil {
					return t, err
				}
				if err := b.latency(c, target, requests, &histograms[i]); err != nil {
					return t, fmt.Errorf("%s: %s: %w", target.Name, c.ID, err)
				}
			}
		}
		for i, target := range b.targets {
			if h := &histograms[i]; h.Count() > 0 {
				t.Rows = append(t.Rows, []string{c.Title, target.Name, whole(h.Quantile(0.5)), whole(h.Quantile(0.99))})
			}
		}
	}
	return t, nil
}

func whole(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Microsecond)) }

func (b *bench) latency(c cases.Case, target rounds.Target, requests [][]byte, into *load.Histogram) error {
	plan, can := target.Plan(c)
	if !can {
		return nil
	}
	plan.Requests, plan.Rate = requests, b.rate
	clients, err := load.Open(target.Address, load.Options{Connections: b.Connections, Local: c.Local})
	if err != nil {
		return err
	}
	defer func() { _ = clients.Close() }() // it has nothing to say
	if err := rounds.Greet(clients, b.Connections, plan.Reconnect); err != nil {
		return err
	}
	result, err := clients.Run(plan)
	if err != nil {
		return err
	}
	into.Merge(result.Latency)
	return nil
}
