package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// small is a module of two packages: low, which checks, and front, whose tests
// see what those of low do not.
var small = map[string]string{
	"go.mod": "module example.com/small\n\ngo 1.26\n",
	"low/low.go": `package low

import "errors"

func Check(n int) error {
	if n < 0 || n == 7 {
		return errors.New("low")
	}
	if n > 100 {
		return errors.New("high")
	}
	for i := n; i > 0; i-- {
		if i == n-1 || i < 0 {
			return nil
		}
	}
	return nil
}
`,
	"low/low_test.go": `package low

import "testing"

func TestNegative(t *testing.T) {
	if Check(-1) == nil {
		t.Error("accepted")
	}
}
`,
	"front/front.go": "package front\n\nimport \"example.com/small/low\"\n\nfunc Ask(n int) bool { return low.Check(n) == nil }\n",
	"front/front_test.go": `package front

import "testing"

func TestHigh(t *testing.T) {
	t.Run("by one", func(t *testing.T) {
		if Ask(101) {
			t.Error("accepted")
		}
	})
}
`,
	"explained.txt": "low/low.go Check: n < 0 || n == 7 | without n == 7\n  for the test\n",
}

// runSmall runs the tool over a copy of small with some files changed.
func runSmall(t *testing.T, changed map[string]string, o options) (string, error) {
	t.Helper()
	root := t.TempDir()
	for name, text := range small {
		if other, ok := changed[name]; ok {
			text = other
		}
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.root, o.explained, o.front, o.packages = root, "explained.txt", []string{"front"}, []string{"low"}
	o.parallel, o.timeout, o.scratch, o.tests = 2, 2*time.Second, t.TempDir(), "."
	var out strings.Builder
	err := run(t.Context(), o, &out)
	for name, text := range small {
		if _, ok := changed[name]; ok {
			continue
		}
		if now, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name))); err != nil || string(now) != text {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	return out.String(), err
}

func wantLines(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
}

func TestRunAsksThePackageThenTheFrontDoor(t *testing.T) {
	t.Parallel()
	out, err := runSmall(t, nil, options{verbose: true})
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wantLines(t, out,
		"noticed by low TestNegative: low/low.go Check: n < 0 || n == 7\n",
		"noticed by low TestNegative: low/low.go Check: n < 0 || n == 7 | without n < 0",
		"SURVIVED: low/low.go Check: n < 0 || n == 7 | without n == 7",
		"noticed by front TestHigh/by_one: low/low.go Check: n > 100",
		"4 checks in low, 4 taken out", "3 noticed", "1 survived; 1 of these are explained",
	)
}

func TestRunFailsOnSurvivors(t *testing.T) {
	t.Parallel()
	out, err := runSmall(t, map[string]string{"explained.txt": "low/low.go Check: n > 100\n  it is noticed\nlow/low.go Gone: a\n  it is gone\n"}, options{})
	if !errors.Is(err, errSurvivors) {
		t.Errorf("got %v", err)
	}
	wantLines(t, out,
		"low/low.go:6: if n < 0 || n == 7 {\n\tlow/low.go Check: n < 0 || n == 7 | without n == 7\n\tno test would notice: none gets there",
		"line 1: front notices it now", "line 3: no such check any more", "1 survived; 0 of these",
	)
}

func TestRunFailsWhenTestsFailAnyway(t *testing.T) {
	t.Parallel()
	out, err := runSmall(t, map[string]string{"front/front_test.go": "package front\n\nimport \"testing\"\n\nfunc TestRed(t *testing.T) { t.Error() }\n"}, options{})
	if err == nil || !strings.Contains(err.Error(), "TestRed") {
		t.Errorf("got %v\n%s", err, out)
	}
}

// A check that cannot be taken out was not tried.
func TestRunFailsOnWhatDoesNotCompile(t *testing.T) {
	t.Parallel()
	out, err := runSmall(t, map[string]string{
		"low/low.go":          "package low\n\nfunc Check(n int) bool {\n\t{\n\t\tswitch n {\n\t\tcase -1:\n\t\t\treturn true\n\t\tdefault:\n\t\t\treturn false\n\t\t}\n\t}\n}\n",
		"low/low_test.go":     "package low\n",
		"front/front_test.go": "package front\n",
		"front/front.go":      "package front\n",
		"explained.txt":       "",
	}, options{})
	if err == nil || !strings.Contains(err.Error(), "missing return") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func TestRunCountsTestsThatNeverEnd(t *testing.T) {
	t.Parallel()
	out, err := runSmall(t, map[string]string{
		"low/low.go":          "package low\n\nimport \"errors\"\n\nfunc Check(n int) error {\n\tfor {\n\t\tif n < 0 {\n\t\t\treturn errors.New(\"low\")\n\t\t}\n\t}\n}\n",
		"front/front_test.go": "package front\n",
		"explained.txt":       "",
	}, options{})
	if err != nil {
		t.Error(err)
	}
	wantLines(t, out, "1 noticed, 1 of them by a test that never ended", "1 by low")
}

func TestRunListsWithoutTrying(t *testing.T) {
	t.Parallel()
	out, err := runSmall(t, nil, options{list: true, only: "100"})
	if err != nil || out != "low/low.go:9: low/low.go Check: n > 100\n1 mutants\n" {
		t.Errorf("got %q, %v", out, err)
	}
	out, err = runSmall(t, nil, options{list: true, recheck: true})
	if err != nil || out != "low/low.go:6: low/low.go Check: n < 0 || n == 7 | without n == 7\n1 mutants\n" {
		t.Errorf("explained ones: got %q, %v", out, err)
	}
}
