package telemetry

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/proxy"
)

const (
	trace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent = "00-" + trace + "-00f067aa0ba902b7-01"
)

func TestSampledTrace(t *testing.T) {
	for _, c := range []struct {
		why   string
		lines []string
		want  string
	}{
		{"sampled", []string{parent}, trace},
		{"sampled, and another flag", []string{"00-" + trace + "-00f067aa0ba902b7-03"}, trace},
		{"flags in letters", []string{"00-" + trace + "-00f067aa0ba902b7-0f"}, trace},
		{"a later version", []string{"01-" + trace + "-00f067aa0ba902b7-01"}, trace},
		{"a later version that says more", []string{"cc-" + trace + "-00f067aa0ba902b7-01-more"}, trace},
		{"none", nil, ""},
		{"empty", []string{""}, ""},
		{"two", []string{parent, parent}, ""},
		{"two in one line", []string{parent + "," + parent}, ""},
		{"not sampled", []string{"00-" + trace + "-00f067aa0ba902b7-00"}, ""},
		{"not sampled, and another flag", []string{"00-" + trace + "-00f067aa0ba902b7-02"}, ""},
		{"version ff", []string{"ff-" + trace + "-00f067aa0ba902b7-01"}, ""},
		{"a version that is none", []string{"0x-" + trace + "-00f067aa0ba902b7-01"}, ""},
		{"version 00 that says more", []string{parent + "-more"}, ""},
		{"a later version with a long flag", []string{"01-" + trace + "-00f067aa0ba902b7-011"}, ""},
		{"upper case", []string{strings.ToUpper(parent)}, ""},
		{"no trace", []string{"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"}, ""},
		{"no parent", []string{"00-" + trace + "-0000000000000000-01"}, ""},
		{"a parent that is no number", []string{"00-" + trace + "-00f067aa0ba902bx-01"}, ""},
		{"a trace with a quote", []string{"00-" + trace[:31] + `"-00f067aa0ba902b7-01`}, ""},
		{"flags that are no number", []string{"00-" + trace + "-00f067aa0ba902b7-x1"}, ""},
		{"too short", []string{parent[:54]}, ""},
		{"other hyphens", []string{strings.ReplaceAll(parent, "-", "_")}, ""},
	} {
		if got := sampledTrace(http.Header{"Traceparent": c.lines}, nil); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// TestExemplars sees the trace of a sampled request beside two histograms, in
// both formats that carry exemplars, and nowhere as a label.
func TestExemplars(t *testing.T) {
	m := New(Options{})
	o := outcome(t, m, proxy.Allowed)
	report, r := m.Decided(listener), httptest.NewRequest("GET", "/", nil)
	report(r, o)
	if text := exposition(m, "application/openmetrics-text"); strings.Contains(text, "trace_id") {
		t.Error("a request without traceparent has an exemplar")
	}
	r.Header.Set("Traceparent", parent)
	report(r, o)
	text := exposition(m, "application/openmetrics-text")
	for _, name := range []string{"wicketgate_request_duration_seconds", "wicketgate_overhead_seconds"} {
		if !regexp.MustCompile(`(?m)^` + name + `_bucket\{[^}]*\} 2 # \{trace_id="` + trace + `"\} `).MatchString(text) {
			t.Errorf("%s has no exemplar", name)
		}
	}
	if strings.Count(text, trace) != 2 {
		t.Errorf("the trace is there %d times, want 2", strings.Count(text, trace))
	}
	if strings.Contains(exposition(m, ""), trace) {
		t.Error("the trace is in the text format, where it can be a label only")
	}
	wantNativeExemplars(t, m)
}

// wantNativeExemplars looks for the trace in the native histograms.
func wantNativeExemplars(t *testing.T, m *Telemetry) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, e := range metric.GetHistogram().GetExemplars() {
				found[f.GetName()] = len(e.GetLabel()) == 1 && e.GetLabel()[0].GetValue() == trace && e.GetTimestamp() != nil
			}
		}
	}
	for _, name := range []string{"wicketgate_request_duration_seconds", "wicketgate_overhead_seconds"} {
		if !found[name] || len(found) != 2 {
			t.Errorf("native histograms with the exemplar: %v, want %s among two", found, name)
		}
	}
}

// TestNativeHistograms sees that every histogram is a native one and a classic
// one, as either kind of scrape needs.
func TestNativeHistograms(t *testing.T) {
	m := full(t)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	histograms := 0
	for _, f := range families {
		if f.GetType().String() != "HISTOGRAM" || !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue
		}
		histograms++
		for _, metric := range f.GetMetric() {
			if h := metric.GetHistogram(); h.Schema == nil || h.GetZeroThreshold() == 0 || len(h.GetBucket()) == 0 {
				t.Errorf("%s %v is not both", f.GetName(), metric.GetLabel())
			}
		}
	}
	if histograms < 8 {
		t.Errorf("%d histograms", histograms)
	}
}

func exposition(m *Telemetry, accept string) string {
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w.Body.String()
}

// TestUnsampledAllocatesNothing: whoever is not recorded pays for a look only.
func TestUnsampledAllocatesNothing(t *testing.T) {
	m := New(Options{Access: Off})
	o := outcome(t, m, proxy.Allowed)
	report, r := m.Decided(listener), httptest.NewRequest("GET", "/", nil)
	for _, text := range []string{"00-" + trace + "-00f067aa0ba902b7-00", strings.Repeat("x", 8<<10)} {
		r.Header.Set("Traceparent", text)
		if n := testing.AllocsPerRun(1000, func() { report(r, o) }); n != 0 {
			t.Errorf("%.60s: %v allocations", text, n)
		}
	}
}
