package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// frontDoor is the package whose tests send requests through the whole gate.
const frontDoor = "cmd/wicketgate"

// outcome is how the tests of each row went: by ID and package, false when any
// failed.
type outcome map[string]map[string]bool

// runTests runs the tests whose names begin with TestConformance, in all
// packages.
func runTests(root string) (outcome, error) {
	module, err := output(root, "go", "list", "-m")
	if err != nil {
		return nil, err
	}
	// The exit code is not asked: which tests failed is in the events.
	printed, err := output(root, "go", "test", "-json", "-run", "^TestConformance", "./...")
	if len(printed) == 0 {
		return nil, err
	}
	return readEvents(bytes.NewReader(printed), strings.TrimSpace(string(module)))
}

// output returns what a command prints, even when it fails.
func output(root, name string, args ...string) ([]byte, error) {
	command := exec.Command(name, args...)
	command.Dir = root
	var complaint bytes.Buffer
	command.Stderr = &complaint
	printed, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, complaint.Bytes())
	}
	return printed, err
}

// rowName finds the row that a part of a test's name begins with.
var rowName = regexp.MustCompile(`(?:^|/)([A-Z][A-Z0-9]*-[0-9]{2})(?:$|[/_ #])`)

// readEvents reads the output of go test -json. A package that fails and names
// no failing test did not build or ended early: nothing is known of its rows.
func readEvents(r io.Reader, module string) (outcome, error) {
	o := make(outcome)
	failed := make(map[string]bool) // package -> a test of it is to blame
	for d := json.NewDecoder(r); ; {
		var event struct{ Action, Package, Test string }
		if err := d.Decode(&event); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go test -json: %w", err)
		}
		pkg := strings.TrimPrefix(strings.TrimPrefix(event.Package, module), "/")
		switch {
		case event.Action != "pass" && event.Action != "fail":
		case event.Test == "":
			if event.Action == "fail" && !failed[pkg] {
				return nil, fmt.Errorf("%s: the tests did not run to their end", pkg)
			}
		default:
			failed[pkg] = failed[pkg] || event.Action == "fail"
			for _, name := range rowName.FindAllStringSubmatch(event.Test, -1) {
				o.note(name[1], pkg, event.Action == "pass")
			}
		}
	}
	return o, nil
}

func (o outcome) note(id, pkg string, passed bool) {
	if o[id] == nil {
		o[id] = make(map[string]bool)
	}
	before, seen := o[id][pkg]
	o[id][pkg] = passed && (before || !seen)
}

// unlisted names the IDs of a listed family that are no rows. Names of other
// things may look like an ID too.
func (o outcome) unlisted(families []family) []string {
	var out []string
	for _, f := range families {
		for id := range o {
			known := slices.ContainsFunc(f.rows, func(r row) bool { return r.id == id })
			if strings.HasPrefix(id, f.name+"-") && !known {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}

type state string

const (
	pass   state = "pass"
	fail   state = "fail"
	notYet state = "not yet"
)

// A standing is how one row fares.
type standing struct {
	row
	state    state
	packages []string // whose tests ran it
	files    []string // that speak of it
}

// judge says how a row fares. One that waits for something passes only at the
// front door: below it, parts of it may hold without what it waits for.
func (o outcome) judge(r row) standing {
	s := standing{row: r, state: notYet}
	for pkg, passed := range o[r.id] {
		s.packages = append(s.packages, pkg)
		if !passed {
			s.state = fail
		}
	}
	slices.Sort(s.packages)
	if s.state == fail || len(s.packages) == 0 {
		return s
	}
	if r.waits == "" || slices.Contains(s.packages, frontDoor) {
		s.state = pass
	}
	return s
}
