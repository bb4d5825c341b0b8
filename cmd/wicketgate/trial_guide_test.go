package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPolicyTestsGuide: what the guide shows is what is printed.
func TestPolicyTestsGuide(t *testing.T) {
	page := contents(t, filepath.Join(repository, "docs", "guide", "policy-tests.md"))
	dir := t.TempDir()
	t.Chdir(dir)
	writeFile(t, dir, "config.yaml", blocks(page, "yaml")[0])
	writeFile(t, dir, "cases.yaml", blocks(page, "yml")[0])
	line, shown, _ := strings.Cut(blocks(page, "console")[0], "\n")
	args := strings.Fields(strings.TrimPrefix(line, "$ wicketgate "))
	got := command(t, args...)
	if got.code != 0 || got.stdout != shown {
		t.Errorf("exit %d\n%s\nshown:\n%s\n%s", got.code, got.stdout, shown, got.stderr)
	}
	command(t, append(args, "--strict")...).want(t, 1, "coverage is 94.7%, and 100.0% is wanted")
}
