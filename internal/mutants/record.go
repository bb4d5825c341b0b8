package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A unit is what is run by itself: a test, or one row of a table of tests.
type unit struct {
	Package string
	Test    string // Test, or Test/Row
	Took    time.Duration
	Reached []int // the mutants that would make a difference in it
}

// long is how long a test lasts before its rows are looked at one by one.
const long = 250 * time.Millisecond

// programs are the tests of some packages, compiled with a switch at each
// mutant.
type programs struct {
	root   string
	folder string // of the compiled tests and what is known of them
	tests  string // a pattern of those to run
}

func (p *programs) program(pkg string) string {
	return filepath.Join(p.folder, strings.ReplaceAll(pkg, "/", "_")+".test")
}

// knowledge is what there is to know of the tests of a tree.
type knowledge struct {
	Fingerprint string
	Units       []unit   // the fastest first
	Failing     []string // with every check in place; they are not asked
}

// prepare compiles the tests of packages and learns what each reaches. Of a tree
// that has not changed it knows all that already.
func (p *programs) prepare(ctx context.Context, packages []string, mutants []mutant, parallel int) (knowledge, error) {
	var k knowledge
	want, err := fingerprint(p.root, append(slices.Clone(packages), p.tests), mutants)
	if err != nil {
		return k, err
	}
	known := filepath.Join(p.folder, "units.json")
	if text, err := os.ReadFile(known); err == nil && json.Unmarshal(text, &k) == nil && k.Fingerprint == want {
		return k, nil
	}
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		return k, err
	}
	if err := p.compile(ctx, packages, mutants); err != nil {
		return k, err
	}
	if k, err = p.recordAll(ctx, packages, parallel); err != nil {
		return k, err
	}
	k.Fingerprint = want
	text, err := json.Marshal(k)
	if err != nil {
		return k, err
	}
	return k, os.WriteFile(known, text, 0o600)
}

// fingerprint tells trees, and what is tried in them, from each other.
func fingerprint(root string, packages []string, mutants []mutant) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, packages, len(mutants))
	for _, m := range mutants {
		fmt.Fprintln(sum, m.key())
	}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !e.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

func (p *programs) compile(ctx context.Context, packages []string, mutants []mutant) error {
	folder, err := os.MkdirTemp(p.folder, "switched")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	overlay, err := writeSwitches(p.root, folder, mutants)
	if err != nil {
		return err
	}
	for _, pkg := range packages {
		if err := os.RemoveAll(p.program(pkg)); err != nil {
			return err
		}
		command := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", p.program(pkg), "./"+pkg)
		command.Dir = p.root
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("the tests of %s with their switches do not compile: %w\n%s", pkg, err, output)
		}
	}
	return nil
}

// recordAll runs every test by itself, so many at a time, and the rows of the
// long ones.
func (p *programs) recordAll(ctx context.Context, packages []string, parallel int) (knowledge, error) {
	var tests []unit
	var k knowledge
	for _, pkg := range packages {
		names, err := p.list(ctx, pkg)
		if err != nil {
			return k, err
		}
		for _, name := range names {
			tests = append(tests, unit{Package: pkg, Test: name})
		}
	}
	var mu sync.Mutex // guards k
	var wait sync.WaitGroup
	work := make(chan unit)
	for range parallel {
		wait.Go(func() {
			for test := range work {
				units, err := p.record(ctx, test)
				mu.Lock()
				k.Units = append(k.Units, units...)
				if err != nil {
					k.Failing = append(k.Failing, err.Error())
				}
				mu.Unlock()
			}
		})
	}
	for _, test := range tests {
		work <- test
	}
	close(work)
	wait.Wait()
	slices.SortFunc(k.Units, func(a, b unit) int { return cmp.Compare(a.Took, b.Took) })
	return k, ctx.Err()
}

// list names the tests of a package.
func (p *programs) list(ctx context.Context, pkg string) ([]string, error) {
	if _, err := os.Stat(p.program(pkg)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no test files
	}
	command := exec.CommandContext(ctx, p.program(pkg), "-test.list", p.tests)
	command.Dir = filepath.Join(p.root, filepath.FromSlash(pkg))
	output, err := command.Output()
	names := strings.Fields(string(output))
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "Benchmark") }), err
}

