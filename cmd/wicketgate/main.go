// Command wicketgate is a resource-server validation proxy: it takes the OAuth
// 2.0 access token of every request, proves it, and forwards the request with
// the verified claims as header fields. This package wires the others together,
// a command a file; it decides nothing itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Exit codes, as the manual lists them.
const (
	exitOK     = 0
	exitFailed = 1  // something the command was to do did not work
	exitUsage  = 2  // the command line is wrong
	exitLeft   = 3  // import: something was not taken over
	exitConfig = 78 // the configuration file is wrong: EX_CONFIG of sysexits.h
)

// app is what a command can reach of the world.
type app struct {
	ctx            context.Context // ends when the process is asked to stop
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	program        string // how the user called us, for lines to copy
}

// exitError ends the program with a code, having said what is wrong already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// commands lists what the program does; the first is what it does without being
// told.
func commands() []subcommand {
	return []subcommand{
		{"serve", "Stand in front of an API: the main job.", &serveCommand{}},
		{"demo", "Run an issuer, an API and the gate on loopback, and print requests to try.", &demoCommand{}},
		{"check", "Say everything that is wrong with a configuration file.", &checkCommand{}},
		{"explain", "Say of a token on standard input which check it passes and which not.", &explainCommand{}},
		{"replay", "Say which recorded decisions another configuration would change.", &replayCommand{}},
		{"test", "Try a policy on cases: requests with claims, and what should become of them.", &testCommand{}},
		{"revoke", "Refuse tokens before their end: add, list and remove deny rules.", &revokeCommand{}},
		{"import", "Make a configuration from that of another program.", &importCommand{}},
		{"token", "Ask the running demo issuer for an access token.", &tokenCommand{}},
		{"proof", "Make a DPoP proof with the demo client's key.", &proofCommand{}},
		{"schema", "Print the JSON Schema of the configuration file.", &schemaCommand{}},
		{"healthcheck", "Ask a running gate whether it is ready.", &healthcheckCommand{}},
		{"version", "Print what was built, from what, with what.", &versionCommand{}},
	}
}

func main() {
	os.Exit(run(&app{
		ctx: context.Background(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		env: os.LookupEnv, program: os.Args[0],
	}, os.Args[1:]))
}

// run is the program, less the process around it: tests call it.
func run(a *app, args []string) int {
	all := commands()
	c, args, err := choose(all, args)
	if err != nil {
		return a.fail(exitUsage, err)
	}
	help := overview(all)
	if c != nil {
		if help, err = c.parse(args); err != nil {
			return a.fail(exitUsage, err)
		}
	}
	if help != "" {
		fmt.Fprint(a.stdout, help)
		return exitOK
	}
	err = c.does.Run(a)
	if said, ok := errors.AsType[exitError](err); ok {
		return int(said)
	}
	if err != nil {
		return a.fail(exitFailed, err)
	}
	return exitOK
}

// choose finds the command that args are for and its own arguments. Without a
// name it is the first. The command of the general help is nil.
func choose(all []subcommand, args []string) (*subcommand, []string, error) {
	if len(args) > 0 && args[0] == "help" {
		args = append(args[1:len(args):len(args)], "--help")
	}
	switch {
	case len(args) == 0:
		return &all[0], nil, nil
	case isHelp(args[0]):
		return nil, nil, nil
	case strings.HasPrefix(args[0], "-"):
		return &all[0], args, nil
	}
	var names []string
	for i, c := range all {
		if c.name == args[0] {
			return &all[i], args[1:], nil
		}
		names = append(names, c.name)
	}
	// What is no name may be a token: it is not repeated.
	return nil, nil, fmt.Errorf("run wicketgate --help for the commands: the first argument is none of them%s", meant(args[0], "", names))
}

func (a *app) fail(code int, err error) int {
	fmt.Fprintf(a.stderr, "wicketgate: %v\n", err)
	return code
}
