package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// rewrite replaces a part of the configuration file; it must be there.
func (f *fixture) rewrite(old, replacement string) {
	f.t.Helper()
	text, err := os.ReadFile(f.gateway.path)
	if err != nil {
		f.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		f.t.Fatalf("the configuration lacks %q", old)
	}
	f.overwrite(strings.Replace(string(text), old, replacement, 1))
}

func (f *fixture) overwrite(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.gateway.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// wantStatus sends a request with a good token.
func (f *fixture) wantStatus(path string, status int) {
	f.t.Helper()
	if r := f.do("GET", path, "Authorization", "Bearer "+f.AT(nil)); r.StatusCode != status {
		f.t.Errorf("%s: %d %s, want %d", path, r.StatusCode, r.body, status)
	}
}

// in is the fixture for a subtest.
func (f *fixture) in(t *testing.T) *fixture {
	part := *f
	part.t = t
	return &part
}

const reloadSuccessful = "wicketgate_config_last_reload_successful"

func (f *fixture) wantReload(successful string) {
	f.t.Helper()
	if got := f.metric(reloadSuccessful); got != successful {
		f.t.Errorf("%s is %q, want %s", reloadSuccessful, got, successful)
	}
}

func TestReloadMovesRoutes(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	f.wantStatus("/new", http.StatusNotFound)
	f.wantStatus("/token", http.StatusOK)
	asked := f.a.Hits("/jwks")
	f.rewrite("{name: token, path: /token,", "{name: new, path: /new,")
	f.wantStatus("/new", http.StatusNotFound)
	f.gateway.tryReload("test")
	f.wantReload("1")
	f.wantStatus("/new", http.StatusOK)
	f.wantStatus("/token", http.StatusNotFound)
	if now := f.a.Hits("/jwks"); now != asked {
		t.Errorf("the keys were fetched %d times more, for a change that is not about them", now-asked)
	}
}

func TestReloadDropsIssuer(t *testing.T) {
	f := newFixture(t, nil)
	raw := f.mint(f.b, devissuer.Token{})
	if r := f.do("GET", "/read", "Authorization", "Bearer "+raw); r.StatusCode != http.StatusOK {
		t.Fatalf("before: %d %s", r.StatusCode, r.body)
	}
	f.rewrite(`  - {name: b, issuer: "`+f.b.Identifier()+`", refetch_interval: 1s}`+"\n", "")
	f.gateway.tryReload("test")
	before := f.upstream.count()
	f.wantRefusal(t, f.do("GET", "/read", "Authorization", "Bearer "+raw), http.StatusUnauthorized, before)
	f.wantStatus("/read", http.StatusOK)
}

// TestReloadRefused: what cannot be put in force whole changes nothing.
func TestReloadRefused(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	good, err := os.ReadFile(f.gateway.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, replacement, said string }{
		{"typo", "methods: [GET], scopes: [read]", "methods: [GET], scpes: [read]", "did you mean `scopes`?"},
		{"conflict", "path: /maybe", "path: /both", "routes["},
		{"listen", `listen: "` + f.address, `listen: "127.0.0.1:1`, "restart needed: the listen addresses changed"},
		{"admin", `admin: {listen: "` + strings.TrimPrefix(f.admin, "http://"), `admin: {listen: "127.0.0.1:1`, "restart needed: the listen addresses changed"},
		{"log", "access: all", "access: off", "restart needed: log changed"},
		{"replay", "version: 1", "version: 1\ndpop: {replay: {max_entries: 7}}", "restart needed: dpop.replay changed"},
		{"timeouts", "version: 1", "version: 1\ntimeouts: {idle: 7s}", "restart needed: timeouts"},
		{"missing file", "refetch_interval: 1s", "ca_file: none.pem", "none.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := f.in(t)
			f.wantReload("1")
			f.rewrite(c.old, c.replacement)
			// What the mistake would open stands beside it.
			f.rewrite("{name: token, path: /token,", "{name: new, path: /new,")
			f.gateway.tryReload("test")
			f.wantReload("0")
			if log := f.log.String(); !strings.Contains(log, c.said) {
				t.Errorf("the log does not say %q", c.said)
			}
			f.wantStatus("/read", http.StatusOK)
			f.wantStatus("/new", http.StatusNotFound)
			f.wantStatus("/token", http.StatusOK)
			narrow := f.AT(map[string]any{"scope": "profile"})
			before := f.upstream.count()
			f.wantRefusal(t, f.do("GET", "/read", "Authorization", "Bearer "+narrow), http.StatusForbidden, before)
			f.overwrite(string(good))
			f.gateway.tryReload("test")
			f.wantReload("1")
		})
	}
	if err := os.Remove(f.gateway.path); err != nil {
		t.Fatal(err)
	}
	f.gateway.tryReload("test")
	f.wantReload("0")
	f.wantStatus("/read", http.StatusOK)
}

