package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/lint"
	"github.com/wicketgate/wicketgate/internal/live"
	"github.com/wicketgate/wicketgate/internal/recorded"
)

type checkCommand struct {
	Config string `short:"c" help:"The configuration file." placeholder:"FILE"`
	Live   bool   `help:"Ask the issuers and the upstreams too."`
	Strict bool   `help:"Fail on warnings as well."`

	URLs     string `name:"urls" help:"Say which of the recorded requests in a file, or - for standard input, would be refused before any token is looked at: a path, a URL or a line of an access log each." placeholder:"FILE"`
	Resource string `help:"With --urls, the resource they are for. Default: the one whose public origin a URL has." placeholder:"NAME"`
}

// Help is shown by check --help.
func (checkCommand) Help() string {
	return "Exit code 0: good. 78: the file is wrong. 1: a live check failed, a warning with --strict, or a request of --urls that does not pass.\nA comment in its line, # check: allow RULE, allows a warning.\nExample: wicketgate check --config config.yaml --live"
}

// Run says all that is wrong at once.
func (c *checkCommand) Run(a *app) error {
	path, err := a.configPath(c.Config)
	if err != nil {
		return err
	}
	file, err := a.load(path)
	if err != nil {
		return err
	}
	compiled, err := buildWhole(file, newStores(file, nil))
	if err != nil {
		return a.complain(err)
	}
	for _, f := range file.Filled() {
		fmt.Fprintf(a.stdout, "filled: %s: %s (preset: %s)\n", f.Path, f.Value, f.Preset)
	}
	doubts := lint.Check(file)
	for _, w := range doubts.Open {
		fmt.Fprintln(a.stdout, w)
	}
	failed := c.Strict && len(doubts.Open) > 0
	fmt.Fprintf(a.stdout, "%s: %d issuers, %d resources, no mistakes%s\n", path, len(file.Issuers), len(file.Resources), doubts)
	if c.Live {
		questions, err := liveQuestions(file, compiled)
		if err != nil {
			return a.complain(err)
		}
		questions = append(questions, a.bypassQuestions(file)...)
		all := live.Ask(a.ctx, a.stdout, questions)
		failed = failed || all.Failed > 0 || c.Strict && all.Warned > 0
	}
	if c.URLs != "" {
		good, err := c.recorded(a, file, compiled)
		if err != nil {
			return fmt.Errorf("--urls: %w", err)
		}
		failed = failed || !good
	}
	if failed {
		return exitError(exitFailed)
	}
	return nil
}

// recorded takes recorded requests through the door.
func (c *checkCommand) recorded(a *app, file *config.File, compiled *plan) (good bool, err error) {
	judge := recorded.Judge{Table: compiled.table}
	for _, r := range file.Resources {
		if c.Resource != "" && c.Resource != r.Name {
			continue
		}
		host := strings.SplitAfter(r.PublicOrigins[0], "//")[1]
		if len(r.Hosts) > 0 {
			host = r.Hosts[0]
		}
		judge.Resources = append(judge.Resources, recorded.Resource{Name: r.Name, Listen: listenOf(file, r), Host: host, Origins: r.PublicOrigins})
	}
	if len(judge.Resources) == 0 {
		return false, fmt.Errorf("no resource is called %s", c.Resource)
	}
	in := a.stdin
	if c.URLs != "-" {
		opened, err := os.Open(c.URLs)
		if err != nil {
			return false, err
		}
		defer func() { _ = opened.Close() }()
		in = opened
	}
	tally, err := judge.All(in, a.stdout)
	return tally.Good(), err
}
