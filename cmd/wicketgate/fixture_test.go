package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// testIdentifier is the resource of the fixture: audience and public origin.
const testIdentifier = "https://rs.example.com"

// fixtureConfig serves almost every row of the conformance list. A terminator
// is declared in front, so scheme and host come from the configuration.
const fixtureConfig = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", refetch_interval: 1s}
  - {name: b, issuer: "%[4]s", refetch_interval: 1s}
resources:
  - identifier: https://rs.example.com
    name: rs
    behind_tls: true
    upstream: "%[5]s"
    forward: {headers: {X-Auth-Email: email, X-Auth-Roles: roles, X-Auth-Number: number}}
    routes:
      - {name: read, path: /read, methods: [GET], scopes: [read]}
      - {name: write, path: /write, methods: [POST], scopes: [write]}
      - {name: both, path: /both, scopes: {all: [read, write]}}
      - {name: dpop, path: /dpop/**, binding: dpop}
      - {name: open, path: /open/**, public: true}
      - {name: maybe, path: /maybe, optional: true}
      - {name: ext, path: /ext/**, strip_prefix: /ext}
      - {name: any, path: /any/**}
      - {name: token, path: /token, forward: {token: true}}
log: {level: debug, access: all}
drain: {delay: 0s, timeout: 1s}
`

// fixture is a running gate between two honest issuers and a recording
// upstream, all on loopback.
type fixture struct {
	t        testing.TB
	url      string // of the gate
	admin    string // URL of the admin listener
	address  string // of the gate
	a, b     *devissuer.Running
	upstream *recordingUpstream
	gateway  *gateway
	log      *lockedBuffer
	stdout   *lockedBuffer
	config   string // the file

	asks, grpc string // addresses of forward_auth and ext_authz, where the configuration has them as %[6]s and %[7]s
}

// newFixture starts a fixture. edit may change the configuration's text; the
// verbs in it are as in fixtureConfig.
func newFixture(t testing.TB, edit func(string) string) *fixture {
	t.Helper()
	f := &fixture{t: t, upstream: newRecordingUpstream(t), log: &lockedBuffer{}, stdout: &lockedBuffer{}}
	f.a, f.b = startIssuer(t), startIssuer(t)
	gate, admin := listenLoopback(t), listenLoopback(t)
	f.address = gate.Addr().String()
	f.url, f.admin = "http://"+f.address, "http://"+admin.Addr().String()
	text := fixtureConfig
	if edit != nil {
		text = edit(text)
	}
	bound := map[string]net.Listener{f.address: gate, admin.Addr().String(): admin}
	f.asks, f.grpc = bindIf(t, strings.Contains(text, "%[6]s"), bound), bindIf(t, strings.Contains(text, "%[7]s"), bound)
	text = fmt.Sprintf(text+"# %[1]s %[2]s %[3]s %[4]s %[5]s %[6]s %[7]s\n", gate.Addr(), admin.Addr(), f.a.Identifier(), f.b.Identifier(), f.upstream.URL, f.asks, f.grpc)
	if !strings.Contains(text, "decision_log:") {
		text += "decision_log: {file: decisions.jsonl}\n"
	}
	if transport := os.Getenv("WICKETGATE_TEST_TRANSPORT"); transport != "" && !strings.Contains(text, "upstream_transport:") {
		text += "upstream_transport: " + transport + "\n"
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.config = path
	a := &app{ctx: t.Context(), stdout: f.stdout, stderr: f.log, env: func(string) (string, bool) { return "", false }}
	file, err := config.Load(path, a.env)
	if err != nil {
		t.Fatal(err)
	}
	if f.gateway, err = newGateway(a, path, file); err != nil {
		t.Fatal(err)
	}
	f.gateway.bound = bound
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.gateway.serve(ctx, nil) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		f.wantConcealed()
	})
	if r := f.adminDo("/livez"); r.StatusCode != http.StatusOK { // it has begun: a test may reload it now
		t.Fatalf("livez: %d", r.StatusCode)
	}
	return f
}

// bindIf binds one more address where it is used.
func bindIf(t testing.TB, used bool, bound map[string]net.Listener) string {
	t.Helper()
	if !used {
		return ""
	}
	l := listenLoopback(t)
	bound[l.Addr().String()] = l
	return l.Addr().String()
}

// adminDo asks the admin listener.
func (f *fixture) adminDo(path string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.admin+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.send(req)
}

func startIssuer(t testing.TB) *devissuer.Running {
	t.Helper()
	running, err := devissuer.Start(devissuer.Options{Audience: testIdentifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.Close() })
	return running
}

func listenLoopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// AT mints an access token of issuer A with some claims changed; nil removes
// one.
func (f *fixture) AT(claims map[string]any) string {
	f.t.Helper()
	return f.mint(f.a, devissuer.Token{Claims: claims})
}

func (f *fixture) mint(issuer *devissuer.Running, token devissuer.Token) string {
	f.t.Helper()
	raw, err := issuer.Mint(token)
	if err != nil {
		f.t.Fatal(err)
	}
	confided.add(raw)
	return raw
}

// bound mints a token bound to key, with some claims changed.
func (f *fixture) bound(key *devissuer.ClientKey, claims map[string]any) string {
	f.t.Helper()
	all := map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}}
	maps.Copy(all, claims)
	return f.AT(all)
}

func newClientKey(t testing.TB, alg string) *devissuer.ClientKey {
	t.Helper()
	key, err := devissuer.NewClientKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// proof makes a good proof for a request to path, changed by p.
func (f *fixture) proof(key *devissuer.ClientKey, raw, method, path string, p devissuer.Proof) string {
	f.t.Helper()
	p.Method, p.AccessToken = method, raw
	if p.URL == "" {
		p.URL = testIdentifier + path
	}
	proof, err := key.Proof(p)
	if err != nil {
		f.t.Fatal(err)
	}
	confided.add(proof)
	return proof
}

// reply is an answer, read whole.
type reply struct {
	*http.Response
	body string
}

// challenge returns the WWW-Authenticate line of a scheme, or "".
func (r *reply) challenge(scheme string) string {
	for _, line := range r.Header["Www-Authenticate"] {
		if line == scheme || strings.HasPrefix(line, scheme+" ") {
			return line
		}
	}
	return ""
}

// do sends a request through the gate. header is name, value, name, value; a
// name may come twice.
func (f *fixture) do(method, path string, header ...string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	return f.send(req)
}

func (f *fixture) send(req *http.Request) *reply {
	f.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	r := &reply{resp, string(body)}
	r.wantConcealed(f.t, req.Header)
	return r
}

// raw sends bytes over a new connection and returns all that comes back until
// the gate closes it. The bytes should therefore ask to close.
func (f *fixture) raw(text string) string {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // a reset ends the answer too
	return string(answer)
}

// wantRefusal checks the status and that the upstream saw nothing of it.
func (f *fixture) wantRefusal(t *testing.T, r *reply, status int, before int) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("status %d, want %d; body %s", r.StatusCode, status, r.body)
	}
	if now := f.upstream.count(); now != before {
		t.Errorf("the upstream saw %d requests of a refused one", now-before)
	}
}

// recordingUpstream notes every request and connection. Its answer can be
// replaced.
type recordingUpstream struct {
	*httptest.Server
	mu          sync.Mutex // guards all below
	seen        []*http.Request
	bodies      []string
	connections int
	answer      http.HandlerFunc
}

func newRecordingUpstream(t testing.TB) *recordingUpstream {
	t.Helper()
	u := &recordingUpstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what was cut off is what was seen
		u.mu.Lock()
		u.seen, u.bodies = append(u.seen, r), append(u.bodies, string(body))
		answer := u.answer
		u.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, "upstream")
	}))
	u.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			u.mu.Lock()
			u.connections++
			u.mu.Unlock()
		}
	}
	u.Start()
	t.Cleanup(u.Close)
	return u
}

func (u *recordingUpstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// last is the request seen last.
func (u *recordingUpstream) last() *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) == 0 {
		return nil
	}
	return u.seen[len(u.seen)-1]
}

func (u *recordingUpstream) setAnswer(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = h
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

// TestMain puts curl and wicketgate, both this binary, on PATH and looks for
// goroutines left behind. What runs in parallel here waits most of its time, so
// more of it runs at once than there are processors.
func TestMain(m *testing.M) {
	testscript.Main(counted(func() int {
		if err := flag.Set("test.parallel", "8"); err != nil { // unless the command line says so
			panic(err)
		}
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}), map[string]func(){"wicketgate": main, "curl": curl})
}
