package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/proxy"
)

// targetRows are about what a request is for.
var targetRows = []conformanceRow{
	{"H-30", threatH30}, {"H-31", threatH31}, {"H-32", threatH32}, {"H-33", threatH33}, {"H-34", threatH34}, {"H-35", threatH35}, {"H-36", threatH36},
	{"H-37", threatH37}, {"H-38", threatH38}, {"H-39", threatH39}, {"H-40", threatH40}, {"H-41", threatH41}, {"H-42", threatH42}, {"H-43", threatH43}, {"H-44", threatH44},
}

// wantPathsRefused tries targets over both protocols.
func wantPathsRefused(t *testing.T, targets ...string) {
	t.Helper()
	w := newWire(t, nil)
	for _, target := range targets {
		w.refuses(t, w.open("GET", target), 400)
		w.http2Refused(t, w.pseudo("GET", target), "", "400", "reset")
	}
}

func threatH30(t *testing.T) {
	wantPathsRefused(t, "/any/a/../b", "/any/./b", "/any/..", "/..", "/any/%2e%2e/b", "/any/%2E.", "/any/.%2e", "/open/..;/read", "/any/a/.;/", "/any/.", "/open/../read", "/.", "/any/...;/../x")
}

func threatH31(t *testing.T) {
	wantPathsRefused(t, "//any/x", "/any//x", "///", "/any/x//", "//", "//any")
}

func threatH32(t *testing.T) {
	wantPathsRefused(t, "/any%2fx", "/any/%2Fx", "/any/%5cx", "/any/x%5C..%5cy", `/any\x`, `/any/..\..\x`, `/\any`)
}

func threatH33(t *testing.T) {
	var encoded []string
	for c := range 0x20 {
		encoded = append(encoded, fmt.Sprintf("/any/x%%%02x", c))
	}
	wantPathsRefused(t, append(encoded, "/any/x%7f")...)
	w := newWire(t, nil)
	for _, c := range []string{"\x00", "\x01", "\x0b", "\x1f", "\x7f", " ", "\t"} {
		w.untouchedOctets(t, func() {
			r := parsed(t, w.raw(head("GET", "/any/x"+c+"y", w.at)))
			wantOneOf(t, r, c, []int{400})
		})
	}
}

func threatH34(t *testing.T) {
	wantPathsRefused(t, "/any/a;b", "/any/a;", "/any;jsessionid=1/x", "/any/;/x", "/any/x%3b;")
}

func threatH35(t *testing.T) {
	wantPathsRefused(t, "/any/x#y", "/any/\xc3\xa9", "/any/%", "/any/%2", "/any/%zz", "/any/%u002e", "/any/%c0%af", "/any/%ff", "/any/%ed%a0%80", "/any/．．/x")
}

// forwardedTarget wants the target at the upstream as it was sent.
func (w *wire) forwardedTarget(t *testing.T, target string) {
	t.Helper()
	head, _, _ := w.passes(t, w.open("GET", target))
	if !strings.HasPrefix(head, "GET "+target+" HTTP/1.1\r\n") {
		t.Errorf("%.100q was forwarded as %.100q", target, head)
	}
}

func threatH36(t *testing.T) {
	w := newWire(t, nil)
	for _, target := range []string{"/any/%252e%252e", "/any/%252fx", "/any/%2500", "/any/%25"} {
		w.forwardedTarget(t, target)
	}
}

func threatH37(t *testing.T) {
	w := newWire(t, func(text string) string {
		return strings.Replace(text, "    routes:\n", "    routes:\n      - {name: admin, path: /any/admin, scopes: [admin]}\n", 1)
	})
	for _, target := range []string{"/any/%61dmin", "/any/adm%69n", "/%61ny/admin", "/any/admi%6E"} {
		if r := w.refuses(t, w.open("GET", target), 403); !strings.Contains(r.body, "insufficient_scope") {
			t.Errorf("%s: %s", target, r.body)
		}
	}
	w.forwardedTarget(t, "/any/%61dministrator")
}

func threatH38(t *testing.T) {
	w := newWire(t, nil)
	for _, target := range []string{"/Any/x", "/ANY/x", "/READ", "/Open/x"} {
		w.refuses(t, w.open("GET", target), 404)
	}
}

