package main

import (
	"net/http"
	"sync"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/bypass"
	"github.com/wicketgate/wicketgate/internal/live"
)

// podAddresses names the variable in which a pod's own addresses come, from
// status.podIPs of the downward API.
const podAddresses = "WICKETGATE_POD_IPS"

// useSidecar puts in force what is about the program beside the gate.
func (g *gateway) useSidecar(file *config.File) {
	targets := bypass.Targets{}
	if file.BypassCheck.Enabled {
		targets = g.app.bypassTargets(file)
	}
	g.bypass.Use(targets)
	names := make([]string, len(targets.Upstreams))
	for i, upstream := range targets.Upstreams {
		names[i] = upstream.Name
	}
	g.metrics.BypassWatched(names)
	g.probes.Use(file.Admin.Probes, file.Admin.ProbeTimeout)
}

// bypassTargets is where a configuration's upstreams must not be reached.
func (a *app) bypassTargets(file *config.File) bypass.Targets {
	t := bypass.Targets{Own: append(listenAddresses(file), file.Admin.Listen, file.Revocation.Signals.Listen)}
	seen := map[string]bool{}
	for _, r := range file.Resources {
		if upstream, found := bypass.Find(r.Upstream); found && !seen[upstream.Name] {
			seen[upstream.Name] = true
			t.Upstreams = append(t.Upstreams, upstream)
		}
	}
	if named, found := a.env(podAddresses); found {
		t.Addresses = bypass.Parse(named)
	}
	if list := file.BypassCheck.Addresses; len(list) > 0 {
		t.Addresses = nil
		for _, text := range list {
			t.Addresses = append(t.Addresses, bypass.Parse(text)...)
		}
	}
	return t
}

// bypassQuestions asks about each upstream on loopback.
func (a *app) bypassQuestions(file *config.File) []live.Question {
	if !file.BypassCheck.Enabled {
		return nil
	}
	all := a.bypassTargets(file)
	var list []live.Question
	for _, upstream := range all.Upstreams {
		one := all
		one.Upstreams = []bypass.Upstream{upstream}
		list = append(list, live.Bypass(one))
	}
	return list
}

// probe relays a health check; /probe/{name}.
func (g *gateway) probe(w http.ResponseWriter, r *http.Request) { g.probes.ServeHTTP(w, r) }

// sayProbes asks the health checks that readiness hangs on, all at once.
func (g *gateway) sayProbes(say func(ok bool, what, why string)) {
	g.mu.Lock()
	names := g.file.Admin.Ready
	g.mu.Unlock()
	failures := make([]string, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { failures[i] = g.probes.Fails(name) })
	}
	asking.Wait()
	for i, name := range names {
		why := failures[i]
		if why != "" {
			why = " (" + why + ")"
		}
		say(why == "", "probe "+name, why)
	}
}
