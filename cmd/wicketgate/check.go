package main

import (
	"errors"
	"fmt"

	"github.com/wicketgate/wicketgate/internal/live"
)

type checkCommand struct {
	Config string `short:"c" help:"The configuration file." placeholder:"FILE"`
	Live   bool   `help:"Ask the issuers and the upstreams too."`
	Strict bool   `help:"Fail on warnings as well."`
}

// Help is shown by check --help.
func (checkCommand) Help() string {
	return "Exit code 0: good. 78: the file is wrong. 1: a live check failed, or a warning with --strict.\nExample: wicketgate check --config config.yaml --live"
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
	compiled, err := build(file, newStores(file, nil))
	if file.TLS.On() {
		_, problem := readHandshake(file)
		err = errors.Join(err, problem)
	}
	if err != nil {
		return a.complain(err)
	}
	for _, f := range file.Filled() {
		fmt.Fprintf(a.stdout, "filled: %s: %s (preset: %s)\n", f.Path, f.Value, f.Preset)
	}
	failed := false
	for _, w := range file.Warnings() {
		fmt.Fprintf(a.stdout, "warning: %s: %s\n", w.Path, w.Message)
		failed = failed || c.Strict
	}
	fmt.Fprintf(a.stdout, "%s: %d issuers, %d resources, no mistakes\n", path, len(file.Issuers), len(file.Resources))
	if c.Live {
		questions, err := liveQuestions(file, compiled)
		if err != nil {
			return a.complain(err)
		}
		all := live.Ask(a.ctx, a.stdout, questions)
		failed = failed || all.Failed > 0 || c.Strict && all.Warned > 0
	}
	if failed {
		return exitError(exitFailed)
	}
	return nil
}
