package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A row is one requirement of the conformance list.
type row struct {
	id, level, use, requirement string
	waits                       string // what is not built yet; empty when nothing is missing
}

// A family is the rows whose IDs begin alike.
type family struct {
	name, title string
	rows        []row
}

var (
	rowID  = regexp.MustCompile(`^[A-Z][A-Z0-9]*-[0-9]{2}$`)
	rowUse = regexp.MustCompile(`^[DO][1-3]$`)
)

// parseRows reads rows.txt. It fails on a row of another family than the one it
// stands in, out of order, or without a word.
func parseRows(text string) ([]family, error) {
	var families []family
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		var err error
		switch {
		case len(cells) == 2:
			families = append(families, family{name: cells[0], title: cells[1]})
		case len(families) == 0:
			err = fmt.Errorf("a row before any family")
		default:
			err = families[len(families)-1].add(cells)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return families, nil
}

func (f *family) add(cells []string) error {
	if len(cells) != 5 {
		return fmt.Errorf("%d cells, want 5", len(cells))
	}
	r := row{cells[0], cells[1], cells[2], cells[3], cells[4]}
	switch {
	case !rowID.MatchString(r.id) || !strings.HasPrefix(r.id, f.name+"-"):
		return fmt.Errorf("%q is no ID of family %s", r.id, f.name)
	case len(f.rows) > 0 && r.id <= f.rows[len(f.rows)-1].id:
		return fmt.Errorf("%s is out of order", r.id)
	case r.level == "" || !rowUse.MatchString(r.use) || r.requirement == "":
		return fmt.Errorf("%s lacks a level, a use or a requirement", r.id)
	}
	f.rows = append(f.rows, r)
	return nil
}
