package lint

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wicketgate/wicketgate/config"
)

// allowance is a comment that allows findings of some rules in one line:
//
//	path: /hooks/**  # check: allow public-unsafe (signed by the sender)
//
// A comment with a line of its own is for the next line that has more.
type allowance struct {
	line  int // of the comment
	start int // its column
	holds int // the line that it is for
	rules []string
	used  []bool
}

var allowComment = regexp.MustCompile(`^(|.*?\s)#\s*check: allow ([a-z0-9-]+(?:, *[a-z0-9-]+)*)(?:\s|$)`)

func allowances(lines []string) (list []allowance) {
	waiting := 0 // of list, that have no line yet
	for i, line := range lines {
		text := strings.TrimSpace(line)
		comment := strings.HasPrefix(text, "#")
		if text != "" && !comment {
			for n := range list[len(list)-waiting:] {
				list[len(list)-waiting+n].holds = i + 1
			}
			waiting = 0
		}
		match := allowComment.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		a := allowance{line: i + 1, start: utf8.RuneCountInString(match[1]) + 1, holds: i + 1, rules: regexp.MustCompile(", *").Split(match[2], -1)}
		a.used = make([]bool, len(a.rules))
		if comment {
			waiting++
		}
		list = append(list, a)
	}
	return list
}

// allow drops what comments allow, and doubts comments that allow nothing.
func (l *linter) allow() (open []Finding, allowed int) {
	list := allowances(l.Lines())
	for _, f := range l.findings {
		if allows(list, f) {
			allowed++
		} else {
			open = append(open, f)
		}
	}
	for _, a := range list {
		for i, rule := range a.rules {
			if a.used[i] {
				continue
			}
			message, hint := "allows "+rule+" here, where it has found nothing", "remove it"
			if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == rule }) {
				message, hint = "allows "+rule+", which is no rule", "docs/guide/check.md lists them"
				if near := config.Nearest(rule, names()); near != "" {
					hint = "did you mean `" + near + "`?"
				}
			}
			open = append(open, Finding{"unused-allow", l.LineError(a.line, a.start, message, hint)})
		}
	}
	return open, allowed
}

func allows(list []allowance, f Finding) bool {
	found := false
	for _, a := range list {
		for i, rule := range a.rules {
			if a.holds == f.At.Line && rule == f.Rule {
				a.used[i], found = true, true
			}
		}
	}
	return found
}

func names() (list []string) {
	for _, r := range rules {
		list = append(list, r.ID)
	}
	return list
}
