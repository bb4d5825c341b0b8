// Package lint finds what a configuration allows and its author most likely
// did not mean: routes that no request reaches, doors that stand open beside
// locked ones, headers that a server would take for others.
//
// It sees good files only, says nothing that serve would act upon, and changes
// nothing.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/config"
)

// Findings are what is doubtful about a file.
type Findings struct {
	Open    []Finding // in the order of the file
	Allowed int       // those that a comment of the file allows
}

// String counts the findings for the end of a sentence; it is empty for none.
func (f Findings) String() string {
	text := ""
	if n := len(f.Open); n > 0 {
		text = fmt.Sprintf(", %d warnings", n)
	}
	if f.Allowed > 0 {
		text += fmt.Sprintf(", %d allowed", f.Allowed)
	}
	return text
}

// A Finding is a warning with its place.
type Finding struct {
	Rule string
	At   *config.Error
}

// String is the finding as an editor can read it: the place, the rule, what
// could happen and what to write, with the line below.
func (f Finding) String() string {
	at := *f.At
	at.Message = "warning: " + at.Message
	first, rest, more := strings.Cut(at.Detail(), "\n")
	if more {
		rest = "\n" + rest
	}
	return first + " [" + f.Rule + "]" + rest
}

// Check applies every rule to f, adds what was found while it was read and
// built, and takes away what a comment allows.
func Check(f *config.File) Findings {
	l := &linter{File: f}
	for _, w := range f.Warnings() {
		l.found(w)
	}
	for _, r := range rules {
		l.rule = r.ID
		if r.check != nil {
			r.check(l)
		}
	}
	return l.sorted(l.allow())
}

// linter gathers findings.
type linter struct {
	*config.File
	rule     string // the one that looks
	findings []Finding
}

// found adds a warning that has its rule.
func (l *linter) found(w config.Warning) {
	at := l.ErrorAt(w.Path, w.Message)
	at.Hint = w.Hint
	l.findings = append(l.findings, Finding{w.Rule, at})
}

// doubt adds what the rule that looks has found.
func (l *linter) doubt(path, message, hint string) {
	l.found(config.Warning{Rule: l.rule, Path: path, Message: message, Hint: hint})
}

// doubtKey is doubt about the key at path, not its value.
func (l *linter) doubtKey(path, message, hint string) {
	at := l.KeyErrorAt(path, message)
	at.Hint = hint
	l.findings = append(l.findings, Finding{l.rule, at})
}

// sorted puts findings in the order of the file.
func (l *linter) sorted(open []Finding, allowed int) Findings {
	slices.SortStableFunc(open, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column), cmp.Compare(a.Rule, b.Rule))
	})
	return Findings{open, allowed}
}

// resources calls visit for each resource with its path.
func (l *linter) resources(visit func(path string, r *config.Resource)) {
	for i := range l.Resources {
		visit(fmt.Sprintf("resources[%d]", i), &l.Resources[i])
	}
}
