package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/lint"
)

// TestManualIsNotDoubted: what users copy from the example and the manual is
// what they should write.
func TestManualIsNotDoubted(t *testing.T) {
	doubted := func(path, text string) {
		f, err := config.Parse(filepath.Base(path), []byte(text), func(string) (string, bool) { return "", false })
		if err != nil {
			return // TestManualConfigurations says so
		}
		for _, w := range lint.Check(f).Open {
			switch {
			case w.Rule == "plain-listener" && path != "config.example.yaml": // the smallest file has it, too
			case w.Rule == "report-only" && path != "config.example.yaml": // it is shown as a step on the way
			default:
				t.Errorf("%s: %s", path, w)
			}
		}
	}
	doubted("config.example.yaml", contents(t, filepath.Join(repository, "config.example.yaml")))
	for _, path := range manual(t) {
		if strings.Contains(path, "docs/decisions") {
			continue // they show what others would fall into
		}
		for _, block := range blocks(contents(t, path), "yaml") {
			if strings.HasPrefix(block, "routes:") {
				block = config.Smallest() + "    " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
			}
			doubted(path, block)
		}
	}
}

// TestDoubts: each rule finds what its archive has wrong, says where, what
// could happen and what to write, and finds nothing in what was mended.
func TestDoubts(t *testing.T) {
	page := contents(t, filepath.Join(repository, "docs/guide/check.md"))
	known := make(map[string]bool)
	for _, rule := range lint.Rules() {
		known[rule.ID] = true
		t.Run(rule.ID, func(t *testing.T) {
			m := unpack(t, filepath.Join("testdata", "doubts", rule.ID+".txtar"))
			checked := m.run("check", "config.yaml")
			if checked.code != exitOK || checked.stderr != "" || !strings.Contains(checked.stdout, "["+rule.ID+"]\n") {
				t.Errorf("exit code %d; stderr %q", checked.code, checked.stderr)
			}
			m.wantTold(checked.stdout)
			if strict := m.run("check", "config.yaml", "--strict"); strict.code != exitFailed || strict.stdout != checked.stdout {
				t.Errorf("--strict: exit code %d, want %d; stdout %q", strict.code, exitFailed, strict.stdout)
			}
			mended := m.run("check", "mended.yaml", "--strict")
			if mended.code != exitOK {
				t.Errorf("mended: exit code %d, want %d:\n%s%s", mended.code, exitOK, mended.stdout, mended.stderr)
			}
			row := regexp.MustCompile("(?m)^\\| `" + rule.ID + "` \\| " + regexp.QuoteMeta(rule.What) + " \\| `(.+)` \\|$").FindStringSubmatch(page)
			if row == nil {
				t.Fatalf("docs/guide/check.md has no row for it: %s", rule.What)
			}
			if text := string(m.file("config.yaml").Data); !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(row[1]), " ")) {
				t.Errorf("the example of docs/guide/check.md is none of the archive: %s", row[1])
			}
		})
	}
	for _, name := range archives(t, "doubts") {
		if id := strings.TrimSuffix(filepath.Base(name), ".txtar"); !known[id] {
			t.Errorf("%s is for no rule", name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(page, -1) {
		if !known[row[1]] {
			t.Errorf("docs/guide/check.md has a row for %s, which is no rule", row[1])
		}
	}
}

// TestRulesAreListed: whoever warns names a rule of the list.
func TestRulesAreListed(t *testing.T) {
	known := make(map[string]bool)
	for _, rule := range lint.Rules() {
		known[rule.ID] = true
	}
	found := 0
	for _, folder := range []string{".", filepath.Join(repository, "config")} {
		sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range sources {
			for _, call := range regexp.MustCompile(`\b[cf]\.[wW]arn\(\s*([^,)]+)`).FindAllStringSubmatch(contents(t, path), -1) {
				found++
				if !known[strings.Trim(call[1], `"`)] {
					t.Errorf("%s: %s is no rule of internal/lint", path, call[1])
				}
			}
		}
	}
	if found < 25 {
		t.Errorf("found %d warnings only", found)
	}
}
