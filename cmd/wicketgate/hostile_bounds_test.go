package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestHostileBounds runs the threats that hold on to what is scarce: descriptors,
// memory, time. The configured deadlines are short and no time is measured.
func TestHostileBounds(t *testing.T) {
	for _, r := range []conformanceRow{
		{"H-70", threatH70}, {"H-71", threatH71}, {"H-72", threatH72}, {"H-73", threatH73}, {"H-74", threatH74},
		{"H-75", threatH75}, {"H-76", threatH76}, {"H-77", threatH77}, {"H-78", threatH78},
	} {
		t.Run(r.id, r.run)
	}
}

// settings adds settings to the fixture's file.
func settings(line string) func(string) string {
	return func(text string) string { return text + line + "\n" }
}

// endsUnasked wants the gate to close a connection on which nothing useful
// comes.
func (w *wire) endsUnasked(t *testing.T, text string) string {
	t.Helper()
	conn := w.dial(t)
	_, _ = io.WriteString(conn, text)
	raw, err := io.ReadAll(conn)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Errorf("the connection stays open after %.60q", text)
	}
	return string(raw)
}

func threatH70(t *testing.T) {
	w := newWire(t, settings("timeouts: {read_header: 100ms, idle: 100ms}"))
	for _, text := range []string{"G", "GET /any/x HTTP/1.1\r\nHost: a\r\nX-A: ", "GET /any/x HTTP/1.1\r\nHost: a\r\n", ""} {
		w.untouchedOctets(t, func() { w.endsUnasked(t, text) })
	}
	w.passes(t, w.open("GET", "/any/x"))
}

func threatH71(t *testing.T) {
	w := newWire(t, settings("timeouts: {read_header: 100ms, idle: 100ms}"))
	for _, text := range []string{"PRI", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		w.endsUnasked(t, text)
	}
	w.passes(t, w.open("GET", "/any/x"))
}

func threatH72(t *testing.T) {
	w := newWire(t, settings("timeouts: {body_stall: 100ms}"))
	for _, text := range []string{w.open("POST", "/any/slow", "Content-Length: 10") + "abc", w.open("POST", "/any/slow", "Transfer-Encoding: chunked") + "3\r\nabc\r\n"} {
		list := w.all(t, text)
		if len(list) != 1 || list[0].StatusCode != http.StatusRequestTimeout || !list[0].Close {
			t.Errorf("%d answers: %d %v", len(list), list[0].StatusCode, list[0].Header)
		}
	}
	c := w.http2Client(t)
	c.headers(1, w.pseudo("POST", "/any/slow"), false)
	c.frame(frameData, 0, 1, []byte("abc"))
	if got := c.outcome(1); got != "408" {
		t.Errorf("over HTTP/2: %s", got)
	}
	w.after(t, c, "408")
	// A refused one holds nothing either.
	bad := strings.Replace(w.open("POST", "/any/x", "Content-Length: 10"), w.at, "Authorization: Bearer bad", 1)
	if list := w.all(t, bad+"abc"); len(list) != 1 || list[0].StatusCode != 401 {
		t.Errorf("%d answers to a refused one", len(list))
	}
	for _, seen := range w.behind.requests() {
		if seen != "GET /any/after" {
			t.Errorf("the upstream took %q for whole", seen)
		}
	}
}

func threatH73(t *testing.T) {
	w := newWire(t, settings("timeouts: {write_stall: 100ms}"))
	large := "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n" + strings.Repeat("a", 64<<20)
	w.behind.setAnswer(func(r *http.Request) (string, bool) {
		if r.URL.Path == "/any/large" {
			return large, true
		}
		return rawOK, false
	})
	c := w.http2Client(t)
	c.frame(frameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0}) // no window at all
	c.headers(1, w.pseudo("GET", "/any/large"), true)
	if got := c.outcome(1); got != "200 reset" {
		t.Errorf("large answer without a window: %s", got)
	}
	c.headers(3, w.pseudo("GET", "/any/small"), true)
	if got := c.outcome(3); got != "200 reset" {
		t.Errorf("small answer without a window: %s", got)
	}
	// Over HTTP/1 whoever reads too late finds the answer cut.
	conn := w.dial(t)
	_, _ = io.WriteString(conn, w.open("GET", "/any/large"))
	for seriesValue(t, w.fixture, `wicketgate_requests_in_flight{listener="`+w.address+`"}`) != "0" {
	}
	if n, _ := io.Copy(io.Discard, conn); n > 64<<20 {
		t.Errorf("all %d octets arrived", n)
	}
}

