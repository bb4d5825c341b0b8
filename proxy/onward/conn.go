package onward

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// conn is a connection to the upstream. What it knows of a request under way
// belongs to who writes that or to who reads the answer.
type conn struct {
	net.Conn
	raw  syscall.RawConn // nil where the system cannot be asked what has come
	look func(uintptr)   // see peek; made once, since it costs an allocation
	seen error           // what look saw

	in     *bufio.Reader // nil while idle
	out    *bufio.Writer
	reused bool
	since  time.Time // idle

	asked  bool          // the writer's: something was written of the request
	broken error         // the writer's: the connection took no more
	begun  chan struct{} // the writer's: closed once asked; nil where the writer reads the answer too

	heard bool  // the reader's: something of the answer has come
	lost  error // the reader's: no more can come
	left  int64 // the reader's: octets that the header may still have; negative for any number
}

var (
	errGone           = errors.New("upstream has closed the connection")
	errHeaderTooLarge = errors.New("the header of the upstream's answer is too large")
)

func newConn(dialled net.Conn) *conn {
	c := &conn{Conn: dialled}
	if socket, ok := dialled.(syscall.Conn); ok && Available {
		if raw, err := socket.SyscallConn(); err == nil {
			c.raw, c.look = raw, c.lookAt
		}
	}
	return c
}

// peek tells whether an octet, or the end, has come that nobody has read. It is
// ErrUnasked, errGone or another error of the connection then.
func (c *conn) peek() error {
	if c.raw == nil {
		return nil
	}
	if err := c.raw.Control(c.look); err != nil {
		c.seen = err
	}
	return c.seen
}

// begin looks once more before the first octets of a request: what came while
// nobody waited for it must not become its answer. Nothing is written if it did,
// and nobody may read before.
func (c *conn) begin() error {
	if c.asked || c.broken != nil {
		return c.broken
	}
	if c.broken = c.peek(); c.broken != nil {
		return c.broken
	}
	c.asked = true
	if c.begun != nil {
		close(c.begun)
	}
	return nil
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.broken = err
	return n, err
}

// ReadFrom lets a long body go in large pieces. An error of its reader says
// nothing of the connection.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	from := &source{Reader: r}
	n, err := io.Copy(c.Conn, from)
	if from.err == nil {
		c.broken = err
	}
	return n, err
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errHeaderTooLarge
	}
	if c.left > 0 && int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.heard, c.lost = c.heard || n > 0, err
	if c.left > 0 {
		c.left -= int64(n)
	}
	return n, err
}

// source notes why no more can be read of it.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
