package tests

import (
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"
)

// TestLint: helm lint has nothing to say about the chart with any file of ci.
func TestLint(t *testing.T) {
	for name, file := range cases(t) {
		var values map[string]any
		if err := yaml.Unmarshal(read(t, file), &values); err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.RunAll(chart, values, "edge").Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m.Error())
			}
		}
	}
}
