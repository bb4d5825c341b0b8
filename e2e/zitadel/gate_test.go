package zitadel

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
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

// program is the gate as it is built, once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// gate is the built program between the server and an upstream that tells what
// it got.
type gate struct {
	t          *testing.T
	as         *server
	url, admin string
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
	g := &gate{t: t, as: startServer(t)}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.upstream.Add(1)
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(upstream.Close)
	address, admin := process.Free(t), process.Free(t)
	g.url, g.admin = "http://"+address, "http://"+admin
	text := fmt.Sprintf(configuration, address, admin, g.as.issuer, settings, introspection, upstream.URL)
	g.config = process.Run(t, process.Options{Program: program, Dir: t.TempDir(), Config: text, Admin: admin}).Config
	return g
}

func (g *gate) write(path, text string) {
	g.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
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
