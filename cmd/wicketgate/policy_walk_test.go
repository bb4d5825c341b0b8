package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPolicyWalk writes the files of docs/policy.md and runs its commands in the
// order of the page: each prints what the page says.
func TestPolicyWalk(t *testing.T) {
	t.Parallel()
	page := contents(t, filepath.Join(repository, "docs", "policy.md"))
	folder := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("monday.jsonl", contents(t, filepath.Join(repository, "docs", "policy", "monday.jsonl")))
	files, commands := 0, 0
	for _, block := range regexp.MustCompile("(?ms)^(?:<!-- file: (\\S+) -->\n)?```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		switch name, language, text := block[1], block[2], block[3]; {
		case name != "":
			files++
			put(name, text)
		case language == "console":
			for _, one := range strings.Split(strings.TrimPrefix(text, "$ "), "\n$ ") {
				commands++
				line, want, _ := strings.Cut(one, "\n")
				sh := exec.CommandContext(t.Context(), "sh", "-c", line)
				sh.Dir = folder
				got, _ := sh.CombinedOutput() // exit codes say what the output says
				if strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
					t.Errorf("%s\nprints:\n%s\nthe page has:\n%s", line, got, want)
				}
			}
		default:
			t.Errorf("nobody runs this block:\n%s", text)
		}
	}
	if files != 2 || commands < 10 {
		t.Errorf("%d files and %d commands", files, commands)
	}
}
