package main

import (
	"slices"
	"strings"
	"testing"
)

func TestReadExplained(t *testing.T) {
	got, err := readExplained("# comment\n\np/p.go f: a\n    because\n    it is so\np/p.go f: b\n\tsame\n")
	want := []explanation{{3, "p/p.go f: a", "because it is so"}, {6, "p/p.go f: b", "same"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for name, text := range map[string]string{
		"no mutant": "  reason\n",
		"no reason": "p/p.go f: a\np/p.go f: b\n  reason\n",
		"twice":     "p/p.go f: a\n  one\np/p.go f: a\n  two\n",
	} {
		if list, err := readExplained(text); err == nil {
			t.Errorf("%s: read as %v", name, list)
		}
	}
}

func TestStaleExplanations(t *testing.T) {
	found := []mutant{{file: "p/p.go", function: "f", check: "a"}, {file: "p/p.go", function: "f", check: "b"}}
	results := map[string]result{
		"p/p.go f: a": {mutant: found[0], state: survived},
		"p/p.go f: b": {mutant: found[1], state: killed, killer: "q"},
	}
	for _, test := range []struct{ key, want string }{
		{"p/p.go f: a", ""},
		{"p/p.go f: b", "q notices it now"},
		{"p/p.go f: c", "no such check"},
		{"p/q/r.go f: c", ""}, // another package, not looked at
		{"other/p.go f: c", ""},
	} {
		got := strings.Join(stale([]explanation{{key: test.key}}, []string{"p"}, found, results), "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.key, got, test.want)
		}
	}
	if got := stale([]explanation{{key: "p/p.go f: b"}}, []string{"p"}, found, nil); got != nil {
		t.Errorf("not tried, yet %q", got)
	}
}

func TestChoose(t *testing.T) {
	var found []mutant
	for _, check := range []string{"a", "b", "c", "d", "e"} {
		found = append(found, mutant{file: "p/p.go", function: "f", check: check})
	}
	for _, test := range []struct{ sample, only, want string }{
		{"", "", "abcde"},
		{"1/2", "", "ace"},
		{"2/2", "", "bd"},
		{"", "f: d", "d"},
		{"1/2", "f: d", ""},
	} {
		chosen, err := choose(found, test.sample, test.only)
		got := ""
		for _, m := range chosen {
			got += m.check
		}
		if err != nil || got != test.want {
			t.Errorf("-sample %q -only %q: %q, %v, want %q", test.sample, test.only, got, err, test.want)
		}
	}
	for _, sample := range []string{"0/2", "3/2", "x"} {
		if _, err := choose(found, sample, ""); err == nil {
			t.Errorf("-sample %s: no error", sample)
		}
	}
}
