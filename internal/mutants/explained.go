package main

import (
	"fmt"
	"slices"
	"strings"
)

// An explanation says why no test can notice that a check is gone.
type explanation struct {
	line        int
	key, reason string
}

// readExplained reads explained.txt: a line that begins at the margin is the
// key of a mutant, the indented lines after it say why it survives, and a line
// that begins with # is a comment.
func readExplained(text string) ([]explanation, error) {
	var list []explanation
	for n, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(line, "#"):
		case line[0] != ' ' && line[0] != '\t':
			list = append(list, explanation{line: n + 1, key: trimmed})
		case len(list) == 0:
			return nil, fmt.Errorf("line %d: a reason without a mutant", n+1)
		default:
			last := &list[len(list)-1]
			last.reason = strings.TrimSpace(last.reason + " " + trimmed)
		}
	}
	for i, e := range list {
		if e.reason == "" {
			return nil, fmt.Errorf("line %d: no reason is given", e.line)
		}
		if slices.ContainsFunc(list[:i], func(other explanation) bool { return other.key == e.key }) {
			return nil, fmt.Errorf("line %d: explained twice", e.line)
		}
	}
	return list, nil
}

func isExplained(list []explanation, m mutant) bool {
	return slices.ContainsFunc(list, func(e explanation) bool { return e.key == m.key() })
}

// stale complains of explanations of what is not there, or is noticed after
// all. Only the packages that were looked at can be judged, and of a mutant
// that was not tried nothing is said but that it is there.
func stale(list []explanation, packages []string, found []mutant, results map[string]result) []string {
	var out []string
	for _, e := range list {
		if !slices.ContainsFunc(packages, func(p string) bool { return within(e.key, p) }) {
			continue
		}
		there := slices.ContainsFunc(found, func(m mutant) bool { return m.key() == e.key })
		tried, done := results[e.key]
		switch {
		case !there:
			out = append(out, fmt.Sprintf("line %d: no such check any more: %s", e.line, e.key))
		case done && tried.state != survived:
			out = append(out, fmt.Sprintf("line %d: %s notices it now: %s", e.line, tried.killer, e.key))
		}
	}
	return out
}

// within tells whether a key is of a file right in a package's folder.
func within(key, folder string) bool {
	file, _, _ := strings.Cut(key, " ")
	name, ok := strings.CutPrefix(file, folder+"/")
	return ok && !strings.Contains(name, "/")
}
