package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// schemaOfDecisions compiles the schema of a line, once for all tests.
var schemaOfDecisions = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(decisions.Schema()))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("decision.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("decision.json")
})

// wantDecisions holds each line of a file against the schema and the reader.
func wantDecisions(t testing.TB, path string) (list []*decisions.Line) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return nil
	}
	wantConcealed(t, "the decision log", string(text))
	schema, err := schemaOfDecisions()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil || !strings.HasSuffix(line, "}\n") {
			t.Errorf("line %d of the decision log: %v: %s", n, err, line)
			continue
		}
		if err := schema.Validate(value); err != nil && n < 500 {
			t.Errorf("line %d of the decision log: %v\n%s", n, err, line)
		}
		read, err := decisions.Parse([]byte(line))
		if err != nil {
			t.Errorf("line %d of the decision log: %v\n%s", n, err, line)
			continue
		}
		list = append(list, read)
	}
	return list
}

// lines waits for the decisions of a fixture's requests: a line is written when
// its request has ended.
func (f *fixture) decided(n int) []*decisions.Line {
	f.t.Helper()
	eventually(f.t, "the decision log has its lines", func() bool {
		text, _ := os.ReadFile(f.decisions())
		return strings.Count(string(text), "\n") >= n
	})
	return wantDecisions(f.t, f.decisions())
}

// decisions is the file that the fixture's decisions are in.
func (f *fixture) decisions() string { return filepath.Join(filepath.Dir(f.config), "decisions.jsonl") }

// said is a line in short.
func said(l *decisions.Line) string {
	text := fmt.Sprintf("%s %s: %s %s %s %d %s", l.Method, l.Path, l.Resource+"/"+l.Route, l.Verdict, l.Reason, l.Status, l.Credential)
	if l.Caller != nil {
		text += " " + l.Caller.Sub
	}
	return text
}

