package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/wicketgate/wicketgate/internal/admin"
)

// adminWrite bounds the writing of an answer on the admin listener.
const adminWrite = 30 * time.Second

// adminHandler serves probes, metrics and the status page. Nothing here changes
// anything, but /drain, which a kubelet's preStop hook calls, and a reload. That,
// and what tells more than the metrics do, is for this machine only.
func (g *gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { admin.Text(w, http.StatusOK, "ok\n") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /{$}", g.status)
	mux.HandleFunc("GET /readyz", g.readyz)
	mux.Handle("GET /metrics", g.metrics.Handler())
	mux.Handle("GET /jwks.json", &g.stores.signing)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(buildFacts()) // a client that has gone needs no answer
	})
	mux.HandleFunc("GET /probe/{name}", g.probe)
	mux.HandleFunc("GET /drain", admin.NotForBrowsers(g.drainNow))
	mux.HandleFunc("POST /drain", admin.NotForBrowsers(g.drainNow))
	mux.HandleFunc("POST /-/reload", admin.OnlyHere(g.reloadNow))
	mux.HandleFunc("POST /explain", admin.OnlyHere(g.explainHere))
	mux.HandleFunc("GET /config", admin.OnlyHere(g.showConfig))
	profiles := &admin.Profiles{Write: adminWrite, Leaving: g.leaving}
	mux.HandleFunc("GET /debug/pprof/{$}", admin.OnlyHere(profiles.ServeHTTP))
	mux.HandleFunc("GET /debug/pprof/{name}", admin.OnlyHere(profiles.ServeHTTP))
	return mux
}

// readiness tells say of each thing that the gate must have, or be, to be ready,
// with the last error of issuers or without.
func (g *gateway) readiness(lastErrors bool, say func(ok bool, what, why string)) {
	say(g.draining.Load() == nil, "draining", "")
	if rules := g.stores.denials.Rules(); rules != nil {
		say(rules.Complete(), "deny rules", "")
	}
	for _, s := range g.stores.keys.Status() {
		say(s.Ready, "issuer "+s.Name, standing(s, lastErrors))
	}
	g.sayProbes(say)
}

// readyz is 200 when every issuer's keys are at hand and the gate is not
// draining.
func (g *gateway) readyz(w http.ResponseWriter, r *http.Request) {
	var lines strings.Builder
	status := http.StatusOK
	say := func(ok bool, what, why string) {
		mark := "ok"
		if !ok {
			mark, status = "not ready", http.StatusServiceUnavailable
		}
		if !ok || r.URL.Query().Has("verbose") {
			fmt.Fprintf(&lines, "%s: %s%s\n", what, mark, why)
		}
	}
	g.readiness(true, say)
	if r.URL.Query().Has("verbose") {
		for _, p := range g.stores.pools { // not needed to be ready: what is without DPoP goes on, and all replicas lack it at once
			lines.WriteString(redisLine(p) + "\n")
		}
	}
	if lines.Len() == 0 {
		lines.WriteString("ok\n")
	}
	admin.Text(w, status, lines.String())
}

// drainNow looks unready and returns when the cluster has had time to notice,
// so that a preStop hook that calls it holds back the SIGTERM for as long.
func (g *gateway) drainNow(w http.ResponseWriter, r *http.Request) {
	since := g.unready()
	g.servers.quiet()
	g.log.Info("draining", zap.String("asked by", "admin"))
	until := since.Add(g.drainLimits().Delay)
	// The listener's own limit is shorter than a delay may be.
	_ = http.NewResponseController(w).SetWriteDeadline(until.Add(adminWrite))
	ctx, cancel := context.WithDeadline(r.Context(), until)
	defer cancel()
	<-ctx.Done()
	admin.Text(w, http.StatusOK, "draining\n")
}

func (g *gateway) reloadNow(w http.ResponseWriter, _ *http.Request) {
	done := make(chan bool, 1)
	select {
	case g.reload <- done:
	case <-g.leaving:
		admin.Text(w, http.StatusServiceUnavailable, "draining: nothing is replaced any more\n")
		return
	}
	// What this request answers holds for every request accepted after it.
	if !<-done {
		admin.Text(w, http.StatusUnprocessableEntity, "not replaced; the log says why\n")
		return
	}
	admin.Text(w, http.StatusOK, "replaced\n")
}
