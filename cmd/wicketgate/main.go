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

	"github.com/alecthomas/kong"
)

// Exit codes, as the manual lists them.
const (
	exitOK     = 0
	exitFailed = 1  // something the command was to do did not work
	exitUsage  = 2  // the command line is wrong
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

type commands struct {
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Stand in front of an API: the main job."`
	Demo        demoCommand        `cmd:"" help:"Run an issuer, an API and the gate on loopback, and print requests to try."`
	Check       checkCommand       `cmd:"" help:"Say everything that is wrong with a configuration file."`
	Explain     explainCommand     `cmd:"" help:"Say of a token on standard input which check it passes and which not."`
	Revoke      revokeCommand      `cmd:"" help:"Refuse tokens before their end: add, list and remove deny rules."`
	Token       tokenCommand       `cmd:"" help:"Ask the running demo issuer for an access token."`
	Proof       proofCommand       `cmd:"" help:"Make a DPoP proof with the demo client's key."`
	Schema      schemaCommand      `cmd:"" help:"Print the JSON Schema of the configuration file."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running gate whether it is ready."`
	Version     versionCommand     `cmd:"" help:"Print what was built, from what, with what."`
}

func main() {
	os.Exit(run(&app{
		ctx: context.Background(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		env: os.LookupEnv, program: os.Args[0],
	}, os.Args[1:]))
}

// run is the program, less the process around it: tests call it.
func run(a *app, args []string) (code int) {
	// kong leaves through here after --help.
	defer func() {
		p := recover()
		if e, ok := p.(exitError); ok {
			code = int(e)
		} else if p != nil {
			panic(p)
		}
	}()
	parser, err := kong.New(&commands{},
		kong.Name("wicketgate"),
		kong.Description("Takes the OAuth 2.0 access token of every request, proves it, and forwards the request with the verified claims as header fields."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { panic(exitError(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return a.fail(exitFailed, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return a.fail(exitUsage, fmt.Errorf("%w; see wicketgate --help", err))
	}
	err = parsed.Run(a)
	if said, ok := errors.AsType[exitError](err); ok {
		return int(said)
	}
	if err != nil {
		return a.fail(exitFailed, err)
	}
	return exitOK
}

func (a *app) fail(code int, err error) int {
	fmt.Fprintf(a.stderr, "wicketgate: %v\n", err)
	return code
}
