package grpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", leeway: 0s}
  - {name: gone, issuer: "%[4]s"}
resources:
  - identifier: ` + identifier + `
    name: rs
    behind_tls: true
    upstream: h2c://%[5]s
    routes:
      - {name: echo, path: /` + service + `/*, methods: [POST]}
      - {name: narrow, path: /` + service + `/Narrow, methods: [POST], scopes: [write]}
      - {name: dpop, path: /` + service + `/Chat, methods: [POST], binding: dpop}
drain: {delay: 0s, timeout: 1s}
log: {access: all}
`

// gate is the built program in front of the service, and a client of it.
type gate struct {
	*grpc.ClientConn
	issuer, gone *devissuer.Running
	admin        string
	stopService  func()
}

func startGate(t *testing.T) *gate {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "wicketgate")
	build := exec.Command("go", "build", "-o", program, "./cmd/wicketgate")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g := &gate{issuer: startIssuer(t), gone: startIssuer(t)}
	address, service := "", ""
	service, g.stopService = startService(t)
	address, g.admin = free(t), free(t)
	path := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(configuration, address, g.admin, g.issuer.Identifier(), g.gone.Identifier(), service)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.gone.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, program, path)
	g.untilServing(t, address)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	g.ClientConn = conn
	return g
}

func startIssuer(t *testing.T) *devissuer.Running {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	return issuer
}

// free is an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// run serves until the test ends, and shows the log of a test that failed.
func run(t *testing.T, program, path string) {
	t.Helper()
	var log lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, "serve", "--config", path)
	command.Stderr = &log
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

// untilServing waits for the program to answer; it dials again when refused.
func (g *gate) untilServing(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the gate does not serve")
		case <-tick.C:
		}
	}
}

// metrics reads what the gate has counted.
func (g *gate) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (g *gate) wantCounted(t *testing.T, labels string) {
	t.Helper()
	series := "wicketgate_requests_total{" + labels + "} "
	at := strings.Index(g.metrics(t), series)
	if at < 0 || strings.HasPrefix(g.metrics(t)[at+len(series):], "0\n") {
		t.Errorf("nothing is counted as %s", series)
	}
}

func mint(t *testing.T, issuer *devissuer.Running, claims map[string]any) string {
	t.Helper()
	raw, err := issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
