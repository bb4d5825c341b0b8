package lifecycle

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 wants it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const closeFrame = 8

func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readFrame reads a short WebSocket frame, masked or not.
func readFrame(r io.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := int(head[1] & 0x7f)
	if length > 125 {
		return 0, nil, errors.New("a long frame")
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}

// line is a client's HTTP/1.1 connection that tries nothing twice: a request
// that gets no answer is a lost one.
type line struct {
	dial   func() (net.Conn, error)
	scheme string // of its tokens; Bearer unless it is set
	conn   net.Conn
	in     *bufio.Reader
}

// send writes a request and reads the answer to its end.
func (l *line) send(method, path, token, id string, body func(io.Writer) error) (int, error) {
	if l.conn == nil {
		conn, err := l.dial()
		if err != nil {
			return 0, fmt.Errorf("dial: %w", err)
		}
		l.conn, l.in = conn, bufio.NewReader(conn)
	}
	_ = l.conn.SetDeadline(time.Now().Add(patience))
	resp, err := l.exchange(method, path, token, id, body)
	if err != nil || resp.Close {
		l.close()
	}
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

func (l *line) exchange(method, path, token, id string, body func(io.Writer) error) (*http.Response, error) {
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: rs.example.com\r\nX-Id: %s\r\n", method, path, id)
	if token != "" {
		fmt.Fprintf(&head, "Authorization: %s %s\r\n", cmp.Or(l.scheme, "Bearer"), token)
	}
	if body != nil {
		head.WriteString("Transfer-Encoding: chunked\r\n")
	} else if method == "POST" {
		head.WriteString("Content-Length: 0\r\n")
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(l.conn, head.String()); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if body != nil {
		if err := body(l.conn); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, fmt.Errorf("answer's body: %w", err)
	}
	return resp, nil
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// chunks is a body of count chunks, one each time pause is over.
func chunks(count int, pause time.Duration) func(io.Writer) error {
	return func(w io.Writer) error {
		chunk := []byte("1000\r\n" + strings.Repeat("a", 0x1000) + "\r\n")
		for range count {
			if _, err := w.Write(chunk); err != nil {
				return err
			}
			time.Sleep(pause)
		}
		_, err := io.WriteString(w, "0\r\n\r\n")
		return err
	}
}

// tally counts what became of requests.
type tally struct {
	sent, good, bad atomic.Int64

	mu     sync.Mutex
	faults map[string]int
}

func (y *tally) count(status, want int, err error) {
	y.sent.Add(1)
	if err == nil && status == want {
		y.good.Add(1)
		return
	}
	y.bad.Add(1)
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.faults == nil {
		y.faults = make(map[string]int)
	}
	what := fmt.Sprintf("status %d, want %d", status, want)
	if err != nil {
		what = err.Error()
		if at := strings.Index(what, "->"); at > 0 { // ports make each its own
			what = what[:at]
		}
	}
	y.faults[what]++
}

func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return fmt.Sprintf("%d sent, %d good, %d bad %v", y.sent.Load(), y.good.Load(), y.bad.Load(), y.faults)
}

// stream is an answer without end, or a WebSocket.
type stream struct {
	conn net.Conn
	in   *bufio.Reader
	resp *http.Response
}

func openStream(conn net.Conn, path, token, more string) (*stream, error) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: Bearer %s\r\n%s\r\n", path, token, more)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, in: bufio.NewReader(conn)}
	if s.resp, err = http.ReadResponse(s.in, nil); err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return s, nil
}

func openWebSocket(conn net.Conn, token string) (*stream, error) {
	s, err := openStream(conn, "/ws", token, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
	if err == nil && s.resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("handshake: %s", s.resp.Status)
	}
	return s, err
}

func openEvents(conn net.Conn, token string) (*stream, error) {
	s, err := openStream(conn, "/sse", token, "")
	if err == nil && s.resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("events: %s", s.resp.Status)
	}
	return s, err
}

// closing waits for the end of a WebSocket and returns the code it gives.
func (s *stream) closing() (code int, err error) {
	for {
		opcode, payload, err := readFrame(s.in)
		if err != nil {
			return 0, err
		}
		if opcode != closeFrame {
			continue
		}
		_, _ = s.conn.Write([]byte{0x88, 0x80, 0, 0, 0, 0})
		if len(payload) < 2 {
			return 1005, nil
		}
		return int(binary.BigEndian.Uint16(payload)), nil
	}
}

// drained waits for the end of an answer; nil is one in good order.
func (s *stream) drained() error {
	_, err := io.Copy(io.Discard, s.resp.Body)
	return err
}

// frames is an HTTP/2 connection, by hand: no library tells of a GOAWAY.
type frames struct{ net.Conn }

const (
	frameHeaders  = 1
	frameSettings = 4
	frameGoAway   = 7
)

func openFrames(conn net.Conn) (*frames, error) {
	f := &frames{conn}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		return nil, err
	}
	return f, f.write(frameSettings, 0, 0, nil)
}

func (f *frames) write(kind, flags byte, id uint32, payload []byte) error {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[5:], id)
	_, err := f.Write(append(head, payload...))
	return err
}

// ask sends a GET without a body (RFC 7541 sections 6.1 and 6.2.2). more is
// encoded already.
func (f *frames) ask(id uint32, path string, more []byte) error {
	var block bytes.Buffer
	block.Write([]byte{0x82, 0x86, 0x04, byte(len(path))})
	block.WriteString(path)
	block.Write([]byte{0x01, byte(len("rs.example.com"))})
	block.WriteString("rs.example.com")
	block.Write(more)
	return f.write(frameHeaders, 0x5, id, block.Bytes()) // END_STREAM, END_HEADERS
}

// bearer is an authorization field, never to be indexed.
func bearer(token string) []byte {
	value := "Bearer " + token
	block := []byte{0x1f, 0x08, 0x7f}
	rest := len(value) - 0x7f
	for ; rest >= 0x80; rest >>= 7 {
		block = append(block, byte(rest)|0x80)
	}
	return append(append(block, byte(rest)), value...)
}

// next reads a frame and answers nothing.
func (f *frames) next() (kind byte, id uint32, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(f, payload)
	return head[3], binary.BigEndian.Uint32(head[5:]) & 0x7fffffff, payload, err
}

// until reads frames up to one of a kind.
func (f *frames) until(want byte) (payload []byte, err error) {
	for {
		kind, _, payload, err := f.next()
		if err != nil || kind == want {
			return payload, err
		}
	}
}

// clientLoad sends requests over connections that are kept, and over new ones.
type clientLoad struct {
	dial        func() (net.Conn, error)
	stop        chan struct{}
	kept, fresh tally
	again       atomic.Int64 // kept connections that had to be opened again
	running     sync.WaitGroup
}

func (l *clientLoad) each(pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		do()
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
	}
}

func (l *clientLoad) keeping(token string) {
	one := &line{dial: l.dial}
	defer one.close()
	first := true
	l.each(30*time.Millisecond, func() {
		if one.conn == nil && !first {
			l.again.Add(1)
		}
		first = false
		status, err := one.send("POST", "/x", token, "", nil)
		l.kept.count(status, http.StatusOK, err)
	})
}

func (l *clientLoad) coming(token string) {
	l.each(30*time.Millisecond, func() {
		one := &line{dial: l.dial}
		defer one.close()
		status, err := one.send("POST", "/x", token, "", nil)
		l.fresh.count(status, http.StatusOK, err)
	})
}
