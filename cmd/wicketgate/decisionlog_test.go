package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// schemaOfDecisions compiles the schema of a line.
func schemaOfDecisions(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(decisions.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("decision.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("decision.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// wantDecisions holds each line of a file against the schema and the reader.
func wantDecisions(t testing.TB, path string) (list []*decisions.Line) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return nil
	}
	wantConcealed(t, "the decision log", string(text))
	schema, n := schemaOfDecisions(t), 0
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
