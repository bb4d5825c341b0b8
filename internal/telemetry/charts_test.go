package telemetry

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What those who run the gate are given to watch it by.
const (
	dashboardFile = "../../charts/wicketgate/files/dashboard.json"
	rulesFile     = "../../charts/wicketgate/files/rules.yaml"
	runbooksFile  = "../../docs/runbooks.md"
	runbooksURL   = "https://github.com/wicketgate/wicketgate/blob/main/docs/runbooks.md#"
)

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr string
		Datasource  source
	}
}

type source struct{ Type, UID string }

type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type, Query any }
	}
	Panels []panel
}

// TestDashboard holds what Grafana would show wrongly or not at all: ids that
// come twice, panels that lie over each other, a data source of one installation.
func TestDashboard(t *testing.T) {
	text := contents(t, dashboardFile)
	var d dashboard
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" || d.Templating.List[0].Query != "prometheus" {
		t.Error("the first variable is not the data source")
	}
	var rows []string
	ids := map[int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] != "" || p.ID == 0 {
			t.Errorf("%s has the id of %s", p.Title, ids[p.ID])
		}
		ids[p.ID] = p.Title
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		p.check(t)
		if len(rows) == 0 {
			t.Errorf("%s is in no row", p.Title)
		}
	}
	if want := []string{"Overview", "Why denied", "Keys and issuers", "DPoP and mTLS", "Upstream", "Resources"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	wantApart(t, d.Panels)
	wantKnownMetrics(t, dashboardFile, text)
}

func (p panel) check(t *testing.T) {
	t.Helper()
	if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Title == "" || len(p.Targets) == 0 {
		t.Errorf("panel %d %q: a title, a description, a unit and an expression are needed", p.ID, p.Title)
	}
	ours := source{"prometheus", "${datasource}"}
	if p.Datasource != ours {
		t.Errorf("%s: data source %v", p.Title, p.Datasource)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.Datasource != ours || refs[target.RefID] || target.Expr == "" {
			t.Errorf("%s: target %v", p.Title, target)
		}
		refs[target.RefID] = true
		if strings.Count(target.Expr, `job=~"$job", instance=~"$instance"`) != strings.Count(target.Expr, "{") {
			t.Errorf("%s looks at gates that were not chosen: %s", p.Title, target.Expr)
		}
		if regexp.MustCompile(`\[\d+[sm]\]`).MatchString(target.Expr) {
			t.Errorf("%s has a window that does not fit every scrape interval: %s", p.Title, target.Expr)
		}
	}
}

// wantApart sees that no two panels overlap and that none leaves the page.
func wantApart(t *testing.T, panels []panel) {
	t.Helper()
	taken := map[[2]int]string{}
	for _, p := range panels {
		g := p.GridPos
		if g.X+g.W > 24 || g.W == 0 || g.H == 0 {
			t.Errorf("%s is not on the page: %v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" && other != p.Title {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// TestRules holds alerts and runbooks against each other, and that each alert
// says what it must; whether it fires is for promtool, in e2e/prometheus.
func TestRules(t *testing.T) {
	text := contents(t, rulesFile)
	book := contents(t, runbooksFile)
	var sections []string
	for _, found := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(book, -1) {
		sections = append(sections, found[1])
	}
	var alerts []string
	for _, rule := range strings.Split(text, "      - alert: ")[1:] {
		name, _, _ := strings.Cut(rule, "\n")
		alerts = append(alerts, name)
		if !strings.HasPrefix(name, "Wicketgate") {
			t.Errorf("%s does not say whose alert it is", name)
		}
		for _, want := range []string{"severity: (warning|critical)", "summary: '.+'", "description: '.+'", "runbook_url: " + regexp.QuoteMeta(runbooksURL+strings.ToLower(name))} {
			if !regexp.MustCompile(`(?m)^ +` + want + `$`).MatchString(rule) {
				t.Errorf("%s has no %s", name, want)
			}
		}
	}
	if alerts = slices.Compact(alerts); !slices.Equal(alerts, sections) { // a second one of the same name is more or less urgent
		t.Errorf("alerts %q\nsections %q", alerts, sections)
	}
	if len(alerts) != 15 {
		t.Errorf("%d alerts", len(alerts))
	}
	parts := strings.Split(book, "\n## ")
	for _, section := range parts[1:] {
		for _, want := range []string{"- **Users see** ", "- **Be sure**", "- **Do**: ", "- **Do not** "} {
			if !strings.Contains(section, want) {
				t.Errorf("runbook %s does not say %q", section[:strings.IndexByte(section, '\n')], want)
			}
		}
	}
	wantKnownMetrics(t, rulesFile, text)
	wantKnownMetrics(t, runbooksFile, book)
}

// bypassMetric is there only where a gate knows the address of its pod.
const bypassMetric = "wicketgate_upstream_bypass_possible"

// wantKnownMetrics holds names of metrics against docs/metrics.md, which is held
// against the registry, and names of recorded series against the rules.
func wantKnownMetrics(t *testing.T, path, text string) {
	t.Helper()
	page, rules := contents(t, "../../docs/metrics.md"), contents(t, rulesFile)
	for _, name := range regexp.MustCompile(`\bwicketgate[_:][a-z0-9_:]+`).FindAllString(text, -1) {
		if strings.Contains(name, ":") {
			if !strings.Contains(rules, "record: "+name+"\n") {
				t.Errorf("%s: nothing records %s", path, name)
			}
			continue
		}
		if name == bypassMetric {
			continue
		}
		if !strings.Contains(page, "`"+strings.TrimSuffix(name, "_bucket")+"`") {
			t.Errorf("%s: there is no metric %s", path, name)
		}
	}
}
