package prometheus

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const dashboardFile = "../../charts/wicketgate/files/dashboard.json"

// TestPrometheus runs traffic through a gate for some twenty seconds, with a
// Prometheus that takes native histograms and one that does not, and asks both
// for all that operators will.
func TestPrometheus(t *testing.T) {
	s := newStand(t)
	servers := map[string]*server{
		"native":  startServer(t, s.admin, "native-histograms", "exemplar-storage"),
		"classic": startServer(t, s.admin, "exemplar-storage"),
	}
	ctx, stop := context.WithCancel(t.Context())
	w := s.start(ctx)
	defer w.running.Wait()
	defer stop()
	began := time.Now()
	time.Sleep(20 * time.Second)
	for name, p := range servers {
		t.Run(name, func(t *testing.T) {
			t.Run("panels", func(t *testing.T) { wantPanels(t, p) })
			t.Run("rules", func(t *testing.T) { wantRules(t, p) })
			t.Run("alerts", func(t *testing.T) { wantAlerts(t, p) })
			t.Run("exemplars", func(t *testing.T) { wantExemplars(t, p, began) })
		})
	}
	t.Run("native histograms", func(t *testing.T) { wantNative(t, servers["native"], servers["classic"]) })
	t.Run("check metrics", func(t *testing.T) { wantCheckedMetrics(t, s) })
	if *picture != "" {
		t.Run("picture", func(t *testing.T) { w.draw(t, servers["native"], *picture) })
	}
}

// expressions are those of the dashboard, by panel, as Grafana would send them.
func expressions(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Annotations struct{ List []struct{ Name, Expr string } }
		Panels      []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	grafana := strings.NewReplacer("$__rate_interval", "15s", "$job", ".*", "$instance", ".*")
	all := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], grafana.Replace(target.Expr))
		}
	}
	return all
}

// wantPanels evaluates every expression of every panel: none may be wrong, and
// each must give something that can be seen.
func wantPanels(t *testing.T, p *server) {
	all := expressions(t)
	count := 0
	for _, title := range slices.Sorted(maps.Keys(all)) {
		for _, expression := range all[title] {
			count++
			p.wantData(t, title, expression)
		}
	}
	t.Logf("%d expressions in %d panels", count, len(all))
	if count < 40 {
		t.Errorf("only %d expressions", count)
	}
}

// wantData asks again for a while: the machine may be busy, and what happens only
// now and then may not have happened yet.
func (p *server) wantData(t *testing.T, what, expression string) {
	t.Helper()
	var shown int
	var err error
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		if shown, err = p.numbers(expression); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if shown > 0 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s is empty: %s", what, expression)
			return
		}
	}
}

type rule struct {
	Name, Type, Query, Health, LastError string
}

// wantRules asks for what is recorded, and for each thing that an alert looks at:
// most alerts must be silent, but not because they look at nothing.
func wantRules(t *testing.T, p *server) {
	var data struct{ Groups []struct{ Rules []rule } }
	if err := p.ask("rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(wicketgate[a-z0-9_:]+|process_start_time_seconds|up)\b`)
	recorded, alerts := 0, 0
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			if r.Health != "ok" {
				t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
			if r.Type == "recording" {
				recorded++
				p.wantData(t, r.Name, r.Name)
				continue
			}
			alerts++
			for _, name := range names.FindAllString(r.Query, -1) {
				if name != bypass {
					p.wantData(t, r.Name, name)
				}
			}
		}
	}
	if recorded < 8 || alerts < 15 {
		t.Errorf("%d recorded series, %d alerts", recorded, alerts)
	}
}

// bypass is measured only where a gate knows the address of its pod.
const bypass = "wicketgate_upstream_bypass_possible"

// wantAlerts waits for those that this stand gives reason to, pending or firing,
// and reads what they would tell.
func wantAlerts(t *testing.T, p *server) {
	want := []string{
		"WicketgateCertificateExpiring", "WicketgateDPoPReplay", "WicketgateHighErrorRate", "WicketgateJWKSFetchFailing", "WicketgateJWKSStale", "WicketgateUnknownKeySpike",
	}
	found := map[string]bool{}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		var data struct {
			Alerts []struct{ Labels, Annotations map[string]string }
		}
		if err := p.ask("alerts", nil, &data); err != nil {
			t.Fatal(err)
		}
		for _, a := range data.Alerts {
			found[a.Labels["alertname"]] = true
			for key, text := range a.Annotations {
				if strings.Contains(text, "<no value>") || strings.Contains(text, "error expanding") || strings.Contains(text, "{{") {
					t.Fatalf("%s: %s: %s", a.Labels["alertname"], key, text)
				}
			}
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return found[name] })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Errorf("not alerted: %q", missing)
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(want, name) && name != "WicketgateOverheadHigh" { // which a busy machine is reason enough for
			t.Errorf("%s without reason", name)
		}
	}
}

// wantExemplars finds the traces of our own requests, on both histograms.
func wantExemplars(t *testing.T, p *server, since time.Time) {
	for _, metric := range []string{"wicketgate_overhead_seconds", "wicketgate_request_duration_seconds"} {
		found := 0
		for _, name := range []string{metric, metric + "_bucket"} {
			var data []struct {
				SeriesLabels map[string]string
				Exemplars    []struct{ Labels map[string]string }
			}
			if err := p.ask("query_exemplars", url.Values{"query": {name}, "start": {seconds(since)}, "end": {seconds(time.Now())}}, &data); err != nil {
				t.Fatal(err)
			}
			for _, series := range data {
				for _, e := range series.Exemplars {
					if !strings.HasPrefix(e.Labels["trace_id"], traceMark) || len(e.Labels) != 1 {
						t.Errorf("%s: exemplar %v", name, e.Labels)
					}
					found++
				}
			}
		}
		t.Logf("%s: %d exemplars", metric, found)
		if found == 0 {
			t.Errorf("%s has no exemplars", metric)
		}
	}
}

// wantNative compares quantiles of native histograms with those of the classic
// ones, whose buckets are coarse.
func wantNative(t *testing.T, native, classic *server) {
	for _, quantile := range []string{"0.5", "0.9"} {
		one := func(p *server, expression string) float64 {
			samples, err := p.query(expression)
			if err != nil || len(samples) != 1 {
				t.Fatalf("%s: %d series, %v", expression, len(samples), err)
			}
			return samples[0].Value.value
		}
		fine := one(native, "histogram_quantile("+quantile+", sum(rate(wicketgate_overhead_seconds[30s])))")
		coarse := one(classic, "histogram_quantile("+quantile+", sum by (le) (rate(wicketgate_overhead_seconds_bucket[30s])))")
		t.Logf("quantile %s: %.6f s native, %.6f s classic", quantile, fine, coarse)
		if !(fine > 0 && fine < 4*coarse && fine > coarse/4) {
			t.Errorf("quantile %s: %v s native, %v s classic", quantile, fine, coarse)
		}
	}
	if shown, err := native.numbers("histogram_count(wicketgate_overhead_seconds) > 100"); shown != 1 || err != nil {
		t.Errorf("no native histogram of more than a hundred requests: %v", err)
	}
}

// wantCheckedMetrics has promtool look at what the gate serves.
func wantCheckedMetrics(t *testing.T, s *stand) {
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(s.metrics())
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
