package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// believing is a configuration whose clients are behind a trusted proxy: all of
// them come from loopback.
func believing(more ...string) func(string) string {
	return func(text string) string {
		return text + "trusted_proxies: [127.0.0.1, 10.0.0.0/8]\n" + strings.Join(more, "\n") + "\n"
	}
}

// clientInLog is the client's address in the log's last line about a request.
func (f *fixture) clientInLog(t *testing.T) (address string) {
	t.Helper()
	const key = `"client.address":"`
	eventually(t, "a line about a request", func() bool {
		_, rest, found := strings.Cut(f.log.String()[max(strings.LastIndex(f.log.String(), key), 0):], key)
		address, _, _ = strings.Cut(rest, `"`)
		return found
	})
	return address
}

// threatH55: of what a trusted peer says, the entries that trusted servers wrote
// count, and the upstream is told those alone. The first of the wants is the
// client, and the last is the peer.
func threatH55(t *testing.T) {
	const peer = "127.0.0.1"
	many := strings.Repeat("1.1.1.1, ", 5000)
	for _, row := range []struct {
		header string
		lines  []string
		client string
		want   string // X-Forwarded-For
	}{
		{"X-Forwarded-For", []string{"1.1.1.1", "2.2.2.2, 3.3.3.3", "6.6.6.6,10.0.0.2"}, "6.6.6.6", "6.6.6.6, 10.0.0.2, 127.0.0.1"},
		{"X-Forwarded-For", []string{"1.1.1.1, unknown"}, peer, "unknown, 127.0.0.1"},
		{"X-Forwarded-For", []string{"1.1.1.1, _x"}, peer, "unknown, 127.0.0.1"},
		{"X-Forwarded-For", []string{"1.1.1.1, [2001:db8::1]:80"}, "2001:db8::1", "2001:db8::1, 127.0.0.1"},
		{"X-Forwarded-For", []string{"6.6.6.6:99"}, "6.6.6.6", "6.6.6.6, 127.0.0.1"},
		{"X-Forwarded-For", []string{many + "6.6.6.6"}, "6.6.6.6", "6.6.6.6, 127.0.0.1"},
		{"X-Forwarded-For", []string{strings.Repeat("10.0.0.2, ", 5000) + "10.0.0.2"}, "10.0.0.2", strings.Repeat("10.0.0.2, ", 32) + peer},
		{"X-Forwarded-For", []string{"1.1.1.1, \x80junk, , ,;"}, peer, peer},
		{"X-Forwarded-For", []string{`6.6.6.6, "10.0.0.2"`}, peer, peer},
		{"Forwarded", []string{"for=6.6.6.6"}, peer, peer}, // not the one that counts
	} {
		hopThrough(t, newWire(t, believing()), row.header, row.lines, row.client, row.want)
	}
	for _, row := range []struct {
		header string
		lines  []string
		client string
		want   string
	}{
		{"Forwarded", []string{"for=1.1.1.1", "for=unknown, for=10.0.0.2"}, "10.0.0.2", "unknown, 10.0.0.2, 127.0.0.1"},
		{"Forwarded", []string{`for=1.1.1.1, for="_x"`}, peer, "unknown, 127.0.0.1"},
		{"Forwarded", []string{`for="1.1.1.1, for="[2001:db8::1]:_80";proto=https;by=_b`}, "2001:db8::1", "2001:db8::1, 127.0.0.1"},
		{"Forwarded", []string{strings.Repeat("for=1.1.1.1, ", 4000) + `for="6.6.6.6:99"`}, "6.6.6.6", "6.6.6.6, 127.0.0.1"},
		{"Forwarded", []string{"for=6.6.6.6;for=7.7.7.7"}, peer, peer},
		{"X-Forwarded-For", []string{"6.6.6.6"}, peer, peer},
	} {
		hopThrough(t, newWire(t, believing("trusted_header: forwarded")), row.header, row.lines, row.client, row.want)
	}
	t.Run("host and scheme", hostAndScheme)
	t.Run("untrusted", func(t *testing.T) {
		w := newWire(t, func(text string) string { return text + "trusted_proxies: [10.0.0.0/8]\n" })
		hopThrough(t, w, "X-Forwarded-For", []string{"6.6.6.6, 10.0.0.2"}, peer, peer)
	})
}

