package token

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Trace notes what each check of one decision looked at, in order, so that
// the decision can be explained. It is filled by the code that decides and by
// nothing else. A nil Trace notes nothing and costs a comparison.
type Trace struct{ Steps []Step }

// Step is one look. A check whose reason is the reason of the refusal is the
// one that failed; those before it passed.
type Step struct {
	Reason Reason // what the refusal would say, had the check failed
	Seen   string // what the check looked at: printable, and cut to fit a line
	Want   string // what would have passed, where that is a list
}

// maxSeen is how much of a value a step keeps, in octets.
const maxSeen = 200

// Text notes a look at text.
func (t *Trace) Text(r Reason, seen string) {
	if t != nil {
		t.Steps = append(t.Steps, Step{Reason: r, Seen: printable(seen)})
	}
}

// Value notes a look at a claim or a header member; the zero Value is one that
// is not there.
func (t *Trace) Value(r Reason, v Value) {
	if t == nil {
		return
	}
	if v == "" {
		v = "absent"
	}
	t.Text(r, string(v))
}

// Texts notes a look at a list.
func (t *Trace) Texts(r Reason, list []string) {
	if t != nil {
		t.Text(r, strings.Join(list, " "))
	}
}

// Want notes what would pass the check noted last.
func (t *Trace) Want(list []string) {
	if t != nil && len(t.Steps) > 0 {
		t.Steps[len(t.Steps)-1].Want = printable(strings.Join(list, " "))
	}
}

// Time notes a look at a date as of now.
func (t *Trace) Time(r Reason, at, now time.Time) {
	switch {
	case t == nil:
	case at.IsZero():
		t.Text(r, "absent")
	case at.After(now):
		t.Text(r, at.UTC().Format(time.RFC3339)+", in "+at.Sub(now).Round(time.Second).String())
	default:
		t.Text(r, at.UTC().Format(time.RFC3339)+", "+now.Sub(at).Round(time.Second).String()+" ago")
	}
}

// Count notes a look at a number of something.
func (t *Trace) Count(r Reason, n int, unit string) {
	if t != nil {
		t.Text(r, strconv.Itoa(n)+" "+unit)
	}
}

// printable keeps what a terminal shows as it is and escapes the rest.
func printable(text string) string {
	if len(text) > maxSeen {
		cut := maxSeen
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + " …"
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
