// Package report prints what was measured.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wicketgate/wicketgate/bench/rounds"
	"golang.org/x/sys/unix"
)

// A Machine is where and when figures were made.
type Machine struct {
	Command string // what was run
	CPU     string
	Cores   int
	Kernel  string
	Go      string
	Commit  string // of the tree, with -dirty when it was changed
	Date    time.Time
}

// Here describes this machine and the tree in a folder.
func Here(tree, command string) Machine {
	m := Machine{Command: command, CPU: "unknown", Cores: runtime.NumCPU(), Kernel: "unknown", Go: runtime.Version(), Commit: "unknown", Date: time.Now().UTC()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(text) {
			if name, value, found := strings.Cut(string(line), ":"); found && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	describe := exec.Command("git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*")
	describe.Dir = tree
	if out, err := describe.Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

// A Table is rows of cells, the first row their titles. Empty ones are left blank.
type Table struct {
	Title string
	Notes string
	Head  []string
	Rows  [][]string
}

// Text writes tables for a terminal.
func Text(w io.Writer, tables []Table) error {
	for _, t := range tables {
		fmt.Fprintf(w, "\n%s\n\n", t.Title)
		tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tab, strings.Join(t.Head, "\t"))
		for _, row := range t.Rows {
			fmt.Fprintln(tab, strings.Join(row, "\t"))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Markdown writes where the figures come from, and tables.
func Markdown(w io.Writer, m Machine, tables []Table) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "`%s`, %s, commit %s.\n%d cores of %s, %s, %s.\n", m.Command, m.Date.Format("2 January 2006"), m.Commit, m.Cores, m.CPU, m.Kernel, m.Go)
	for _, t := range tables {
		fmt.Fprintf(&b, "\n### %s\n\n", t.Title)
		if t.Notes != "" {
			fmt.Fprintf(&b, "%s\n\n", t.Notes)
		}
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.Head, " | "), strings.Repeat("---|", len(t.Head)))
		for _, row := range t.Rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Put writes a text into a file: between the lines "<!-- NAME: begin -->" and
// "<!-- NAME: end -->" where it has them, else as the whole file.
func Put(file, name, text string) error {
	begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->\n"
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if head, rest, found := strings.Cut(string(before), begin); found {
		_, tail, found := strings.Cut(rest, end)
		if !found {
			return fmt.Errorf("%s: no line %q", file, strings.TrimSpace(end))
		}
		text = head + begin + text + end + tail
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// Costs is the table of rounds: a row for each case and target but the reference,
// whose cost stands beside.
func Costs(o rounds.Options, reference string, rows []rounds.Row) Table {
	t := Table{
		Title: "Processor time a request",
		Notes: fmt.Sprintf("Medians of %d rounds of %d requests over %d connections, closed loop, answers of 256 octets; B is `%s`.", o.Rounds, o.Requests, o.Connections, reference),
		Head:  []string{"case", "proxy", "us", "of B", "rounds", "B us", "target", ""},
	}
	costs := make(map[string]time.Duration)
	for _, r := range rows {
		if r.Target == reference {
			costs[r.Case.ID] = r.Cost()
		}
	}
	for _, r := range rows {
		if r.Target == reference {
			continue
		}
		low, high := r.Spread()
		cells := []string{r.Case.Title, r.Target, Micro(r.Cost()), fmt.Sprintf("%.2f", r.Ratio()), fmt.Sprintf("%.2f..%.2f", low, high), Micro(costs[r.Case.ID])}
		t.Rows = append(t.Rows, append(cells, words(r), verdict(r)))
	}
	return t
}

// Micro is a duration in microseconds, with one decimal.
func Micro(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }

func words(r rounds.Row) string {
	t := r.Case.Target
	switch {
	case !r.Checked:
		return ""
	case t.Untabled > 0:
		return fmt.Sprintf("<= %.2f, %.2f without tables", t.Ratio, t.Untabled)
	case t.Ratio > 0:
		return fmt.Sprintf("<= %.2f", t.Ratio)
	}
	return t.Otherwise
}

func verdict(r rounds.Row) string {
	if !r.Checked {
		return ""
	}
	t, ratio := r.Case.Target, r.Ratio()
	said := ""
	if len(r.Statuses) > 1 {
		said = fmt.Sprintf(" %v", r.Statuses)
	}
	switch {
	case t.Ratio == 0:
		return strings.TrimSpace(said)
	case ratio <= t.Ratio:
		return "met" + said
	case ratio <= t.Untabled:
		return "met without tables" + said
	}
	return "missed" + said
}

// Met says whether a figure is within its target.
func Met(figure, target float64) string {
	if figure <= target {
		return "met"
	}
	return "missed"
}
