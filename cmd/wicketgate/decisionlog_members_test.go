package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDecisionLogToStandardOutput: - is no file, and only lines come there.
func TestDecisionLogToStandardOutput(t *testing.T) {
	f := newFixture(t, func(text string) string { return text + "decision_log: {file: \"-\"}\n" })
	raw := f.AT(changes{"scope": "read"})
	f.do("GET", "/read", "Authorization", "Bearer "+raw)
	f.do("GET", "/read")
	f.rewrite("file: \"-\"", "file: \"-\", headers: [user-agent]")
	f.reloadedAs(true)
	f.do("GET", "/open/a", "User-Agent", "browser")
	eventually(t, "standard output has its lines", func() bool { return strings.Count(f.stdout.String(), "\n") >= 3 })
	list := wantDecisions(t, writeFile(t, t.TempDir(), "stdout.jsonl", f.stdout.String()))
	if len(list) != 3 || said(list[0]) != "GET /read: rs/read allowed  200 verified user-1" || said(list[1]) != "GET /read: rs/read refused missing 401 none" || !slices.Equal(list[2].Headers["User-Agent"], []string{"browser"}) {
		t.Errorf("%s", f.stdout)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(f.config), "-")); err == nil {
		t.Error("there is a file called -")
	}
}

// TestDecisionLogTrace: a line bears the trace-id of the request, if it has one.
func TestDecisionLogTrace(t *testing.T) {
	f := newFixture(t, nil)
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, row := range []struct{ path, traceparent, want string }{
		{"/open/a", "00-" + id + "-b7ad6b7169203331-01", id},
		{"/read", "00-" + id + "-b7ad6b7169203331-00", id},
		{"/open/b", "", ""},
		{"/open/c", "00-" + strings.ToUpper(id) + "-b7ad6b7169203331-01", ""},
		{"/open/d", "forged", ""},
	} {
		var header []string
		if row.traceparent != "" {
			header = []string{"Traceparent", row.traceparent}
		}
		before := len(wantDecisions(t, f.decisions()))
		f.do("GET", row.path, header...)
		list := f.decided(before + 1)
		if l := list[len(list)-1]; l.Path != row.path || l.Trace != row.want {
			t.Errorf("%s of %q: trace %q, want %q", l.Path, row.traceparent, l.Trace, row.want)
		}
	}
}

// TestDecisionLogLeavesOut: a claim that is too long for a line is named, its
// value is not there, and replay says that it cannot judge by it.
func TestDecisionLogLeavesOut(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "    routes:\n", "    routes:\n      - {name: ops, path: /ops, claims: {groups: [ops], tenant: [acme]}}\n")
	})
	long := append(numbers(0, 1000), "ops")
	raw := f.AT(changes{"groups": long, "tenant": "acme", "acr": strings.Repeat("gold ", 1000)})
	if r := f.do("GET", "/ops", "Authorization", "Bearer "+raw); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	caller := f.decided(1)[0].Caller
	if !slices.Equal(slices.Sorted(slices.Values(caller.LeftOut)), []string{"acr", "groups"}) || caller.Claims["groups"] != nil || caller.ACR != nil ||
		string(caller.Claims["tenant"]) != `"acme"` || len(caller.Absent) > 0 {
		t.Errorf("left out %q, absent %q, acr %s, claims %s", caller.LeftOut, caller.Absent, caller.ACR, caller.Claims)
	}
	if r := replayed(t, f.config, f.decisions()); r.Unjudged != 1 || len(r.Doubts) != 1 || !strings.Contains(r.Doubts[0].Why, "the claim groups is not in the log") {
		shown, _ := json.Marshal(r)
		t.Errorf("replay says %s", shown)
	}
}
