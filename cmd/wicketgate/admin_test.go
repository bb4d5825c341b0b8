package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// patience is how long something that must happen may take.
const patience = 20 * time.Second

// eventually asks until the answer is yes. Asking costs the machine as much as
// what is waited for, so it draws breath.
func eventually(t testing.TB, what string, asked func() bool) {
	t.Helper()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for deadline := time.Now().Add(patience); !asked(); <-pause.C {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// ask sends a request to the admin listener.
func (f *fixture) ask(method, path string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.admin+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.send(req)
}

func (f *fixture) untilReady() {
	f.t.Helper()
	eventually(f.t, "ready", func() bool { return f.ask("GET", "/readyz").StatusCode == http.StatusOK })
}

// metric returns the value of a metric without labels, as text.
func (f *fixture) metric(name string) string {
	f.t.Helper()
	for line := range strings.Lines(f.ask("GET", "/metrics").body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestAdminPages(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	for _, c := range []struct {
		method, path string
		status       int
		part         string
	}{
		{"GET", "/livez", 200, "ok\n"},
		{"HEAD", "/livez", 200, ""},
		{"GET", "/readyz", 200, "ok\n"},
		{"GET", "/readyz?verbose", 200, "draining: ok\nissuer a: ok (4 keys)\nissuer b: ok (4 keys)\n"},
		{"GET", "/metrics", 200, "wicketgate_config_last_reload_successful 1\n"},
		{"GET", "/version", 200, `"go":"go1.`},
		{"GET", "/healthz", 200, "ok\n"},
		{"GET", "/", 200, "<h1>wicketgate "},
		{"HEAD", "/", 200, ""},
		{"POST", "/", 405, ""},
		{"POST", "/config", 405, ""},
		{"GET", "/explain", 405, ""},
		{"POST", "/debug/pprof/heap", 405, ""},
		{"GET", "/nope", 404, ""},
		{"GET", "/livez/", 404, ""},
		{"POST", "/livez", 405, ""},
		{"DELETE", "/readyz", 405, ""},
		{"POST", "/metrics", 405, ""},
		{"GET", "/-/reload", 405, ""},
		{"PUT", "/drain", 405, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r := f.ask(c.method, c.path)
			if r.StatusCode != c.status || !strings.Contains(r.body, c.part) {
				t.Errorf("%d %q, want %d with %q", r.StatusCode, r.body, c.status, c.part)
			}
		})
	}
	var said facts
	if err := json.Unmarshal([]byte(f.ask("GET", "/version").body), &said); err != nil || said != buildFacts() {
		t.Errorf("/version: %+v, %v", said, err)
	}
	if f.upstream.count() != 0 {
		t.Error("the upstream was asked for an admin page")
	}
}

// TestDeadIssuer: one issuer that is gone makes the gate unready by name, and
// takes nothing from the other's users.
func TestDeadIssuer(t *testing.T) {
	gone := startIssuer(t)
	_ = gone.Close()
	f := newFixture(t, func(text string) string { return strings.Replace(text, "%[4]s", gone.Identifier(), 1) })
	eventually(t, "both issuers tried", func() bool {
		said := f.ask("GET", "/readyz?verbose").body
		return strings.Contains(said, "issuer a: ok") && strings.Contains(said, "issuer b: not ready (0 keys; last error: ")
	})
	r := f.ask("GET", "/readyz")
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(r.body, "issuer b: not ready") || strings.Contains(r.body, "issuer a") {
		t.Errorf("readyz: %d %s", r.StatusCode, r.body)
	}
	if r := f.ask("GET", "/livez"); r.StatusCode != http.StatusOK {
		t.Errorf("livez: %d", r.StatusCode)
	}
	if r := f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)); r.StatusCode != http.StatusOK {
		t.Errorf("token of the living issuer: %d %s", r.StatusCode, r.body)
	}
	before := f.upstream.count()
	r = f.do("GET", "/read", "Authorization", "Bearer "+f.mint(gone, devissuer.Token{}))
	f.wantRefusal(t, r, http.StatusServiceUnavailable, before)
	if r.Header.Get("Retry-After") == "" || r.challenge("Bearer") != "" {
		t.Errorf("token of the dead issuer: header %v", r.Header)
	}
}

func TestAdminReload(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	if r := f.ask("POST", "/-/reload"); r.StatusCode != http.StatusOK || !strings.Contains(f.log.String(), `"asked by":"admin"`) {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	f.rewrite("{name: token, path: /token,", "{name: new, path: /new,")
	if r := f.ask("POST", "/-/reload"); r.StatusCode != http.StatusOK {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	f.wantStatus("/new", http.StatusOK)
	f.rewrite("scopes: [read]", "scpes: [read]")
	if r := f.ask("POST", "/-/reload"); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a bad file: %d %s", r.StatusCode, r.body)
	}
	f.rewrite("scpes: [read]", "scopes: [read]")
	if w := f.elsewhere("POST", "/-/reload", nil); w.Code != http.StatusForbidden { // and TestOnlyThisMachine
		t.Errorf("from elsewhere: %d", w.Code)
	}
}

// TestAdminPathsOnTraffic: to the traffic listener they are paths like any
// other.
func TestAdminPathsOnTraffic(t *testing.T) {
	f := newFixture(t, nil)
	good := "Bearer " + f.AT(nil)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/version", "/drain", "/-/reload", "/healthz", "/", "/config", "/explain", "/debug/pprof/heap"} {
		for _, method := range []string{"GET", "POST"} {
			f.wantRefusal(t, f.do(method, path), http.StatusNotFound, 0)
			f.wantRefusal(t, f.do(method, path, "Authorization", good), http.StatusNotFound, 0)
		}
	}
	if f.gateway.draining.Load() != nil {
		t.Error("a client made the gate drain")
	}
}