// TestReloadUnderLoad: no request is judged by half a configuration.
func TestReloadUnderLoad(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	good, err := os.ReadFile(f.gateway.path)
	if err != nil {
		t.Fatal(err)
	}
	requests := []struct {
		path, raw string
		status    int
	}{
		{"/read", f.AT(nil), http.StatusOK},
		{"/read", f.AT(map[string]any{"scope": "profile"}), http.StatusForbidden},
		{"/read", f.AT(map[string]any{"exp": 1000000000}), http.StatusUnauthorized},
		{"/open/x", "", http.StatusOK},
		{"/any/x", "", http.StatusUnauthorized},
		{"/none", f.AT(nil), http.StatusNotFound},
	}
	var stop atomic.Bool
	var clients sync.WaitGroup
	rounds := make([]atomic.Int64, len(requests))
	for i, c := range requests {
		clients.Go(func() {
			for !stop.Load() {
				req, err := http.NewRequest("GET", f.url+c.path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if c.raw != "" {
					req.Header.Set("Authorization", "Bearer "+c.raw)
				}
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if rounds[i].Add(1); resp.StatusCode != c.status {
					t.Errorf("%s: %d, want %d", c.path, resp.StatusCode, c.status)
				}
			}
		})
	}
	for i := range 20 {
		broken := i%2 == 1
		if f.overwrite(string(good)); broken {
			f.rewrite("scopes: [read]", "scpes: [read]")
		} else {
			f.rewrite("path: /maybe", "path: /maybe"+string(rune('a'+i)))
		}
		f.gateway.tryReload("test")
		f.wantReload(map[bool]string{true: "0", false: "1"}[broken])
		seen := rounds[0].Load()
		eventually(t, "a request between two reloads", func() bool { return rounds[0].Load() > seen || t.Failed() })
	}
	stop.Store(true)
	clients.Wait()
}

func TestReloadForgetsNoProof(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	used := f.proof(key, raw, "GET", "/read", devissuer.Proof{})
	if r := f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", used); r.StatusCode != http.StatusOK {
		t.Fatalf("first use: %d %s", r.StatusCode, r.body)
	}
	f.rewrite("{name: token, path: /token,", "{name: new, path: /new,")
	f.gateway.tryReload("test")
	f.wantReload("1")
	before := f.upstream.count()
	r := f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", used)
	f.wantRefusal(t, r, http.StatusUnauthorized, before)
	if !strings.Contains(r.challenge("DPoP"), "used before") {
		t.Errorf("challenge %q", r.challenge("DPoP"))
	}
	fresh := f.proof(key, raw, "GET", "/read", devissuer.Proof{})
	if r := f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", fresh); r.StatusCode != http.StatusOK {
		t.Errorf("a proof made before the reload: %d %s", r.StatusCode, r.body)
	}
}