var passedRow = regexp.MustCompile(`(?m)^    --- (?:PASS|SKIP): (\S+) \(`)

// record runs one test with every check in place. Rows that pass by themselves
// are asked ahead of a long test, which is asked too where they are not all
// there is to it.
func (p *programs) record(ctx context.Context, u unit) ([]unit, error) {
	output, err := p.measure(ctx, &u)
	if err != nil {
		return nil, fmt.Errorf("with every check in place %s %s: %w\n%s", u.Package, u.Test, err, output)
	}
	if u.Took < long || strings.HasPrefix(u.Test, "Fuzz") {
		return []unit{u}, nil
	}
	rows := p.rows(ctx, u.Package, passedRow.FindAllStringSubmatch(output, -1))
	var reached []int
	for _, row := range rows {
		reached = append(reached, row.Reached...)
	}
	if slices.ContainsFunc(u.Reached, func(id int) bool { return !slices.Contains(reached, id) }) {
		rows = append(rows, u)
	}
	return rows, nil
}

// rows measures the rows of a table that pass without the others.
func (p *programs) rows(ctx context.Context, pkg string, passed [][]string) (rows []unit) {
	for _, match := range passed {
		row := unit{Package: pkg, Test: firstRow(match[1])}
		if slices.ContainsFunc(rows, func(r unit) bool { return r.Test == row.Test }) {
			continue
		}
		if _, err := p.measure(ctx, &row); err == nil {
			rows = append(rows, row)
		}
	}
	return rows
}

// firstRow is a test and its row. A name with a slash in it counts as two.
func firstRow(name string) string {
	parts := strings.SplitN(name, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// measure runs a unit with every check in place and notes what it reaches. A
// busy machine fails tests too, so it tries three times.
func (p *programs) measure(ctx context.Context, u *unit) (output string, err error) {
	for range 3 {
		if output, err = p.measureOnce(ctx, u); err == nil {
			break
		}
	}
	return output, err
}

func (p *programs) measureOnce(ctx context.Context, u *unit) (string, error) {
	f, err := os.CreateTemp(p.folder, "reached")
	if err != nil {
		return "", err
	}
	_ = f.Close()
	defer os.Remove(f.Name())
	begun := time.Now()
	output, err := p.run(ctx, u.Package, []unit{*u}, 10*time.Minute, reachedEnv+"="+f.Name())
	u.Took = time.Since(begun)
	if err != nil {
		return output, err
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		return "", err
	}
	for _, line := range strings.Fields(string(text)) {
		id, err := strconv.Atoi(line)
		if err != nil {
			return "", err
		}
		u.Reached = append(u.Reached, id)
	}
	slices.Sort(u.Reached)
	u.Reached = slices.Compact(u.Reached) // packages that start a program of their own note twice
	return output, nil
}

// run runs units of one package in one process.
func (p *programs) run(ctx context.Context, pkg string, units []unit, timeout time.Duration, env string) (string, error) {
	// What hangs beyond reach of the test's own alarm is ended from outside.
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, p.program(pkg),
		"-test.short", "-test.failfast", "-test.v", "-test.timeout", timeout.String(), "-test.run", pattern(units))
	command.Dir = filepath.Join(p.root, filepath.FromSlash(pkg))
	command.Env = append(os.Environ(), env)
	command.WaitDelay = time.Second
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	return output.String(), err
}

// pattern matches the units and nothing else.
func pattern(units []unit) string {
	rows := make(map[string][]string)
	var names, alternatives []string
	for _, u := range units {
		name, row, _ := strings.Cut(u.Test, "/")
		if rows[name] == nil {
			names = append(names, name)
		}
		rows[name] = append(rows[name], row)
	}
	for _, name := range names {
		one := "^" + regexp.QuoteMeta(name) + "$"
		if !slices.Contains(rows[name], "") {
			for i, row := range rows[name] {
				rows[name][i] = regexp.QuoteMeta(row)
			}
			one += "/^(" + strings.Join(rows[name], "|") + ")$"
		}
		alternatives = append(alternatives, one)
	}
	return strings.Join(alternatives, "|")
}