// hopThrough sends a request from a proxy, and compares what the upstream is
// told and the log tells.
func hopThrough(t *testing.T, w *wire, header string, lines []string, client, want string) {
	t.Helper()
	fields := []string{"X-Real-IP: 9.9.9.9"}
	for _, line := range lines {
		fields = append(fields, header+": "+line)
	}
	conn := w.dial(t)
	_, _ = fmt.Fprint(conn, w.open("GET", "/any/x", append(fields, "Connection: close")...))
	if r := nextReply(t, bufio.NewReader(conn), "GET"); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	_, seen, _ := w.behind.last()
	if got := seen["X-Forwarded-For"]; !slices.Equal(got, []string{want}) {
		t.Errorf("of %.100q the upstream saw %.400q", lines, got)
	}
	var nodes []string
	for _, node := range strings.Split(want, ", ") {
		if strings.Contains(node, ":") {
			node = `"[` + node + `]"`
		}
		nodes = append(nodes, node)
	}
	for i, element := range strings.Split(seen.Get("Forwarded"), ", ") {
		got, _, _ := strings.Cut(strings.TrimPrefix(element, "for="), ";")
		if len(seen["Forwarded"]) != 1 || i >= len(nodes) || got != nodes[i] && got != "_x" {
			t.Errorf("of %.100q the upstream saw Forwarded %.400q", lines, seen["Forwarded"])
			break
		}
	}
	if got := seen["X-Real-Ip"]; len(got) > 1 || len(got) == 1 && got[0] != client {
		t.Errorf("of %.100q the upstream saw X-Real-IP %q", lines, got)
	}
	if got := w.clientInLog(t); got != client {
		t.Errorf("of %.100q the log says %q, want %s", lines, got, client)
	}
}

// hostAndScheme are told as one trusted proxy said them, once, or as they are.
func hostAndScheme(t *testing.T) {
	w := newWire(t, believing())
	for _, row := range []struct {
		lines       []string
		host, proto string
		forwarded   string
	}{
		{nil, "rs.example.com", "https", `for=6.6.6.6`},
		{[]string{"X-Forwarded-Host: A.example:81", "X-Forwarded-Proto: HTTP"}, "A.example:81", "http", `for=6.6.6.6;host="A.example:81";proto=http`},
		{[]string{"X-Forwarded-Host: a, b", "X-Forwarded-Proto: https, http"}, "rs.example.com", "https", `for=6.6.6.6`},
		{[]string{"X-Forwarded-Host: a", "X-Forwarded-Host: a", "X-Forwarded-Proto: http", "X-Forwarded-Proto: http"}, "rs.example.com", "https", `for=6.6.6.6`},
		{[]string{`X-Forwarded-Host: a";for=7.7.7.7`, "X-Forwarded-Proto: gopher"}, "rs.example.com", "https", `for=6.6.6.6`},
		{[]string{"X-Forwarded-Host:", "X-Forwarded-Proto: wss"}, "rs.example.com", "wss", `for=6.6.6.6;proto=wss`},
	} {
		_, seen, _ := w.passes(t, w.open("GET", "/any/x", append(row.lines, "X-Forwarded-For: 6.6.6.6")...))
		if !slices.Equal(seen["X-Forwarded-Host"], []string{row.host}) || !slices.Equal(seen["X-Forwarded-Proto"], []string{row.proto}) {
			t.Errorf("of %q the upstream saw host %q, proto %q", row.lines, seen["X-Forwarded-Host"], seen["X-Forwarded-Proto"])
		}
		if want := row.forwarded + `, for=127.0.0.1;host="rs.example.com";proto=https`; !slices.Equal(seen["Forwarded"], []string{want}) {
			t.Errorf("of %q the upstream saw %q, want %q", row.lines, seen["Forwarded"], want)
		}
	}
}

// threatH56: IPv4 addresses written as IPv6 are IPv4 addresses, on the
// connection (proxy TestPeer) and in lists.
func threatH56(t *testing.T) {
	w := newWire(t, believing())
	for lines, want := range map[string]string{
		"1.1.1.1, ::ffff:6.6.6.6, ::ffff:10.0.0.2": "6.6.6.6, 10.0.0.2, 127.0.0.1",
		"1.1.1.1, [::ffff:6.6.6.6]:80":             "6.6.6.6, 127.0.0.1",
	} {
		client, _, _ := strings.Cut(want, ",")
		hopThrough(t, w, "X-Forwarded-For", []string{lines}, client, want)
	}
}
