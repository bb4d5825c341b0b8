package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/wicketgate/wicketgate/bench/footprint"
	"github.com/wicketgate/wicketgate/bench/gate"
	"github.com/wicketgate/wicketgate/bench/report"
)

// memories fills a fresh gate of each tree.
func (b *bench) memories(ctx context.Context) (report.Table, error) {
	t := report.Table{
		Title: "Memory",
		Notes: fmt.Sprintf("Resident set of the gate's process. An idle connection is one of %d that carried a request each; its cost includes what the gate keeps open to the upstream.", footprint.Connections),
		Head:  []string{"", "proxy", "figure", "target", ""},
	}
	tokens, err := b.world.Many(b.tokens)
	if err != nil {
		return t, err
	}
	for _, g := range b.gates {
		var m footprint.Memory
		var connection int64
		err := errors.Join(b.fresh(ctx, g, func(running *gate.Gate) (err error) {
			m, err = footprint.Fill(ctx, b.Connections, running, tokens)
			return err
		}), b.fresh(ctx, g, func(running *gate.Gate) (err error) {
			connection, err = footprint.Connection(running)
			return err
		}))
		if err != nil {
			return t, fmt.Errorf("%s: %w", g.name, err)
		}
		t.Rows = append(t.Rows,
			[]string{"RSS idle", g.name, megabytes(m.Idle), "", ""},
			[]string{"RSS under load, one token", g.name, megabytes(m.Load), "", ""},
			[]string{"RSS at most, while tokens come", g.name, megabytes(m.Most), "", ""},
			[]string{fmt.Sprintf("RSS with %d cached tokens", b.tokens), g.name, megabytes(m.Full), "<= 110 MB", report.Met(float64(m.Full)/1e6, 110)},
			[]string{"RSS after, when quiet", g.name, megabytes(m.After), "", ""},
			[]string{"an idle keep-alive connection", g.name, fmt.Sprintf("%.1f kB", float64(connection)/1e3), "<= 20 kB", report.Met(float64(connection)/1e3, 20)},
		)
	}
	return t, nil
}

func megabytes(octets int64) string { return fmt.Sprintf("%.1f MB", float64(octets)/1e6) }

// fresh runs a gate for as long as the function takes.
func (b *bench) fresh(ctx context.Context, g *built, use func(*gate.Gate) error) error {
	running, err := b.start(ctx, g)
	if err != nil {
		return err
	}
	return errors.Join(use(running), running.Close())
}
