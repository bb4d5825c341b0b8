package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

const (
	examples  = 3    // of each kind of change
	maxGroups = 1000 // kinds of change that are told apart, whatever a log holds
)

// A Report is what became of all lines.
type Report struct {
	Judged    int       `json:"judged"`
	Unchanged int       `json:"unchanged"` // of Judged
	Changed   int       `json:"changed"`   // of Judged
	Kept      int       `json:"kept"`      // refused or answered for something that no policy changes: they stay as they were
	Unjudged  int       `json:"unjudged"`  // the log tells too little
	Unread    int       `json:"unread"`    // lines that are no decision
	Changes   []*Change `json:"changes"`
	Doubts    []*Doubt  `json:"doubts"` // why those in Unjudged are
}

// A Change is of one kind of request.
type Change struct {
	Route    string    `json:"route"`     // resource/route that governs it now
	WasRoute string    `json:"was_route"` // the one that governed it then
	From     Verdict   `json:"from"`
	To       Verdict   `json:"to"`
	Count    int       `json:"count"`
	Setting  string    `json:"setting,omitempty"` // the one behind the check that decides now, or decided then
	Examples []Example `json:"examples"`
}

// A Verdict with its reason.
type Verdict struct {
	Verdict decisions.Verdict `json:"verdict"`
	Reason  token.Reason      `json:"reason,omitempty"`
}

func (v Verdict) String() string {
	return strings.TrimSpace(string(v.Verdict) + " " + string(v.Reason))
}

