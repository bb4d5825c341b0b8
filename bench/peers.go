package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/cputime"
	"github.com/wicketgate/wicketgate/bench/report"
	"github.com/wicketgate/wicketgate/bench/rivals"
	"github.com/wicketgate/wicketgate/bench/rounds"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// forPeers sets what was not given: less, for there are more proxies, and a rate
// that all of them keep up with.
func (f *flags) forPeers() {
	said := map[string]bool{}
	flag.Visit(func(one *flag.Flag) { said[one.Name] = true })
	if !said["rounds"] {
		f.Rounds = 5
	}
	if !said["requests"] {
		f.Requests = 1000
	}
	if !said["rate"] {
		f.rate = 500
	}
}

// compared is a proxy among the peers: the gate, or one of Debian's.
type compared struct {
	name     string
	versions string
	pid      int
	doors    map[rivals.Kind]string
	findings []rivals.Findings
	idle     int64 // octets of memory before anything was asked
}

// stopper ends a peer as the others are closed.
type stopper struct{ *rivals.Running }

func (s stopper) Close() error { return s.Stop() }

// startPeers starts what Debian ships, tries out all of them and the gate, and
// adds them to what is measured.
func (b *bench) startPeers(ctx context.Context, dir string) error {
	for _, p := range rivals.Peers() {
		if err := p.Missing(); err != nil {
			return err // before anything is measured for nothing
		}
	}
	own := b.targets[len(b.targets)-len(b.gates)]
	doors := map[rivals.Kind]string{rivals.JWT: own.Address, rivals.DPoP: own.Address, rivals.Opaque: own.Address}
	b.compared = append(b.compared, compared{name: own.Name, versions: "this tree", pid: own.PID, doors: doors})
	for _, p := range rivals.Peers() {
		if err := b.startPeer(ctx, p, filepath.Join(dir, p.Name)); err != nil {
			return err
		}
	}
	return b.tryAll(ctx)
}

func (b *bench) startPeer(ctx context.Context, p rivals.Peer, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	running, err := p.Start(ctx, rivals.Place{
		Dir: dir, Upstream: strings.TrimPrefix(b.server.URL(), "http://"), Issuer: cases.Issuer, Audience: cases.Audience, Open: cases.Open,
		KeySet: b.world.Issuer.JWKS(), JWKS: b.world.Issuer.URL + "/jwks", Processors: runtime.GOMAXPROCS(0), Clients: b.Connections,
		Introspection: b.world.Issuer.URL + "/introspect", ClientID: cases.ClientID, ClientSecret: cases.ClientSecret,
	})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, stopper{running})
	versions, err := p.Versions(ctx)
	if err != nil {
		return err
	}
	b.compared = append(b.compared, compared{name: p.Name, versions: versions, pid: running.Pid, doors: running.Doors})
	for _, kind := range p.Kinds {
		b.targets = append(b.targets, rounds.Target{Name: p.Name, Address: running.Doors[kind], PID: running.Pid, Reconnect: true, Status: through(kind)})
	}
	return nil
}

// through says which cases go through a peer's door of a kind. Peers answer 403
// to some tokens that the gate answers 401.
func through(kind rivals.Kind) func(cases.Case) (int, []int, bool) {
	return func(c cases.Case) (int, []int, bool) {
		also := c.Also
		if c.Status == 401 {
			also = append([]int{403}, also...)
		}
		return c.Status, also, kindOf(c) == kind
	}
}

func kindOf(c cases.Case) rivals.Kind {
	switch c.ID {
	case "pass":
		return rivals.Unchecked
	case "dpop", "dpop-stale", "dpop-htu", "dpop-forged":
		return rivals.DPoP
	case "opaque":
		return rivals.Opaque
	}
	return rivals.JWT
}