// driven is a fixture whose signals the test sends, and whose end it sees.
type driven struct {
	*fixture
	signals chan os.Signal
	ended   chan error
}

// newDriven starts a second gate beside the one of a fixture, on ports of its
// own. edit may change the text of its configuration; before is called when the
// file is loaded and nothing is served yet.
func newDriven(t *testing.T, edit func(string) string, before func(*fixture)) *driven {
	t.Helper()
	base := newFixture(t, edit)
	base.untilReady()
	gate, admin := listenLoopback(t), listenLoopback(t)
	text, err := os.ReadFile(base.gateway.path)
	if err != nil {
		t.Fatal(err)
	}
	own := strings.NewReplacer(base.address, gate.Addr().String(), strings.TrimPrefix(base.admin, "http://"), admin.Addr().String())
	path := written(t, own.Replace(string(text)))
	d := &driven{fixture: &fixture{
		t: t, url: "http://" + gate.Addr().String(), admin: "http://" + admin.Addr().String(), address: gate.Addr().String(),
		a: base.a, b: base.b, upstream: base.upstream, log: &lockedBuffer{}, stdout: &lockedBuffer{},
	}, signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	a := *base.gateway.app
	a.stdout, a.stderr = d.stdout, d.log
	file, err := config.Load(path, a.env)
	if err != nil {
		t.Fatal(err)
	}
	if d.gateway, err = newGateway(&a, path, file); err != nil {
		t.Fatal(err)
	}
	d.gateway.bound = map[string]net.Listener{d.address: gate, admin.Addr().String(): admin}
	if before != nil {
		before(d.fixture)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.ended <- d.gateway.serve(ctx, d.signals)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case d.signals <- syscall.SIGTERM: // a drain that lasts ends with it
		case <-done:
		}
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("serve does not end")
		}
		d.wantConcealed()
	})
	return d
}

// wantEnd waits for serve to return without error.
func (d *driven) wantEnd() {
	d.t.Helper()
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("serve: %v", err)
		}
	case <-time.After(patience):
		d.t.Fatal("serve does not end")
	}
}

func TestReloadBySignal(t *testing.T) {
	d := newDriven(t, nil, nil)
	d.untilReady()
	d.rewrite("{name: token, path: /token,", "{name: new, path: /new,")
	d.signals <- syscall.SIGHUP
	eventually(t, "the new route", func() bool { return d.do("GET", "/new").StatusCode == http.StatusUnauthorized })
	d.rewrite("version: 1", "version: 7")
	d.signals <- syscall.SIGHUP
	eventually(t, "a refused reload", func() bool { return d.metric(reloadSuccessful) == "0" })
	d.wantStatus("/new", http.StatusOK)
	if r := d.ask("GET", "/readyz"); r.StatusCode != http.StatusOK {
		t.Errorf("readyz after a refused reload: %d", r.StatusCode)
	}
}

// slowly asks ten times a second until the answer is yes.
func slowly(t *testing.T, what string, asked func() bool) {
	t.Helper()
	tick := time.NewTicker(watchEvery / 50)
	defer tick.Stop()
	eventually(t, what, func() bool { <-tick.C; return asked() })
}

func TestReloadByContent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.untilReady()
	slowly(t, "a first look", func() bool { return true })
	f.rewrite("{name: token, path: /token,", "{name: new, path: /new,")
	slowly(t, "the new route", func() bool { return f.do("GET", "/new").StatusCode == http.StatusUnauthorized })
	f.wantStatus("/token", http.StatusNotFound)
}

// TestChangeWhileStarting: what is written between reading the file and the
// first look at it counts as a change.
func TestChangeWhileStarting(t *testing.T) {
	t.Parallel()
	d := newDriven(t, nil, func(f *fixture) { f.rewrite("{name: token, path: /token,", "{name: new, path: /new,") })
	slowly(t, "the new route", func() bool { return d.do("GET", "/new").StatusCode == http.StatusUnauthorized })
}
