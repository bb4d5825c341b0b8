package main

import (
	"fmt"
	"io"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/report"
)

// reportOnly compiles which refusals of a resource are reported only.
func reportOnly(c *config.File, s *stores, r config.Resource, gate *proxy.Gate) {
	settings := report.Settings{
		File: setting(c.ReportOnly), Resource: setting(r.ReportOnly),
		Issuers: make(map[string]report.Setting), Routes: make([]report.Setting, len(gate.Policy.Routes())),
	}
	for _, i := range c.Issuers {
		if i.ReportOnly.Said() {
			settings.Issuers[i.Name] = setting(i.ReportOnly)
		}
	}
	for i, route := range r.Routes {
		settings.Routes[i] = setting(route.ReportOnly)
	}
	if gate.Report = report.New(s.seed, settings); gate.Report == nil {
		return
	}
	gate.Unmatched = proxy.NewForward(proxy.ForwardOptions{})
	ownNames(c, r, gate.Unmatched)
	if assertsInAuthorization(c) {
		gate.Unmatched.Ours("Authorization")
	}
}

func setting(s config.Share) report.Setting {
	return report.Setting{Said: s.Said(), Percent: s.Percent()}
}

// printReport says what becomes of a request that report_only lets through. What
// the client would be told without it follows.
func printReport(w io.Writer, told *proxy.Explained) {
	fmt.Fprintf(w, "\nanswer    would be refused: %s; report_only lets ", told.Decision.Would.Reason())
	if told.Percent < 100 {
		fmt.Fprintf(w, "%d%% of such requests", told.Percent)
	} else {
		fmt.Fprint(w, "it")
	}
	fmt.Fprintf(w, " through without identity, to %s\n", told.Upstream)
}
