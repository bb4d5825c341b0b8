package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRevocationGuides: the files of the guides are good as they stand, once what
// the text around them says is made is there.
func TestRevocationGuides(t *testing.T) {
	for guide, want := range map[string]struct {
		files  int
		strict bool
	}{"revocation": {3, true}, "status-lists": {1, false}} {
		t.Run(guide, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "config.yaml")
			for name, text := range map[string]string{"denied.jsonl": "", "signals.token": pushToken} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files := blocks(contents(t, filepath.Join(repository, "docs", "guide", guide+".md")), "yaml")
			for _, file := range files {
				if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
					t.Fatal(err)
				}
				args := []string{"check", "--config", path}
				if want.strict {
					args = append(args, "--strict")
				}
				command(t, args...).want(t, 0, "no mistakes")
			}
			if len(files) != want.files {
				t.Errorf("%d files", len(files))
			}
		})
	}
}