func threatH39(t *testing.T) {
	w := newWire(t, func(text string) string {
		return strings.Replace(text, "    behind_tls: true\n", "    behind_tls: true\n    hosts: [rs.example.com]\n", 1)
	})
	for _, target := range []string{"http://u@rs.example.com/any/x", "http://u:p@rs.example.com/any/x", "ftp://rs.example.com/any/x", "mailto:x", "http:///any/x", "http:/any/x", "http://", "HTTP:any"} {
		w.untouchedOctets(t, func() { wantOneOf(t, parsed(t, w.raw(head("GET", target, w.at))), target, []int{400}) })
	}
	w.refuses(t, w.open("GET", "http://other.example.com/any/x"), 421)
	seen, _, _ := w.passes(t, w.open("GET", "http://rs.example.com/any/x?a=1;b=%zz"))
	if !strings.HasPrefix(seen, "GET /any/x?a=1;b=%zz HTTP/1.1\r\nHost: rs.example.com\r\n") {
		t.Errorf("the upstream saw %q", seen)
	}
	t.Run("HTTP-14", rowHTTP14)
}

func threatH40(t *testing.T) {
	w := newWire(t, nil)
	for _, target := range []string{"*", "rs.example.com:443", "any/x", "?x", "-"} {
		w.untouchedOctets(t, func() { wantOneOf(t, parsed(t, w.raw(head("GET", target, w.at))), target, []int{400}) })
	}
	r := w.refuses(t, w.open("OPTIONS", "*"), 204)
	if r.Header.Get("Allow") == "" || r.body != "" {
		t.Errorf("OPTIONS * was answered with %v %q", r.Header, r.body)
	}
	w.http2Refused(t, w.pseudo("OPTIONS", "*"), "", "204")
	// It asks about the server, so nobody has to say who asks.
	w.refuses(t, strings.Replace(w.open("OPTIONS", "*"), w.at, "X-A: b", 1), 204)
}

func threatH41(t *testing.T) {
	w := newWire(t, nil)
	with := func(lines string) string {
		return "GET /any/x HTTP/1.1\r\n" + lines + w.at + "\r\nConnection: close\r\n\r\n"
	}
	for _, lines := range []string{
		"", "Host:\r\n", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n", "Host: h/evil\r\n", "Host: u@h\r\n", "Host: h;for=1\r\n", "Host: h:0\r\n", "Host: h:99999\r\n",
		"Host: h:80:80\r\n", "Host: h i\r\n", "Host: [::1%25x]\r\n", "Host: h,i\r\n", "Host: h\"\r\n", "Host: .h\r\n", "Host: h\\i\r\n", "Host: \xc3\xa9\r\n", "Host: h?\r\n", "Host: h#\r\n",
	} {
		w.untouchedOctets(t, func() { wantOneOf(t, parsed(t, w.raw(with(lines))), lines, []int{400}) })
	}
	for _, host := range []string{"h.", "H.COM:443", "[::1]:8080", "a_b:80"} {
		wantOneOf(t, parsed(t, w.raw(with("Host: "+host+"\r\n"))), host, []int{200})
	}
	t.Run("HTTP-30", testHTTP30)
}

func threatH42(t *testing.T) {
	w := newWire(t, func(text string) string { return text + "limits: {target: 64KiB}\n" })
	for _, query := range []string{
		"a;b=1", "%zz", "", "?", "a=%00&b=%ff", "&&&===", strings.Repeat("a=1&", 10_001), strings.Repeat("q", 60<<10), "u=http://evil/../x", "a=/../b//c;d", "a=b|c{}`^",
	} {
		w.forwardedTarget(t, "/any/x?"+query)
	}
}

func threatH43(t *testing.T) {
	w := newWire(t, nil)
	for _, target := range []string{"/any/" + strings.Repeat("a", 16<<10), "/any/x?" + strings.Repeat("a", 16<<10)} {
		w.refuses(t, w.open("GET", target), 414)
		w.http2Refused(t, w.pseudo("GET", target), "", "414")
	}
	w.forwardedTarget(t, "/any/"+strings.Repeat("a", 16<<10-5))
}

func threatH44(t *testing.T) {
	w := newWire(t, nil)
	for _, target := range []string{"/", "/none", "/anything", "/rea", "/read/x", "/openx"} {
		w.refuses(t, w.open("GET", target), 404)
		w.http2Refused(t, w.pseudo("GET", target), "", "404")
	}
	w.refuses(t, w.open("DELETE", "/read"), 404)
}

