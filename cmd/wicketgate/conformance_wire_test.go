package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestConformanceWire runs the rows about requests that are malformed as they
// come off the wire, under their names. The answers are net/http's own, hence
// the status is all that is looked at, and that nothing went on.
func TestConformanceWire(t *testing.T) {
	f := newFixture(t, nil)
	const host = "Host: rs.example.com\r\n"
	at := "Authorization: Bearer " + f.AT(nil) + "\r\n"
	post := func(fields, body string) string {
		return "POST /any/x HTTP/1.1\r\n" + host + at + fields + "\r\n" + body
	}
	get := func(fields string) string {
		return "GET /any/x HTTP/1.1\r\n" + at + fields + "Connection: close\r\n\r\n"
	}
	for _, row := range []struct {
		id, name, request string
		want              string // the statuses that are right
	}{
		{"HTTP-11", "chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), "400 501"},
		{"HTTP-11", "chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400 501"},
		{"HTTP-11", "unknown coding", post("Transfer-Encoding: rot13\r\n", "x"), "501"},
		{"HTTP-12", "two lengths", post("Content-Length: 4\r\nContent-Length: 5\r\n", "body!"), "400"},
		{"HTTP-12", "signed length", post("Content-Length: +4\r\n", "body"), "400"},
		{"HTTP-12", "list of lengths", post("Content-Length: 4, 5\r\n", "body!"), "400"},
		{"HTTP-13", "no Host", get(""), "400"},
		{"HTTP-13", "two Hosts", get(host + "Host: other.example.com\r\n"), "400"},
		{"HTTP-13", "invalid Host", get("Host: rs example.com\r\n"), "400"},
		{"HTTP-15", "blank before the colon", get(host + "X-A : b\r\n"), "400"},
		{"HTTP-15", "NUL in a value", get(host + "X-A: b\x00c\r\n"), "400"},
		{"HTTP-15", "CR in a value", get(host + "X-A: b\rc\r\n"), "400"},
		{"HTTP-15", "control octet in a value", get(host + "X-A: b\x01c\r\n"), "400"},
	} {
		t.Run(row.id+"/"+row.name, func(t *testing.T) {
			before := f.upstream.count()
			answer := f.raw(row.request) // to the end: the gate closes
			status, _, _ := strings.Cut(strings.TrimPrefix(answer, "HTTP/1.1 "), " ")
			if status == "" || !strings.Contains(row.want, status) || strings.Count(answer, "HTTP/1.1 ") != 1 {
				t.Errorf("answered %q, want %s", answer, row.want)
			}
			if now := f.upstream.count(); now != before {
				t.Errorf("the upstream saw %d requests of a refused one", now-before)
			}
		})
	}
	t.Run("HTTP-14", func(t *testing.T) { rowHTTP14(t) })
	t.Run("HTTP-15/folded line", func(t *testing.T) {
		wantOK(t, parsed(t, f.raw(get(host+"X-A: b\r\n\tc\r\n"))))
		if got := f.upstream.last().Header["X-A"]; len(got) != 1 || got[0] != "b c" {
			t.Errorf("seen %q", got)
		}
	})
	t.Run("HTTP-17", func(t *testing.T) {
		before := f.upstream.count()
		r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(nil), "X-Large", strings.Repeat("x", 64<<10))
		f.wantRefusal(t, r, 431, before)
	})
}

// rowHTTP14 has two resources, so that the authority decides which is judged.
func rowHTTP14(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "    behind_tls: true\n", "    behind_tls: true\n    hosts: [rs.example.com]\n", 1)
	})
	ask := func(target, host string) *reply {
		t.Helper()
		return parsed(t, f.raw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", target, host, f.AT(nil))))
	}
	wantOK(t, ask("http://rs.example.com/any/x", "evil.example.com"))
	if got := f.upstream.last().Host; got != "rs.example.com" {
		t.Errorf("the upstream saw host %s", got)
	}
	for _, target := range []string{"/any/x", "http://evil.example.com/any/x"} {
		before := f.upstream.count()
		host := "evil.example.com"
		if target != "/any/x" {
			host = "rs.example.com"
		}
		f.wantRefusal(t, ask(target, host), 421, before)
	}
}
