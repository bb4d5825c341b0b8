package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestWhoLeavesTheQueue: a client that goes while it waits for a place at the upstream
// counts as one that has gone, and the upstream has no part in it.
func TestWhoLeavesTheQueue(t *testing.T) {
	f, c := newTraced(t, "", func(text string) string {
		return text + "limits: {upstream_connections: 1, upstream_queue: 1}\ntimeouts: {upstream_queue: 1m}\n"
	})
	f.untilReady()
	let, came := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(let) })
	defer release()
	f.upstream.setAnswer(func(http.ResponseWriter, *http.Request) {
		close(came)
		<-let
	})
	slow := make(chan struct{})
	go func() { defer close(slow); f.do("GET", "/open/slow") }()
	<-came
	name := `upstream="` + f.upstream.URL + `"}`
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /open/leaves HTTP/1.1\r\nHost: rs.example.com\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one that waits", func() bool { return f.metric("wicketgate_upstream_waiting{"+name) == "1" })
	before := len(c.spans())
	_ = conn.Close()
	counted := `wicketgate_requests_total{code="4xx",decision="public",resource="rs",route="open"}`
	eventually(t, "it is counted", func() bool { return f.metric(counted) == "1" })
	if list := c.next(t, before, 1); !strings.HasPrefix(kept(list[0]), "server ") || !strings.Contains(kept(list[0]), "http.response.status_code=499") {
		t.Errorf("%s", kept(list[0]))
	}
	release()
	<-slow
	for metric, want := range map[string]string{
		`wicketgate_upstream_requests_total{result="canceled",` + name: "0",
		`wicketgate_upstream_requests_total{result="ok",` + name:       "1",
		"wicketgate_upstream_waiting{" + name:                          "0",
		"wicketgate_upstream_healthy{" + name:                          "1",
		`wicketgate_upstream_refused_total{queue="late",` + name:       "0",
		`wicketgate_refusals_total{reason="upstream_busy"}`:            "0",
	} {
		eventually(t, metric+" is "+want, func() bool { return f.metric(metric) == want })
	}
	if n := f.upstream.count(); n != 1 {
		t.Errorf("the upstream saw %d requests", n)
	}
	for _, s := range c.next(t, before, 3) {
		if strings.Contains(kept(s), "ERROR") {
			t.Errorf("%s", kept(s))
		}
	}
}
