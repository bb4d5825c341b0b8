package main

import (
	"slices"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/rivals"
	"github.com/wicketgate/wicketgate/bench/rounds"
)

func TestPeersSideBySide(t *testing.T) {
	row := func(id, target string, costs ...time.Duration) rounds.Row {
		r := rounds.Row{Case: cases.Case{ID: id, Title: "case " + id}, Target: target, Costs: costs}
		for range costs {
			r.Ratios = append(r.Ratios, 2)
		}
		return r
	}
	b := bench{
		compared: []compared{{name: "gate"}, {name: "one"}, {name: "two"}},
		rows: []rounds.Row{
			row("pass", reference, 10_000), row("pass", "gate", 20_000, 10_000, 40_000), row("pass", "one", 10_000, 20_000, 60_000),
			row("dpop", reference, 10_000), row("dpop", "gate", 20_000), row("dpop", "two", 50_000),
		},
	}
	table, err := b.ofTheGate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"case pass", "1.50", "-"}, {"case dpop", "-", "2.50"}}
	if !slices.EqualFunc(table.Rows, want, slices.Equal) {
		t.Errorf("got %q, want %q", table.Rows, want)
	}
	want = [][]string{{"case pass", "10.0", "20.0 (2.00)", "20.0 (2.00)", "-"}, {"case dpop", "10.0", "20.0 (2.00)", "-", "50.0 (2.00)"}}
	if got := sideBySide(rounds.Options{}, b.rows).Rows; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEachCaseGoesThroughOneDoor: a case that went through none would be missing
// from the table, and nobody would notice.
func TestEachCaseGoesThroughOneDoor(t *testing.T) {
	world, err := cases.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = world.Close() }()
	for _, c := range world.Cases {
		doors := 0
		for _, kind := range rivals.Kinds() {
			status, also, can := through(kind)(c)
			if !can {
				continue
			}
			doors++
			if refusable := slices.Contains(also, 403); status != c.Status || refusable != (c.Status == 401) {
				t.Errorf("%s: %d or %v", c.ID, status, also)
			}
		}
		if doors != 1 {
			t.Errorf("%s goes through %d doors", c.ID, doors)
		}
	}
}
