package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conformanceRow is a row of docs/conformance.md: an ID and the test files that
// prove it.
var conformanceRow = regexp.MustCompile(`(?m)^\| ([A-Z0-9]+-[0-9]+) \| (\S+_test\.go.*|.*/testdata/.*) \|$`)

// TestConformanceDocument holds docs/conformance.md to the tests: each file it
// names for a row speaks of that row.
func TestConformanceDocument(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := conformanceRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 150 {
		t.Fatalf("only %d rows found: has the table changed its form?", len(rows))
	}
	files := make(map[string]string)
	for _, row := range rows {
		id, names := row[1], strings.Split(row[2], ", ")
		for _, name := range names {
			name = strings.Trim(name, "`")
			if _, read := files[name]; !read {
				text, err := os.ReadFile(filepath.Join(root, name))
				if err != nil {
					t.Errorf("%s: %v", id, err)
				}
				files[name] = string(text)
			}
			if !strings.Contains(files[name], id) {
				t.Errorf("%s: %s says nothing of it", id, name)
			}
		}
	}
}
