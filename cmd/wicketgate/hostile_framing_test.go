package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestHostileHTTP runs the threats to framing, targets and fields, each under
// its number: octets in, what the client is told, the octets the upstream saw,
// and what becomes of the connection.
func TestHostileHTTP(t *testing.T) {
	for _, r := range slices.Concat(framingRows, answerThreatRows, http2Rows, targetRows, fieldRows, claimFieldRows, sharedRows) {
		t.Run(r.id, r.run)
	}
}

var framingRows = []conformanceRow{
	{"H-01", threatH01}, {"H-02", threatH02}, {"H-03", threatH03}, {"H-04", threatH04}, {"H-05", threatH05}, {"H-06", threatH06},
	{"H-07", threatH07}, {"H-08", threatH08}, {"H-09", threatH09}, {"H-10", threatH10}, {"H-11", threatH11}, {"H-12", threatH12}, {"H-13", threatH13},
	{"H-24", threatH24},
}

func threatH01(t *testing.T) {
	w := newWire(t, nil)
	for _, target := range []string{"up:1", "/read", "http://up/read", "rs.example.com:443"} {
		w.closes(t, "CONNECT "+target+" HTTP/1.1\r\nHost: rs.example.com\r\n"+w.at+"\r\n\r\nGET /any/x HTTP/1.1\r\n\r\n", 400, 405)
		w.closes(t, w.open("CONNECT", "/read", "Content-Length: 3")+"abc"+w.open("GET", "/any/x"), 405)
	}
	for _, pairs := range [][]string{
		{":method", "CONNECT", ":authority", "up:1"},
		{":method", "CONNECT", ":authority", "rs.example.com", ":scheme", "http", ":path", "/any/x", ":protocol", "websocket"},
	} {
		w.http2Refused(t, pairs, "body", "405", "400", "reset")
	}
}

func threatH02(t *testing.T) {
	w := newWire(t, nil)
	for _, lines := range [][]string{
		{"Content-Length: 4", "Transfer-Encoding: chunked"}, {"Transfer-Encoding: chunked", "Content-Length: 4"},
		{"Content-Length: 40", "Transfer-Encoding: Chunked"}, {"Content-Length: 0", "Transfer-Encoding: chunked"},
	} {
		before := len(w.behind.requests())
		list := w.all(t, w.open("POST", "/any/first", lines...)+"3\r\nabc\r\n0\r\n\r\n"+w.open("GET", "/any/second"))
		if len(list) != 1 || list[0].StatusCode != 200 || !list[0].Close {
			t.Errorf("%q: %d answers", lines, len(list))
		}
		if seen := w.behind.requests()[before:]; !slices.Equal(seen, []string{"POST /any/first"}) {
			t.Errorf("%q: the upstream saw %q", lines, seen)
		}
		head, _, body := w.behind.last()
		if strings.Contains(head, "Content-Length") || strings.Count(head, "Transfer-Encoding") != 1 || body != "abc" {
			t.Errorf("%q: the upstream saw %q with body %q", lines, head, body)
		}
	}
	t.Run("HTTP-10", testHTTP10)
}

func threatH03(t *testing.T) {
	w := newWire(t, nil)
	for _, lines := range []string{
		"Transfer-Encoding: xchunked", "Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Transfer-Encoding: \x0bchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: gzip, chunked", "Transfer-Encoding:", "Transfer-Encoding: chunked,", "Transfer-Encoding: ch\r\n unked",
		"Transfer-Encoding: chunked\x00", "Transfer-Encoding: chunked\xa0",
	} {
		w.closes(t, w.open("POST", "/any/x", lines)+"0\r\n\r\n"+w.open("GET", "/any/second"), 400, 501)
	}
}

func threatH04(t *testing.T) {
	w := newWire(t, nil)
	for _, value := range []string{
		"1\r\nContent-Length: 2", "1, 1", "1, 2", "+1", "-1", "0x1", "1_0", "", "12345678901234567890", "1 1", "1.0", "1e0", "\x0b1", "1;", "٣",
		"1\r\nContent-Length: +1", ",1", "9223372036854775808",
	} {
		w.closes(t, w.open("POST", "/any/x", "Content-Length: "+value)+"a"+w.open("GET", "/any/second"), 400)
	}
	// Repeats that agree may be folded: RFC 9112 section 6.3.
	head, _, body := w.passes(t, w.open("POST", "/any/x", "Content-Length: 1", "Content-Length: 1")+"a")
	if strings.Count(head, "Content-Length: 1") != 1 || body != "a" {
		t.Errorf("the upstream saw %q with body %q", head, body)
	}
}

