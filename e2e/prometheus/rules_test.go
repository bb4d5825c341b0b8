package prometheus

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const ruleTests = "testdata/rules_test.yaml"

func TestCheckRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rulesFile)
}

func TestRules(t *testing.T) { promtool(t, "test", "rules", ruleTests) }

func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.Command("promtool", arguments...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// TestEveryAlertIsTested sees that there is a case in which an alert fires and one
// in which it does not, for each, and each of its severities.
func TestEveryAlertIsTested(t *testing.T) {
	rules, tests := contents(t, rulesFile), contents(t, ruleTests)
	cases := regexp.MustCompile(`(?m)alertname: (\w+)(\}?)$(?:\n +exp_alerts:\n((?: {10,}.*\n)+))?`).FindAllStringSubmatch(tests, -1)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, c := range cases {
		if c[3] == "" {
			silent[c[1]] = true
		}
		for _, severity := range regexp.MustCompile(`severity: (\w+)`).FindAllStringSubmatch(c[3], -1) {
			fires[c[1]+" "+severity[1]] = true
		}
	}
	for _, alert := range regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (\w+)\n`).FindAllStringSubmatch(rules, -1) {
		if !fires[alert[1]+" "+alert[2]] {
			t.Errorf("%s (%s) never fires in %s", alert[1], alert[2], ruleTests)
		}
		if !silent[alert[1]] {
			t.Errorf("%s is never silent in %s", alert[1], ruleTests)
		}
	}
	if len(fires) < 15 {
		t.Errorf("%d alerts fire", len(fires))
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
