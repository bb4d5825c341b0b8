package telemetry

import (
	"hash/maphash"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/report"
	"github.com/wicketgate/wicketgate/token"
)

// lenient is a gate that lets some refusals through, and the table of it.
func lenient(t *testing.T, percent int) (*proxy.Gate, *proxy.Table) {
	t.Helper()
	gate := newGate(t, "api", "http://127.0.0.1:1", rigRoutes)
	gate.Report = report.New(maphash.MakeSeed(), report.Settings{
		Resource: report.Setting{Said: true, Percent: percent},
		Routes:   []report.Setting{{}, {}, {}, {Said: true}}, // admin is enforced
	})
	return gate, &proxy.Table{Sites: map[string]*proxy.Site{listener: {Only: gate}}}
}

// softened is the outcome of a request that passed though d would not have it.
func softened(g *proxy.Gate, path string, d proxy.Decision) *proxy.Outcome {
	d.Route = g.Policy.Route("GET", path)
	return &proxy.Outcome{Gate: g, Decision: &proxy.Decision{Verdict: proxy.Allowed, Route: d.Route, Would: &d}, Status: 200, Upstream: 1}
}

func TestReportsAreCounted(t *testing.T) {
	log, out := logger(t)
	m := New(Options{Log: log, Access: Denied})
	gate, table := lenient(t, 25)
	m.Bind(table, nil)
	const would = `wicketgate_would_refuse_total{reason="scope",resource="api",route="orders"}`
	wantValue(t, m, would, "0")
	wantValue(t, m, `wicketgate_would_refuse_total{reason="scope",resource="api",route="admin"}`, "")
	wantValue(t, m, `wicketgate_would_refuse_total{reason="scope",resource="api",route="open"}`, "")
	wantValue(t, m, `wicketgate_would_refuse_total{reason="path",resource="api",route="orders"}`, "")
	wantValue(t, m, `wicketgate_would_refuse_total{reason="no_route",resource="api",route="none"}`, "0")
	wantValue(t, m, `wicketgate_report_only{resource="api",route="orders"}`, "0.25")
	wantValue(t, m, `wicketgate_report_only{resource="api",route="none"}`, "0.25")
	wantValue(t, m, `wicketgate_report_only{resource="api",route="admin"}`, "")

	done, r := m.Decided(listener), httptest.NewRequest("GET", "/orders/1", nil)
	refusal := token.Refuse(token.InsufficientScope, token.ReasonScope)
	done(r, softened(gate, "/orders/1", proxy.Decision{Verdict: proxy.Refused, Refusal: refusal, Principal: &token.Principal{Issuer: "corp"}}))
	wantValue(t, m, would, "1")
	wantValue(t, m, `wicketgate_requests_total{code="2xx",decision="reported",resource="api",route="orders"}`, "1")
	wantValue(t, m, `wicketgate_refusals_total{reason="scope"}`, "0")
	for _, part := range []string{`"request would be denied"`, `"gate.would_refuse":"scope"`, `"gate.decision":"reported"`, `"gate.issuer":"corp"`} {
		if text := out.String(); !strings.Contains(text, part) || strings.Contains(text, `"gate.reason"`) {
			t.Errorf("logged %s, want %s and no gate.reason", text, part)
		}
	}
	done(r, softened(gate, "/orders/1", proxy.Decision{Verdict: proxy.Failed, Fault: &token.Fault{Reason: token.ReasonKeysUnavailable}}))
	wantValue(t, m, `wicketgate_would_refuse_total{reason="jwks_unavailable",resource="api",route="orders"}`, "1")
	done(r, softened(gate, "/nowhere", proxy.Decision{Refusal: token.Refuse(token.NotFound, token.ReasonNoRoute)}))
	wantValue(t, m, `wicketgate_would_refuse_total{reason="no_route",resource="api",route="none"}`, "1")

	// What was refused after all is a refusal, and no report.
	refused := softened(gate, "/orders/1", proxy.Decision{Verdict: proxy.Refused, Refusal: refusal})
	refused.Decision.Verdict, refused.Decision.Refusal, refused.Status = proxy.Refused, token.Refuse(token.ContentTooLarge, token.ReasonBodySize), 413
	done(r, refused)
	wantValue(t, m, would, "1")
	wantValue(t, m, `wicketgate_refusals_total{reason="max_body"}`, "1")
}

// TestReportsEndWithTheSetting: a reload that enforces leaves no gauge behind.
func TestReportsEndWithTheSetting(t *testing.T) {
	m := New(Options{})
	_, table := lenient(t, 100)
	m.Bind(table, nil)
	wantValue(t, m, `wicketgate_report_only{resource="api",route="orders"}`, "1")
	_, table = lenient(t, 0)
	m.Bind(table, nil)
	for _, route := range []string{"orders", "maybe", "none"} {
		wantValue(t, m, `wicketgate_report_only{resource="api",route="`+route+`"}`, "")
	}
	wantValue(t, m, `wicketgate_would_refuse_total{reason="scope",resource="api",route="orders"}`, "0")
}
