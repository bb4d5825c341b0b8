package main

import (
	"path/filepath"
	"testing"
)

// TestReportOnlyGuide: the file of the guide is good, and warned about.
func TestReportOnlyGuide(t *testing.T) {
	files := blocks(contents(t, filepath.Join(repository, "docs", "guide", "report-only.md")), "yaml")
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	path := written(t, files[0])
	command(t, "check", "--config", path).want(t, 0, "warning: report_only: refuses nobody", "no mistakes")
	command(t, "check", "--config", path, "--strict").want(t, 1)
}
