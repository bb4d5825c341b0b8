package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

const (
	audience = "https://api.soak.test"
	secret   = "of the gate, for introspection"
)

// gate is the process under test.
type gate struct {
	address    string
	url, admin string
	config     string // the file's path
	text       string // its good contents
	child      *exec.Cmd
	log        *os.File
	ended      chan struct{} // closed when the process has ended
	waiting    error         // of the process, once ended is closed
	stopping   sync.Once
}

// configuration has little room where memory would otherwise grow for as long
// as a short run lasts: the cache of verified tokens is soon full. The times are
// the defaults, which the windows of timeline.go rest on, but for that of
// introspection.
const configuration = `version: 1
listen: "%s"
admin: {listen: "%s"}
issuers:
%sresources:
  - identifier: "` + audience + `"
    name: api
    behind_tls: true
    upstream: "%s"
    routes:
      - {name: open, path: /open, public: true}
      - {name: read, path: /read, scopes: [read]}
cache: {tokens: 1000}
drain: {delay: 0s}
`

func (s *stage) configuration(dir, address, admin string) (string, error) {
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		return "", err
	}
	var issuers strings.Builder
	for _, is := range s.issuers {
		fmt.Fprintf(&issuers, "  - name: %s\n    issuer: %q\n", is.name, is.url)
		if is == s.opaque.issuer {
			fmt.Fprintf(&issuers, "    introspection: {client_id: gate, client_secret_file: %q, mode: opaque, prefix: %s, cache: %s}\n", secretFile, opaquePrefix, answerTime)
		}
	}
	return fmt.Sprintf(configuration, address, admin, issuers.String(), s.upstream.url), nil
}

// startGate builds the program unless it is given, and starts it as a user
// would, with the configuration of its two addresses. It returns when the gate is
// ready.
func startGate(ctx context.Context, program, dir string, configuration func(dir, address, admin string) (string, error)) (*gate, error) {
	if program == "" {
		program = filepath.Join(dir, "wicketgate")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/wicketgate/wicketgate/cmd/wicketgate")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("building the gate: %w", err)
		}
	}
	program, errP := filepath.Abs(program) // a bare name is no command of the system
	address, errA := process.FreeAddress()
	admin, errB := process.FreeAddress()
	text, errC := configuration(dir, address, admin)
	log, errD := os.Create(filepath.Join(dir, "gate.log"))
	if err := errors.Join(errP, errA, errB, errC, errD); err != nil {
		return nil, err
	}
	g := &gate{address: address, url: "http://" + address, admin: "http://" + admin, config: filepath.Join(dir, "config.yaml"), text: text, log: log, ended: make(chan struct{})}
	if err := g.write(text); err != nil {
		return nil, err
	}
	g.child = exec.Command(program, "serve", "--config", g.config)
	g.child.Stderr = log
	g.child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is for us alone
	if err := g.child.Start(); err != nil {
		return nil, err
	}
	go func() { g.waiting = g.child.Wait(); close(g.ended) }()
	return g, g.ready(ctx)
}

func (g *gate) pid() int { return g.child.Process.Pid }

func (g *gate) ready(ctx context.Context) error {
	for range 300 {
		resp, err := http.Get(g.admin + "/readyz") //nolint:gosec // a loopback address of our own
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.ended:
			return errors.New("the gate ended at once")
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the gate is not ready")
}

// write replaces the configuration in one step.
func (g *gate) write(text string) error {
	draft := g.config + ".new"
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, g.config)
}

func (g *gate) reload() { _ = g.child.Process.Signal(syscall.SIGHUP) } // one that has ended is noticed by all else

// stop asks the process to end, makes it after a while, and tells how it ended.
func (g *gate) stop() error {
	g.stopping.Do(func() {
		_ = g.child.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case <-g.ended:
		case <-time.After(30 * time.Second):
			_ = g.child.Process.Kill() // ours
			<-g.ended
		}
		_ = g.log.Close()
	})
	return g.waiting
}