// fieldRows are about who may say what in a header field.
var fieldRows = []conformanceRow{
	{"H-50", threatH50}, {"H-51", threatH51}, {"H-52", testHDR03}, {"H-53", threatH53}, {"H-54", threatH54}, {"H-55", threatH55}, {"H-56", threatH56},
	{"H-57", threatH57}, {"H-58", testHTTP23}, {"H-59", threatH59}, {"H-60", threatH60}, {"H-61", threatH61},
}

// spelt lists spellings of a name that some server folds onto it.
func spelt(name string) []string {
	return []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1), strings.ToLower(strings.ReplaceAll(name, "-", "_"))}
}

// ours is every name that the gate sets in the fixture.
func ours() []string {
	return []string{"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-Issuer", "X-Auth-Client-Id", "X-Auth-Scope", "X-Auth-Binding", "X-Auth-Email", "X-Auth-Roles", "X-Auth-Number"}
}

func threatH50(t *testing.T) {
	w := newWire(t, func(text string) string { return text + "limits: {header_fields: 400}\n" })
	for _, name := range ours() {
		var lines, pairs []string
		for _, s := range spelt(name) {
			lines = append(lines, s+": evil")
			if s == strings.ToLower(s) {
				pairs = append(pairs, s, "evil")
			}
		}
		for range 300 {
			lines = append(lines, name+": evil")
			pairs = append(pairs, strings.ToLower(name), "evil")
		}
		seen, _, _ := w.passes(t, w.open("GET", "/any/x", lines...))
		wantOurs(t, seen)
		wantOurs(t, w.http2Passes(t, append(w.pseudo("GET", "/any/x"), pairs...), ""))
	}
	t.Run("HTTP-05", testHTTP05)
}

// wantOurs wants no identity field of a client, in any spelling, and one of
// ours.
func wantOurs(t *testing.T, head string) {
	t.Helper()
	count := map[string]int{}
	for _, line := range strings.Split(head, "\r\n")[1:] {
		name, value, _ := strings.Cut(line, ":")
		if normal := proxy.NormalName(name); strings.HasPrefix(normal, "x-auth-") {
			count[normal]++
			if strings.Contains(value, "evil") {
				t.Errorf("the upstream saw %q", line)
			}
		}
	}
	if count["x-auth-subject"] != 1 || count["x-auth-issuer"] != 1 {
		t.Errorf("the upstream saw %v", count)
	}
}

func threatH51(t *testing.T) {
	w := newWire(t, nil)
	var lines []string
	for _, name := range ours() {
		for _, s := range spelt(name) {
			lines = append(lines, s+": evil")
		}
	}
	anonymous := func(method, target string, more ...string) string {
		return strings.Replace(w.open(method, target, append(more, lines...)...), w.at+"\r\n", "", 1)
	}
	for _, text := range []string{
		anonymous("GET", "/open/x"), anonymous("HEAD", "/open/x"), anonymous("GET", "/maybe"), anonymous("OPTIONS", "/open/x", "Origin: http://a", "Access-Control-Request-Method: GET"),
		anonymous("GET", "/open/x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
		anonymous("POST", "/open/x", "Expect: 100-continue", "Content-Length: 1") + "a",
	} {
		text = strings.Replace(text, "Host: rs.example.com", "Host: rs.example.com\r\nX-Last: 1", 1)
		conn := w.dial(t)
		_, _ = io.WriteString(conn, strings.Replace(text, "X-Last: 1", "Connection: close", 1))
		raw, _ := io.ReadAll(conn)
		if !strings.Contains(string(raw), "HTTP/1.1 200 ") {
			t.Errorf("%.60q was answered with %q", text, raw)
			continue
		}
		if seen, _, _ := w.behind.last(); strings.Contains(seen, "evil") {
			t.Errorf("of %.60q the upstream saw %q", text, seen)
		}
	}
	t.Run("HTTP-02", testHTTP02)
}

func threatH53(t *testing.T) {
	w := newWire(t, nil)
	for _, line := range []string{
		"Connection: X-Auth-Subject, authorization, host, content-length, x-forwarded-for", "Connection: x-auth-subject,AUTHORIZATION,Host,Content-Length",
		"Connection:\tX-Auth-Subject\t,\tHost ,, Content-Length", "Connection: keep-alive\r\nConnection: x-auth-subject\r\nConnection: content-length, transfer-encoding", "Connection: \"X-Auth-Subject\"",
	} {
		head, fields, body := w.passes(t, w.open("POST", "/any/x", line, "Content-Length: 4")+"body")
		if body != "body" || strings.Count(head, "Content-Length: 4") != 1 || !strings.Contains(head, "\r\nHost: rs.example.com") {
			t.Errorf("%q: the upstream saw %q with body %q", line, head, body)
		}
		if fields["X-Forwarded-For"] == nil || fields["Connection"] != nil {
			t.Errorf("%q: the upstream saw %q", line, fields)
		}
	}
	t.Run("HTTP-03", testHTTP03)
}

func threatH54(t *testing.T) {
	w := newWire(t, nil)
	var lines []string
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP",
		"X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Envoy-Original-Path", "X-Envoy-External-Address", "X-Skipper-Proxy", "Proxy",
		"X-SSL-Client-Cert", "X-SSL-Anything", "SSL-Client-Verify", "X-Client-IP", "X-Cluster-Client-IP",
	} {
		lines = append(lines, name+": evil-6.6.6.6", strings.ReplaceAll(name, "-", "_")+": evil-6.6.6.6")
	}
	head, fields, _ := w.passes(t, w.open("GET", "/any/x", lines...))
	if strings.Contains(head, "evil") || !slices.Equal(fields["X-Forwarded-For"], []string{"127.0.0.1"}) || len(fields["Forwarded"]) != 1 {
		t.Errorf("the upstream saw %q", head)
	}
	t.Run("HTTP-21", testHTTP21)
	t.Run("HTTP-22", testHTTP22)
}

