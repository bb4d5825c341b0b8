// Package imports turns the configuration of other programs that stand in front
// of an API into one of wicketgate's. What it takes over is never looser than it
// was: what has no equivalent is listed with its place and its reason, and the
// requests it was about are refused.
package imports

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Place is a line of a file, from 1; 0 means the file as a whole.
type Place struct {
	File string
	Line int
}

// String is FILE:LINE.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Error is why a file cannot be imported at all.
type Error struct {
	Place
	Message string
}

// Error is FILE:LINE: message.
func (e *Error) Error() string { return e.String() + ": " + e.Message }

// Left is one thing that was not taken over.
type Left struct {
	Place
	What, Why string
}

// String is FILE:LINE what: why.
func (l Left) String() string { return fmt.Sprintf("%s %s: %s", l.Place, l.What, l.Why) }

// Source is a file to import, by the name that places in it are told with.
type Source struct {
	Name string
	Text []byte
}

// Options fill in what the files cannot know.
type Options struct {
	Issuer           string // where they name none
	Identifier       string // what tokens must name as audience; replaces what they suggest
	Upstream         string // replaces what they say
	PublicOperations bool   // openapi: operations without security need no token
	Workload         string // istio: labels of one workload, k=v[,k=v], with its namespace and a slash before them if need be
}

// Result is a configuration file of wicketgate.
type Result struct {
	Text   []byte
	Left   []Left
	Blanks []string // what is still to be filled in
}

// reader takes one format over.
type reader struct {
	format string
	read   func(*draft, []Source) error
}

func readers() []reader {
	return []reader{
		{"openapi", readOpenAPI},
		{"oauth2-proxy", readOAuth2Proxy},
		{"istio", readIstio},
		{"oathkeeper", readOathkeeper},
		{"envoy-gateway", readEnvoyGateway},
	}
}

// Formats lists what can be imported.
func Formats() []string {
	var names []string
	for _, r := range readers() {
		names = append(names, r.format)
	}
	return names
}

var errFormat = errors.New("no such format")

// Import reads sources of one format. An *Error says which line keeps it from
// being read.
func Import(format string, sources []Source, o Options) (*Result, error) {
	for _, r := range readers() {
		if r.format != format {
			continue
		}
		d := &draft{Options: o, format: format}
		for _, s := range sources {
			d.files = append(d.files, s.Name)
		}
		if err := r.read(d, sources); err != nil {
			return nil, err
		}
		if len(d.resources) > 1 && o.Identifier != "" {
			return nil, &Error{d.resources[1].at, "has a second API, so one identifier is not enough; import one API at a time, or leave --identifier out"}
		}
		return d.finish(), nil
	}
	return nil, fmt.Errorf("%w: %s; there are %s", errFormat, format, strings.Join(Formats(), ", "))
}

// finish settles what the rules come to and writes them.
func (d *draft) finish() *Result {
	if len(d.resources) == 0 {
		d.resources = append(d.resources, &resource{at: Place{File: d.files[0]}, routes: nil})
	}
	for _, r := range d.resources {
		d.settle(r)
	}
	d.complete()
	text, blanks := d.write()
	slices.SortStableFunc(d.left, func(a, b Left) int {
		return cmp.Or(cmp.Compare(slices.Index(d.files, a.File), slices.Index(d.files, b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.What, b.What))
	})
	d.left = slices.Compact(d.left)
	for i, l := range d.left {
		if i == 0 {
			text += "\n"
		}
		text += "# not taken over: " + OneLine(l.String()) + "\n"
	}
	return &Result{Text: []byte(text), Left: d.left, Blanks: blanks}
}

// OneLine makes text of a file fit to be shown in a comment or a terminal.
func OneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\uFEFF' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
