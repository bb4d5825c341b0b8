package telemetry

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/validator"
)

func TestBindKeepsWhatStaysAndDeletesWhatWent(t *testing.T) {
	m := New(Options{})
	report := m.Decided(listener)
	r := httptest.NewRequest("GET", "/", nil)
	stays := outcome(t, m, proxy.Allowed)
	report(r, stays)
	m.Judged(validator.Result{Issuer: "corp"})
	m.KeysLoaded("corp", jwks.Load{Keys: 1})

	const counted = `wicketgate_requests_total{code="2xx",decision="allowed",resource="api",route="orders"}`
	m.Bind(&proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: newGate(t, "api", "http://127.0.0.1:1", rigRoutes)}}}, []string{"corp", "new"})
	wantValue(t, m, counted, "1")
	wantValue(t, m, `wicketgate_jwks_fetches_total{issuer="corp",result="unchanged"}`, "1")
	wantValue(t, m, `wicketgate_jwks_fetches_total{issuer="new",result="error"}`, "0")

	other := newGate(t, "api", "http://127.0.0.1:2", []policy.Options{{Name: "all", Path: "/**"}})
	m.Bind(&proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: other}}}, []string{"new"})
	for _, line := range scrape(t, m) {
		for _, gone := range []string{`route="orders"`, `issuer="corp"`, `upstream="http://127.0.0.1:1"`} {
			if strings.Contains(line, gone) {
				t.Errorf("still there: %s", line)
			}
		}
	}
	wantValue(t, m, `wicketgate_requests_total{code="2xx",decision="allowed",resource="api",route="all"}`, "0")

	report(r, stays) // was under way when its route and upstream went
	wantValue(t, m, `wicketgate_requests_total{code="2xx",decision="allowed",resource="none",route="none"}`, "1")
	wantValue(t, m, counted, "")
	m.Judged(validator.Result{Issuer: "corp"})
	wantValue(t, m, `wicketgate_validations_total{issuer="corp",kind="none",reason="none",result="ok"}`, "")
}

func TestBindWhileServing(t *testing.T) {
	m := New(Options{})
	o := outcome(t, m, proxy.Allowed)
	table := &proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: o.Gate}}}
	report, r := m.Decided(listener), httptest.NewRequest("GET", "/", nil)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for range 250 {
				report(r, o)
				m.Judged(validator.Result{Issuer: "corp"})
			}
		})
	}
	for range 20 {
		m.Bind(table, []string{"corp"})
	}
	running.Wait()
	wantValue(t, m, `wicketgate_requests_total{code="2xx",decision="allowed",resource="api",route="orders"}`, "1000")
}
