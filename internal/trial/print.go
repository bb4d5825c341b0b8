package trial

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// Print writes the report for people: a line for each case, of those that failed
// what differs, what no case has shown, and the sum.
func (r *Report) Print(w io.Writer) error {
	var out strings.Builder
	for i := range r.Results {
		one := &r.Results[i]
		verdict := "ok  "
		if !one.Passed() {
			verdict = "FAIL"
		}
		fmt.Fprintf(&out, "%s  %s\n", verdict, one.Name)
		for _, line := range one.details() {
			fmt.Fprintf(&out, "      %s\n", line)
		}
	}
	missing := r.Coverage.Missing()
	if len(missing) > 0 && len(r.Results) > 0 {
		out.WriteString("\n")
	}
	for _, line := range missing {
		fmt.Fprintf(&out, "not covered: %s\n", line)
	}
	if r.Reported > 0 {
		fmt.Fprintf(&out, "\nnote: report_only lets %d of these requests through, or a share of their like; the cases are held against the policy without it\n", r.Reported)
	}
	seen, of := r.Coverage.Count()
	fmt.Fprintf(&out, "\n%d of %d cases passed", len(r.Results)-r.Failed(), len(r.Results))
	if r.Left > 0 {
		fmt.Fprintf(&out, ", %d left out", r.Left)
	}
	fmt.Fprintf(&out, "; coverage %.1f%% (%d of %d)\n", r.Coverage.Percent(), seen, of)
	_, err := io.WriteString(w, out.String())
	return err
}

// details says of a case that failed where it is, what differs and why.
func (r *Result) details() []string {
	if r.Passed() {
		return nil
	}
	lines := []string{
		fmt.Sprintf("%s:%d", r.File, r.Line),
		fmt.Sprintf("%s, route %s", r.Request, cmp.Or(r.Route, nothing)),
	}
	for _, d := range r.Differences {
		lines = append(lines, fmt.Sprintf("- %s: %s", d.What, d.Want), fmt.Sprintf("+ %s: %s", d.What, d.Got))
	}
	return append(lines, r.Why...)
}
