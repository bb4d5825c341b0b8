package tests

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

var update = flag.Bool("update", false, "write golden files and the charts' README anew")

const (
	chart = "../wicketgate"
	ci    = chart + "/ci"
)

// house says which containers of ci/*-values.yaml are not the gate's.
var house = judge.House{Guests: []string{"log-shipper", "wait"}}

// cases are the files in ci, by name.
func cases(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(ci + "/*-values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values in %s: %v", ci, err)
	}
	out := map[string]string{}
	for _, f := range files {
		out[strings.TrimSuffix(filepath.Base(f), "-values.yaml")] = f
	}
	return out
}

func render(t *testing.T, in judge.Install) (judge.Rendered, []judge.Object) {
	t.Helper()
	in.Chart = chart
	r, err := judge.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return r, objects
}

// TestRendered: what every values file of ci makes is read by Kubernetes, passes
// the Pod Security Standard and our rules, and is what it was.
func TestRendered(t *testing.T) {
	for name, file := range cases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, objects := render(t, judge.Install{Files: []string{file}})
			for _, wrong := range house.Judge(objects) {
				t.Error(wrong)
			}
			golden(t, name+".yaml", together(r))
		})
	}
}

// together is everything that was rendered, as it would be read, but what only
// repeats a file of the chart: see TestRulesAndDashboard.
func together(r judge.Rendered) []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(r.Manifests)) {
		if name == "templates/prometheusrule.yaml" || name == "templates/dashboard.yaml" {
			continue
		}
		fmt.Fprintf(&out, "---\n# %s\n%s\n", name, strings.Trim(r.Manifests[name], "\n"))
	}
	fmt.Fprintf(&out, "---\n# NOTES.txt\n# %s\n", strings.ReplaceAll(strings.Trim(r.Notes, "\n"), "\n", "\n# "))
	return []byte(strings.ReplaceAll(out.String(), "# \n", "#\n"))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s has changed; go test -update if that is meant (-was +is):\n%s", file, diff)
	}
}

// TestEveryTemplateIsTried: each template makes something for one of ci's files.
func TestEveryTemplateIsTried(t *testing.T) {
	made := map[string]bool{}
	for _, file := range cases(t) {
		r, _ := render(t, judge.Install{Files: []string{file}})
		for name := range r.Manifests {
			made[name] = true
		}
	}
	templates, err := filepath.Glob(chart + "/templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range templates {
		if name := "templates/" + filepath.Base(file); !made[name] && name != "templates/verify.yaml" { // it is there to refuse
			t.Errorf("%s makes nothing for any file of %s", name, ci)
		}
	}
}
