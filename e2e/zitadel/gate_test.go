package zitadel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - name: as
    issuer: "%[3]s"
    %[4]s
    refetch_interval: 1s
    introspection: {client_id: gate, cache: 1s, %[5]s}
resources:
  - identifier: ` + identifier + `
    name: rs
    behind_tls: true
    upstream: "%[6]s"
    routes:
      - {name: read, path: /read, scopes: [orders.read]}
      - {name: write, path: /write, scopes: [orders.write]}
drain: {delay: 0s, timeout: 1s}
log: {access: all}
`

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "wicketgate-zitadel-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "wicketgate")
	build := exec.Command("go", "build", "-o", path, "./cmd/wicketgate")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// gate is the built program between the server and an upstream that tells what
// it got.
type gate struct {
	t          *testing.T
	as         *server
	url, admin string
	program    string
	config     string // the file
	secretFile string
	upstream   atomic.Int64 // requests it got
}

// startGate runs it with these settings of the issuer, and of introspection by
// a secret after a comma.
func startGate(t *testing.T, settings, introspection string) *gate {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateBy(t, settings, `client_secret_file: "`+file+`"`+introspection)
	g.secretFile = file
	return g
}

func startGateBy(t *testing.T, settings, introspection string) *gate {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, as: startServer(t), program: path, config: filepath.Join(t.TempDir(), "config.yaml")}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.upstream.Add(1)
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(upstream.Close)
	address, admin := free(t), free(t)
	g.url, g.admin = "http://"+address, "http://"+admin
	g.write(g.config, fmt.Sprintf(configuration, address, admin, g.as.issuer, settings, introspection, upstream.URL))
	g.run()
	g.eventually("the gate is ready", func() bool {
		resp, err := http.Get(g.admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return g
}

func (g *gate) write(path, text string) {
	g.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// run serves until the test ends, and shows the log of a test that failed.
func (g *gate) run() {
	g.t.Helper()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, g.program, "serve", "--config", g.config)
	command.Stderr = &log
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		if g.t.Failed() {
			g.t.Log(log.String())
		}
	})
}

// reply is an answer of the gate.
type reply struct {
	*http.Response
	seen http.Header // by the upstream
	body string
}

func (g *gate) send(path, raw string) *reply {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url+path, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	r := &reply{Response: resp, body: string(body)}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &r.seen); err != nil {
			g.t.Fatal(err)
		}
	}
	return r
}

// passes wants a token to reach the upstream with these headers.
func (g *gate) passes(raw string, want map[string]string) {
	g.t.Helper()
	before := g.upstream.Load()
	r := g.send("/read", raw)
	if r.StatusCode != http.StatusOK || g.upstream.Load() != before+1 {
		g.t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	if r.seen.Get("Authorization") != "" {
		g.t.Error("the upstream saw the token")
	}
	for name, value := range want {
		if got := r.seen.Get(name); got != value {
			g.t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

// refuses wants a token to be answered 401 invalid_token.
func (g *gate) refuses(raw string) {
	g.t.Helper()
	before := g.upstream.Load()
	r := g.send("/read", raw)
	if challenge := r.Header.Get("WWW-Authenticate"); r.StatusCode != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) {
		g.t.Errorf("%d %s %s", r.StatusCode, challenge, r.body)
	}
	if g.upstream.Load() != before {
		g.t.Error("it reached the upstream")
	}
}

// undecided wants 503 with Retry-After, and no word of OAuth.
func (g *gate) undecided(raw string) {
	g.t.Helper()
	before := g.upstream.Load()
	r := g.send("/read", raw)
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || r.Header.Get("WWW-Authenticate") != "" {
		g.t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
	}
	if g.upstream.Load() != before {
		g.t.Error("it reached the upstream")
	}
}

// settles sends a token until it gets status; until then only meanwhile may
// come.
func (g *gate) settles(raw string, status, meanwhile int) {
	g.t.Helper()
	g.eventually(fmt.Sprint("status ", status), func() bool {
		r := g.send("/read", raw)
		if r.StatusCode != status && r.StatusCode != meanwhile {
			g.t.Fatalf("%d %s", r.StatusCode, r.body)
		}
		return r.StatusCode == status
	})
}

func (g *gate) eventually(what string, done func() bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			g.t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
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
