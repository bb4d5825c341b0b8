package websocket

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Opcodes, RFC 6455 section 5.2.
const (
	continuation = 0
	text         = 1
	binaryData   = 2
	closing      = 8
	ping         = 9
	pong         = 10
)

// frame is a frame, well formed or not.
type frame struct {
	fin     bool
	rsv     byte // the three reserved bits
	opcode  byte
	masked  bool
	payload []byte
}

// Masks differ from octet to octet, so that a frame that is moved by one would
// be seen.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func (f frame) bytes() []byte {
	first := f.rsv<<4 | f.opcode
	if f.fin {
		first |= 0x80
	}
	out, bit := []byte{first}, byte(0)
	if f.masked {
		bit = 0x80
	}
	switch n := len(f.payload); {
	case n < 126:
		out = append(out, bit|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, bit|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, bit|127), uint64(n))
	}
	if !f.masked {
		return append(out, f.payload...)
	}
	out = append(out, mask[:]...)
	for i, c := range f.payload {
		out = append(out, c^mask[i%4])
	}
	return out
}

func readFrame(r io.Reader) (f frame, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	f.fin, f.rsv, f.opcode, f.masked = head[0]&0x80 != 0, head[0]>>4&7, head[0]&15, head[1]&0x80 != 0
	size := uint64(head[1] & 127)
	if long := map[uint64]int{126: 2, 127: 8}[size]; long > 0 {
		var octets [8]byte
		if _, err = io.ReadFull(r, octets[8-long:]); err != nil {
			return f, err
		}
		size = binary.BigEndian.Uint64(octets[:])
	}
	var key [4]byte
	if f.masked {
		if _, err = io.ReadFull(r, key[:]); err != nil {
			return f, err
		}
	}
	f.payload = make([]byte, size)
	_, err = io.ReadFull(r, f.payload)
	for i := range f.payload {
		f.payload[i] ^= key[i%4]
	}
	return f, err
}

// closeCode is what a close frame says; 0 for another frame.
func (f frame) closeCode() uint16 {
	if f.opcode != closing || !f.fin || f.rsv != 0 || len(f.payload) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(f.payload)
}

const key = "dGhlIHNhbXBsZSBub25jZQ=="

func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	return base64.StdEncoding.EncodeToString(sum[:])
}

// shakeHands answers a handshake, and in the same segment says more. What is
// asked for is agreed to.
func shakeHands(w http.ResponseWriter, r *http.Request, more string) (net.Conn, *bufio.ReadWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil
	}
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept(r.Header.Get("Sec-WebSocket-Key")) + "\r\n"
	for _, name := range []string{"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} {
		if value := r.Header.Get(name); value != "" {
			first, _, _ := strings.Cut(value, ",")
			head += name + ": " + first + "\r\n"
		}
	}
	_, _ = io.WriteString(conn, head+"\r\n"+more)
	return conn, rw
}

// client is the plain end of a connection.
type client struct {
	net.Conn
	*bufio.Reader
	answer *http.Response
}

func (c *client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// shake sends a handshake with more fields, and frames behind it.
func (g *gate) shake(t *testing.T, path, fields, early string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: rs.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+key+"\r\n"+fields+"\r\n"+early)
	c := &client{Conn: conn, Reader: bufio.NewReader(conn)}
	if c.answer, err = http.ReadResponse(c.Reader, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = c.answer.Body.Close() })
	return c
}

func (c *client) wantStatus(t *testing.T, status int) {
	t.Helper()
	if c.answer.StatusCode != status {
		t.Fatalf("status %d, want %d", c.answer.StatusCode, status)
	}
}

func (c *client) send(t *testing.T, frames ...frame) {
	t.Helper()
	for _, f := range frames {
		if _, err := c.Write(f.bytes()); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *client) receive(t *testing.T) frame {
	t.Helper()
	f, err := readFrame(c.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
