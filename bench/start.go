package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/bench/footprint"
	"github.com/wicketgate/wicketgate/bench/report"
)

const starts = 21

// beginnings starts gates of all trees in turns.
func (b *bench) beginnings(ctx context.Context) (report.Table, error) {
	t := report.Table{
		Title: "Start and size",
		Notes: fmt.Sprintf("Medians of %d starts, with all keys in a file. Exec to accepting is time on the clock, so a busy machine has its part in it.", starts),
		Head:  []string{"", "proxy", "figure", "target", ""},
	}
	until, used := make([][]time.Duration, len(b.gates)), make([][]time.Duration, len(b.gates))
	for range starts {
		for i, g := range b.gates {
			took, cpu, err := footprint.Begin(ctx, g.options)
			if err != nil {
				return t, fmt.Errorf("%s: %w", g.name, err)
			}
			until[i], used[i] = append(until[i], took), append(used[i], cpu)
		}
	}
	for i, g := range b.gates {
		info, err := os.Stat(g.options.Program)
		if err != nil {
			return t, err
		}
		slices.Sort(until[i])
		slices.Sort(used[i])
		took := milli(until[i][starts/2])
		t.Rows = append(t.Rows,
			[]string{"exec to accepting", g.name, fmt.Sprintf("%.1f ms", took), "<= 20 ms", report.Met(took, 20)},
			[]string{"... the fastest start", g.name, fmt.Sprintf("%.1f ms", milli(until[i][0])), "", ""},
			[]string{"... processor time of it", g.name, fmt.Sprintf("%.1f ms", milli(used[i][starts/2])), "", ""},
			[]string{"the program, static and stripped", g.name, megabytes(info.Size()), "", ""},
		)
	}
	return t, nil
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
