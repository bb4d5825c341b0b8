package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPlacesAtTheUpstream: beyond what the upstream takes and what may wait for it
// the answer is 503, and a reload moves the bound under who is there.
func TestPlacesAtTheUpstream(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return text + "limits: {upstream_connections: 1, upstream_queue: 1}\ntimeouts: {upstream_queue: 1m}\n"
	})
	let, came := make(chan struct{}), make(chan struct{}, 1)
	f.upstream.mu.Lock()
	f.upstream.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/any/slow" {
			came <- struct{}{}
			<-let
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}
	f.upstream.mu.Unlock()
	bearer := "Bearer " + f.AT(nil)
	begin := func(path string) <-chan string {
		end := make(chan string, 1)
		go func() { end <- f.do("GET", path, "Authorization", bearer).body }()
		return end
	}
	name := `{upstream="` + f.upstream.URL + `"}`
	slow := begin("/any/slow")
	<-came
	waiting := begin("/any/waits")
	eventually(t, "one that waits", func() bool { return f.metric("wicketgate_upstream_waiting"+name) == "1" })
	r := f.do("GET", "/any/third", "Authorization", bearer)
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "1" || r.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("beyond the queue: %d %v", r.StatusCode, r.Header)
	}
	if !strings.Contains(r.body, `"temporarily_unavailable"`) || !strings.Contains(r.body, "the upstream has too many requests") {
		t.Errorf("beyond the queue: %s", r.body)
	}
	f.rewrite("upstream_connections: 1, upstream_queue: 1", "upstream_connections: 2, upstream_queue: 0")
	f.gateway.tryReload("test")
	f.wantReload("1")
	if got := <-waiting; got != "/any/waits" {
		t.Errorf("who waited got %q with the new place", got)
	}
	close(let)
	if got := <-slow; got != "/any/slow" {
		t.Errorf("who was there before got %q", got)
	}
	for metric, want := range map[string]string{
		"wicketgate_upstream_waiting" + name:                                                   "0",
		`wicketgate_upstream_refused_total{queue="full",upstream="` + f.upstream.URL + `"}`:    "1",
		`wicketgate_upstream_refused_total{queue="late",upstream="` + f.upstream.URL + `"}`:    "0",
		`wicketgate_refusals_total{reason="upstream_busy"}`:                                    "1",
		`wicketgate_requests_total{code="503",decision="error",resource="rs",route="any"}`:     "1",
		`wicketgate_upstream_requests_total{result="error",upstream="` + f.upstream.URL + `"}`: "0",
		"wicketgate_upstream_healthy" + name:                                                   "1",
	} {
		eventually(t, metric, func() bool { return f.metric(metric) == want })
	}
}
