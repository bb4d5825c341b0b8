package config

import (
	"slices"
	"testing"
)

const reportHead = "version: 1\nissuers: [{issuer: https://a.example.com/"

// TestReportOnlyIsTold: every place where refusals are not enforced is warned
// about, and the file as a whole says so in its metric.
func TestReportOnlyIsTold(t *testing.T) {
	const resource = "}]\nresources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1"
	for text, want := range map[string][]string{
		resource + "}]\n":                                                       nil,
		resource + "}]\nreport_only: false\n":                                   nil,
		resource + "}]\nreport_only: 0%\n":                                      nil,
		resource + "}]\nreport_only: true\n":                                    {"report_only"},
		resource + "}]\nreport_only: \"${WG_TEST_NONE:-true}\"\n":               {"report_only"},
		resource + "}]\nreport_only: 1%\n":                                      {"report_only"},
		", report_only: true" + resource + "}]\n":                               {"issuers[0].report_only"},
		resource + ", report_only: 99%}]\n":                                     {"resources[0].report_only"},
		resource + ", routes: [{path: /a}, {path: /b, report_only: 100%}]}]\n":  {"resources[0].routes[1].report_only"},
		resource + ", routes: [{path: /b, report_only: false}]}]\n":             nil,
		resource + ", report_only: true, routes: [{path: /b}]}]\nvia: other\n":  {"resources[0].report_only"},
		", report_only: 3%" + resource + ", report_only: 4%}]\nreport_only: 5%": {"report_only", "issuers[0].report_only", "resources[0].report_only"},
	} {
		f := parse(t, "c.yaml", reportHead+text)
		var got []string
		for _, w := range f.Warnings() {
			got = append(got, w.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: warnings at %q, want %q", text, got, want)
		}
		if told := slices.Contains(f.Insecure(), "report_only"); told != (len(want) > 0) {
			t.Errorf("%s: insecure options %q", text, f.Insecure())
		}
	}
}

func TestShareIsWrittenAsRead(t *testing.T) {
	for text, want := range map[string]Share{"true": 101, "false": 1, "25%": 26} {
		var s Share
		if err := s.parse(text); err != nil || s != want || s.String() != text {
			t.Errorf("%s: %d, %v, written %s", text, s, err, s)
		}
	}
	for _, text := range []string{"", "%", "-1%", "+1%", "1 %", "101%", "1", "1.0%", "true%"} {
		if s := new(Share); s.parse(text) == nil {
			t.Errorf("%q is %v", text, *s)
		}
	}
}
