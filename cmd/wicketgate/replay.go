package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/replay"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

type replayCommand struct {
	Config  string   `short:"c" help:"The new configuration file." placeholder:"FILE"`
	JSON    bool     `name:"json" help:"Print one JSON object."`
	Lenient bool     `help:"Pass over lines that are no decision, and count them."`
	Logs    []string `operand:"LOG..." required:"" help:"Decision logs, or - for standard input."`
}

// Help is shown by replay --help.
func (replayCommand) Help() string {
	return "Judges the decisions of a decision log again under another configuration: how many would change, which, and by which setting. Each is judged as of its own time. Nobody is asked.\n" +
		"Signatures, proofs, deny rules and status stay as they were; what the log does not tell is listed and not judged.\n" +
		"Exit code 0: no decision would change. 1: some would, or a log cannot be read. 78: the file is wrong.\n" +
		"Example: wicketgate replay --config new.yaml decisions.jsonl"
}

// Run reads the logs one after the other and reports once.
func (c *replayCommand) Run(a *app) error {
	path, err := a.configPath(c.Config)
	if err != nil {
		return err
	}
	file, err := config.LoadOffline(path, a.env)
	if err != nil {
		return a.complain(err)
	}
	r, err := newRehearsal(file)
	if err != nil {
		return a.complain(err)
	}
	o := replayOptions(file, r.Table)
	o.Lenient = c.Lenient
	judge, err := replay.New(o)
	if err != nil {
		return err
	}
	for _, name := range c.Logs {
		if err := c.read(a, judge, name); err != nil {
			return err
		}
	}
	report := judge.Report()
	if c.JSON {
		err = report.JSON(a.stdout)
	} else {
		report.Text(a.stdout)
	}
	if err == nil && report.Changed > 0 {
		return exitError(exitFailed)
	}
	return err
}

func (c *replayCommand) read(a *app, judge *replay.Judge, name string) error {
	in, where := a.stdin, name
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
		in = opened
	}
	if len(c.Logs) == 1 {
		where = ""
	}
	err := judge.All(a.ctx, where, in)
	if _, bad := errors.AsType[*replay.LineError](err); bad {
		return fmt.Errorf("%w; --lenient passes over such lines", err)
	}
	return err
}

// replayOptions says what a configuration judges by.
func replayOptions(c *config.File, t *proxy.Table) replay.Options {
	o := replay.Options{
		Table: t, Listen: make(map[string]string), Issuers: make(map[string]replay.Issuer),
		Setting: func(r token.Reason) string { return rules[r].setting },
	}
	for _, r := range c.Resources {
		o.Listen[r.Name] = listenOf(c, r)
	}
	for _, i := range c.Issuers {
		of := replay.Issuer{Reads: requiredReads(i), Machine: slices.Sorted(maps.Keys(i.MachineClaims)), From: fromOf(i)}
		for _, tenant := range i.PerTenant() {
			o.Issuers[tenant.Issuer] = of
		}
	}
	return o
}
