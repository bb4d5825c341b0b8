package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// mentions lists the test files and test data of packages that speak of a row.
func mentions(root string, packages []string, id string) ([]string, error) {
	var out []string
	word := regexp.MustCompile(`\b` + id + `\b`)
	for _, p := range packages {
		dir := filepath.Join(root, filepath.FromSlash(p))
		for _, pattern := range []string{"*_test.go", "testdata/*.json"} {
			files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
			if err != nil {
				return nil, err
			}
			for _, name := range files {
				text, err := os.ReadFile(name)
				if err != nil {
					return nil, err
				}
				if !word.Match(text) {
					continue
				}
				relative, err := filepath.Rel(root, name)
				if err != nil {
					return nil, err
				}
				out = append(out, filepath.ToSlash(relative))
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// table is for the terminal.
func table(standings []standing) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range standings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.id, s.level, s.use, s.state, strings.Join(s.packages, " "), s.requirement)
	}
	w.Flush()
	return b.String()
}

func summary(standings []standing) string {
	return fmt.Sprintf("%d rows: %d pass, %d fail, %d not yet", len(standings), count(standings, "", pass), count(standings, "", fail), count(standings, "", notYet))
}

func count(standings []standing, use string, in state) (n int) {
	for _, s := range standings {
		if s.state == in && strings.HasPrefix(s.use, use) {
			n++
		}
	}
	return n
}

const preface = `# Conformance

What a resource server behind a validating proxy must do, row by row, and the tests that prove it here. ` + "`make conformance`" + ` runs every
test that is named by a row and writes this page; change ` + "`internal/conformance/rows.txt`" + ` or a test, not the page.

The level is the word of the standard for a resource server: MUST, SHOULD, MAY; *ours* where the text leaves it open or we ask for more, and
*fact* where others' behaviour binds us. The use is D for what a default configuration does and O for what binds once a feature is switched
on; 1 is needed for a release, 2 for version 1.0, 3 is a wish. A row passes when tests named by its ID ran and none failed. A row that waited
for a feature passes only by a test through the front door, ` + "`cmd/wicketgate`" + `.

`

// document renders docs/conformance.md. Equal standings make equal pages.
func document(families []family, standings []standing) string {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("| use | rows | pass | fail | not yet |\n|---|---|---|---|---|\n")
	for _, use := range []string{"D1", "D2", "D3", "O1", "O2", "O3", ""} {
		name := use
		if use == "" {
			name = "all"
		}
		passed, failed, open := count(standings, use, pass), count(standings, use, fail), count(standings, use, notYet)
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, passed+failed+open, passed, failed, open)
	}
	for _, f := range families {
		fmt.Fprintf(&b, "\n## %s: %s\n| row | level | use | requirement | state | proven in |\n|---|---|---|---|---|---|\n", f.name, f.title)
		for _, s := range standings {
			if strings.HasPrefix(s.id, f.name+"-") {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", s.id, s.level, s.use, s.requirement, s.state, s.evidence())
			}
		}
	}
	return b.String()
}

// evidence is the last column: files for a row that was tried, else what it
// waits for.
func (s standing) evidence() string {
	if s.state == notYet {
		if s.waits == "" {
			return "waits for a test"
		}
		return "waits for " + s.waits
	}
	return "`" + strings.Join(s.files, "`, `") + "`"
}

func writeDocument(root, text string) error {
	return os.WriteFile(filepath.Join(root, "docs", "conformance.md"), []byte(text), 0o644)
}
