package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestProbes: the admin listener relays what the configuration names and nothing
// else, readiness hangs on what it lists, and a reload changes both.
func TestProbes(t *testing.T) {
	var status atomic.Int32
	status.Store(http.StatusOK)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.WriteHeader(int(status.Load()))
		}
		_, _ = io.WriteString(w, "of the app")
	}))
	t.Cleanup(app.Close)
	gone := listenLoopback(t)
	_ = gone.Close()
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, `admin: {listen: "%[2]s"}`, `admin: {listen: "%[2]s", probes: {app: "`+app.URL+`/healthz", gone: "http://`+gone.Addr().String()+`"}, ready: [app]}`, 1)
	})
	f.untilReady()
	want := func(method, path string, code int, body string) {
		t.Helper()
		if r := f.ask(method, path); r.StatusCode != code || r.body != body {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, r.StatusCode, r.body, code, body)
		}
	}
	want("GET", "/probe/app", 200, "of the app")
	want("HEAD", "/probe/app", 200, "")
	want("GET", "/probe/gone", 503, "no answer\n")
	want("GET", "/probe/other", 404, "no such probe\n")
	want("GET", "/probe/app/other", 404, "404 page not found\n")
	want("POST", "/probe/app", 405, "Method Not Allowed\n")
	status.Store(http.StatusInternalServerError)
	want("GET", "/probe/app", 500, "of the app")
	want("GET", "/readyz", 503, "probe app: not ready (status 500)\n")
	if r := f.ask("GET", "/readyz?verbose"); !strings.Contains(r.body, "issuer a: ok") || !strings.Contains(r.body, "probe app: not ready (status 500)\n") {
		t.Errorf("readyz?verbose: %s", r.body)
	}
	want("GET", "/livez", 200, "ok\n")
	text := strings.Replace(contents(t, f.gateway.path), "ready: [app]", "ready: [gone]", 1)
	f.overwrite(strings.Replace(text, "/healthz", "/other", 1))
	f.gateway.tryReload("test")
	want("GET", "/probe/app", 200, "of the app")
	want("GET", "/readyz", 503, "probe gone: not ready (no answer)\n")
}

const bypassSeries = `wicketgate_upstream_bypass_possible{upstream="`

// open makes an upstream that listens on every address of IPv4, and its URL on
// loopback.
func openUpstream(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler()}} //nolint:gosec // a test's own
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://127.0.0.1:" + port
}

// TestBypass takes 127.0.0.2 for the address of the pod. An upstream that
// answers there is told of once; a reload looks again.
func TestBypass(t *testing.T) {
	open := openUpstream(t)
	f := newFixture(t, func(text string) string {
		return text + "bypass_check: {addresses: [127.0.0.2]}\n"
	})
	f.untilReady()
	said := func() string { return f.ask("GET", "/metrics").body }
	if want := bypassSeries + f.upstream.URL + `"} 0`; !strings.Contains(said(), want) {
		t.Errorf("%s is not told", want)
	}
	good := contents(t, f.gateway.path)
	f.overwrite(strings.Replace(good, f.upstream.URL, open, 1))
	f.gateway.tryReload("test")
	eventually(t, "the way around is found", func() bool { return strings.Contains(said(), bypassSeries+open+`"} 1`) })
	f.gateway.tryReload("test")
	if text := said(); strings.Contains(text, bypassSeries+f.upstream.URL) || !strings.Contains(text, bypassSeries+open+`"} 1`) {
		t.Error("a series of an upstream that is gone, or what was found is forgotten")
	}
	if n := strings.Count(f.log.String(), "can be reached past the gate"); n != 1 || !strings.Contains(f.log.String(), `"reached":"127.0.0.2:`) {
		t.Errorf("%d warnings", n)
	}
	f.overwrite(strings.Replace(good, "bypass_check: {", "bypass_check: {enabled: false, ", 1))
	f.gateway.tryReload("test")
	if strings.Contains(said(), bypassSeries) {
		t.Error("what is switched off has a series")
	}
}

// TestLiveBypass: check --live tries it too.
func TestLiveBypass(t *testing.T) {
	w := newLiveWorld(t)
	open := openUpstream(t)
	for _, c := range []struct{ check, upstream, said string }{
		{"{addresses: [127.0.0.2]}", w.upstreamURL, ""},
		{"{addresses: [127.0.0.2]}", open, "WARN   bypass of " + open + ": it accepts connections at 127.0.0.2:"},
		{"{addresses: [127.0.0.2], enabled: false}", open, ""},
	} {
		path := written(t, fmt.Sprintf("version: 1\nbypass_check: %s\nissuers:\n  - {issuer: %q, ca_file: %q}\nresources:\n  - {identifier: https://api.example.com, behind_tls: true, upstream: %q}\n", c.check, w.identifier, w.caFile, c.upstream))
		o := command(t, "check", "--live", "--config", path)
		if o.code != exitOK || strings.Contains(o.stdout, "bypass") != (c.said != "") || !strings.Contains(o.stdout, c.said) {
			t.Errorf("%s %s: exit code %d\n%s%s", c.check, c.upstream, o.code, o.stdout, o.stderr)
		}
	}
}

// TestPodAddresses: the file goes before the environment, and the environment
// before the machine's own.
func TestPodAddresses(t *testing.T) {
	f := newFixture(t, nil)
	f.gateway.app.env = func(name string) (string, bool) { return "10.0.0.7,fd00::7", name == podAddresses }
	if got := f.gateway.app.bypassTargets(f.gateway.file); len(got.Addresses) != 2 || got.Addresses[1].String() != "fd00::7" {
		t.Errorf("from the environment: %v", got.Addresses)
	}
	file := *f.gateway.file
	file.BypassCheck.Addresses = []string{"10.0.0.8"}
	if got := f.gateway.app.bypassTargets(&file); len(got.Addresses) != 1 || got.Addresses[0].String() != "10.0.0.8" {
		t.Errorf("from the file: %v", got.Addresses)
	}
}