func threatH05(t *testing.T) {
	w := newWire(t, nil)
	chunked := w.open("POST", "/any/cut", "Transfer-Encoding: chunked")
	for _, body := range []string{
		"+1\r\na\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "1\na\n0\n\n", "00000000000000001\r\na\r\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "1\r\na0\r\n\r\n",
		"1;a\nb\r\na\r\n0\r\n\r\n", "-1\r\na\r\n0\r\n\r\n", "\r\n0\r\n\r\n", "1 1\r\na\r\n0\r\n\r\n", "fffffffffffffffff\r\na", "1\r\na\n\r0\r\n\r\n", "1\ra\r\n0\r\n\r\n",
		";\r\n\r\n", "1\x00\r\na\r\n0\r\n\r\n",
	} {
		list := w.all(t, chunked+body+w.open("GET", "/any/second"))
		if len(list) != 1 {
			t.Errorf("%q: %d answers", body, len(list))
			continue
		}
		wantOneOf(t, list[0], body, []int{400})
	}
	for _, text := range w.behind.transcripts(w) {
		if strings.Contains(text, "\r\n0\r\n") || strings.Contains(text, "/any/second") {
			t.Errorf("a broken body ended cleanly upstream: %q", text)
		}
	}
	if seen := w.behind.requests(); len(seen) != 0 {
		t.Errorf("the upstream took %q for whole", seen)
	}
}

func threatH06(t *testing.T) {
	w := newWire(t, nil)
	for _, declared := range []string{"Trailer: X-Auth-Subject, X_Auth_Email, Authorization", "Trailer: X-Any", "X-Other: 1"} {
		before := len(w.behind.requests())
		list := w.all(t, w.open("POST", "/any/x", "Transfer-Encoding: chunked", declared)+
			"3;ext=\"evil-extension\";b\r\nabc\r\n0;evil-extension\r\nX-Auth-Subject: evil-trailer\r\nX_Auth_Email: evil-trailer\r\nX-Any: evil-trailer\r\n\r\n")
		if len(list) != 1 || list[0].StatusCode != 200 || len(w.behind.requests()) != before+1 {
			t.Fatalf("%s: %d answers", declared, len(list))
		}
		head, fields, body := w.behind.last()
		if body != "abc" || strings.Contains(head, "\r\nTrailer:") || !slices.Equal(fields["X-Auth-Subject"], []string{"user-1"}) {
			t.Errorf("%s: the upstream saw %q with body %q", declared, head, body)
		}
	}
	for _, text := range w.behind.transcripts(w) {
		if strings.Contains(text, "evil") {
			t.Errorf("the upstream saw %q", text)
		}
	}
}

func threatH07(t *testing.T) {
	w := newWire(t, nil)
	for _, text := range []string{
		strings.ReplaceAll(w.open("GET", "/any/x", "X-A: b"), "\r\n", "\n"),
		w.open("GET", "/any/x", "X-A: b", "X-B: c\r\n\td"),
		w.open("GET", "/any/x", "X-A: b\r\n  X-Auth-Subject: evil"),
	} {
		head, fields, _ := w.passes(t, text)
		if strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") || strings.Contains(head, "\r\n ") || strings.Contains(head, "\r\n\t") {
			t.Errorf("the upstream saw %q", head)
		}
		if len(fields["X-A"]) != 1 || !strings.HasPrefix(fields["X-A"][0], "b") {
			t.Errorf("the upstream saw %q", fields["X-A"])
		}
	}
}

func threatH08(t *testing.T) {
	w := newWire(t, nil)
	for _, line := range []string{
		"X-A: b\rc", "X-A: b\x00c", "X-\x00A: b", "X A: b", ": b", "X-A\x7f: b", "X-A: b\x7fc", "X-A", "X-A\r: b", "X-A: \x01", "X-\xc3\xa9: b", "(X): b", "X-A:b\rX-Auth-Subject: evil",
	} {
		w.closes(t, w.open("GET", "/any/x", line)+w.open("GET", "/any/second"), 400)
	}
}

func threatH09(t *testing.T) {
	w := newWire(t, nil)
	head, _, body := w.passes(t, w.open("POST", "/any/x", "Content_Length: 5", "Transfer_Encoding: chunked", "Content.Length: 7", "transfer_encoding: chunked", "Content-Length: 1")+"a")
	if strings.Contains(head, "_") || strings.Contains(head, "Content.Length") || strings.Contains(head, "chunked") || body != "a" {
		t.Errorf("the upstream saw %q with body %q", head, body)
	}
}

