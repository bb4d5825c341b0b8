package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Error is one thing wrong with a file.
type Error struct {
	File         string
	Line, Column int    // from 1, the column in characters; 0 when the file as a whole is meant
	Path         string // like issuers[1].audiences; empty for the file as a whole
	Message      string
	Hint         string // what to do about it; may be empty
	Excerpt      string // the line, with user names and passwords in URLs masked
	caret        int    // column in Excerpt
}

// Error is file:line:column path: message (hint).
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		b.WriteString(" " + e.Path)
	}
	b.WriteString(": " + e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Detail is Error with the line below it and a caret under the place.
func (e *Error) Detail() string {
	if strings.TrimSpace(e.Excerpt) == "" {
		return e.Error()
	}
	number := fmt.Sprintf("%5d", e.Line)
	return fmt.Sprintf("%s\n%s | %s\n%*s | %*s", e.Error(), number, e.Excerpt, len(number), "", e.caret, "^")
}

// Errors is everything wrong with a file, in the order of the file.
type Errors []*Error

// Error is a line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lists the errors for errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// Warning is something allowed that is probably not meant, or dangerous.
type Warning struct{ Path, Message string }

// mark is a place in the file, both from 1.
type mark struct{ line, column int }

// source is the text of a file and where in it each path is.
type source struct {
	name     string
	lines    []string
	keys     map[string]mark // of a mapping's entry
	values   map[string]mark // of anything
	expanded map[string]bool // values that hold something of the environment
	faulty   map[string]bool // paths with an error: one is enough
	shown    map[int][]rune  // lines made safe to print, as one may be in many errors
	errs     Errors

	whenEmpty string // the hint for a file without anything
}

func newSource(name, text string) *source {
	return &source{
		name: name, lines: strings.Split(text, "\n"), keys: make(map[string]mark), values: make(map[string]mark),
		expanded: make(map[string]bool), faulty: make(map[string]bool), shown: make(map[int][]rune),
	}
}

// has tells whether the file has a value at path.
func (s *source) has(path string) bool { _, ok := s.values[path]; return ok }

// place finds path, or the nearest thing above it that the file has.
func (s *source) place(path string) mark {
	for path != "" {
		if m, ok := s.values[path]; ok {
			return m
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return mark{1, 1}
}

func (s *source) errorAt(at mark, path, message, hint string) *Error {
	e := &Error{File: s.name, Line: at.line, Column: at.column, Path: path, Message: message, Hint: hint}
	if at.line > 0 && at.line <= len(s.lines) {
		e.Excerpt, e.caret = s.excerpt(at)
	}
	return e
}

// report notes an error. Of several for one path only the first counts, as the
// others follow from it.
func (s *source) report(at mark, path, message, hint string) {
	if s.faulty[path] && path != "" {
		return
	}
	s.faulty[path] = true
	s.errs = append(s.errs, s.errorAt(at, path, message, hint))
}

// quote shows a value, unless it came from the environment.
func (s *source) quote(path, value string) string {
	if s.expanded[path] {
		return "the expanded value"
	}
	if runes := []rune(value); len(runes) > 80 {
		value = string(runes[:80]) + "…"
	}
	return fmt.Sprintf("%q", maskUser(value))
}

func (s *source) sorted() Errors {
	slices.SortStableFunc(s.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return s.errs
}

// userInfo is the user part of a URL, where passwords are.
var userInfo = regexp.MustCompile(`//[^/\s"']*@`)

func maskUser(s string) string {
	return userInfo.ReplaceAllStringFunc(s, func(m string) string {
		return "//" + strings.Repeat("*", len([]rune(m))-3) + "@"
	})
}

// excerpt cuts the line of at to a terminal's width around it. It returns the
// column of the same character in what is left.
func (s *source) excerpt(at mark) (string, int) {
	const width = 100
	line, known := s.shown[at.line]
	if !known {
		line = printable(s.lines[at.line-1])
		s.shown[at.line] = line
	}
	start := 0
	if at.column > width*3/4 {
		start = min(at.column-width/2, len(line))
	}
	return string(line[start:min(len(line), start+width)]), max(1, at.column-start)
}

// printable makes a line safe to show, one character for one.
func printable(line string) []rune {
	runes := []rune(maskUser(strings.TrimSuffix(line, "\r")))
	for i, r := range runes {
		if r == '\t' {
			runes[i] = ' '
		} else if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	return runes
}

// Nearest returns the candidate that word was probably meant to be, or "".
func Nearest(word string, candidates []string) string {
	best, least := "", 3
	if len(word) < 5 {
		least = 2
	}
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		if strings.EqualFold(c, word) {
			return c
		}
		if d := distance(word, c); d < least && d < len(c) {
			best, least = c, d
		}
	}
	return best
}

// distance counts the edits between two words: a letter more, less or other,
// and two neighbours swapped.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), []int(nil)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row = make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// didYouMean is the hint for a word that should be one of candidates.
func didYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return "did you mean `" + near + "`?"
	}
	if len(candidates) > 24 {
		return ""
	}
	return "known here: " + strings.Join(candidates, ", ")
}