func threatH57(t *testing.T) {
	w := newWire(t, nil)
	head, fields, _ := w.passes(t, w.open("GET", "/any/x", "Proxy-Authorization: Basic eDp5", "TE: trailers, deflate", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: TE"))
	for _, name := range []string{"Proxy-Authorization", "Keep-Alive", "Proxy-Connection", "Http2-Settings", "Connection"} {
		if fields[name] != nil {
			t.Errorf("the upstream saw %s: %q", name, head)
		}
	}
	if got := fields["Te"]; len(got) > 0 && !slices.Equal(got, []string{"trailers"}) {
		t.Errorf("the upstream saw TE: %q", got)
	}
	t.Run("HTTP-04", testHTTP04)
}

func threatH59(t *testing.T) {
	w := newWire(t, nil)
	repeated := func(n int, format string) (lines, pairs []string) {
		for i := range n {
			name, value, _ := strings.Cut(fmt.Sprintf(format, i), ": ")
			lines, pairs = append(lines, name+": "+value), append(pairs, strings.ToLower(name), value)
		}
		return lines, pairs
	}
	for _, row := range []struct {
		n      int
		format string
	}{
		{100, "X-A-%d: b"}, {100, "X-A: %d"}, {1, "X-A: %d" + strings.Repeat("a", 64<<10)}, {20, "X-A-%d: " + strings.Repeat("a", 4<<10)}, {10_000, "Cookie: a=%d"}, {1, "X-" + strings.Repeat("a", 70<<10) + "%d: b"},
	} {
		lines, pairs := repeated(row.n, row.format)
		w.untouchedOctets(t, func() {
			wantOneOf(t, parsed(t, w.raw(head("GET", "/any/x", append(lines, w.at)...))), row.format[:6], []int{431})
		})
		w.http2Refused(t, append(w.pseudo("GET", "/any/x"), pairs...), "", "431", "reset", "closed")
	}
}

func threatH60(t *testing.T) {
	w := newWire(t, nil)
	_, fields, _ := w.passes(t, w.open("GET", "/any/x", "X-A: caf\xe9 \xff \xe6\x97\xa5\tb"))
	if got := fields["X-A"]; !slices.Equal(got, []string{"caf\xe9 \xff \xe6\x97\xa5\tb"}) {
		t.Errorf("the upstream saw %q", got)
	}
}

// threatH61: of what the gate owns in an answer the upstream has no say.
func threatH61(t *testing.T) {
	w := newWire(t, nil)
	w.behind.says("HTTP/1.1 200 OK\r\nDPoP-Nonce: evil\r\nTrailer: DPoP-Nonce\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nDPoP-Nonce: evil\r\n\r\n", false)
	if answer := w.raw(head("GET", "/any/x", w.at)); strings.Contains(answer, "evil") || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("the client saw %q", answer)
	}
	w.behind.says("HTTP/1.1 103 Early Hints\r\nDPoP-Nonce: evil\r\n\r\n"+rawOK, false)
	if answer := w.raw(head("GET", "/any/x", w.at)); strings.Contains(answer, "evil") {
		t.Errorf("the client saw %q", answer)
	}
}
