package token

import (
	"strings"
	"testing"
	"time"
)

func TestTrace(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	trace := &Trace{}
	trace.Text(ReasonKind, "a\x1b[31m\r\nb \"c\" é")
	trace.Text(ReasonKind, strings.Repeat("é", 300))
	trace.Value(ReasonType, `"at+jwt"`)
	trace.Value(ReasonType, "")
	trace.Texts(ReasonAudience, []string{"a", "b"})
	trace.Time(ReasonExpired, now.Add(90*time.Second), now)
	trace.Time(ReasonExpired, now.Add(-time.Hour), now)
	trace.Time(ReasonExpired, time.Time{}, now)
	trace.Count(ReasonTooLong, 7, "octets")
	trace.Want([]string{"a", "b"})
	want := []string{
		`a\x1b[31m\r\nb "c" é`, strings.Repeat("é", 100) + " …", `"at+jwt"`, "absent", "a b",
		"2027-01-15T08:01:30Z, in 1m30s", "2027-01-15T07:00:00Z, 1h0m0s ago", "absent", "7 octets",
	}
	for i, step := range trace.Steps {
		if step.Seen != want[i] {
			t.Errorf("step %d: %s, want %s", i, step.Seen, want[i])
		}
	}
	if last := trace.Steps[len(trace.Steps)-1]; last.Want != "a b" {
		t.Errorf("wanted %q", last.Want)
	}
	if len(trace.Steps) != len(want) {
		t.Errorf("%d steps", len(trace.Steps))
	}
}

func TestNoTrace(t *testing.T) {
	var none *Trace
	list := []string{"a", "b"}
	allocations := testing.AllocsPerRun(100, func() {
		none.Text(ReasonKind, "x")
		none.Value(ReasonType, "x")
		none.Texts(ReasonAudience, list)
		none.Time(ReasonExpired, time.Time{}, time.Time{})
		none.Count(ReasonTooLong, 1, "octets")
		none.Want(list)
	})
	if allocations != 0 {
		t.Errorf("%v allocations to note nothing", allocations)
	}
}