// tryAll looks at memory, then sends the trials.
func (b *bench) tryAll(ctx context.Context) error {
	client, err := devissuer.NewClientKey("ES256")
	if err != nil {
		return err
	}
	minter := &rivals.Minter{Issuer: b.world.Issuer.Issuer, Client: client, Origin: cases.Audience}
	for i := range b.compared {
		c := &b.compared[i]
		if c.idle, err = cputime.Resident(c.pid); err != nil {
			return err
		}
		if c.findings, err = rivals.Try(ctx, c.doors, minter); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// trials is the table of what they let through.
func (b *bench) trials(context.Context) (report.Table, error) {
	t := report.Table{
		Title: "What is checked",
		Notes: fmt.Sprintf("Found out at the start of the run by sending %d requests whose right answer is known. A damaged signature, an expired token, another audience, no token and no proof all of them refuse, else nothing is measured.", len(rivals.Trials())),
		Head:  []string{"proxy", "version", "door", "does not refuse", "refuses though it is good"},
	}
	for _, c := range b.compared {
		for i, f := range c.findings {
			versions := c.versions
			if i > 0 {
				versions = "" // said already
			}
			t.Rows = append(t.Rows, []string{c.name, versions, string(f.Kind), listed(f.Passes), listed(f.Turns)})
		}
		if len(c.findings) == 0 {
			t.Rows = append(t.Rows, []string{c.name, c.versions, string(rivals.Unchecked), "anything: it checks no tokens", "-"})
		}
	}
	return t, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

// sideBySide measures all of them in the same rounds.
func (b *bench) sideBySide(ctx context.Context) (t report.Table, err error) {
	b.rows, err = rounds.Run(ctx, b.Options, b.cases, b.targets)
	return sideBySide(b.Options, b.rows), err
}

// ofTheGate is how much more than the gate each peer cost.
func (b *bench) ofTheGate(context.Context) (report.Table, error) {
	t := report.Table{
		Title: "Processor time a request, of the gate's",
		Notes: "What the peer cost divided by what the gate cost in the same round, medians: above 1 the gate is the cheaper one.",
		Head:  []string{"case"},
	}
	own := map[string]rounds.Row{}
	columns := map[string]int{}
	for i, c := range b.compared {
		if i > 0 {
			columns[c.name] = i
			t.Head = append(t.Head, c.name)
		}
	}
	for _, r := range b.rows {
		if r.Target == b.compared[0].name {
			own[r.Case.ID] = r
			t.Rows = append(t.Rows, append([]string{r.Case.Title}, slices.Repeat([]string{"-"}, len(columns))...))
		}
		if at := columns[r.Target]; at > 0 {
			t.Rows[len(t.Rows)-1][at] = fmt.Sprintf("%.2f", quotient(r.Costs, own[r.Case.ID].Costs))
		}
	}
	return t, nil
}

// quotient is the median of the rounds' quotients.
func quotient(costs, own []time.Duration) float64 {
	all := make([]float64, len(costs))
	for i := range costs {
		all[i] = float64(costs[i]) / float64(own[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// sideBySide is a row for each case and a column for each proxy.
func sideBySide(o rounds.Options, rows []rounds.Row) report.Table {
	t := report.Table{
		Title: "Processor time a request, side by side",
		Notes: fmt.Sprintf("Microseconds of the whole process tree, and the ratio to the %s in the same round; medians of %d rounds of %d requests over %d connections, closed loop, all proxies in turns. A dash: it cannot be asked that.", reference, o.Rounds, o.Requests, o.Connections),
		Head:  []string{"case"},
	}
	columns := map[string]int{}
	for _, r := range rows {
		if columns[r.Target] == 0 {
			columns[r.Target] = len(t.Head)
			t.Head = append(t.Head, r.Target)
		}
	}
	last := ""
	for _, r := range rows {
		if r.Case.ID != last {
			cells := []string{r.Case.Title}
			for range columns {
				cells = append(cells, "-")
			}
			t.Rows, last = append(t.Rows, cells), r.Case.ID
		}
		cell := report.Micro(r.Cost())
		if r.Target != reference {
			cell += fmt.Sprintf(" (%.2f)", r.Ratio())
		}
		t.Rows[len(t.Rows)-1][columns[r.Target]] = cell
	}
	return t
}

// sizes is the table of memory, once everything has been asked.
func (b *bench) sizes(context.Context) (report.Table, error) {
	t := report.Table{
		Title: "Memory of the process trees",
		Notes: "What is in RAM, pages that processes share counted once: before the first request, and after all cases.",
		Head:  []string{"proxy", "idle", "after the run"},
	}
	for _, c := range b.compared {
		now, err := cputime.Resident(c.pid)
		if err != nil {
			return t, err
		}
		t.Rows = append(t.Rows, []string{c.name, fmt.Sprintf("%.1f MB", float64(c.idle)/1e6), fmt.Sprintf("%.1f MB", float64(now)/1e6)})
	}
	return t, nil
}
