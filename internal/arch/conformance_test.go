package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestConformanceDocument holds docs/conformance.md, which is generated, to the
// list it is made from and to the tests: it has every row of the list, and each
// file it names for a row that passes speaks of that row.
func TestConformanceDocument(t *testing.T) {
	root := filepath.Join("..", "..")
	listed := conformanceRows(t, filepath.Join(root, "internal", "conformance", "rows.txt"), "", 5)
	written := conformanceRows(t, filepath.Join(root, "docs", "conformance.md"), "| ", 6)
	if len(listed) < 300 || len(listed) != len(written) {
		t.Fatalf("%d rows are listed and %d written: run make conformance", len(listed), len(written))
	}
	for i, want := range listed {
		got := written[i]
		if !slices.Equal(got[:4], want[:4]) {
			t.Errorf("%s is written as %q: run make conformance", want[0], got)
			continue
		}
		if complaint := judgeRow(root, got[0], got[4], got[5]); complaint != "" {
			t.Errorf("%s: %s", got[0], complaint)
		}
	}
}

// conformanceRows reads the lines of a file that begin with prefix and the ID
// of a row, as cells.
func conformanceRows(t *testing.T, name, prefix string, cells int) [][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	begins := regexp.MustCompile(`^` + regexp.QuoteMeta(prefix) + `[A-Z][A-Z0-9]*-[0-9]{2} \|`)
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if !begins.MatchString(line) {
			continue
		}
		row := strings.Split(strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(line, prefix)), " |"), " | ")
		for i := range row {
			row[i] = strings.TrimSpace(strings.TrimSuffix(row[i], " |"))
		}
		if len(row) == cells-1 { // the last cell is empty
			row = append(row, "")
		}
		if len(row) != cells {
			t.Fatalf("%s: %d cells in %q", name, len(row), line)
		}
		rows = append(rows, row)
	}
	return rows
}

// judgeRow says what is wrong with a row that is in one state and shows some
// evidence for it.
func judgeRow(root, id, state, evidence string) string {
	if state == "not yet" {
		if !strings.HasPrefix(evidence, "waits for ") {
			return "does not say what it waits for"
		}
		return ""
	}
	if state != "pass" {
		return "is written as " + state
	}
	word := regexp.MustCompile(`\b` + id + `\b`)
	for _, name := range strings.Split(evidence, ", ") {
		name = strings.Trim(name, "`")
		if !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "/testdata/") {
			return name + " is no test"
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err.Error()
		}
		if !word.Match(text) {
			return name + " says nothing of it"
		}
	}
	return ""
}

func TestJudgeRow(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a_test.go"), []byte(`t.Run("HTTP-04", f)`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ id, state, evidence, want string }{
		{"HTTP-04", "pass", "`a_test.go`", ""},
		{"TP-04", "pass", "`a_test.go`", "says nothing"},
		{"HTTP-04", "pass", "`a_test.go`, `b_test.go`", "b_test.go"},
		{"HTTP-04", "pass", "``", "is no test"},
		{"HTTP-04", "pass", "`a.go`", "is no test"},
		{"HTTP-04", "fail", "`a_test.go`", "fail"},
		{"HTTP-04", "not yet", "waits for a test", ""},
		{"HTTP-04", "not yet", "", "does not say"},
	} {
		got := judgeRow(root, test.id, test.state, test.evidence)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s %s %s: %q, want %q", test.id, test.state, test.evidence, got, test.want)
		}
	}
}
