package main

import (
	"path/filepath"
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
