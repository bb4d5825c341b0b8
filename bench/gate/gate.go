// Package gate builds and starts the program as a user would, from this tree or
// from that of another commit, with a configuration for all cases.
package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/bench/cases"
	"github.com/wicketgate/wicketgate/bench/rounds"
	"github.com/wicketgate/wicketgate/internal/process"
)

// Root is the folder above the working directory that has the program's source.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "wicketgate", "main.go")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("the working directory is not inside wicketgate's source")
}

// Build builds the program of a tree as it is in the image: static, stripped.
func Build(ctx context.Context, tree, program string) error {
	return build(ctx, tree, program, "-ldflags=-s -w")
}

// BuildProfiled builds the program with symbols, and so that Profile works.
func BuildProfiled(ctx context.Context, tree, program string) error {
	flag, err := overlay(tree, filepath.Dir(program))
	if err != nil {
		return err
	}
	return build(ctx, tree, program, flag)
}

func build(ctx context.Context, tree, program, flag string) error {
	build := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-trimpath", "-buildvcs=false", flag, "-o", program, "./cmd/wicketgate")
	build.Dir = tree
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the gate: %w\n%s", err, out)
	}
	return nil
}

// BuildAt builds the program of another commit, in a work tree that is gone
// afterwards, and returns the commit's full name.
func BuildAt(ctx context.Context, tree, commit, program string) (name string, err error) {
	out, err := git(ctx, tree, "rev-parse", "--verify", commit+"^{commit}")
	if err != nil {
		return "", err
	}
	name = strings.TrimSpace(out)
	dir, err := os.MkdirTemp("", "wicketgate-tree")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing is left in it that matters
	at := filepath.Join(dir, "tree")
	if _, err := git(ctx, tree, "worktree", "add", "--detach", at, name); err != nil {
		return "", err
	}
	defer git(context.WithoutCancel(ctx), tree, "worktree", "remove", "--force", at) //nolint:errcheck // the next prune forgets it
	return name, Build(ctx, at, program)
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	var out, says bytes.Buffer
	c := exec.CommandContext(ctx, "git", args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &says
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(says.String()))
	}
	return out.String(), nil
}

// Options of Start.
type Options struct {
	Program  string // as Build made it
	Upstream string // http://host:port
	World    *cases.World
	Extra    string    // YAML put at the end of the file: keys of the top
	Resource string    // YAML put into the resource: keys of it, in one line each
	Log      io.Writer // gets what the gate writes; default standard error
	Env      []string  // added to the environment, each NAME=value
}

// A Gate is one that runs.
type Gate struct {
	*process.Gate
	Address string // of its listener for traffic
	Admin   string // of the other

	dir     string
	profile string
}

// configure writes what the file names into a folder, and returns the file's text.
func configure(o Options, dir, address, admin string) (string, error) {
	keys, secret := filepath.Join(dir, "jwks.json"), filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(keys, o.World.Issuer.JWKS(), 0o600), os.WriteFile(secret, []byte(cases.ClientSecret), 0o600)); err != nil {
		return "", err
	}
	resource := ""
	for line := range strings.Lines(o.Resource) {
		resource += "    " + strings.TrimRight(line, "\n") + "\n"
	}
	return fmt.Sprintf(`version: 1
listen: %q
admin: {listen: %q}
trusted_proxies: [%q]
issuers:
  - name: as
    issuer: %q
    jwks_file: %q
    insecure_http: true
    introspection: {endpoint: "%s/introspect", client_id: %q, client_secret_file: %q, prefix: %q, cache: 5m}
resources:
  - identifier: %q
    behind_tls: true
    upstream: %q
    routes: [{path: %q, public: true}, {path: %q, scopes: [%q]}]
%slog: {level: error, access: "off"}
drain: {delay: 0s}
%s
`, address, admin, cases.TrustedAddress, cases.Issuer, keys, o.World.Issuer.URL, cases.ClientID, secret, cases.OpaquePrefix,
		cases.Audience, o.Upstream, cases.Open, cases.Read, cases.Scope, resource, o.Extra), nil
}

// Start starts a gate; see Ready.
func Start(o Options) (*Gate, error) {
	address, errT := process.FreeAddress()
	admin, errA := process.FreeAddress()
	dir, errD := os.MkdirTemp("", "wicketgate-bench")
	if err := errors.Join(errT, errA, errD); err != nil {
		return nil, err
	}
	text, err := configure(o, dir, address, admin)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	g := &Gate{Address: address, Admin: admin, dir: dir, profile: filepath.Join(dir, "profile")}
	o.Env = append(o.Env, "WICKETGATE_BENCH_PROFILE="+g.profile)
	g.Gate, err = process.Start(process.Options{Program: o.Program, Dir: dir, Config: text, Admin: admin, Log: o.Log, Env: o.Env})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return g, nil
}

// Accepts waits until the gate takes connections.
func (g *Gate) Accepts(ctx context.Context) error {
	for {
		c, err := net.DialTimeout("tcp", g.Address, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.Ended():
			return fmt.Errorf("the gate ended: %w", g.Outcome())
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// Close ends the gate.
func (g *Gate) Close() error {
	return errors.Join(g.Stop(10*time.Second), os.RemoveAll(g.dir))
}

// Target is the gate as something to measure.
func (g *Gate) Target(name string) rounds.Target {
	return rounds.Target{Name: name, Address: g.Address, PID: g.PID()}
}