func threatH10(t *testing.T) {
	w := newWire(t, nil)
	host := "Host: rs.example.com\r\n" + w.at + "\r\n"
	for _, text := range []string{
		"GET /any/x\r\n", "GET /any/x HTTP/1.2\r\n" + host + "\r\n", "GET /any/x HTTP/2.0\r\n" + host + "\r\n", "GET /any/x HTTP/3.0\r\n" + host + "\r\n",
		"GET /any/x HTTP/1.10\r\n" + host + "\r\n", "GET /any/x http/1.1\r\n" + host + "\r\n", "GET /any/x HTTP/1\r\n" + host + "\r\n",
		"GET  /any/x HTTP/1.1\r\n" + host + "\r\n", "GET /any/x\tHTTP/1.1\r\n" + host + "\r\n",
	} {
		w.closes(t, text+w.open("GET", "/any/second"), 400, 505)
	}
	w.refuses(t, "PRI * HTTP/1.1\r\n"+host+"\r\n", 400)
	// Transfer-Encoding has no meaning in HTTP/1.0, so nobody can tell what
	// follows: RFC 9112 section 6.1.
	before := len(w.behind.requests())
	list := w.all(t, "POST /any/old HTTP/1.0\r\n"+host+"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+w.open("GET", "/any/second"))
	if len(list) != 1 {
		t.Errorf("%d answers to HTTP/1.0 with Transfer-Encoding", len(list))
	}
	if seen := w.behind.requests()[before:]; slices.Contains(seen, "GET /any/second") {
		t.Errorf("the upstream saw %q", seen)
	}
}

func threatH11(t *testing.T) {
	w := newWire(t, nil)
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
		head, _, body := w.passes(t, w.open(method, "/any/x", "Content-Length: 24")+"GET /any/evil HTTP/1.1\r\n")
		if !strings.Contains(head, "Content-Length: 24") || !strings.HasPrefix(body, "GET /any/evil") {
			t.Errorf("%s: the upstream saw %q with body %q", method, head, body)
		}
		list := w.all(t, w.open(method, "/any/chunked", "Transfer-Encoding: chunked")+"3\r\nabc\r\n0\r\n\r\n")
		if len(list) != 1 || list[0].StatusCode != 200 {
			t.Errorf("%s chunked: %d answers", method, len(list))
		}
		if head, _, body := w.behind.last(); !strings.Contains(head, "Transfer-Encoding: chunked") || body != "abc" {
			t.Errorf("%s chunked: the upstream saw %q with body %q", method, head, body)
		}
	}
}

func threatH12(t *testing.T) {
	w := newWire(t, nil)
	w.behind.setAnswer(func(r *http.Request) (string, bool) {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path), false
	})
	bad := strings.Replace(w.open("GET", "/any/2"), w.at, "Authorization: Bearer bad", 1)
	list := w.all(t, w.open("GET", "/any/1")+bad+w.open("GET", "/any/3")+w.open("GET", "/any/../4")+w.open("GET", "/any/5", "Connection: close")+w.open("GET", "/any/6"))
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprintf("%d %s", r.StatusCode, r.body[:min(6, len(r.body))]))
	}
	want := []string{"200 /any/1", `401 {"erro`, "200 /any/3", `400 {"erro`, "200 /any/5"}
	if !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
	if seen := w.behind.requests(); !slices.Equal(seen, []string{"GET /any/1", "GET /any/3", "GET /any/5"}) {
		t.Errorf("the upstream saw %q", seen)
	}
}

func threatH24(t *testing.T) {
	w := newWire(t, nil)
	for _, token := range []string{"Bearer bad", "Bearer " + w.AT(map[string]any{"exp": 1}), "Basic eDp5"} {
		for _, framing := range []string{"Content-Length: 1000000000", "Transfer-Encoding: chunked"} {
			text := strings.Replace(w.open("POST", "/any/x", "Expect: 100-continue", framing), w.at, "Authorization: "+token, 1)
			w.untouchedOctets(t, func() {
				conn := w.dial(t)
				_, _ = io.WriteString(conn, text)
				raw, _ := io.ReadAll(bufio.NewReader(conn))
				if !strings.HasPrefix(string(raw), "HTTP/1.1 401 ") || strings.Count(string(raw), "HTTP/1.1") != 1 {
					t.Errorf("answered %q", raw)
				}
			})
		}
	}
	t.Run("HTTP-24", testHTTP24)
}
