package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// Frames and flags of RFC 9113 section 6, as far as tests send or look at them.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway, frameWindow, frameContinuation = 0, 1, 3, 4, 6, 7, 8, 9

	flagEnd, flagAck, flagWhole = 1, 1, 4
)

// http2Client writes frames as no library would.
type http2Client struct {
	t *testing.T
	net.Conn
}

func (w *wire) http2Client(t *testing.T) *http2Client {
	t.Helper()
	c := &http2Client{t, w.dial(t)}
	_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.frame(frameSettings, 0, 0, nil)
	return c
}

func (c *http2Client) frame(kind, flags byte, stream uint32, payload []byte) {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = append(head, flags)
	head = binary.BigEndian.AppendUint32(head, stream)
	_, _ = c.Write(append(head, payload...)) // what is wrong shows in the answer
}

// fieldBlock writes fields as literals that are never indexed (RFC 7541 section
// 6.2.3), so that nothing of them is looked at on this side.
func fieldBlock(pairs []string) (block []byte) {
	length := func(n int) {
		if n < 127 {
			block = append(block, byte(n))
			return
		}
		block = append(block, 127)
		for n -= 127; n >= 128; n /= 128 {
			block = append(block, byte(n%128+128))
		}
		block = append(block, byte(n))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		block = append(block, 0x10)
		for _, text := range pairs[i : i+2] {
			length(len(text))
			block = append(block, text...)
		}
	}
	return block
}

// headers opens a stream.
func (c *http2Client) headers(stream uint32, pairs []string, end bool) {
	flags := byte(0)
	if end {
		flags = flagEnd
	}
	block := fieldBlock(pairs)
	kind := byte(frameHeaders)
	for len(block) > 16<<10 {
		c.frame(kind, flags, stream, block[:16<<10])
		block, kind, flags = block[16<<10:], frameContinuation, 0
	}
	c.frame(kind, flags|flagWhole, stream, block)
}

func (c *http2Client) read() (kind, flags byte, stream uint32, payload []byte, err error) {
	var head [9]byte
	if _, err = io.ReadFull(c, head[:]); err != nil {
		return 0, 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(c, payload)
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1), payload, err
}

// outcome is what becomes of a stream: its final status, "reset" where it is
// reset, behind the status where that came first, and "closed" where the whole
// connection ends.
func (c *http2Client) outcome(stream uint32) string {
	status := ""
	for {
		kind, flags, of, payload, err := c.read()
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				c.t.Errorf("stream %d has no end", stream)
			}
			return strings.TrimSpace(status + " closed")
		}
		switch {
		case kind == frameSettings && flags&flagAck == 0:
			c.frame(frameSettings, flagAck, 0, nil)
		case kind == frameGoAway && binary.BigEndian.Uint32(payload[4:]) != 0:
			return strings.TrimSpace(status + " closed")
		case of != stream:
		case kind == frameReset:
			if code := binary.BigEndian.Uint32(payload); code == 0 && status != "" {
				return status // the answer was whole: only the rest of the request is unwanted
			}
			return strings.TrimSpace(status + " reset")
		case kind == frameHeaders && (status == "" || status[0] == '1'):
			status = statusIn(payload)
		}
		if of == stream && (kind == frameData || kind == frameHeaders) && flags&flagEnd != 0 {
			return status
		}
	}
}

// statusIn reads :status, the first field of an answer, out of a field block.
func statusIn(block []byte) string {
	known := map[byte]string{0x88: "200", 0x89: "204", 0x8a: "206", 0x8b: "304", 0x8c: "400", 0x8d: "404", 0x8e: "500"}
	if s := known[block[0]]; s != "" {
		return s
	}
	if len(block) < 3 {
		return "unreadable"
	}
	text := block[2:][:block[1]&0x7f]
	if block[1]&0x80 == 0 {
		return string(text)
	}
	// Digits in the code of RFC 7541 appendix B: 0 to 2 have five bits, the
	// others six.
	bits, digits := "", ""
	for _, b := range text {
		bits += fmt.Sprintf("%08b", b)
	}
	for len(digits) < 3 {
		if bits[:3] == "000" {
			digits, bits = digits+strconv.Itoa(int(bits[3]-'0')*2+int(bits[4]-'0')), bits[5:]
			continue
		}
		// Six bits hold 25 for 3 to 31 for 9.
		n := 0
		for _, bit := range bits[:6] {
			n = 2*n + int(bit-'0')
		}
		digits, bits = digits+strconv.Itoa(n-22), bits[6:]
	}
	return digits
}

