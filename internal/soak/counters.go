package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reasons that the soak cannot always tell apart: near a change of time or key
// either of them may be the first that the gate sees.
const (
	ofToken = "expired, not_yet, unknown_key, signature, inactive"
	ofProof = "dpop_replay, dpop_iat"
)

// count does what the gate does: it counts decisions and reasons. The caller
// holds mu.
func (l *load) count(r *request, v verdict, got outcome) {
	decision, reason := "denied", ofToken
	switch {
	case got == passed && r.path == "/open":
		decision, reason = "public", ""
	case got == passed:
		decision, reason = "allowed", ""
	case got == busy && r.want.asks != nil:
		decision, reason = "error", "introspection_unavailable"
	case got == busy:
		decision, reason = "error", "jwks_unavailable"
	case got == badToken && !v.named:
	case got&(r.want.early|r.want.final) != 0:
		reason = r.want.reason
	}
	l.decisions[decision]++
	if reason != "" {
		l.reasons[reason]++
	}
}

// scrape reads the samples of the gate's metrics by series.
func (g *gate) scrape(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return samples(resp.Body)
}

func samples(from io.Reader) (map[string]float64, error) {
	found := map[string]float64{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q", line)
		}
		found[line[:at]] = value
	}
	return found, lines.Err()
}

// sum adds up the series of a metric that have all the labels.
func sum(all map[string]float64, name string, labels ...string) (total int) {
	for series, value := range all {
		rest, found := strings.CutPrefix(series, "wicketgate_"+name)
		missing := func(label string) bool { return !strings.Contains(rest, label) }
		if found && (rest == "" || rest[0] == '{') && !slices.ContainsFunc(labels, missing) {
			total += int(value)
		}
	}
	return total
}

// counters holds the gate's metrics against what was counted here. A request is
// counted after its answer, so the last ones get a moment.
func (r *report) counters(ctx context.Context) {
	for range 20 {
		all, err := r.stage.gate.scrape(context.WithoutCancel(ctx))
		if err != nil {
			r.amiss = []string{"metrics: " + err.Error()}
			return
		}
		if r.amiss = r.disagreements(all); len(r.amiss) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (r *report) disagreements(all map[string]float64) (out []string) {
	differ := func(what string, gate, here int) {
		if gate != here {
			out = append(out, fmt.Sprintf("%s: the gate counts %d, the soak %d", what, gate, here))
		}
	}
	for _, d := range [...]string{"allowed", "public", "denied", "error"} {
		differ("requests_total of decision "+d, sum(all, "requests_total", `decision="`+d+`"`), r.load.decisions[d])
	}
	for _, group := range [...]string{ofToken, ofProof} {
		gate, here := 0, r.load.reasons[group]
		for reason := range strings.SplitSeq(group, ", ") {
			gate += sum(all, "refusals_total", `reason="`+reason+`"`)
			here += r.load.reasons[reason]
		}
		differ("refusals_total of "+group, gate, here)
	}
	total := 0
	for reason, here := range r.load.reasons {
		total += here
		if !strings.Contains(ofToken+" "+ofProof, reason) {
			differ("refusals_total of "+reason, sum(all, "refusals_total", `reason="`+reason+`"`), here)
		}
	}
	differ("refusals_total", sum(all, "refusals_total"), total)
	differ("panics_total", sum(all, "panics_total"), 0)
	differ("upstream_requests_total", sum(all, "upstream_requests_total", `result="ok"`), r.load.decisions["allowed"]+r.load.decisions["public"])
	// The gate also finds changes of the file by itself.
	if ok, bad := sum(all, "config_reloads_total", `result="ok"`), sum(all, "config_reloads_total", `result="error"`); ok < 1+r.load.reloads || bad < r.load.spoilt {
		out = append(out, fmt.Sprintf("config_reloads_total: the gate counts %d good and %d bad, the soak asked for %d and %d", ok, bad, 1+r.load.reloads, r.load.spoilt))
	}
	for _, is := range r.stage.issuers {
		asked, got := is.timeline.counted()
		label := `issuer="` + is.name + `"`
		loaded := sum(all, "jwks_fetches_total", label, `result="changed"`) + sum(all, "jwks_fetches_total", label, `result="unchanged"`)
		if tried := sum(all, "jwks_fetches_total", label); loaded != got || tried < asked {
			out = append(out, fmt.Sprintf("jwks_fetches_total of %s: the gate counts %d, %d good; the issuer %d, %d good", is.name, tried, loaded, asked, got))
		}
	}
	return out
}
