package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

var upgradeThreats = []conformanceRow{
	{"H-100", threatH100}, {"H-101", threatH101}, {"H-102", threatH102}, {"H-103", threatH103},
	{"H-104", TestWebSocketEndsWithItsToken}, {"H-105", threatH105}, {"H-108", TestEventsAreNotGathered},
}

func wsHead(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: rs.example.com\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

// plain wants the request to go on without Upgrade.
func (f *fixture) plain(t *testing.T, text string) {
	t.Helper()
	before := f.upstream.count()
	c := f.shakeRaw(t, text)
	c.wantStatus(t, http.StatusOK)
	if seen := f.upstream.last(); f.upstream.count() != before+1 || seen.Header["Upgrade"] != nil || seen.Header["Connection"] != nil || seen.Header["Http2-Settings"] != nil {
		t.Errorf("%q: the upstream saw %v", text, seen.Header)
	}
}

func threatH100(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	wsUpstream(f)
	bearer := "Authorization: Bearer " + f.AT(nil)
	for _, upgrade := range []string{"h2c", "TLS/1.0", "websocket, h2c", "h2c, websocket", "foo", "websocket/13", "websockets", "websocket\r\nUpgrade: websocket"} {
		f.plain(t, wsHead("/ws/1", bearer, "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__", "Upgrade: "+upgrade, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+wsKey))
	}
}

func threatH101(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	wsUpstream(f)
	bearer := "Bearer " + f.AT(nil)
	good := []string{"Authorization: " + bearer, "Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + wsKey}
	f.shakeRaw(t, wsHead("/ws/1", good...)).wantStatus(t, http.StatusSwitchingProtocols)
	// Elsewhere, in another version of HTTP, with another method or without the option it is a plain request.
	f.plain(t, wsHead("/any/x", good...))
	f.plain(t, strings.Replace(wsHead("/ws/1", good...), "HTTP/1.1", "HTTP/1.0", 1))
	f.plain(t, strings.Replace(strings.Replace(wsHead("/keep", good...), "GET", "POST", 1), "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", 1))
	f.plain(t, strings.Replace(wsHead("/ws/1", good...), "keep-alive, Upgrade", "keep-alive", 1))
	before := f.upstream.count()
	for name, change := range map[string][]string{
		"no key": {"Sec-WebSocket-Key", ""}, "short key": {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j"}, "no base64": {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ!=="},
		"loose base64": {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR=="}, "unpadded": {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ"}, "no version": {"Sec-WebSocket-Version", ""},
	} {
		c := f.shake(t, "/ws/1", append(change, "Authorization", bearer)...)
		if c.answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", name, c.answer.StatusCode)
		}
	}
	f.shakeRaw(t, wsHead("/ws/1", append(good, "Content-Length: 1")...)+"x").wantStatus(t, http.StatusBadRequest)
	for _, twice := range []string{"Sec-WebSocket-Key: " + wsKey, "Sec-WebSocket-Version: 13", "Transfer-Encoding: chunked"} {
		f.shakeRaw(t, wsHead("/ws/1", append(good, twice)...)).wantStatus(t, http.StatusBadRequest)
	}
	for _, version := range []string{"8", "0", "14", "13, 8"} {
		c := f.shake(t, "/ws/1", "Authorization", bearer, "Sec-WebSocket-Version", version)
		c.wantStatus(t, http.StatusUpgradeRequired)
		if c.answer.Header.Get("Sec-Websocket-Version") != "13" || c.answer.Header.Get("Upgrade") != "websocket" {
			t.Errorf("426 with %v", c.answer.Header)
		}
	}
	if c := f.shake(t, "/ws/1", "Authorization", bearer, "Sec-WebSocket-Key", ""); c.answer.Header["Www-Authenticate"] != nil {
		t.Errorf("a challenge with %d", c.answer.StatusCode)
	}
	for reason, n := range map[string]string{"handshake": "11", "websocket_version": "4"} {
		eventually(t, reason, func() bool { return f.series(`refusals_total{reason="`+reason+`"}`) == n })
	}
	// Who may not come in is told nothing about handshakes.
	f.shake(t, "/ws/1").wantStatus(t, http.StatusUnauthorized)
	f.shake(t, "/ws/1", "Sec-WebSocket-Version", "8", "Authorization", "Bearer bad").wantStatus(t, http.StatusUnauthorized)
	f.shake(t, "/ws/1", "Authorization", "Bearer "+f.AT(map[string]any{"scope": "x"})).wantStatus(t, http.StatusForbidden)
	if now := f.upstream.count(); now != before {
		t.Errorf("the upstream saw %d of the refused", now-before)
	}
}

func threatH102(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	for _, status := range []int{http.StatusUpgradeRequired, http.StatusOK, http.StatusUnauthorized} {
		f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no")
		})
		before := f.upstream.count()
		c := f.shakeRaw(t, wsHead("/ws/1", "Authorization: Bearer "+f.AT(nil), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+wsKey)+
			"GET /read HTTP/1.1\r\nHost: rs.example.com\r\nX-Auth-Subject: ADMIN\r\n\r\n")
		c.wantStatus(t, status)
		if body, err := io.ReadAll(c.answer.Body); err != nil || string(body) != "no" {
			t.Errorf("%q, %v", body, err)
		}
		second, err := http.ReadResponse(c.Reader, nil)
		if err != nil || second.StatusCode != http.StatusUnauthorized {
			t.Fatalf("the second request: %v, %v; want 401", second, err)
		}
		_ = second.Body.Close()
		if n := f.upstream.count() - before; n != 1 {
			t.Errorf("the upstream saw %d requests, want 1", n)
		}
	}
}

