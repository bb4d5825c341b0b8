package websocket

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/wicketgate/wicketgate/internal/devissuer"
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
    token_sources: {websocket: true}
    routes:
      - {name: ws, path: /**, websocket: true}
drain: {delay: 0s, timeout: 100ms}
`

// gate is the built program in front of a service that sends back what it gets.
type gate struct {
	address string
	issuer  *devissuer.Running
	stop    func()
	closed  chan websocket.StatusCode // what the service was told at the end
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
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	g := &gate{issuer: issuer, address: free(t), closed: make(chan websocket.StatusCode, 16)}
	service := httptest.NewServer(http.HandlerFunc(g.echo))
	t.Cleanup(service.Close)
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, configuration, g.address, free(t), issuer.Identifier(), service.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "serve", "--config", path)
	var log bytes.Buffer
	command.Stderr = &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	g.stop = func() { _ = command.Process.Signal(os.Interrupt) }
	t.Cleanup(func() {
		g.stop()
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", g.address)
		if err == nil {
			_ = conn.Close()
			return g
		}
		if time.Now().After(deadline) {
			t.Fatal("the gate does not serve")
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
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
			g.closed <- websocket.CloseStatus(err)
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

func (g *gate) dial(t *testing.T, claims map[string]any, protocols ...string) (*websocket.Conn, context.Context) {
	t.Helper()
	raw, err := g.issuer.Mint(devissuer.Token{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	o := &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover}
	if len(protocols) > 0 {
		o.Subprotocols = append(protocols, "bearer", raw)
	} else {
		o.HTTPHeader = http.Header{"Authorization": {"Bearer " + raw}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "ws://"+g.address+"/live", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(-1)
	return c, ctx
}

func (g *gate) wantClosed(t *testing.T, c *websocket.Conn, ctx context.Context, code websocket.StatusCode) {
	t.Helper()
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != code {
		t.Errorf("the client ends with %v, want %v", err, code)
	}
	if got := <-g.closed; got != code {
		t.Errorf("the service ends with %v, want %v", got, code)
	}
}

func TestWebSocket(t *testing.T) {
	g := startGate(t)
	t.Run("messages", func(t *testing.T) {
		for _, protocols := range [][]string{nil, {"chat"}} {
			c, ctx := g.dial(t, nil, protocols...)
			if got := c.Subprotocol(); len(protocols) > 0 && got != "chat" {
				t.Errorf("subprotocol %q", got)
			}
			for _, n := range []int{0, 1, 125, 126, 65535, 65536, 4 << 20} {
				message := make([]byte, n)
				_, _ = rand.Read(message[:n/2]) // the other half can be compressed
				go func() { _ = c.Write(ctx, websocket.MessageBinary, message) }()
				if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, message) {
					t.Fatalf("%d octets came back otherwise: %v", n, err)
				}
			}
			pinged := make(chan error, 1)
			go func() { pinged <- c.Ping(ctx) }()
			go func() { _, _, _ = c.Read(ctx) }()
			if err := <-pinged; err != nil {
				t.Errorf("ping: %v", err)
			}
			_ = c.Close(4001, "bye")
			if got := <-g.closed; got != 4001 {
				t.Errorf("the service ends with %v", got)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		_, resp, err := websocket.Dial(t.Context(), "ws://"+g.address+"/live", nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %v, %v", resp, err)
		}
		if resp != nil {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		end := time.Now().Add(2 * time.Second).Truncate(time.Second)
		c, ctx := g.dial(t, map[string]any{"exp": end.Unix(), "iat": end.Unix() - 60})
		g.wantClosed(t, c, ctx, websocket.StatusPolicyViolation)
	})
	t.Run("drain", func(t *testing.T) {
		c, ctx := g.dial(t, nil)
		g.stop()
		g.wantClosed(t, c, ctx, websocket.StatusGoingAway)
	})
}
