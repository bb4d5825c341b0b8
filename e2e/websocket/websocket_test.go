package websocket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

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
			c, _, ctx := g.dial(t, nil, websocket.CompressionContextTakeover, protocols...)
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
		_, resp, err := websocket.Dial(t.Context(), "ws://"+g.address+"/echo", nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %v, %v", resp, err)
		}
		if resp != nil {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		end := time.Now().Add(4 * time.Second).Truncate(time.Second)
		c, _, ctx := g.dial(t, map[string]any{"exp": end.Unix(), "iat": end.Unix() - 60}, websocket.CompressionContextTakeover)
		g.wantClosed(t, c, ctx, websocket.StatusPolicyViolation)
	})
	t.Run("drain", func(t *testing.T) {
		c, _, ctx := g.dial(t, nil, websocket.CompressionContextTakeover)
		g.stop()
		g.wantClosed(t, c, ctx, websocket.StatusGoingAway)
	})
}

// TestGoodbye: what the gate says at the end is a whole frame behind a whole
// frame, whatever is half said in either direction. What can still be ended is.
func TestGoodbye(t *testing.T) {
	g := startGate(t)
	for name, end := range map[string]func(t *testing.T, jti string){
		"revoked": func(t *testing.T, jti string) {
			rules, err := os.OpenFile(g.denied, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = fmt.Fprintf(rules, `{"iss":%q,"jti":%q}`+"\n", g.issuer.Identifier(), jti)
			if err := errors.Join(err, rules.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"expired": func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			claims := map[string]any{"jti": t.Name()}
			if name == "expired" {
				claims["exp"] = time.Now().Add(4 * time.Second).Unix()
			}
			bearer := "Authorization: Bearer " + g.mint(t, claims) + "\r\n"
			for len(g.conns) > 0 {
				<-g.conns
			}
			// Within a message in both directions, and within a frame in one.
			c := g.shake(t, "/torn", bearer, "")
			c.wantStatus(t, 101)
			if got := c.receive(t); got.fin || string(got.payload) != "first" {
				t.Fatalf("got %+v", got)
			}
			c.send(t, frame{opcode: text, masked: true, payload: []byte("begun")})
			half := frame{opcode: continuation, masked: true, payload: []byte("half a frame and its rest")}.bytes()
			if _, err := c.Write(half[:10]); err != nil {
				t.Fatal(err)
			}
			end(t, t.Name())
			if got := c.receive(t); got.closeCode() != 1008 || got.masked {
				t.Errorf("the client is told %+v, want 1008", got)
			}
			if _, err := c.Write(half[10:]); err != nil {
				t.Fatal(err)
			}
			c.send(t, goodbye(1008, ""))
			if rest, err := io.ReadAll(c.Reader); len(rest) > 0 {
				t.Errorf("after the goodbye: %q, %v", rest, err)
			}
			service := <-g.conns
			<-service.ended
			in, _ := service.sides()
			r := bytes.NewReader(in)
			for i, want := range []string{"begun", "half a frame and its rest"} {
				if got, err := readFrame(r); err != nil || got.fin || string(got.payload) != want {
					t.Errorf("frame %d at the service: %+v, %v", i, got, err)
				}
			}
			if got, err := readFrame(r); err != nil || got.closeCode() != 1008 || !got.masked || r.Len() > 0 {
				t.Errorf("the service is told %+v, %v, and %d octets behind it; want 1008", got, err, r.Len())
			}
		})
	}
}

// TestHandshake: what two ends agree about is between them.
func TestHandshake(t *testing.T) {
	g := startGate(t)
	raw := g.mint(t, nil)
	bearer := "Authorization: Bearer " + raw + "\r\n"
	t.Run("a frame behind the 101", func(t *testing.T) {
		c := g.shake(t, "/greeting", bearer, "")
		c.wantStatus(t, 101)
		if got := c.receive(t); string(got.payload) != "welcome" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("frames before the 101", func(t *testing.T) {
		early := string(data(text, "early").bytes()) + string(data(ping, "ping").bytes())
		c := g.shake(t, "/mirror", bearer, early)
		c.wantStatus(t, 101)
		c.send(t, data(text, "later"))
		for _, want := range []string{"early", "ping", "later"} {
			if got := c.receive(t); string(got.payload) != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
	})
	for _, offer := range []string{
		"permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		`permessage-deflate; server_max_window_bits=10, permessage-deflate`, "x-mine; a=\"b;c\"", "permessage-bzip2",
	} {
		t.Run(offer, func(t *testing.T) {
			for len(g.conns) > 0 {
				<-g.conns
			}
			c := g.shake(t, "/mirror", bearer+"Sec-WebSocket-Extensions: "+offer+"\r\nSec-WebSocket-Protocol: soap, wamp.2.json\r\n", "")
			c.wantStatus(t, 101)
			seen := (<-g.conns).request.Header
			first, _, _ := strings.Cut(offer, ",")
			for name, want := range map[string][2]string{"Sec-WebSocket-Extensions": {offer, first}, "Sec-WebSocket-Protocol": {"soap, wamp.2.json", "soap"}} {
				if seen.Get(name) != want[0] || c.answer.Header.Get(name) != want[1] {
					t.Errorf("%s: the service saw %q, the client %q; want %q", name, seen.Get(name), c.answer.Header.Get(name), want)
				}
			}
		})
	}
}

// TestBrowser: a page cannot set Authorization, and these are its ways.
func TestBrowser(t *testing.T) {
	g := startGate(t)
	raw := g.mint(t, nil)
	encoded := base64.RawURLEncoding.EncodeToString([]byte(raw))
	const home, guest, stranger = "Origin: https://rs.example.com\r\n", "Origin: https://app.example.com\r\n", "Origin: https://evil.example\r\n"
	for name, test := range map[string]struct {
		path, fields string
		status       int
	}{
		"protocol bearer":          {"/mirror", guest + "Sec-WebSocket-Protocol: chat, bearer, " + raw + "\r\n", 101},
		"protocol access_token":    {"/mirror", guest + "Sec-WebSocket-Protocol: access_token, " + raw + ", chat\r\n", 101},
		"protocol of Kubernetes":   {"/mirror", guest + "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io." + encoded + ", chat\r\n", 101},
		"cookie, own page":         {"/mirror", home + "Cookie: a=b; __Host-token=" + raw + "\r\n", 101},
		"cookie, listed page":      {"/mirror", guest + "Cookie: __Host-token=" + raw + "\r\n", 101},
		"cookie, other page":       {"/mirror", stranger + "Cookie: __Host-token=" + raw + "\r\n", 403},
		"cookie, no page":          {"/mirror", "Cookie: __Host-token=" + raw + "\r\n", 403},
		"cookie, fetched by us":    {"/mirror", "Sec-Fetch-Site: same-origin\r\nCookie: __Host-token=" + raw + "\r\n", 101},
		"cookie, fetched by other": {"/mirror", stranger + "Sec-Fetch-Site: cross-site\r\nCookie: __Host-token=" + raw + "\r\n", 403},
		"query":                    {"/mirror?a=1&access_token=" + raw, guest, 101},
		"cookie and protocol":      {"/mirror", home + "Cookie: __Host-token=" + raw + "\r\nSec-WebSocket-Protocol: bearer, " + raw + "\r\n", 400},
		"query and protocol":       {"/mirror?access_token=" + raw, "Sec-WebSocket-Protocol: bearer, " + raw + "\r\n", 400},
		"bad in protocol":          {"/mirror", "Sec-WebSocket-Protocol: bearer, bad\r\n", 401},
		"nowhere":                  {"/mirror", home + "Sec-WebSocket-Protocol: chat\r\n", 401},
	} {
		t.Run(name, func(t *testing.T) {
			for len(g.conns) > 0 {
				<-g.conns
			}
			c := g.shake(t, test.path, test.fields, "")
			c.wantStatus(t, test.status)
			if test.status != 101 {
				if len(g.conns) > 0 {
					t.Error("the service was asked")
				}
				return
			}
			rec := <-g.conns
			head, _, _ := bytes.Cut(rec.in, []byte("\r\n\r\n"))
			if bytes.Contains(head, []byte(raw)) || bytes.Contains(head, []byte(encoded)) || rec.request.Header.Get("X-Auth-Subject") != "user-1" {
				t.Errorf("the service saw %s", head)
			}
			c.send(t, data(text, "hello"))
			if got := c.receive(t); string(got.payload) != "hello" {
				t.Errorf("got %+v", got)
			}
		})
	}
}