// An Example is one line.
type Example struct {
	Line   string `json:"line"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Caller string `json:"caller,omitempty"` // its subject, or else its client
	Seen   string `json:"seen,omitempty"`   // by the check that decides now
	Want   string `json:"want,omitempty"`   // by it
}

// A Doubt is why lines cannot be judged.
type Doubt struct {
	Why   string `json:"why"`
	Route string `json:"route,omitempty"` // that governed them then
	Count int    `json:"count"`
	First string `json:"first"` // line
}

type group struct {
	route, was string
	from, to   Verdict
}

// place is where a line is.
type place struct {
	name string
	line int
}

func (p place) String() string {
	if p.name == "" {
		return "line " + strconv.Itoa(p.line)
	}
	return p.name + ":" + strconv.Itoa(p.line)
}

// count takes down what became of a line.
func (j *Judge) count(ctx context.Context, at place, c *question, now outcome, why doubt) {
	r, l := &j.report, c.line
	was := Verdict{l.Verdict, l.Reason}
	switch to := (Verdict{now.verdict, now.reason}); {
	case why == kept:
		r.Kept++
	case why != "":
		r.Unjudged++
		j.doubt(at, l, string(why))
	case to == was:
		r.Judged++
		r.Unchanged++
	default:
		r.Judged++
		r.Changed++
		j.change(ctx, at, c, now, was, to)
	}
}

func (j *Judge) doubt(at place, l *decisions.Line, why string) {
	key := why + "\x00" + nameOf(l.Resource, l.Route)
	if len(j.doubts) >= maxGroups && j.doubts[key] == nil {
		key = why
	}
	d := j.doubts[key]
	if d == nil {
		d = &Doubt{Why: why, First: at.String()}
		if key != why {
			d.Route = nameOf(l.Resource, l.Route)
		}
		j.doubts[key] = d
	}
	d.Count++
}

// change notes one that differs, and of the first of each kind why.
func (j *Judge) change(ctx context.Context, at place, c *question, now outcome, was, to Verdict) {
	l := c.line
	g := group{was: nameOf(l.Resource, l.Route), from: was, to: to}
	if now.route != nil {
		g.route = now.route.Name
	}
	if len(j.groups) >= maxGroups && j.groups[g] == nil {
		g.route, g.was = "", ""
	}
	k := j.groups[g]
	if k == nil {
		k = &Change{Route: g.route, WasRoute: g.was, From: was, To: to, Setting: j.options.Setting(cmp.Or(to.Reason, was.Reason))}
		j.groups[g] = k
	}
	k.Count++
	if len(k.Examples) < examples {
		k.Examples = append(k.Examples, c.example(ctx, at, to.Reason))
	}
}

// example judges once more, and looks.
func (c *question) example(ctx context.Context, at place, reason token.Reason) Example {
	e := Example{Line: at.String(), Method: c.line.Method, Path: c.line.Path}
	if c.line.Caller != nil {
		e.Caller = cmp.Or(c.line.Caller.Sub, c.line.Caller.ClientID)
	}
	if c.record == nil {
		return e
	}
	c.trace = &token.Trace{}
	_, _ = c.options.Table.Judge(validator.WithRecord(ctx, c.record), c.listen, c.request(), c.trace)
	for _, step := range c.trace.Steps {
		if step.Reason == reason {
			e.Seen, e.Want = step.Seen, step.Want
		}
	}
	return e
}

func nameOf(resource, route string) string {
	if resource == "" && route == "" {
		return ""
	}
	return resource + "/" + cmp.Or(route, "none")
}

// Report is what became of all lines so far, the most frequent first.
func (j *Judge) Report() *Report {
	r := j.report
	r.Changes = slices.SortedFunc(maps.Values(j.groups), func(a, b *Change) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Route, b.Route), cmp.Compare(a.WasRoute, b.WasRoute),
			cmp.Compare(a.From.String(), b.From.String()), cmp.Compare(a.To.String(), b.To.String()))
	})
	r.Doubts = slices.SortedFunc(maps.Values(j.doubts), func(a, b *Doubt) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Why, b.Why), cmp.Compare(a.Route, b.Route))
	})
	return &r
}

// JSON writes the report as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) {
	fmt.Fprintf(w, "%d decisions judged: %d unchanged, %d would change\n", r.Judged, r.Unchanged, r.Changed)
	fmt.Fprintf(w, "%d stay as they were, %d cannot be judged, %d lines are no decision\n", r.Kept, r.Unjudged, r.Unread)
	for _, c := range r.Changes {
		fmt.Fprintf(w, "\n%8d  %s -> %s\n", c.Count, c.From, c.To)
		fmt.Fprintf(w, "          route %s", cmp.Or(shown(c.WasRoute), "none"))
		if now := cmp.Or(c.Route, "none"); c.WasRoute != "" && !strings.HasSuffix(c.WasRoute, "/"+now) {
			fmt.Fprintf(w, ", now %s", now)
		}
		if c.Setting != "" {
			fmt.Fprintf(w, ", by %s", c.Setting)
		}
		fmt.Fprintln(w)
		for _, e := range c.Examples {
			fmt.Fprintf(w, "          %s: %s %s", e.Line, shown(e.Method), shown(e.Path))
			if e.Caller != "" {
				fmt.Fprintf(w, " of %s", shown(e.Caller))
			}
			if e.Seen != "" || e.Want != "" {
				fmt.Fprintf(w, ": %s", shown(cmp.Or(e.Seen, "none")))
			}
			if e.Want != "" {
				fmt.Fprintf(w, ", wanted: %s", e.Want)
			}
			fmt.Fprintln(w)
		}
	}
	if len(r.Doubts) > 0 {
		fmt.Fprintln(w, "\ncannot be judged:")
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(w, "%8d  %s (%s, from %s)\n", d.Count, shown(d.Why), cmp.Or("route "+shown(d.Route), "route none"), d.First)
	}
}

// maxShown is how much of a recorded text is shown, in octets.
const maxShown = 200

// shown makes what a log holds safe for a terminal and short enough for a line.
func shown(text string) string {
	var out strings.Builder
	for _, c := range []byte(text[:min(len(text), maxShown)]) {
		if c < ' ' || c >= 0x7f {
			fmt.Fprintf(&out, `\x%02x`, c)
			continue
		}
		out.WriteByte(c)
	}
	if len(text) > maxShown {
		out.WriteString("...")
	}
	return out.String()
}