// pseudo is the fields of a good request.
func (w *wire) pseudo(method, path string) []string {
	token := strings.TrimPrefix(w.at, "Authorization: ")
	return []string{":method", method, ":scheme", "http", ":path", path, ":authority", "rs.example.com", "authorization", token}
}

// http2 sends one request on a connection of its own and tells what becomes of
// it. Unless the connection ended, it must take one more good request.
func (w *wire) http2(t *testing.T, pairs []string, body string) string {
	t.Helper()
	c := w.http2Client(t)
	defer func() { _ = c.Close() }()
	c.headers(1, pairs, body == "")
	if body != "" {
		c.frame(frameData, flagEnd, 1, []byte(body))
	}
	got := c.outcome(1)
	if strings.HasSuffix(got, "closed") {
		return got
	}
	w.after(t, c, got)
	return got
}

// after wants the connection to take one more good request. After a 405 it
// need not: the gate has asked to leave.
func (w *wire) after(t *testing.T, c *http2Client, got string) {
	t.Helper()
	if got == "405" {
		return
	}
	w.behind.mu.Lock()
	answer := w.behind.answer
	w.behind.answer = nil
	w.behind.mu.Unlock()
	c.headers(3, w.pseudo("GET", "/any/after"), true)
	if next := c.outcome(3); next != "200" {
		t.Errorf("after %s, the next request on the connection: %s", got, next)
	}
	w.behind.setAnswer(answer)
}

// http2Refused wants one of the outcomes, and nothing of the request upstream.
func (w *wire) http2Refused(t *testing.T, pairs []string, body string, want ...string) {
	t.Helper()
	before := len(w.behind.requests())
	got := w.http2(t, pairs, body)
	for _, seen := range w.behind.requests()[before:] {
		if seen != "GET /any/after" {
			t.Errorf("%.300q: the upstream saw %q", pairs, seen)
		}
	}
	for _, one := range want {
		// A refusal may come before all of the body did, which is then asked for no longer.
		if got == one || body != "" && got == one+" reset" {
			return
		}
	}
	t.Errorf("%.300q: %s, want %v", pairs, got, want)
}

// http2Passes wants 200, and returns the head that the upstream saw.
func (w *wire) http2Passes(t *testing.T, pairs []string, body string) string {
	t.Helper()
	c := w.http2Client(t)
	c.headers(1, pairs, body == "")
	if body != "" {
		c.frame(frameData, flagEnd, 1, []byte(body))
	}
	if got := c.outcome(1); got != "200" {
		t.Errorf("%.300q: %s, want 200", pairs, got)
	}
	head, _, _ := w.behind.last()
	return head
}

// http2Rows are about what only HTTP/2 can say. No part of it must reach an
// upstream that speaks HTTP/1.1.
var http2Rows = []conformanceRow{
	{"H-14", threatH14}, {"H-15", threatH15}, {"H-16", threatH16}, {"H-17", threatH17}, {"H-18", threatH18}, {"H-19", threatH19}, {"H-20", threatH20},
}

func threatH14(t *testing.T) {
	w := newWire(t, nil)
	for _, pair := range [][2]string{
		{"transfer-encoding", "chunked"}, {"connection", "close"}, {"connection", "x-auth-subject"}, {"upgrade", "websocket"}, {"keep-alive", "timeout=5"},
		{"proxy-connection", "keep-alive"}, {"te", "gzip"}, {"te", "trailers, gzip"},
	} {
		w.http2Refused(t, append(w.pseudo("POST", "/any/x"), pair[:]...), "body", "400", "reset")
	}
	w.http2Passes(t, append(w.pseudo("POST", "/any/x"), "te", "trailers"), "body")
}

func threatH15(t *testing.T) {
	w := newWire(t, nil)
	good := w.pseudo("GET", "/any/x")
	for _, extra := range [][]string{
		{"x-a", "b\rc"}, {"x-a", "b\nx-auth-subject: evil"}, {"x-a", "b\x00"}, {"x-a", "b\r\n\r\nGET /evil HTTP/1.1\r\n"}, {"x-a:", "b"}, {"X-A", "b"}, {"x a", "b"},
		{"x-a\r\nx-b", "c"}, {"", "b"}, {"x-\xc3\xa9", "b"}, {":path", "/any/y"}, {":unknown", "b"}, {":status", "200"}, {"host:", "b"},
	} {
		w.http2Refused(t, append(append([]string(nil), good...), extra...), "", "reset", "400")
	}
	twice := append([]string{":path", "/any/y"}, good...)
	w.http2Refused(t, twice, "", "reset", "400")
	for i := 0; i < 6; i += 2 { // one of :method, :scheme, :path left out
		w.http2Refused(t, append(append([]string(nil), good[:i]...), good[i+2:]...), "", "reset", "400")
	}
}

