package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// seen is a request that the recorder has run.
type seen struct {
	method, target string
	head           string // as it came, with the empty line
	trailers       string
}

// recorder is an upstream that notes the octets of each head, and says in its
// answer which request it answers.
type recorder struct {
	net.Listener
	running sync.WaitGroup

	mu     sync.Mutex // guards all below
	list   []seen
	broken []string // what came where a request should begin
	conns  map[net.Conn]bool
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l, conns: map[net.Conn]bool{}}
	r.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.keep(conn, true)
			r.running.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.mu.Lock()
		for conn := range r.conns {
			_ = conn.Close()
		}
		r.mu.Unlock()
		r.running.Wait()
	})
	return r
}

func (r *recorder) keep(conn net.Conn, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if open {
		r.conns[conn] = true
		return
	}
	delete(r.conns, conn)
	_ = conn.Close()
}

func (r *recorder) serve(conn net.Conn) {
	defer r.keep(conn, false)
	in := bufio.NewReader(conn)
	for {
		s, err := r.one(conn, in)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.list = append(r.list, s)
		r.mu.Unlock()
		body := s.method + " " + s.target
		length := len(body)
		if s.method == "HEAD" {
			body = ""
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body); err != nil {
			return
		}
	}
}

// one reads a request to its end. It frames as RFC 9112 section 6.3 says, and
// anything odd in a head is left for the test to find.
func (r *recorder) one(conn net.Conn, in *bufio.Reader) (s seen, err error) {
	for {
		line, err := in.ReadString('\n')
		s.head += line
		if err != nil {
			if s.head != "" {
				r.note(s.head)
			}
			return s, err
		}
		if line == "\r\n" || line == "\n" {
			break
		}
	}
	start, fields, _ := strings.Cut(s.head, "\r\n")
	parts := strings.Split(start, " ")
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(fields))).ReadMIMEHeader()
	if err != nil || len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/1.") {
		r.note(s.head)
		return s, io.ErrUnexpectedEOF
	}
	s.method, s.target = parts[0], parts[1]
	if strings.EqualFold(header.Get("Expect"), "100-continue") {
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") // a client that is gone shows when the body is read
	}
	switch {
	case strings.EqualFold(header.Get("Transfer-Encoding"), "chunked"):
		if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(in)); err != nil {
			return s, err
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil || line == "\r\n" {
				return s, err
			}
			s.trailers += line
		}
	case header.Get("Content-Length") != "":
		length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
		if err != nil {
			r.note(s.head)
			return s, err
		}
		_, err = io.CopyN(io.Discard, in, length)
		return s, err
	}
	return s, nil
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, text)
}

// requests is what has been run so far, and what was no request.
func (r *recorder) requests() (list []seen, broken []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(list, r.list...), append(broken, r.broken...)
}
