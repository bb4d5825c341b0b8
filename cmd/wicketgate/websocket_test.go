package main

import (
	"bufio"
	"crypto/fips140"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const wsKey = "dGhlIHNhbXBsZSBub25jZQ=="

func wsAccept(key string) string {
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) })
	return base64.StdEncoding.EncodeToString(sum[:])
}

// withWebSocket adds a route for WebSocket connections, another that keeps
// them, and what else text says, to the file.
func withWebSocket(text string) func(string) string {
	return func(file string) string {
		file = strings.Replace(file, "    routes:\n", "    routes:\n"+
			"      - {name: ws, path: /ws/**, websocket: true, scopes: [read]}\n"+
			"      - {name: keep, path: /keep, websocket: true, end_streams: false}\n"+
			"      - {name: free, path: /free, websocket: true, public: true}\n", 1)
		// Tokens end to the second, and tests wait for it.
		file = strings.ReplaceAll(file, "refetch_interval: 1s", "refetch_interval: 1s, leeway: 0s")
		return file + text
	}
}

// wsUpstream answers every handshake and sends back what it gets, but for the
// handshakes that its answer is set for.
func wsUpstream(f *fixture) {
	f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "upstream")
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, Upgrade\r\nKeep-Alive: 5\r\nUpgrade: WebSocket\r\n"+
			"Sec-WebSocket-Accept: "+wsAccept(r.Header.Get("Sec-Websocket-Key"))+"\r\nClient-Cert: :x:\r\nDPoP-Nonce: evil\r\nX-Upstream: 1\r\n\r\n")
		for {
			frame, err := readFrame(rw.Reader)
			if err != nil {
				return
			}
			if _, err := conn.Write(frame.bytes(nil)); err != nil || frame.opcode == 8 {
				return
			}
		}
	})
}

// wsFrame is one frame, unmasked.
type wsFrame struct {
	opcode  byte
	payload []byte
	masked  bool
}

func readFrame(r *bufio.Reader) (f wsFrame, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	f.opcode, f.masked = head[0]&15, head[1]&128 != 0
	size := uint64(head[1] & 127)
	switch size {
	case 126:
		var long [2]byte
		_, err = io.ReadFull(r, long[:])
		size = uint64(binary.BigEndian.Uint16(long[:]))
	case 127:
		var long [8]byte
		_, err = io.ReadFull(r, long[:])
		size = binary.BigEndian.Uint64(long[:])
	}
	var mask [4]byte
	if f.masked && err == nil {
		_, err = io.ReadFull(r, mask[:])
	}
	if err != nil {
		return f, err
	}
	f.payload = make([]byte, size)
	_, err = io.ReadFull(r, f.payload)
	for i := range f.payload {
		f.payload[i] ^= mask[i%4]
	}
	return f, err
}

// bytes renders f as a final frame, masked with mask unless that is nil.
func (f wsFrame) bytes(mask []byte) []byte {
	out, long := []byte{0x80 | f.opcode}, byte(0)
	if mask != nil {
		long = 128
	}
	switch n := len(f.payload); {
	case n < 126:
		out = append(out, long|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, long|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, long|127), uint64(n))
	}
	out = append(out, mask...)
	for i, c := range f.payload {
		if mask != nil {
			c ^= mask[i%4]
		}
		out = append(out, c)
	}
	return out
}

var testMask = []byte{1, 2, 3, 4}

// wsClient is a connection that may have become a tunnel.
type wsClient struct {
	net.Conn
	*bufio.Reader
	answer *http.Response
}

func (c *wsClient) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// shake sends a handshake, some of its fields changed or, when empty, left
// out, and reads the answer's head.
func (f *fixture) shake(t *testing.T, path string, header ...string) *wsClient {
	t.Helper()
	fields := []string{"Host", "rs.example.com", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", wsKey}
	for i := 0; i < len(header); i += 2 {
		if at := slices.Index(fields, header[i]); at >= 0 && at%2 == 0 {
			fields[at+1] = header[i+1]
			continue
		}
		fields = append(fields, header[i:i+2]...)
	}
	text := "GET " + path + " HTTP/1.1\r\n"
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] != "" {
			text += fields[i] + ": " + fields[i+1] + "\r\n"
		}
	}
	return f.shakeRaw(t, text+"\r\n")
}

func (f *fixture) shakeRaw(t *testing.T, text string) *wsClient {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	c := &wsClient{Conn: conn, Reader: bufio.NewReader(conn)}
	answer, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = answer.Body.Close() })
	c.answer = answer
	return c
}