func threatH16(t *testing.T) {
	w := newWire(t, nil)
	for _, row := range []struct{ length, body string }{{"3", "body"}, {"40", "body"}, {"5", "body"}} {
		w.http2Broken(t, row.body, "content-length", row.length)
	}
	for _, garbage := range []string{"-1", "+4", "4 ", "0x4", "4, 4", "", "99999999999999999999"} {
		w.http2Broken(t, "body", "content-length", garbage)
	}
	w.http2Broken(t, "body", "content-length", "4", "content-length", "5")
	// Where no body is announced, none goes on.
	c := w.http2Client(t)
	c.headers(1, append(w.pseudo("POST", "/any/x"), "content-length", "0"), false)
	c.frame(frameData, flagEnd, 1, []byte("body"))
	c.outcome(1)
	w.behind.mu.Lock()
	defer w.behind.mu.Unlock()
	if text := strings.Join(w.behind.bodies, ""); text != "" {
		t.Errorf("the upstream saw the body %q", text)
	}
}

// http2Broken wants a request refused or reset. Whatever of it reached the
// upstream must not look whole there.
func (w *wire) http2Broken(t *testing.T, body string, extra ...string) {
	t.Helper()
	c := w.http2Client(t)
	before := len(w.behind.requests())
	c.headers(1, append(w.pseudo("POST", "/any/x"), extra...), false)
	c.frame(frameData, flagEnd, 1, []byte(body))
	// A refusal may come before all of the body did, which is then asked for no longer.
	if got := c.outcome(1); got != "reset" && got != "400" && got != "400 reset" {
		t.Errorf("%q: %s, want a reset or 400", extra, got)
	}
	if seen := w.behind.requests()[before:]; len(seen) > 0 {
		t.Errorf("%q: the upstream took %q for whole", extra, seen)
	}
}

func threatH17(t *testing.T) {
	w := newWire(t, nil)
	for _, method := range []string{"GET /evil HTTP/1.1", "GET ", " GET", "G\x01T", "GET\r\n", "G(T", "", "GET/", "G\xc3\xa9T"} {
		w.http2Refused(t, w.pseudo(method, "/any/x"), "", "400", "reset")
	}
}

func threatH18(t *testing.T) {
	w := newWire(t, nil)
	for _, path := range []string{
		"/any/x y", "/any/x HTTP/1.1\r\nX-Evil: 1", "*", "http://rs.example.com/any/x", "//rs.example.com/any/x", "/any/x#y", "any/x", "", "?x", "/any/\x00", "/any/x\t", "/any/\xff",
		"https://other/any/x", "mailto:x",
	} {
		w.http2Refused(t, w.pseudo("GET", path), "", "400", "reset")
	}
}

func threatH19(t *testing.T) {
	w := newWire(t, nil)
	good := w.pseudo("GET", "/any/x")
	authority := func(value string) []string {
		pairs := append([]string(nil), good...)
		pairs[7] = value
		return pairs
	}
	for _, extra := range [][]string{
		{"host", "other.example.com"}, {"host", "rs.example.com", "host", "other.example.com"}, {"host", "other.example.com", "host", "rs.example.com"},
		{"host", "rs.example.com/evil"}, {"host", ""}, {"host", "rs.example.com:8080"},
	} {
		w.http2Refused(t, append(append([]string(nil), good...), extra...), "", "400", "reset")
	}
	for _, value := range []string{"rs.example.com/evil", "u@rs.example.com", "rs example com", "rs.example.com:0", "a,b", "rs.example.com:80:80", "", "[::1%25x]"} {
		w.http2Refused(t, authority(value), "", "400", "reset")
	}
	head := w.http2Passes(t, append(append([]string(nil), good...), "host", "RS.example.com"), "")
	if strings.Count(head, "Host: rs.example.com") == 0 {
		t.Errorf("the upstream saw %q", head)
	}
	if strings.Count("\r\n"+strings.ToLower(head), "\r\nhost:") != 1 {
		t.Errorf("the upstream saw not one Host: %q", head)
	}
}

func threatH20(t *testing.T) {
	w := newWire(t, func(text string) string { return strings.Replace(text, "    behind_tls: true\n", "", 1) })
	for _, scheme := range []string{"http", "https"} {
		pairs := w.pseudo("GET", "/any/x")
		pairs[3] = scheme
		head := w.http2Passes(t, pairs, "") + "\r\n"
		if !strings.Contains(head, "X-Forwarded-Proto: http\r\n") || !strings.Contains(head, ";proto=http\r\n") {
			t.Errorf("with scheme %s the upstream saw %q", scheme, head)
		}
	}
}
