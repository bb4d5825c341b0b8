package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrite describes this very test, which is linked with modules too.
func TestWrite(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := write(&first, self); err != nil {
		t.Fatal(err)
	}
	if err := write(&second, self); err != nil || first.String() != second.String() {
		t.Errorf("twice is not the same, %v", err)
	}
	var d document
	if err := json.Unmarshal(first.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Format != "CycloneDX" || !strings.HasPrefix(d.Metadata.Component.Name, "github.com/wicketgate/wicketgate") || len(d.Metadata.Component.Hashes[0].Content) != 64 {
		t.Errorf("%+v", d.Metadata)
	}
	if len(d.Components) == 0 || d.Components[0].Name != "std" || !strings.HasPrefix(d.Components[0].PURL, "pkg:golang/std@1.") {
		t.Errorf("%+v", d.Components)
	}
}

func TestWriteOfNoProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".gone"} {
		if err := write(&bytes.Buffer{}, name); err == nil {
			t.Errorf("%s is described", name)
		}
	}
}