func threatH74(t *testing.T) {
	w := newWire(t, settings("limits: {max_connections: 1}"))
	first := w.dial(t)
	in := bufio.NewReader(first)
	w.serves(t, first, in)
	held, release := make(chan struct{}), make(chan struct{})
	w.behind.setAnswer(func(r *http.Request) (string, bool) {
		if r.URL.Path == "/any/held" {
			close(held)
			<-release
		}
		return rawOK, false
	})
	_, _ = io.WriteString(first, w.open("GET", "/any/held"))
	<-held // all connections there may be are busy
	if raw := w.endsUnasked(t, ""); raw != "" {
		t.Errorf("a connection too many was told %q", raw)
	}
	close(release)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the busy one: %v", err)
	} else {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if n := seriesValue(t, w.fixture, `wicketgate_connections_refused_total{listener="`+w.address+`"}`); n != "1" {
		t.Errorf("%s connections were refused", n)
	}
	w.serves(t, first, in)
	_ = first.Close()
	for {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, head("GET", "/any/x", w.at))
		if raw, _ := io.ReadAll(conn); strings.HasPrefix(string(raw), "HTTP/1.1 200 ") {
			return
		}
	}
}

// threatH75: each flood may cost its own connection, and no other.
func threatH75(t *testing.T) {
	w := newWire(t, nil)
	advertised := w.http2Client(t)
	kind, _, _, payload, err := advertised.read()
	promised := map[uint16]uint32{}
	for ; len(payload) >= 6; payload = payload[6:] {
		promised[binary.BigEndian.Uint16(payload)] = binary.BigEndian.Uint32(payload[2:])
	}
	if err != nil || kind != frameSettings || promised[3] != 100 || promised[5] > 16<<10 || promised[4] != 64<<10 {
		t.Errorf("the gate promises %v, %v", promised, err)
	}
	t.Run("HPACK", w.bomb)
	for name, flood := range map[string]func(c *http2Client, i uint32){
		"rapid reset": func(c *http2Client, i uint32) {
			c.headers(2*i+1, w.pseudo("GET", "/any/x"), true)
			c.frame(frameReset, 0, 2*i+1, []byte{0, 0, 0, 8})
		},
		"streams":      func(c *http2Client, i uint32) { c.headers(2*i+1, w.pseudo("POST", "/any/x"), false) },
		"ping":         func(c *http2Client, _ uint32) { c.frame(framePing, 0, 0, make([]byte, 8)) },
		"settings":     func(c *http2Client, _ uint32) { c.frame(frameSettings, 0, 0, nil) },
		"empty data":   func(c *http2Client, _ uint32) { c.frame(frameData, 0, 1, nil) },
		"window":       func(c *http2Client, _ uint32) { c.frame(frameWindow, 0, 0, []byte{0, 0, 0, 1}) },
		"priority":     func(c *http2Client, i uint32) { c.frame(2, 0, 2*i+1, make([]byte, 5)) },
		"unknown kind": func(c *http2Client, _ uint32) { c.frame(0x0a, 0xff, 0, make([]byte, 100)) },
		"continuation": func(c *http2Client, i uint32) {
			if i == 0 {
				c.frame(frameHeaders, 0, 1, fieldBlock(w.pseudo("GET", "/any/x")))
			}
			c.frame(frameContinuation, 0, 1, fieldBlock([]string{"x-a", "b"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.http2Client(t)
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for i := range uint32(20_000) {
				flood(c, i)
			}
			if r := w.do("GET", "/any/x", "Authorization", strings.TrimPrefix(w.at, "Authorization: ")); r.StatusCode != http.StatusOK {
				t.Errorf("another connection: %d %s", r.StatusCode, r.body)
			}
			_ = c.Close()
		})
	}
}

// bomb has HPACK repeat a field of 4,000 octets from its table, an octet each
// time: 48 MB in a frame of 16 KiB.
func (w *wire) bomb(t *testing.T) {
	c := w.http2Client(t)
	c.headers(1, w.pseudo("GET", "/any/x"), true)
	if got := c.outcome(1); got != "200" {
		t.Fatal(got)
	}
	block := append(fieldBlock(w.pseudo("GET", "/any/x")), 0x40, 3, 'x', '-', 'a', 127, 161, 30) // the length is 4,000
	block = append(block, bytes.Repeat([]byte("a"), 4000)...)
	block = append(block, bytes.Repeat([]byte{0x80 | 62}, 12_000-len(block)+4000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.untouchedOctets(t, func() {
		c.frame(frameHeaders, flagEnd|flagWhole, 3, block)
		if got := c.outcome(3); got != "431" {
			t.Errorf("answered %s", got)
		}
	})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 { // of 3 MiB, without the bound
		t.Errorf("%d octets made the gate allocate %d", len(block), n)
	}
}

func threatH76(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, 1)
	w := newWire(t, settings("tls: {cert_file: "+certFile+", key_file: "+keyFile+"}\ntimeouts: {read_header: 100ms, idle: 100ms}"))
	for _, text := range []string{"", "\x16\x03\x01", "\x16\x03\x01\x40\x00\x01"} {
		w.endsUnasked(t, text)
	}
}

func threatH77(t *testing.T) {
	w := newWire(t, func(text string) string {
		return strings.Replace(text, "path: /any/**", "path: /any/**, max_body: 10B", 1)
	})
	w.untouchedOctets(t, func() {
		list := w.all(t, w.open("POST", "/any/x", "Content-Length: 10000000000"))
		if len(list) != 1 || list[0].StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(list[0].body, "content_too_large") {
			t.Errorf("%d answers", len(list))
		}
	})
	list := w.all(t, w.open("POST", "/any/x", "Transfer-Encoding: chunked")+"b\r\n12345678901\r\n0\r\n\r\n")
	if len(list) != 1 || list[0].StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d answers to a body of unknown length", len(list))
	}
	w.http2Refused(t, w.pseudo("POST", "/any/x"), "12345678901", "413")
	if _, _, body := w.passes(t, w.open("POST", "/any/x", "Content-Length: 10")+"1234567890"); body != "1234567890" {
		t.Errorf("the upstream saw %q", body)
	}
}

// threatH78: what is packed stays packed, both ways.
func threatH78(t *testing.T) {
	w := newWire(t, nil)
	w.behind.says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", false)
	answer := w.raw(w.open("POST", "/any/x", "Content-Encoding: gzip", "Content-Length: 4", "Connection: close") + "\x1f\x8b\x08\x01")
	if !strings.HasSuffix(answer, "\r\n\r\n\x1f\x8b\x08\x00") || !strings.Contains(answer, "Content-Encoding: gzip") {
		t.Errorf("the client saw %q", answer)
	}
	head, fields, body := w.behind.last()
	if body != "\x1f\x8b\x08\x01" || fields["Accept-Encoding"] != nil {
		t.Errorf("the upstream saw %q with %q", head, body)
	}
}

func TestTooManyInFlight(t *testing.T) {
	f := newFixture(t, settings("limits: {max_inflight: 1}"))
	arrived, release := make(chan bool), make(chan bool)
	f.upstream.setAnswer(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-release
	})
	at := "Bearer " + f.AT(nil)
	first := make(chan int)
	go func() { first <- f.do("GET", "/any/1", "Authorization", at).StatusCode }()
	<-arrived
	onBoth(t, f, func(t *testing.T, do clientCall) {
		r := refused(t, f, 503, absent, absent, func() *reply { return do("GET", "/any/2", "Authorization", at) })
		if r.Header.Get("Retry-After") == "" || !strings.Contains(r.body, "temporarily_unavailable") {
			t.Errorf("%v %s", r.Header, r.body)
		}
	})
	if n := seriesValue(t, f, `wicketgate_refusals_total{reason="overloaded"}`); n != "2" {
		t.Errorf("%s were counted", n)
	}
	release <- true
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first was answered with %d", status)
	}
	f.upstream.setAnswer(nil)
	wantOK(t, f.do("GET", "/any/3", "Authorization", at))
}
