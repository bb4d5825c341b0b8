package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answerThreatRows are about what comes back from behind the gate.
var answerThreatRows = []conformanceRow{
	{"H-21", threatH21}, {"H-22", threatH22}, {"H-23", threatH23}, {"H-25", threatH25},
}

func threatH21(t *testing.T) {
	w := newWire(t, nil)
	tail := "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil"
	for name, row := range map[string]struct {
		text   string
		status int
		body   string
	}{
		"both lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok"},
		"two lengths":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok" + tail, 502, ""},
		"signed length":       {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok" + tail, 502, ""},
		"unknown coding":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 502, ""},
		"NUL in a field":      {"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		"blank in a name":     {"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nok", 200, "ok"},
		"20 MB of fields":     {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 20<<20) + "\r\nContent-Length: 2\r\n\r\nok", 502, ""},
		"300 KiB of fields":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 300) + "Content-Length: 2\r\n\r\nok", 502, ""},
		"octets after a 204":  {"HTTP/1.1 204 No Content\r\n\r\n" + tail, 204, ""},
		"octets after a body": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + tail, 200, "ok"},
		"no HTTP":             {"SSH-2.0-x\r\n", 502, ""},
		"bare CR":             {"HTTP/1.1 200 OK\r\nX-A: b\rX-Auth: c\r\nContent-Length: 2\r\n\r\nok", 502, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.behind.says(row.text, false)
			conn := w.dial(t)
			in := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, w.open("GET", "/any/x"))
			r := nextReply(t, in, http.MethodGet)
			if r.StatusCode != row.status || row.body != "" && r.body != row.body {
				t.Errorf("%d %.100q", r.StatusCode, r.body)
			}
			if text := fmt.Sprint(r.Header); strings.Contains(text, "\r") || strings.Contains(text, "X A") {
				t.Errorf("the client saw %q", r.Header)
			}
			w.behind.setAnswer(nil)
			w.serves(t, conn, in)
		})
	}
}

func threatH22(t *testing.T) {
	w := newWire(t, nil)
	w.behind.says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false)
	if r := w.do("GET", "/any/x", "Authorization", "Bearer "+w.AT(nil)); r.StatusCode != 502 {
		t.Errorf("101 unasked: %d", r.StatusCode)
	}
	for status, most := range map[string]int{"103 Early Hints": 8, "102 Processing": 8, "100 Continue": 1} {
		w.behind.says(strings.Repeat("HTTP/1.1 "+status+"\r\nLink: </a>\r\n\r\n", 1000)+rawOK, true)
		answer := w.raw(strings.Replace(w.open("GET", "/any/x"), "\r\n", "\r\nConnection: close\r\n", 1))
		if n := strings.Count(answer, "HTTP/1.1 1"); n > most || n < 1 && most > 1 || !strings.HasSuffix(answer, "\r\n\r\nok") {
			t.Errorf("of 1,000 times %s the client saw %d, and %.200q", status, n, answer)
		}
	}
}

// Answers before the answer are not for HTTP/1.0, and leave what the final one
// says while draining.
func TestHintsAtTheEdges(t *testing.T) {
	w := newWire(t, nil)
	w.behind.says("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+rawOK, false)
	old := strings.Replace(w.open("GET", "/any/x"), "HTTP/1.1", "HTTP/1.0", 1)
	if answer := w.raw(old); !strings.HasPrefix(answer, "HTTP/1.0 200 OK\r\n") || strings.Contains(answer, "103") {
		t.Errorf("over HTTP/1.0 the client saw %q", answer)
	}
	w.gateway.servers.quiet()
	if answer := w.raw(w.open("GET", "/any/x")); !strings.HasPrefix(answer, "HTTP/1.1 103 ") || strings.Count(answer, "Connection: close\r\n") < 1 || !strings.HasSuffix(answer, "\r\n\r\nok") {
		t.Errorf("while draining the client saw %q", answer)
	}
}

// threatH23 needs no clean end on either protocol.
func threatH23(t *testing.T) {
	w := newWire(t, nil)
	for name, text := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w.behind.says(text, true)
			list := w.all(t, w.open("GET", "/any/x"))
			if len(list) > 0 && !strings.HasSuffix(list[0].body, "and no end") {
				t.Errorf("over HTTP/1.1 the client saw a whole answer")
			}
			if got := w.http2(t, w.pseudo("GET", "/any/x"), ""); got != "200 reset" && got != "reset" {
				t.Errorf("over HTTP/2 the client saw %q", got)
			}
		})
	}
	t.Run("metric", TestCutAnswerStaysCut)
}

// A client that has its answer is not waited for, though the rest of its body
// is short enough to be read for the sake of the connection.
func TestAnsweredClientIsNotWaitedFor(t *testing.T) {
	w := newWire(t, settings("timeouts: {body_stall: 1h}"))
	w.behind.mu.Lock()
	w.behind.early = true
	w.behind.mu.Unlock()
	w.behind.says("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", true)
	list := w.all(t, w.open("POST", "/any/x", "Content-Length: 100")+"a part")
	if len(list) != 1 || list[0].StatusCode != 403 || list[0].body != "no" {
		t.Errorf("answered %v", list)
	}
}

// A client that sends no more than fits, and reads, has the early answer to its
// end: octets that nobody has read would have the system reset the connection,
// and take away what is on its way.
func TestEarlyAnswerIsNotReset(t *testing.T) {
	w := newWire(t, nil)
	w.behind.mu.Lock()
	w.behind.early = true
	w.behind.mu.Unlock()
	octets := strings.Repeat("a", 1<<16)
	for name, row := range map[string]struct {
		lines []string
		part  string
	}{
		"length":       {[]string{"Content-Length: 100000000"}, octets},
		"length, last": {[]string{"Content-Length: 100000000", "Connection: close"}, octets},
		"chunks":       {[]string{"Transfer-Encoding: chunked"}, "10000\r\n" + octets + "\r\n"},
		"chunks, last": {[]string{"Transfer-Encoding: chunked", "Connection: close"}, "10000\r\n" + octets + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			full := make(chan struct{})
			w.behind.setAnswer(func(*http.Request) (string, bool) {
				<-full
				return "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig", true
			})
			conn := w.dial(t)
			_, err := io.WriteString(conn, w.open("POST", "/any/x", row.lines...))
			for err == nil {
				_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
				_, err = io.WriteString(conn, row.part)
			}
			close(full)
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") || !strings.HasSuffix(string(answer), "\r\n\r\nbig") {
				t.Errorf("answered %q, and then %v", answer, err)
			}
		})
	}
}

func threatH25(t *testing.T) {
	w := newWire(t, nil)
	w.behind.mu.Lock()
	w.behind.early = true
	w.behind.mu.Unlock()
	w.behind.setAnswer(func(r *http.Request) (string, bool) {
		if r.Method == http.MethodPost {
			return "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig", true
		}
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path), false
	})
	for range 10 {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, w.open("POST", "/any/x", "Content-Length: 100000000")+strings.Repeat("a", 1<<16))
		in := bufio.NewReader(conn)
		if r := nextReply(t, in, http.MethodPost); r.StatusCode != 413 || r.body != "big" {
			t.Fatalf("%d %q", r.StatusCode, r.body)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("after the answer came %q", rest)
		}
	}
	at := "Bearer " + w.AT(nil)
	for i := range 1000 {
		path := fmt.Sprintf("/any/%d", i)
		if r := w.do("GET", path, "Authorization", at); r.StatusCode != 200 || r.body != path {
			t.Fatalf("%s was answered with %d %q", path, r.StatusCode, r.body)
		}
	}
}
