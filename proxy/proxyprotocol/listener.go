package proxyprotocol

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Options say from whom a listener takes connections.
type Options struct {
	Timeout time.Duration         // for the whole header; 0 for ever
	Trusted func(netip.Addr) bool // may connect, and must begin with a header
	Refused func()                // told of each connection that is closed; may be called by several at once
}

// Listen makes a listener of l whose connections tell the address of who
// connected to the balancer. Where the balancer says that it does not know,
// that address has no parts and is "unknown"; where it speaks for itself, it is
// its own. Connections of others than Trusted are closed before anything is
// read, and those without a header as soon as that is known.
func Listen(l net.Listener, o Options) net.Listener { return &listener{l, o} }

type listener struct {
	net.Listener
	options Options
}

// Accept implements net.Listener. It does not wait for the header.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if peer := addrPort(accepted.RemoteAddr()).Addr().Unmap(); peer.IsValid() && l.options.Trusted(peer) {
			return &conn{Conn: accepted, options: &l.options}, nil
		}
		l.options.Refused()
		_ = accepted.Close() // nothing was sent, so nothing is lost
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// conn reads the header when somebody asks for what it says or for what comes
// behind it. net/http asks for the address first, on the connection's own
// goroutine.
type conn struct {
	net.Conn
	options *Options
	once    sync.Once
	remote  net.Addr
	rest    []byte // read with the header
	refused bool
}

// Read implements net.Conn. Without a header there is nothing to read.
func (c *conn) Read(p []byte) (int, error) {
	c.once.Do(c.begin)
	if c.refused {
		return 0, io.EOF
	}
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	c.rest = nil
	return c.Conn.Read(p)
}

// RemoteAddr implements net.Conn: the other end as the header has it. It waits
// for the header.
func (c *conn) RemoteAddr() net.Addr {
	c.once.Do(c.begin)
	return c.remote
}

// CloseWrite is what net/http looks for, so that a last answer is read before
// the connection is reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) begin() {
	if c.options.Timeout > 0 {
		_ = c.SetReadDeadline(time.Now().Add(c.options.Timeout))
	}
	c.remote = unknown{}
	s, err := c.readHeader()
	if err != nil {
		c.refused, c.rest = true, nil
		c.options.Refused()
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // who reads on sets his own
	switch {
	case s.local:
		c.remote = c.Conn.RemoteAddr()
	case s.address.IsValid():
		c.remote = net.TCPAddrFromAddrPort(s.address)
	}
}

func (c *conn) readHeader() (source, error) {
	data := make([]byte, 0, 256)
	for need := 1; ; {
		for len(data) < need {
			if need > cap(data) {
				data = append(make([]byte, 0, need), data...)
			}
			n, err := c.Conn.Read(data[len(data):cap(data)])
			data = data[:len(data)+n]
			if err != nil && len(data) < need {
				return source{}, err
			}
		}
		s, n, more, err := parse(data)
		if err == nil {
			c.rest = data[n:]
			return s, nil
		}
		if err != errShort { //nolint:errorlint // of our own, one function away
			return source{}, err
		}
		need = more
	}
}

// unknown is the address of somebody that the balancer does not tell. It is not
// the balancer's: what it may say of others, its clients may not.
type unknown struct{}

// Network implements net.Addr.
func (unknown) Network() string { return "tcp" }

// String implements net.Addr.
func (unknown) String() string { return "unknown" }
