package main

import (
	"fmt"
	"strings"
)

// helpWidth is the columns of a screen that help fits.
const helpWidth = 80

// summary says what all of it is for.
const summary = "Takes the OAuth 2.0 access token of every request, proves it, " +
	"and forwards the request with the verified claims as header fields."

// overview is the help of the program.
func overview(all []subcommand) string {
	var rows [][2]string
	for _, c := range all {
		rows = append(rows, [2]string{c.name, c.help})
	}
	return "Usage: wicketgate <command> [flags]\n\n" + wrapped(summary, 0) + "\n\nCommands:\n" + aligned(rows) +
		"\nWithout a command: " + all[0].name + ". The flags of a command: wicketgate <command> --help\n"
}

// usage is the help of a command with these flags.
func (c *subcommand) usage(options []*option) string {
	first, rows := "Usage: wicketgate "+c.name, [][2]string{{"-h, --help", "Show this."}}
	for _, o := range options {
		flag := "    --" + o.name
		if o.short != "" {
			flag = "-" + o.short + ", --" + o.name
		}
		if !o.alone() {
			flag += " " + o.placeholder
		}
		if o.operand {
			flag = "    " + o.placeholder
		}
		if o.required {
			first += " " + o.spelled()
		}
		rows = append(rows, [2]string{flag, o.help})
	}
	text := first + " [flags]\n\n" + c.help + "\n\n"
	for line := range strings.Lines(c.does.Help()) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "Example:") { // one to copy stays in one piece
			line = wrapped(line, 0)
		}
		text += line + "\n"
	}
	return text + "\nFlags:\n" + aligned(rows)
}

// aligned lays out names and what is said of them in two columns.
func aligned(rows [][2]string) string {
	left := 0
	for _, r := range rows {
		left = max(left, len(r[0]))
	}
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "  %-*s  %s\n", left, r[0], wrapped(r[1], left+4))
	}
	return out.String()
}

// wrapped breaks text at its blanks. Its lines begin at the column given.
func wrapped(text string, indent int) string {
	var out strings.Builder
	at := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len(word) > helpWidth:
			out.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += len(word)
	}
	return out.String()
}