func threatH103(t *testing.T) {
	f := newFixture(t, withWebSocket(""))
	const connection, upgrade = "Connection: Upgrade\r\n", "Upgrade: websocket\r\n"
	accept := "Sec-WebSocket-Accept: " + wsAccept(wsKey) + "\r\n"
	for name, head := range map[string]string{
		"no accept": connection + upgrade, "wrong accept": connection + upgrade + "Sec-WebSocket-Accept: " + wsAccept("x") + "\r\n", "accept twice": connection + upgrade + accept + accept,
		"h2c": connection + "Upgrade: h2c\r\n" + accept, "list": connection + "Upgrade: websocket, h2c\r\n" + accept, "no upgrade": connection + accept, "no connection": upgrade + accept, "bare": "",
	} {
		f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n"+head+"\r\nsecret")
			_, _ = io.Copy(io.Discard, conn)
		})
		c := f.shake(t, "/ws/1", "Authorization", "Bearer "+f.AT(nil))
		body, _ := io.ReadAll(c.answer.Body)
		if c.answer.StatusCode != http.StatusBadGateway || strings.Contains(string(body), "secret") {
			t.Errorf("%s: %d %s, want 502", name, c.answer.StatusCode, body)
		}
		// Nobody asked on these.
		f.do("GET", "/ws/1", "Authorization", "Bearer "+f.AT(nil))
	}
}

func threatH105(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return withWebSocket("")(strings.Replace(text, "    routes:\n", "    cors: {strict: true, origins: [https://app.example.com]}\n    routes:\n", 1))
	})
	wsUpstream(f)
	bearer := "Bearer " + f.AT(nil)
	for origin, status := range map[string]int{"": 101, "https://app.example.com": 101, "https://rs.example.com": 101, "https://evil.example": 403, "null": 403} {
		f.shake(t, "/ws/1", "Authorization", bearer, "Origin", origin).wantStatus(t, status)
	}
}

// A browser has no other place for its token. What the upstream speaks is left.
func TestWebSocketTokenInProtocol(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return withWebSocket("")(strings.Replace(text, "    routes:\n", "    token_sources: {websocket: true}\n    routes:\n", 1))
	})
	wsUpstream(f)
	raw := f.AT(nil)
	c := f.shake(t, "/ws/1", "Sec-WebSocket-Protocol", "chat, bearer, "+raw)
	c.wantStatus(t, http.StatusSwitchingProtocols)
	if seen := f.upstream.last().Header; seen.Get("Sec-Websocket-Protocol") != "chat" || seen.Get("X-Auth-Subject") != "user-1" || seen["Authorization"] != nil {
		t.Errorf("the upstream saw %v", seen)
	}
	c.echo(t, "hello")
	f.shake(t, "/ws/1", "Sec-WebSocket-Protocol", "chat, bearer, bad").wantStatus(t, http.StatusUnauthorized)
	f.shake(t, "/ws/1", "Sec-WebSocket-Protocol", "chat").wantStatus(t, http.StatusUnauthorized)
}
