package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// verbatim is a text that is taken as it is, and how it was written.
type verbatim struct {
	text  string
	style yaml.Style
	at    mark
}

// keep notes where a text is that holds places of its own, like an expression.
// Line breaks are part of it, other control characters are not.
func (d *decoder) keep(path string, n *yaml.Node) (problem, hint string) {
	if strings.ContainsFunc(n.Value, func(r rune) bool { return isControl(r) && r != '\n' && r != '\t' }) {
		return "holds a control character", ""
	}
	d.verbatim[path] = verbatim{n.Value, n.Style, markOf(n)}
	return "", ""
}

// ErrorIn is ErrorAt for the place within the text at path that is offset code
// points from its beginning, however the file writes it.
func (f *File) ErrorIn(path string, offset int, message string) *Error {
	at := f.source.place(path)
	if text, kept := f.source.verbatim[path]; kept {
		at = f.source.within(text, offset)
	}
	return f.source.errorAt(at, path, message, "")
}

// within finds a place in a text. White space is written in many ways and
// skipped: what else the text holds is in the file in the same order.
func (s *source) within(text verbatim, offset int) mark {
	c := cursor{lines: s.lines, at: text.at, double: text.style&yaml.DoubleQuotedStyle != 0, single: text.style&yaml.SingleQuotedStyle != 0}
	switch {
	case text.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.at = mark{c.at.line + 1, 1}
	case c.double || c.single:
		c.at.column++
	}
	for i, r := range []rune(strings.TrimRight(text.text, " \t\n")) {
		if isBlank(r) {
			continue
		}
		c.toText()
		if i >= offset {
			break
		}
		c.past()
	}
	return c.at
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// cursor walks over a text as the file writes it.
type cursor struct {
	lines          []string
	at             mark
	double, single bool // the quotes it is in
}

// rest is what is left of the line.
func (c *cursor) rest() []rune {
	if c.at.line > len(c.lines) {
		return nil
	}
	line := []rune(c.lines[c.at.line-1])
	return line[min(len(line), c.at.column-1):]
}

// toText skips what stands for white space.
func (c *cursor) toText() {
	for c.at.line <= len(c.lines) {
		rest := c.rest()
		switch {
		case len(rest) == 0, c.double && string(rest) == `\`:
			c.at = mark{c.at.line + 1, 1}
		case isBlank(rest[0]):
			c.at.column++
		case c.double && len(rest) > 1 && rest[0] == '\\' && strings.ContainsRune("nt \t", rest[1]):
			c.at.column += 2
		default:
			return
		}
	}
}

// escapes are how many characters follow a backslash and the letter.
var escapes = map[rune]int{'x': 2, 'u': 4, 'U': 8}

// past goes behind one character.
func (c *cursor) past() {
	rest := c.rest()
	switch {
	case c.double && len(rest) > 1 && rest[0] == '\\':
		c.at.column += 2 + escapes[rest[1]]
	case c.single && len(rest) > 0 && rest[0] == '\'':
		c.at.column += 2
	default:
		c.at.column++
	}
}
