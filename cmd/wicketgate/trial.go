package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/internal/trial"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

type testCommand struct {
	Cases       []string `operand:"CASES..." required:"" help:"Files of cases, in YAML."`
	Config      string   `short:"c" help:"The configuration file." placeholder:"FILE"`
	Only        string   `name:"run" help:"Try the cases only whose name this regular expression matches." placeholder:"REGEXP"`
	JUnit       string   `name:"junit" help:"Write a report for CI systems there as well, as JUnit XML." placeholder:"FILE"`
	MinCoverage string   `help:"Fail where the cases show less of the routes and requirements at work." placeholder:"PERCENT"`
	Strict      bool     `help:"Fail where they show less than all: --min-coverage 100%."`
}

// Help is shown by test --help.
func (testCommand) Help() string {
	return "Decides about requests with claims as serve would, with keys of its own and asking nobody, and compares what comes of it. docs/guide/policy-tests.md says how cases are written.\n" +
		"Exit code 0: all is as expected. 1: a case is not, or coverage falls short. 78: a file is wrong.\n" +
		"Example: wicketgate test --config config.yaml cases.yaml"
}

// Run tries all cases and says how they came out.
func (c *testCommand) Run(a *app) error {
	least, err := c.least()
	if err != nil {
		return a.misused(err)
	}
	t := trial.Trial{Setting: func(r token.Reason) string { return rules[r].setting }, Why: matter}
	if c.Only != "" {
		if t.Only, err = regexp.Compile(c.Only); err != nil {
			return a.misused(fmt.Errorf("write --run as Go's regexp/syntax has it: %w", err))
		}
	}
	suites, err := c.prepare(a, &t)
	if err != nil {
		return err
	}
	report, err := t.Run(a.ctx, suites)
	if err != nil {
		return a.complain(err)
	}
	if err := report.Print(a.stdout); err != nil {
		return err
	}
	short := ""
	if got := report.Coverage.Percent(); got < least && t.Only == nil {
		short = fmt.Sprintf("coverage is %.1f%%, and %.1f%% is wanted", got, least)
		fmt.Fprintln(a.stdout, short)
	}
	if c.JUnit != "" {
		var text bytes.Buffer
		if err := report.JUnit(&text, short); err != nil {
			return err
		}
		if err := os.WriteFile(c.JUnit, text.Bytes(), 0o644); err != nil { //nolint:gosec // others read it, and there is no secret in it
			return fmt.Errorf("--junit: %w", err)
		}
	}
	if len(report.Results) == 0 {
		return errors.New("no case has a name that --run matches")
	}
	if report.Failed() > 0 || short != "" {
		return exitError(exitFailed)
	}
	return nil
}

// least is the coverage that is wanted, in percent.
func (c *testCommand) least() (float64, error) {
	switch {
	case c.Strict:
		return 100, nil
	case c.MinCoverage == "":
		return 0, nil
	}
	least, err := strconv.ParseFloat(strings.TrimSuffix(c.MinCoverage, "%"), 64)
	if err != nil || !(least >= 0 && least <= 100) {
		return 0, errors.New("write --min-coverage as a percentage like 90%")
	}
	return least, nil
}

// misused ends with the exit code for a wrong command line.
func (a *app) misused(err error) error { return exitError(a.fail(exitUsage, err)) }

// prepare reads the files and builds what decides.
func (c *testCommand) prepare(a *app, t *trial.Trial) ([]trial.Suite, error) {
	path, err := a.configPath(c.Config)
	if err != nil {
		return nil, err
	}
	file, err := config.LoadOffline(path, a.env)
	if err != nil {
		return nil, a.complain(err)
	}
	var suites []trial.Suite
	var problems []error
	for _, name := range c.Cases {
		suite, err := loadSuite(name, file)
		suites, problems = append(suites, suite), append(problems, err)
	}
	if t.Rehearsal, err = newRehearsal(file); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, a.complain(err)
	}
	return suites, nil
}

// loadSuite reads a file of cases and the files of tokens that it names.
func loadSuite(name string, file *config.File) (trial.Suite, error) {
	suite := trial.Suite{File: name}
	var err error
	if suite.Cases, err = config.LoadCases(name); err != nil {
		return suite, err
	}
	if err := suite.Cases.Fits(file); err != nil {
		return suite, err
	}
	suite.Tokens = make([]string, len(suite.Cases.Cases))
	for i, one := range suite.Cases.Cases {
		if one.TokenFile == "" {
			continue
		}
		text, err := readSecret(one.TokenFile)
		if err != nil {
			return suite, suite.Cases.ErrorAt(fmt.Sprintf("cases[%d].token_file", i), "cannot be read: "+err.Error(), "")
		}
		suite.Tokens[i] = strings.TrimSpace(text)
	}
	return suite, nil
}

// matter is what explain says of the check that refused, or else of what the
// route asks for.
func matter(told *rehearsal.Told) []string {
	steps, failed := told.Trace.Steps, told.Judged.Reason()
	if told.Door != nil {
		failed = told.Door.Reason
	}
	if failed == token.ReasonNone && told.Judged.Route != nil {
		var asked []token.Reason
		for _, q := range told.Judged.Route.Requirements() {
			asked = append(asked, q.Reason)
		}
		steps = slices.DeleteFunc(slices.Clone(steps), func(s token.Step) bool { return !slices.Contains(asked, s.Reason) })
	} else if last := lastOf(steps, failed); last >= 0 {
		steps = steps[last : last+1]
	} else {
		steps = nil
	}
	var out strings.Builder
	printSteps(&out, steps, failed)
	// What is more than a code and a reason tells something.
	if cause := told.Cause(); strings.Count(cause, ": ") > 1 || told.Judged.Verdict == proxy.Failed {
		fmt.Fprintf(&out, "because   %s\n", cause)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

// lastOf is the place of the last look for a reason, or -1.
func lastOf(steps []token.Step, reason token.Reason) int {
	for i, s := range slices.Backward(steps) {
		if s.Reason == reason {
			return i
		}
	}
	return -1
}
