package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/charts/tests/judge"
)

// TestGuide: the values that the guide and the README show are good as they stand.
func TestGuide(t *testing.T) {
	for page, want := range map[string]int{"../../README.md": 1, "../../docs/guide/kubernetes.md": 2, chart + "/README.md": 1} {
		blocks := strings.Split(string(read(t, page)), "```yml\n# values.yaml\n")[1:]
		if len(blocks) != want {
			t.Errorf("%s has %d values files, want %d", page, len(blocks), want)
		}
		for _, block := range blocks {
			text, _, _ := strings.Cut(block, "\n```")
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, objects := render(t, judge.Install{Files: []string{file}})
			for _, wrong := range house.Judge(objects) {
				t.Error(wrong)
			}
		}
	}
}
