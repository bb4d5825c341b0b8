// Package process runs wicketgate as a user would: built, started with a file,
// told by signals. It is for tests and tools that need a whole gate; what they
// send to it and what stands around it is theirs.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Build builds the program into a folder and returns its absolute path. The
// working directory must be inside this module, or inside one that replaces it
// by the tree it is part of.
func Build(ctx context.Context, dir string) (string, error) {
	program, err := filepath.Abs(filepath.Join(dir, "wicketgate"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/wicketgate")
	if build.Dir, err = root(); err != nil {
		return "", err
	}
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gate: %w\n%s", err, out)
	}
	return program, nil
}

// WithProgram is for TestMain: it builds the program for as long as run takes,
// notes its path, and returns run's exit code, or 1 when there is nothing to run.
func WithProgram(program *string, run func() int) int {
	dir, err := os.MkdirTemp("", "wicketgate")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if *program, err = Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// root is the folder above the working directory that has the program's source.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "wicketgate", "main.go")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("the working directory is not inside wicketgate's source")
		}
		dir = up
	}
}

// Listen binds a loopback address whose port is below those that systems give to
// connections (RFC 6335 section 6, and Linux's 32768 and above): nobody who calls
// out takes it while its owner is away.
func Listen() (net.Listener, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(10_240+rand.IntN(20_000)))); err == nil { //nolint:gosec // no secret
			return l, nil
		}
	}
	return nil, err
}

// FreeAddress is an address as Listen binds them, that nobody listens at.
func FreeAddress() (string, error) {
	l, err := Listen()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Options tell Start what to run.
type Options struct {
	Program string    // as Build returns it
	Dir     string    // gets config.yaml
	Config  string    // its contents
	Admin   string    // the address of its admin listener, for Ready
	Log     io.Writer // gets what the gate writes to stderr; nil: nobody does
	Env     []string  // added to the environment, each NAME=value
	Under   []string  // a command that runs the gate, as prlimit --nofile=256; it must exec it
}

// Gate is a running process. Its methods may be called by several goroutines.
type Gate struct {
	Config string // the path of its file

	child
	admin string
}

// Start writes the file and starts the gate. It does not wait: see Ready.
func Start(o Options) (*Gate, error) {
	g := &Gate{Config: filepath.Join(o.Dir, "config.yaml"), admin: o.Admin}
	if err := g.Configure(o.Config); err != nil {
		return nil, err
	}
	line := append(append([]string{}, o.Under...), o.Program, "serve", "--config", g.Config)
	g.command = exec.Command(line[0], line[1:]...)
	g.command.Stderr = o.Log
	if err := g.start(o.Env); err != nil {
		return nil, err
	}
	return g, nil
}

// Configure replaces the configuration file in one step. The gate notices by
// itself in a few seconds, or at once by Signal(syscall.SIGHUP).
func (g *Gate) Configure(text string) error {
	if transport := os.Getenv("WICKETGATE_TEST_TRANSPORT"); transport != "" { // the same tests, another transport
		text += "\nupstream_transport: " + transport + "\n"
	}
	draft := g.Config + ".new"
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, g.Config)
}

// Ready waits until the gate says that it is ready.
func (g *Gate) Ready(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if g.isReady(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gate is not ready: %w", ctx.Err())
		case <-g.ended:
			return fmt.Errorf("the gate ended before it was ready: %w", g.outcome)
		case <-tick.C:
		}
	}
}

func (g *Gate) isReady(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Stop asks the process to end, makes it end when it has not within the time,
// and returns its outcome.
func (g *Gate) Stop(within time.Duration) error {
	g.Signal(syscall.SIGTERM)
	if !g.waited(within) {
		_ = g.command.Process.Kill()
	}
	return g.Outcome()
}

// Log collects what a gate writes. The zero value is ready to use.
type Log struct {
	mu   sync.Mutex // guards text
	text []byte
}

// Write never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
