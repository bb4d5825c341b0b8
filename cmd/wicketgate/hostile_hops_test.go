package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
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

// sharedRows are about what many clients share on the way to one upstream.
var sharedRows = []conformanceRow{
	{"H-106", threatH106}, {"H-107", threatH107}, {"H-109", threatH109},
}

// threatH106: what proves a connection proves nothing about the next request on
// it, so neither the question nor an unasked answer passes the gate.
func threatH106(t *testing.T) {
	w := newWire(t, nil)
	const series = "wicketgate_upstream_connection_challenges_total"
	asked := 0
	for _, row := range []struct{ sent, want []string }{
		{[]string{"NTLM"}, nil},
		{[]string{"Negotiate", "NTLM", `Basic realm="x"`}, []string{`Basic realm="x"`}},
		{[]string{`Negotiate, ntlm TlRMTVNTUAAC, Basic realm="a, NTLM b", charset="UTF-8"`}, []string{`Basic realm="a, NTLM b", charset="UTF-8"`}},
		{[]string{`Digest realm="x", qop="auth", nonce="n" , NEGOTIATE`, `Bearer realm = "y"`}, []string{`Digest realm="x", qop="auth", nonce="n"`, `Bearer realm = "y"`}},
		{[]string{`Basic realm="NTLM, Negotiate"`, "Negotiated x", ",, Basic"}, []string{`Basic realm="NTLM, Negotiate"`, "Negotiated x", ",, Basic"}},
	} {
		lines := "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n"
		for _, line := range row.sent {
			lines += "WWW-Authenticate: " + line + "\r\n"
		}
		w.behind.says(lines+"\r\nno", false)
		r := w.do("GET", "/any/x", "Authorization", "Bearer "+w.AT(nil))
		if got := r.Header["Www-Authenticate"]; r.StatusCode != 401 || r.body != "no" || !slices.Equal(got, row.want) {
			t.Errorf("of %q the client saw %d %q", row.sent, r.StatusCode, got)
		}
		if !slices.Equal(row.sent, row.want) {
			asked++
		}
		if n := seriesValue(t, w.fixture, series); n != fmt.Sprint(asked) {
			t.Errorf("%s %s, want %d", series, n, asked)
		}
	}
	w.behind.setAnswer(nil)
	for sent, passes := range map[string]bool{"NTLM TlRMTVNTUAAB": false, "NTLM\tTlRMTVNTUAAB": false, "Basic eDp5eDp5, NTLM TlRMTVNTUAAC": false, "Digest response=eDp5eDp5": true, "negotiate YII=": false, "Negotiate  YII=": false, "Basic eDp5": true, "Negotiated eDp5eDp5": true} {
		w.do("GET", "/open/x", "Authorization", sent)
		if _, seen, _ := w.behind.last(); (seen["Authorization"] != nil) != passes {
			t.Errorf("of %q the upstream saw %q", sent, seen["Authorization"])
		}
	}
}

// waiting is a gRPC service: it echoes, or waits for its client to go, or goes
// first. It tells of clients that went, and of those that wait.
func waiting(gone chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pkg.Service/Silent":
			gone <- "here"
			<-r.Context().Done()
			gone <- r.URL.Path
		case "/pkg.Service/Abort":
			panic(http.ErrAbortHandler)
		default:
			echo(w, r)
			if r.Context().Err() != nil {
				gone <- r.URL.Path
			}
		}
	}
}

func threatH107(t *testing.T) {
	gone := make(chan string, 1)
	f, _ := newGRPCFixture(t, waiting(gone))
	at := f.AT(nil)
	t.Run("messages in both directions, and trailers", func(t *testing.T) {
		s := f.stream(t, at)
		s.exchange(t, []byte("one"))
		s.exchange(t, []byte(strings.Repeat("two", 1<<16)))
		s.end(t)
	})
	// Nothing but the reset makes the service go on: that is the event waited for.
	t.Run("reset between messages", func(t *testing.T) {
		s := f.stream(t, at)
		s.exchange(t, []byte("one"))
		_ = s.resp.Body.Close()
		if path := <-gone; path != "/pkg.Service/Chat" {
			t.Errorf("%s ended", path)
		}
		_ = s.in.Close()
	})
	t.Run("reset before any answer", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/pkg.Service/Silent", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Authorization": {"Bearer " + at}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := h2cTransport(t).RoundTrip(req); err == nil {
				_ = resp.Body.Close()
				t.Error("a call that is silent was answered")
			}
		}()
		if at := <-gone; at != "here" {
			t.Errorf("%s, want the call to come", at)
		}
		cancel()
		if path := <-gone; path != "/pkg.Service/Silent" {
			t.Errorf("%s ended", path)
		}
		<-ended
	})
	eventually(t, "no streams", func() bool { return f.series(`streams{kind="grpc"}`) == "0" })
}

func threatH109(t *testing.T) {
	gone := make(chan string, 8)
	f, u := newGRPCFixture(t, waiting(gone))
	at := f.AT(nil)
	first := f.stream(t, at)
	first.exchange(t, []byte("one"))
	for i := range 5 {
		if r := f.call(t, h2cTransport(t), "/pkg.Service/Abort", "Authorization", "Bearer "+at); r.Header.Get("Grpc-Status") != "14" {
			t.Errorf("the call that failed: %d %v", r.StatusCode, r.Header)
		}
		other := f.stream(t, at)
		other.exchange(t, []byte("cut"))
		_ = other.resp.Body.Close()
		<-gone
		_ = other.in.Close()
		first.exchange(t, fmt.Appendf(nil, "still %d", i))
	}
	first.end(t)
	connections := map[string]bool{}
	for range len(u.seen) {
		connections[(<-u.seen).RemoteAddr] = true
	}
	if len(connections) != 1 {
		t.Errorf("%d connections: the streams had none in common", len(connections))
	}
}