func (c *wsClient) wantStatus(t *testing.T, status int) {
	t.Helper()
	if c.answer.StatusCode != status {
		body, _ := io.ReadAll(c.answer.Body)
		t.Fatalf("status %d, want %d; body %s", c.answer.StatusCode, status, body)
	}
}

func (c *wsClient) echo(t *testing.T, text string) {
	t.Helper()
	if _, err := c.Write(wsFrame{opcode: 1, payload: []byte(text)}.bytes(testMask)); err != nil {
		t.Fatal(err)
	}
	if got, err := readFrame(c.Reader); err != nil || string(got.payload) != text || got.masked {
		t.Fatalf("got %.40q, %v, masked %t; want %.40q", got.payload, err, got.masked, text)
	}
}

// wantClose reads a close frame, answers it and sees the connection end.
func (c *wsClient) wantClose(t *testing.T, code uint16) {
	t.Helper()
	got, err := readFrame(c.Reader)
	if err != nil || got.opcode != 8 || len(got.payload) < 2 || binary.BigEndian.Uint16(got.payload) != code {
		t.Fatalf("got %+v, %v; want a close frame with %d", got, err, code)
	}
	_, _ = c.Write(wsFrame{opcode: 8, payload: got.payload[:2]}.bytes(testMask))
	if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
		t.Errorf("after the close frame: %q, %v; want a clean end", rest, err)
	}
}

// soon is the end of a token that can still be used once.
func soon() time.Time { return time.Now().Add(2 * time.Second).Truncate(time.Second) }

func ending(at time.Time) map[string]any {
	return map[string]any{"exp": at.Unix(), "iat": at.Unix() - 60}
}

func TestWebSocketTunnel(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	wsUpstream(f)
	bearer := "Bearer " + f.AT(nil)
	c := f.shake(t, "/ws/chat?a=1", "Authorization", bearer, "X-Auth-Subject", "evil", "X_Auth_Subject", "evil",
		"Sec-WebSocket-Protocol", "chat, superchat", "Sec-WebSocket-Extensions", "permessage-deflate", "Connection", "Upgrade, X-Gone", "X-Gone", "1")
	c.wantStatus(t, 101)
	seen := f.upstream.last()
	for name, want := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Key": wsKey, "Sec-Websocket-Version": "13",
		"X-Auth-Subject": "user-1", "Authorization": "", "X-Gone": "", "Sec-Websocket-Protocol": "chat, superchat",
		"Sec-Websocket-Extensions": "permessage-deflate", "X_auth_subject": "",
	} {
		if got := strings.Join(seen.Header[name], "|"); got != want {
			t.Errorf("the upstream saw %s %q, want %q", name, got, want)
		}
	}
	if seen.RequestURI != "/ws/chat?a=1" {
		t.Errorf("the upstream saw %s", seen.RequestURI)
	}
	for name, want := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": wsAccept(wsKey), "X-Upstream": "1",
		"Keep-Alive": "", "Client-Cert": "", "Dpop-Nonce": "",
	} {
		if got := strings.Join(c.answer.Header[name], "|"); got != want {
			t.Errorf("the client saw %s %q, want %q", name, got, want)
		}
	}
	for _, n := range []int{0, 1, 125, 126, 70_000, 1 << 20} {
		c.echo(t, strings.Repeat("x", n))
	}
	eventually(t, "the gauge", func() bool {
		return strings.Contains(f.adminDo("/metrics").body, `wicketgate_streams{kind="websocket"} 1`)
	})
	if _, err := c.Write(wsFrame{opcode: 8, payload: []byte{3, 232}}.bytes(testMask)); err != nil {
		t.Fatal(err)
	}
	c.wantClose(t, 1000)
	eventually(t, "the gauge", func() bool {
		body := f.adminDo("/metrics").body
		return strings.Contains(body, `wicketgate_streams{kind="websocket"} 0`) && strings.Contains(body, `wicketgate_requests_total{code="101",decision="allowed",resource="rs",route="ws"} 1`)
	})
}

