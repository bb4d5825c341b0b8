package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/wicketgate/wicketgate/internal/imports"
)

type importCommand struct {
	Format string   `operand:"FORMAT" required:"" help:"openapi, oauth2-proxy, istio, oathkeeper or envoy-gateway."`
	Files  []string `operand:"FILE..." required:"" help:"The files to import, or - for standard input."`

	Output     string `short:"o" help:"Write the configuration to this file. Default: standard output." placeholder:"FILE"`
	Force      bool   `help:"Replace the file of --output if it is there."`
	Issuer     string `help:"The issuer, where the files name none." placeholder:"URL"`
	Identifier string `help:"What tokens must name as audience." placeholder:"URL"`
	Upstream   string `help:"Where the API listens." placeholder:"URL"`

	PublicOperations bool   `help:"openapi: operations without security need no token."`
	Workload         string `help:"istio: the workload to import, of several." placeholder:"[NAMESPACE/]LABEL=VALUE,..."`
}

// Help is shown by import --help.
func (importCommand) Help() string {
	return "It is never looser than it was. What has no equivalent is listed at its end and on standard error, and what it was about is refused.\n" +
		"Exit code 0: all was taken over. 3: something was not. 1: nothing was written.\n" +
		"Example: wicketgate import openapi shop.yaml --issuer https://login.example.com/ --upstream http://127.0.0.1:3000 -o config.yaml"
}

// maxImport is one octet more than package imports reads.
const maxImport = 4<<20 + 1

var errThere = errors.New("it is there already; --force replaces it")

// Run writes what the files come to.
func (c *importCommand) Run(a *app) error {
	var sources []imports.Source
	for _, name := range c.Files {
		s, err := readSource(a, name)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	result, err := imports.Import(c.Format, sources, imports.Options{
		Issuer: c.Issuer, Identifier: c.Identifier, Upstream: c.Upstream, PublicOperations: c.PublicOperations, Workload: c.Workload,
	})
	if err != nil {
		return err
	}
	if err := c.write(a, result.Text); err != nil {
		return fmt.Errorf("--output %s: %w", c.Output, err)
	}
	for _, l := range result.Left {
		fmt.Fprintf(a.stderr, "not taken over: %s\n", imports.OneLine(l.String()))
	}
	for _, b := range result.Blanks {
		fmt.Fprintf(a.stderr, "still to be filled in: %s\n", imports.OneLine(b))
	}
	if len(result.Left) > 0 {
		return exitError(exitLeft)
	}
	return nil
}

func readSource(a *app, name string) (imports.Source, error) {
	in, called := a.stdin, "stdin"
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return imports.Source{}, err
		}
		defer func() { _ = opened.Close() }()
		in, called = opened, name
	}
	text, err := io.ReadAll(io.LimitReader(in, maxImport))
	return imports.Source{Name: called, Text: text}, err
}

// write never replaces a file unasked.
func (c *importCommand) write(a *app, text []byte) error {
	if c.Output == "" {
		_, err := a.stdout.Write(text)
		return err
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		how = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(c.Output, how, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return errThere
	} else if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
