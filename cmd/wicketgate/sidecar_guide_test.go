package main

import (
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestSidecarManifest: check finds nothing to say about the configurations that
// the plain manifest and the guide show.
func TestSidecarManifest(t *testing.T) {
	var config struct {
		Data map[string]string `yaml:"data"`
	}
	manifest, _, _ := strings.Cut(contents(t, filepath.Join(repository, "docs/deploy/sidecar.yaml")), "\n---\n")
	if err := yaml.Unmarshal([]byte(manifest), &config); err != nil {
		t.Fatal(err)
	}
	texts := []string{config.Data["config.yaml"]}
	for _, block := range strings.Split(contents(t, filepath.Join(repository, "docs/guide/sidecar.md")), "```yaml\n")[1:] {
		if text, _, _ := strings.Cut(block, "```"); strings.HasPrefix(text, "version: 1\n") {
			texts = append(texts, text)
		}
	}
	if len(texts) != 2 {
		t.Errorf("%d configurations", len(texts))
	}
	for _, text := range texts {
		command(t, "check", "--strict", "--config", written(t, text)).want(t, exitOK, "no mistakes")
	}
}
