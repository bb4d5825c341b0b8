package echo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// rawUpstream speaks HTTP/1.1 octet by octet, so that it can break it.
type rawUpstream struct {
	net.Listener
	ledger  *ledger
	running sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

func newRawUpstream(l *ledger) (*rawUpstream, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &rawUpstream{Listener: listener, ledger: l, conns: map[net.Conn]bool{}}
	u.running.Go(func() {
		for {
			conn, err := u.Accept()
			if err != nil {
				return
			}
			u.keep(conn, true)
			u.running.Go(func() { u.serve(conn) })
		}
	})
	return u, nil
}

func (u *rawUpstream) keep(conn net.Conn, open bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if open {
		u.conns[conn] = true
	} else {
		delete(u.conns, conn)
	}
}

// close ends all connections.
func (u *rawUpstream) close() {
	_ = u.Close()
	u.mu.Lock()
	for conn := range u.conns {
		_ = conn.Close()
	}
	u.mu.Unlock()
	u.running.Wait()
}

// rawConn is one connection of a rawUpstream.
type rawConn struct {
	net.Conn
	in   *bufio.Reader
	out  []byte
	body bytes.Buffer
}

func (u *rawUpstream) serve(conn net.Conn) {
	defer u.keep(conn, false)
	defer func() { _ = conn.Close() }()
	c := &rawConn{Conn: conn, in: bufio.NewReader(conn)}
	for u.one(c) {
	}
}

// reset closes without a goodbye.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// one takes a request and answers it, and tells whether there can be another.
func (u *rawUpstream) one(c *rawConn) (more bool) {
	r, err := http.ReadRequest(c.in)
	if err != nil {
		return false
	}
	x := u.ledger.arrived(r)
	switch {
	case x == nil:
		_, _ = io.WriteString(c, "HTTP/1.1 500 Stray\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return false
	case x.fault == early:
		return c.early(x, r)
	}
	c.body.Reset()
	if _, err := c.body.ReadFrom(r.Body); err != nil {
		return false
	}
	first := u.ledger.execute(x, c.body.Bytes())
	if x.fault == socket {
		return c.socket(x, r)
	}
	return c.answer(x, r.Header.Get(toldField), first)
}

// early answers before the body is there. Half of the time it takes the body
// nevertheless.
func (c *rawConn) early(x *exchange, r *http.Request) (more bool) {
	c.head(x, r.Header.Get(toldField))
	c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n\r\n", x.gets)
	c.out = fill(c.out, x.id, x.gets)
	_, _ = c.Write(c.out)
	if x.chance%2 == 0 {
		return false
	}
	_, err := io.Copy(io.Discard, r.Body)
	return err == nil
}

// head begins an answer in out.
func (c *rawConn) head(x *exchange, subject string) {
	c.out = fmt.Appendf(c.out[:0], "HTTP/1.1 %d Echo\r\n%s: %s\r\n%s: %s\r\n", x.status(), idField, x.id, subjectField, subject)
}

// answer answers in the way that is planned, the first time.
func (c *rawConn) answer(x *exchange, subject string, first bool) (more bool) {
	if !first {
		return c.plain(x, subject)
	}
	switch x.fault {
	case resetFirst:
		reset(c)
		return false
	case resetInHead:
		c.head(x, subject)
		_, _ = c.Write(c.out[:len(c.out)*(1+x.chance%8)/9])
		reset(c)
		return false
	case resetInBody, longLength:
		c.cut(x, subject)
		return false
	case interim:
		c.out = c.out[:0]
		for range 1 + x.chance%3 {
			c.out = fmt.Appendf(c.out, "HTTP/1.1 103 Early Hints\r\n%s: %s\r\nLink: </style>; rel=preload\r\n\r\n", idField, x.id)
		}
		_, _ = c.Write(c.out)
	case slow:
		return c.slowly(x, subject)
	case surplus, lateByte, noContent:
		return c.more(x, subject)
	case lateClose:
		c.plain(x, subject)
		time.Sleep(time.Duration(x.chance%3) * 100 * time.Microsecond)
		return false
	}
	return c.plain(x, subject)
}

// plain answers as it should be.
func (c *rawConn) plain(x *exchange, subject string) (more bool) {
	c.head(x, subject)
	c.rest(x)
	_, err := c.Write(c.out)
	return err == nil
}

// rest adds what follows an answer's own fields.
func (c *rawConn) rest(x *exchange) {
	switch {
	case x.fault == noContent:
		c.out = append(c.out, "\r\n"...)
	case x.fault == headOnly:
		c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n\r\n", x.gets)
	case !x.chunked:
		c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n\r\n", x.gets)
		c.out = fill(c.out, x.id, x.gets)
	default:
		if x.fault == trailer {
			c.out = append(c.out, "Trailer: "+trailerField+"\r\n"...)
		}
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n\r\n"...)
		if x.gets > 0 {
			c.out = fmt.Appendf(c.out, "%x\r\n", x.gets)
			c.out = append(fill(c.out, x.id, x.gets), "\r\n"...)
		}
		c.out = append(c.out, "0\r\n"...)
		if x.fault == trailer {
			c.out = append(c.out, trailerField+": "+x.id+"\r\n"...)
		}
		c.out = append(c.out, "\r\n"...)
	}
}

// cut sends a part of an answer.
func (c *rawConn) cut(x *exchange, subject string) {
	c.head(x, subject)
	switch {
	case x.chunked:
		c.out = fmt.Appendf(c.out, "Transfer-Encoding: chunked\r\n\r\n%x\r\n", x.gets)
	default:
		c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n\r\n", x.gets)
	}
	c.out = fill(c.out, x.id, x.chance%x.gets)
	_, _ = c.Write(c.out)
	if x.fault == resetInBody {
		time.Sleep(time.Duration(x.chance%2) * time.Millisecond) // so that a part is on its way, now and then
		reset(c)
	}
}

// more sends octets behind the answer's end. At once they may look like an
// answer; later nobody could tell them from one, so then they do not.
func (c *rawConn) more(x *exchange, subject string) (more bool) {
	c.head(x, subject)
	c.rest(x)
	behind := "HTTP/1.1 200 OK\r\n" + forged + ": 1\r\nContent-Length: 6\r\n\r\n" + forged
	if x.fault == lateByte {
		behind = "x"
	}
	if x.fault == lateByte {
		_, _ = c.Write(c.out)
		c.out = c.out[:0]
		time.Sleep(time.Duration(x.chance%3) * 50 * time.Microsecond)
	}
	c.out = append(c.out, behind...)
	_, err := c.Write(c.out)
	return err == nil
}

// slowly sends an answer late and in pieces.
func (c *rawConn) slowly(x *exchange, subject string) (more bool) {
	time.Sleep(time.Duration(x.chance%10) * time.Millisecond)
	c.head(x, subject)
	c.rest(x)
	for part := c.out; len(part) > 0; {
		n := min(len(part), len(c.out)/4+1)
		if _, err := c.Write(part[:n]); err != nil {
			return false
		}
		part = part[n:]
		time.Sleep(time.Duration(x.chance%3) * time.Millisecond)
	}
	return true
}