// What a client sends before it is answered is for the upstream, once that has
// agreed.
func TestWebSocketEarlyData(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	wsUpstream(f)
	early := string(wsFrame{opcode: 2, payload: []byte("early")}.bytes(testMask))
	c := f.shakeRaw(t, "GET /free HTTP/1.1\r\nHost: x.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+wsKey+"\r\n\r\n"+early)
	c.wantStatus(t, 101)
	if got, err := readFrame(c.Reader); err != nil || string(got.payload) != "early" {
		t.Errorf("got %q, %v", got.payload, err)
	}
	c.echo(t, "later")
}

// When the client goes, so does the upstream's connection, and the other way
// round.
func TestWebSocketEnds(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	ended := make(chan error, 1)
	leave := make(chan struct{})
	f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+wsAccept(wsKey)+"\r\n\r\n")
		if r.URL.Path == "/ws/leave" {
			<-leave
			return
		}
		_, err = io.Copy(io.Discard, rw)
		ended <- err
	})
	bearer := "Bearer " + f.AT(nil)
	c := f.shake(t, "/ws/stay", "Authorization", bearer)
	c.wantStatus(t, 101)
	_ = c.Close()
	if err := <-ended; err != nil {
		t.Errorf("the upstream's end: %v", err)
	}
	c = f.shake(t, "/ws/leave", "Authorization", bearer)
	c.wantStatus(t, 101)
	close(leave)
	if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v; want a clean end", rest, err)
	}
}

func TestWebSocketLimits(t *testing.T) {
	f := newFixture(t, withWebSocket("limits: {websockets: 1}\ntimeouts: {websocket_idle: 200ms}\n"))
	wsUpstream(f)
	bearer := "Bearer " + f.AT(nil)
	first := f.shake(t, "/ws/1", "Authorization", bearer)
	first.wantStatus(t, 101)
	second := f.shake(t, "/ws/2", "Authorization", bearer)
	second.wantStatus(t, http.StatusServiceUnavailable)
	if second.answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	eventually(t, "the reason", func() bool { return f.series(`refusals_total{reason="websockets"}`) == "1" })
	first.wantClose(t, 1001) // silence
	eventually(t, "room again", func() bool {
		third := f.shake(t, "/ws/3", "Authorization", bearer)
		defer func() { _ = third.Close() }()
		return third.answer.StatusCode == 101
	})
	if !strings.Contains(f.adminDo("/metrics").body, `wicketgate_streams_ended_total{ending="silent",kind="websocket"} 1`) {
		t.Error("the silent one is not counted")
	}
}

// A goodbye goes both ways, but never into the middle of a frame.
func TestWebSocketEndsWithItsToken(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	var goodbyes atomic.Int32
	f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+wsAccept(wsKey)+"\r\n\r\n")
		if r.URL.Path == "/ws/torn" { // stops within a frame
			_, _ = conn.Write([]byte{0x82, 5, 'h', 'a'})
		}
		frame, err := readFrame(rw.Reader)
		if err == nil && frame.opcode == 8 && frame.masked && binary.BigEndian.Uint16(frame.payload) == 1008 {
			goodbyes.Add(1)
			if r.URL.Path != "/ws/torn" {
				_, _ = conn.Write(wsFrame{opcode: 8, payload: frame.payload}.bytes(nil))
			}
		}
		_, _ = io.Copy(io.Discard, rw)
	})
	end := soon()
	bearer := "Bearer " + f.AT(ending(end))
	kept := f.shake(t, "/keep", "Authorization", bearer)
	kept.wantStatus(t, 101)
	torn := f.shake(t, "/ws/torn", "Authorization", bearer)
	torn.wantStatus(t, 101)
	whole := f.shake(t, "/ws/whole", "Authorization", bearer)
	whole.wantStatus(t, 101)
	whole.wantClose(t, 1008)
	if now := time.Now(); now.Before(end) {
		t.Errorf("ended %s before its token", end.Sub(now))
	}
	// Within a frame there is nowhere to say goodbye.
	if rest, _ := io.ReadAll(torn.Reader); string(rest) != "\x82\x05ha" {
		t.Errorf("within a frame: %q", rest)
	}
	if n := goodbyes.Load(); n != 2 {
		t.Errorf("%d goodbyes to the upstream, want 2", n)
	}
	if _, err := kept.Write(wsFrame{opcode: 1}.bytes(testMask)); err != nil {
		t.Errorf("with end_streams: false: %v", err)
	}
	eventually(t, "the count", func() bool {
		return strings.Contains(f.adminDo("/metrics").body, `wicketgate_streams_ended_total{ending="expired",kind="websocket"} 2`)
	})
	if f.shake(t, "/ws/again", "Authorization", bearer).answer.StatusCode != http.StatusUnauthorized {
		t.Error("the token is still good")
	}
}
