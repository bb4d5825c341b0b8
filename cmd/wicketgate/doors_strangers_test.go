package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// Who may not ask at a door can open what it likes: clients keep their connections.
func TestStrangersTakeNoRoom(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "admin:", "forward_auth: {listen: \"%[6]s\", peers: [192.0.2.1]}\nlimits: {max_connections: 8}\nadmin:")
	})
	visit := func(conn net.Conn, path string) int {
		t.Helper()
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: rs.example.com\r\n\r\n"); err != nil {
			return 0
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	dial := func(address string) net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	client := dial(f.address)
	if got := visit(client, "/open/x"); got != http.StatusOK {
		t.Fatal(got)
	}
	told := map[int]int{}
	for range 20 {
		told[visit(dial(f.asks), "/")]++
	}
	if told[http.StatusForbidden] != 2 || told[0] != 18 {
		t.Errorf("strangers were told %v, want 403 twice and nothing else", told)
	}
	if got := visit(client, "/open/x"); got != http.StatusOK {
		t.Errorf("the client's connection is gone: %d", got)
	}
	if got := visit(dial(f.address), "/open/x"); got != http.StatusOK {
		t.Errorf("another client: %d", got)
	}
}
