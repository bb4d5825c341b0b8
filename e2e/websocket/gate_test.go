package websocket

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const identifier = "https://rs.example.com"

const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - {name: a, issuer: "%[3]s", leeway: 0s}
resources:
  - identifier: ` + identifier + `
    behind_tls: true
    upstream: %[4]s
    token_sources: {websocket: true, cookie: __Host-token, query: true}
    cors: {origins: ["https://app.example.com"]}
    routes:
      - {name: ws, path: /**, websocket: true}
revocation: {file: "%[5]s"}
timeouts: {stream_check: 200ms}
drain: {delay: 0s, timeout: 100ms}
`

// program is the built gate, the same for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// gate is the built program in front of a service that sends back what it gets.
type gate struct {
	address string
	denied  string // the file of deny rules
	issuer  *devissuer.Running
	stop    func()
	closed  chan websocket.StatusCode // what the service was told at the end
	conns   chan *recording           // one for each handshake that came through
}

func startGate(t *testing.T) *gate {
	t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	dir := t.TempDir()
	g := &gate{issuer: issuer, address: process.Free(t), denied: filepath.Join(dir, "denied.jsonl"), closed: make(chan websocket.StatusCode, 64), conns: make(chan *recording, 64)}
	if err := os.WriteFile(g.denied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewUnstartedServer(g.service())
	service.Listener = recordingListener{service.Listener}
	service.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	service.Start()
	t.Cleanup(service.Close)
	admin := process.Free(t)
	p := process.Serve(t, process.Options{
		Program: program, Dir: dir, Admin: admin,
		Config: fmt.Sprintf(configuration, g.address, admin, issuer.Identifier(), service.URL, g.denied),
	})
	g.stop = func() { p.Signal(syscall.SIGTERM) }
	return g
}

// recording is a connection whose octets are kept, both ways.
type recording struct {
	net.Conn
	mu      sync.Mutex // guards all below
	in, out []byte
	ended   chan struct{} // closed when the service is done
	request *http.Request
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.in = append(r.in, p[:n]...)
	return n, err
}

func (r *recording) Write(p []byte) (int, error) {
	n, err := r.Conn.Write(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out = append(r.out, p[:n]...)
	return n, err
}

// sides are the octets that came in and went out behind the handshake.
func (r *recording) sides() (in, out []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, in, _ = bytes.Cut(r.in, []byte("\r\n\r\n"))
	_, out, _ = bytes.Cut(r.out, []byte("\r\n\r\n"))
	return bytes.Clone(in), bytes.Clone(out)
}

// connKey is where the service finds the connection of a request.
type connKey struct{}

type recordingListener struct{ net.Listener }

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &recording{Conn: c, ended: make(chan struct{})}, err
}

// service has a WebSocket library at /echo, and elsewhere what knows nothing of
// messages.
func (g *gate) service() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/echo", g.echo)
	m.HandleFunc("/mirror", func(w http.ResponseWriter, r *http.Request) {
		if conn, rw := shakeHands(w, r, ""); conn != nil {
			_, _ = io.Copy(conn, rw)
			_ = conn.Close()
		}
	})
	m.HandleFunc("/greeting", func(w http.ResponseWriter, r *http.Request) { // in one segment with the handshake
		if conn, rw := shakeHands(w, r, string(frame{fin: true, opcode: text, payload: []byte("welcome")}.bytes())); conn != nil {
			_, _ = io.Copy(conn, rw)
			_ = conn.Close()
		}
	})
	m.HandleFunc("/torn", func(w http.ResponseWriter, r *http.Request) { // within a message, and then within a frame of it
		if conn, rw := shakeHands(w, r, string(frame{opcode: text, payload: []byte("first")}.bytes())); conn != nil {
			_, _ = io.Copy(io.Discard, rw)
			_ = conn.Close()
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec, _ := r.Context().Value(connKey{}).(*recording)
		rec.request = r
		defer close(rec.ended)
		g.conns <- rec
		m.ServeHTTP(w, r)
	})
}

func (g *gate) echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"chat"}, CompressionMode: websocket.CompressionContextTakeover, InsecureSkipVerify: true,
	})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(-1)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			select {
			case g.closed <- websocket.CloseStatus(err):
			default: // nobody asks
			}
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

func (g *gate) mint(t *testing.T, claims map[string]any) string {
	t.Helper()
	raw, err := g.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// dial connects the library, and keeps what goes over its wire.
func (g *gate) dial(t *testing.T, claims map[string]any, mode websocket.CompressionMode, protocols ...string) (*websocket.Conn, *recording, context.Context) {
	t.Helper()
	raw := g.mint(t, claims)
	var rec *recording
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		rec = &recording{Conn: c}
		return rec, err
	}}
	o := &websocket.DialOptions{CompressionMode: mode, HTTPClient: &http.Client{Transport: transport}}
	if len(protocols) > 0 {
		o.Subprotocols = append(protocols, "bearer", raw)
	} else {
		o.HTTPHeader = http.Header{"Authorization": {"Bearer " + raw}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "ws://"+g.address+"/echo", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(-1)
	return c, rec, ctx
}
