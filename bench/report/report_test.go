package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/report"
	"github.com/wicketgate/wicketgate/bench/rounds"
)

func TestCosts(t *testing.T) {
	row := func(target cases.Target, ratio float64) rounds.Row {
		return rounds.Row{Case: cases.Case{Title: "a case", Target: target}, Target: "gate", Checked: true, Costs: []time.Duration{50 * time.Microsecond}, Ratios: []float64{ratio}}
	}
	for _, c := range []struct {
		target cases.Target
		ratio  float64
		want   string
	}{
		{cases.Target{Ratio: 0.6}, 0.6, "<= 0.60 | met |"},
		{cases.Target{Ratio: 0.6}, 0.61, "<= 0.60 | missed |"},
		{cases.Target{Ratio: 1.2, Untabled: 1.7}, 1.5, "met without tables |"},
		{cases.Target{Ratio: 1.2, Untabled: 1.7}, 1.8, "missed |"},
		{cases.Target{Otherwise: "low"}, 5, "low |  |"},
	} {
		bare := rounds.Row{Case: cases.Case{Title: "a case"}, Target: "bare", Costs: []time.Duration{80 * time.Microsecond}, Ratios: []float64{1}}
		table := report.Costs(rounds.Options{}, "bare", []rounds.Row{bare, row(c.target, c.ratio)})
		var text, markdown strings.Builder
		machine := report.Here(".", "make it")
		if err := report.Markdown(&markdown, machine, []report.Table{table}); err != nil {
			t.Fatal(err)
		}
		if err := report.Text(&text, []report.Table{table}); err != nil {
			t.Fatal(err)
		}
		if got := markdown.String(); !strings.Contains(got, c.want) || !strings.Contains(got, "| a case | gate | 50.0 |") || !strings.Contains(got, "`make it`") {
			t.Errorf("want %q in\n%s", c.want, got)
		}
		if !strings.Contains(text.String(), "a case  gate   50.0") {
			t.Errorf("got\n%s", text.String())
		}
	}
}

func TestPut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	for _, c := range [][2]string{
		{"", "new\n"},
		{"a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n", "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"},
	} {
		if c[0] != "" {
			if err := os.WriteFile(file, []byte(c[0]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := report.Put(file, "x", "new\n")
		if got, errR := os.ReadFile(file); err != nil || errR != nil || string(got) != c[1] {
			t.Errorf("%q, %v, %v", got, err, errR)
		}
	}
	if err := os.WriteFile(file, []byte("<!-- x: begin -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if report.Put(file, "x", "new\n") == nil {
		t.Error("there is no end, and nobody says so")
	}
}
