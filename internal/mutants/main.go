// Command mutants tries whether a test notices when a check is gone. It takes
// the checks out of the named packages, one at a time, and runs the tests of
// these and of the packages above, up to the front door. A check nobody misses is
// a survivor. It fails on survivors that explained.txt does not explain, and on
// explanations that no longer hold.
//
// All checks get a switch, so that tests are compiled once. Then each test is run
// once with every check in place and notes which it would miss: those whose
// absence would have made a difference. Of a mutant only these tests are asked,
// the fastest first. What was learnt is kept until a file of the tree changes.
//
// The working tree is only read: the switches reach the compiler through an
// overlay. Which checks there are to take out is told at find.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options is what the command line says.
type options struct {
	root      string
	explained string
	scratch   string
	tests     string
	front     []string
	packages  []string
	sample    string
	only      string
	recheck   bool
	parallel  int
	timeout   time.Duration
	list      bool
	verbose   bool
}

func main() {
	o := options{root: "."}
	flag.StringVar(&o.explained, "explained", "internal/mutants/explained.txt", "the survivors that have a reason")
	flag.StringVar(&o.scratch, "scratch", filepath.Join(os.TempDir(), "wicketgate-mutants"), "the folder for compiled tests and what they reach")
	front := flag.String("front", "validator/dpop,validator,policy,jwks,proxy,proxy/extauthz,proxy/forwardauth,proxy/middleware,cmd/wicketgate", "packages whose tests are asked beside those of the packages named")
	flag.StringVar(&o.sample, "sample", "", "N/M: only every Mth mutant, from the Nth on")
	flag.StringVar(&o.only, "only", "", "only mutants whose key contains this: a file, a function, part of a check")
	flag.StringVar(&o.tests, "tests", ".", "a pattern: only tests whose name it matches are run, to see what a new one notices")
	flag.BoolVar(&o.recheck, "recheck", false, "only the mutants that are explained")
	flag.IntVar(&o.parallel, "parallel", 2, "mutants tried at a time")
	flag.DurationVar(&o.timeout, "timeout", 20*time.Second, "how much longer than ten times its usual time a test may take")
	flag.BoolVar(&o.list, "list", false, "print the mutants and try none")
	flag.BoolVar(&o.verbose, "v", false, "print each mutant with the test that noticed")
	flag.Parse()
	o.front, o.packages = strings.Split(*front, ","), flag.Args()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

var errSurvivors = errors.New("a check can be taken out unnoticed, or an explanation no longer holds")

func run(ctx context.Context, o options, out io.Writer) error {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	found, err := findAll(root, o.packages)
	if err != nil {
		return err
	}
	list, err := loadExplained(root, o.explained)
	if err != nil {
		return err
	}
	chosen, err := choose(found, o.sample, o.only)
	if err != nil {
		return err
	}
	if o.recheck {
		chosen = slices.DeleteFunc(chosen, func(m mutant) bool { return !isExplained(list, m) })
	}
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(out, "%s:%d: %s\n", m.file, m.line, m.key())
		}
		fmt.Fprintf(out, "%d mutants\n", len(chosen))
		return nil
	}
	return tryChosen(ctx, o, root, found, chosen, list, out)
}

func tryChosen(ctx context.Context, o options, root string, found, chosen []mutant, list []explanation, out io.Writer) error {
	p := &programs{root: root, folder: o.scratch, tests: o.tests}
	known, err := p.prepare(ctx, slices.Compact(slices.Sorted(slices.Values(slices.Concat(o.packages, o.front)))), found, o.parallel)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d tests and rows of tests can be asked\n", len(known.Units))
	var ids []int
	for id, m := range found {
		if slices.Contains(chosen, m) {
			ids = append(ids, id)
		}
	}
	t := &trial{programs: p, units: known.Units, timeout: o.timeout}
	results := make(map[string]result)
	err = t.tryAll(ctx, found, ids, o.parallel, func(r result) {
		results[r.key()] = r
		if o.verbose {
			fmt.Fprintln(out, r)
		} else if n := len(results); n%25 == 0 {
			fmt.Fprintf(out, "%d of %d tried\n", n, len(ids))
		}
	})
	if err != nil {
		return err
	}
	err = report(out, found, chosen, results, list, o.packages)
	for _, text := range known.Failing {
		err = errors.Join(err, errors.New(text))
	}
	return err
}

// findAll lists the mutants of the packages' product files.
func findAll(root string, packages []string) ([]mutant, error) {
	var all []mutant
	for _, p := range packages {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(p), "*.go"))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s: no package is there", p)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			mutants, err := find(path.Join(p, filepath.Base(name)), source)
			if err != nil {
				return nil, err
			}
			all = append(all, mutants...)
		}
	}
	return all, nil
}

func choose(found []mutant, sample, only string) ([]mutant, error) {
	first, step := 1, 1
	if sample != "" {
		if _, err := fmt.Sscanf(sample, "%d/%d", &first, &step); err != nil || first < 1 || first > step {
			return nil, fmt.Errorf("-sample %s: want N/M with N from 1 to M", sample)
		}
	}
	var chosen []mutant
	for i, m := range found {
		if i%step == first-1 && strings.Contains(m.key(), only) {
			chosen = append(chosen, m)
		}
	}
	return chosen, nil
}

func loadExplained(root, name string) ([]explanation, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	list, err := readExplained(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// String is one line of the long report.
func (r result) String() string {
	switch r.state {
	case killed, timedOut:
		return fmt.Sprintf("noticed by %s %s: %s", r.killer, r.test, r.key())
	case survived:
	}
	return "SURVIVED: " + r.key()
}

// reach says why a mutant survived.
func (r result) reach() string {
	if r.asked == 0 {
		return "no test would notice: none gets there with a different outcome"
	}
	return fmt.Sprintf("%d tests get there and pass without it", r.asked)
}

// report prints the totals and every survivor. Its error is what make sees.
func report(out io.Writer, found, chosen []mutant, results map[string]result, list []explanation, packages []string) error {
	killers, count := make(map[string]int), make(map[state]int)
	var open []result
	explained := 0
	for _, m := range chosen {
		r := results[m.key()]
		count[r.state]++
		switch {
		case r.state == killed || r.state == timedOut:
			killers[r.killer]++
		case isExplained(list, m):
			explained++
		default:
			open = append(open, r)
		}
	}
	fmt.Fprintf(out, "%d checks in %s, %d taken out one at a time\n", len(found), strings.Join(packages, ", "), len(chosen))
	fmt.Fprintf(out, "%d noticed, %d of them by a test that never ended\n", count[killed]+count[timedOut], count[timedOut])
	for _, p := range sortedKeys(killers) {
		fmt.Fprintf(out, "  %4d by %s\n", killers[p], p)
	}
	fmt.Fprintf(out, "%d survived; %d of these are explained\n", count[survived], explained)
	for _, r := range open {
		fmt.Fprintf(out, "\n%s:%d: %s\n\t%s\n\t%s\n", r.file, r.line, r.source, r.key(), r.reach())
	}
	complaints := stale(list, packages, found, results)
	for _, c := range complaints {
		fmt.Fprintln(out, "explained.txt:", c)
	}
	if len(open)+len(complaints) > 0 {
		return errSurvivors
	}
	return nil
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