func TestDecisionLog(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	bound := f.bound(key, nil)
	good := f.AT(map[string]any{"scope": "read", "sub": "alice", "email": "a\u2028b\"<\n@example.com"})
	proof := f.proof(key, bound, "GET", "/dpop/1", devissuer.Proof{})
	for _, c := range []struct {
		method, path string
		header       []string
		want         string
	}{
		{"GET", "/read?access=none", []string{"Authorization", "Bearer " + good}, "GET /read: rs/read allowed  200 verified alice"},
		{"POST", "/write", []string{"Authorization", "Bearer " + good}, "POST /write: rs/write refused scope 403 verified alice"},
		{"GET", "/read", nil, "GET /read: rs/read refused missing 401 none"},
		{"GET", "/read", []string{"Authorization", "Bearer " + good[:len(good)-5]}, "GET /read: rs/read refused malformed 401 rejected"},
		{"GET", "/read", []string{"Authorization", "Bearer " + f.AT(map[string]any{"exp": 1000})}, "GET /read: rs/read refused expired 401 rejected"},
		{"GET", "/dpop/1", []string{"Authorization", "DPoP " + bound, "DPoP", proof}, "GET /dpop/1: rs/dpop allowed  200 verified user-1"},
		{"GET", "/dpop/1", []string{"Authorization", "DPoP " + bound, "DPoP", proof}, "GET /dpop/1: rs/dpop refused dpop_replay 401 rejected"},
		{"GET", "/dpop/1", []string{"Authorization", "Bearer " + good}, "GET /dpop/1: rs/dpop refused missing 401 unseen"},
		{"GET", "/open/x", []string{"Authorization", "Bearer " + good}, "GET /open/x: rs/open public  200 unseen"},
		{"GET", "/maybe", nil, "GET /maybe: rs/maybe anonymous  200 none"},
		{"GET", "/nowhere", []string{"Authorization", "Bearer " + good}, "GET /nowhere: rs/ refused no_route 404 unseen"},
		{"GET", "/any//x", nil, "GET /any//x: / refused path 400 unseen"},
		{"TRACE", "/any/x", nil, "TRACE /any/x: / refused method 405 unseen"},
		{"brew", "/any/x", nil, "other /any/x: rs/any refused missing 401 none"},
		{"GET", "/any/x;t=" + good, nil, "GET /any/x: / refused path 400 unseen"},
		{"GET", "/any/x%3ft=" + good, nil, "GET /any/x: rs/any refused missing 401 none"},
	} {
		before := len(wantDecisions(t, f.decisions()))
		f.do(c.method, c.path, c.header...)
		all := f.decided(before + 1)
		if got := said(all[len(all)-1]); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
	first := f.decided(1)[0]
	if first.Listener != f.address || first.Source != "127.0.0.1" || first.Host != f.address || first.Caller.Issuer != "a" || first.Caller.Iss != f.a.Identifier() {
		t.Errorf("%+v", first)
	}
	if got := first.Caller.Claims["email"]; got != nil {
		t.Errorf("an email that no rule names is recorded: %s", got)
	}
}

// TestDecisionLogIsOffByDefault: no file, no line.
func TestDecisionLogIsOffByDefault(t *testing.T) {
	f := newFixture(t, func(text string) string { return text + "# no decision_log:\n" })
	f.do(http.MethodGet, "/read")
	if _, err := os.Stat(f.decisions()); err == nil {
		t.Error("there is a file")
	}
}

const decisionsLost = "wicketgate_decision_log_lost_total"

// TestDecisionLogIsRotated: what a tool has moved away is written no more once the
// gate was told, even by a file that is wrong, and no line is missing.
func TestDecisionLogIsRotated(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 3 {
		f.do("GET", fmt.Sprintf("/open/%d", i))
		f.decided(1)
		if err := os.Rename(f.decisions(), fmt.Sprintf("%s.%d", f.decisions(), i)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			f.rewrite("version: 1", "version: 2")
		}
		done := make(chan bool)
		f.gateway.reload <- done
		if replaced := <-done; replaced != (i == 0) {
			t.Errorf("reload %d: %v", i, replaced)
		}
	}
	f.do("GET", "/open/3")
	f.decided(1)
	for i := range 3 {
		list := wantDecisions(t, fmt.Sprintf("%s.%d", f.decisions(), i))
		if len(list) != 1 || list[0].Path != fmt.Sprintf("/open/%d", i) {
			t.Errorf("file %d: %v", i, list)
		}
	}
	if info, err := os.Stat(f.decisions()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if lost := f.metric(decisionsLost); lost != "0" {
		t.Errorf("%s lines are lost", lost)
	}
}

// TestDecisionLogFollowsItsConfiguration: it is switched off and on, and moved,
// without a restart, and a file that cannot be opened is a bad configuration.
func TestDecisionLogFollowsItsConfiguration(t *testing.T) {
	f := newFixture(t, nil)
	f.do("GET", "/open/a")
	f.decided(1)
	f.rewrite("decision_log: {file: decisions.jsonl}", "")
	f.reloadedAs(true)
	f.do("GET", "/open/b")
	f.rewrite("version: 1\n", "version: 1\ndecision_log: {file: sub/decisions.jsonl}\n")
	f.reloadedAs(false)
	if !strings.Contains(f.log.String(), "decision_log.file: cannot be opened") {
		t.Error("nothing says that the file cannot be opened")
	}
	f.do("GET", "/open/c")
	f.rewrite("sub/decisions.jsonl", "decisions.jsonl, claims: [email], headers: [user-agent]")
	f.reloadedAs(true)
	f.do("GET", "/any/d", "Authorization", "Bearer "+f.AT(map[string]any{"email": "alice@example.com"}), "User-Agent", "browser")
	list := f.decided(2)
	if len(list) != 2 || list[0].Path != "/open/a" || list[1].Path != "/any/d" {
		t.Fatalf("%v", list)
	}
	if got := string(list[1].Caller.Claims["email"]); got != `"alice@example.com"` || list[1].Headers["User-Agent"][0] != "browser" {
		t.Errorf("claims %s, headers %v", got, list[1].Headers)
	}
}

func (f *fixture) reloadedAs(want bool) {
	f.t.Helper()
	done := make(chan bool)
	f.gateway.reload <- done
	if got := <-done; got != want {
		f.t.Fatalf("reloaded: %v", got)
	}
}

// TestDecisionLogFullDisk: requests are answered whatever becomes of the lines,
// and what is lost is counted.
func TestDecisionLogFullDisk(t *testing.T) {
	f := newFixture(t, func(text string) string { return text + "decision_log: {file: /dev/full}\n" })
	const n = 20
	for range n {
		if r := f.do("GET", "/open/a"); r.StatusCode != http.StatusOK {
			t.Errorf("status %d", r.StatusCode)
		}
	}
	eventually(t, "every lost line is counted", func() bool { return f.metric(decisionsLost) == fmt.Sprint(n) })
	f.rewrite("/dev/full", "decisions.jsonl")
	f.reloadedAs(true)
	f.do("GET", "/open/a")
	f.decided(1)
	if lost := f.metric(decisionsLost); lost != fmt.Sprint(n) {
		t.Errorf("%s lost", lost)
	}
}

// TestDecisionLogSample: with a share, about that many lines are written.
func TestDecisionLogSample(t *testing.T) {
	f := newFixture(t, func(text string) string { return text + "decision_log: {file: decisions.jsonl, share: 50}\n" })
	for range 100 {
		f.do("GET", "/open/a")
	}
	f.gateway.decisions.Use(nil, decisions.Options{})
	_ = f.gateway.decisions.Close()
	if n := len(wantDecisions(t, f.decisions())); n < 10 || n > 90 { // once in 10^16 runs by chance
		t.Errorf("%d of 100", n)
	}
}

// TestDecisionLogSchema: the schema is printed, and is not that of the file.
func TestDecisionLogSchema(t *testing.T) {
	if o := command(t, "schema", "--decision-log"); o.code != exitOK || o.stdout != decisions.Schema() {
		t.Errorf("%d: %s", o.code, o.stdout)
	}
}
