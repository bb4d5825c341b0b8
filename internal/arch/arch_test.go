package arch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

const command = "cmd/wicketgate"

func loadModule(t *testing.T) *tree {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	module, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func TestArchitecture(t *testing.T) {
	module := loadModule(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, broken := range r.check(module, &wicketgate) {
				t.Error(broken)
			}
		})
	}
	t.Run("deps", func(t *testing.T) {
		if module.find(command) == nil {
			return
		}
		have, err := linked(module, command)
		if err != nil {
			t.Fatal(err)
		}
		declared, err := readDeps(module)
		if err != nil {
			t.Fatal(err)
		}
		for _, broken := range undeclared(declared, have) {
			t.Error(broken)
		}
	})
}

// TestRulesFindWhatTheyForbid runs each rule over a tree that breaks it. The
// file "want" of the tree holds the expected lines, so a rule that finds too
// much fails as well.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	small := wicketgate
	small.packageLines = 12
	small.raisedLines = map[string]budget{"proxy": {16, "as in the real law"}, "config": {99, ""}}
	small.functionLines = 6
	small.longFunctions = map[string]string{
		"proxy.(Gate).Serve": "reads as one sequence",
		"proxy.short":        "was long once",
		"gone.(T).Long":      "the package is not there",
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			module, want := unpack(t, filepath.Join("testdata", r.name+".txtar"))
			got := r.check(module, &small)
			slices.Sort(got)
			if len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}

// unpack lays a tree out on disk and returns it with the lines of its "want".
func unpack(t *testing.T, archive string) (module *tree, want []string) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range a.Files {
		if f.Name == "want" {
			want = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
			slices.Sort(want)
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	module, err = load(root)
	if err != nil {
		t.Fatal(err)
	}
	return module, want
}

func TestUndeclared(t *testing.T) {
	for _, test := range []struct {
		name             string
		declared, linked []string
		want             []string // what each complaint names
	}{
		{"equal", []string{"a", "b"}, []string{"a", "b"}, nil},
		{"new", []string{"a"}, []string{"a", "b"}, []string{"b is linked but not listed"}},
		{"gone", []string{"a", "b"}, []string{"a"}, []string{"b is listed but not linked"}},
		{"both", []string{"a"}, []string{"b"}, []string{"b is linked", "a is listed"}},
		{"unsorted", []string{"b", "a"}, []string{"a", "b"}, []string{"not sorted"}},
		{"twice", []string{"a", "a"}, []string{"a"}, []string{"repeats itself"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := undeclared(test.declared, test.linked)
			if len(got) != len(test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			for i := range got {
				if !strings.Contains(got[i], test.want[i]) {
					t.Errorf("got %q, want it to say %q", got[i], test.want[i])
				}
			}
		})
	}
}
