// Package load asks an HTTP/1.1 server, and costs next to nothing itself: what
// is sent is made before the run, one thread drives all connections with epoll,
// and of an answer only its status and its end are looked for. It needs Linux.
//
// Use it so:
//
//	clients, err := load.Open("127.0.0.1:8420", load.Options{Connections: 32})
//	defer clients.Close()
//	request := load.Get("rs.example.com", "/read", "Authorization: Bearer "+token)
//	result, err := clients.Run(load.Plan{Requests: [][]byte{request}, Count: 4000, Status: 200})
//
// With Plan.Rate each request has a moment at which it is meant to be sent, and
// its latency counts from there, however late a connection is free for it: a
// server that stalls cannot hide the requests that waited (no coordinated
// omission). Without it each connection sends its next request when it has its
// answer (closed loop).
package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultConnections = 32
	defaultSilence     = 20 * time.Second
	maxAnswer          = 1 << 20 // octets of one answer
)

// Get is a request without a body. Fields are lines as "Name: value".
func Get(host, path string, fields ...string) []byte {
	var b strings.Builder
	b.WriteString("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\n")
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// Options of Open; all may be left at zero.
type Options struct {
	Connections int           // default 32
	Local       netip.Addr    // the address to come from; default the system's choice
	Silence     time.Duration // without any answer until Run gives up; default 20 s
}

// Clients are open connections. One goroutine at a time may use them.
type Clients struct {
	address netip.AddrPort
	options Options
	epoll   int
	timer   int
	conns   []*conn
	byFD    map[int32]*conn
}

// Open connects. The address is an IP address and a port.
func Open(address string, o Options) (*Clients, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	if o.Connections == 0 {
		o.Connections = defaultConnections
	}
	if o.Silence == 0 {
		o.Silence = defaultSilence
	}
	c := &Clients{address: to, options: o, epoll: -1, timer: -1, byFD: make(map[int32]*conn)}
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	c.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err == nil {
		err = c.watch(c.timer)
	}
	for range o.Connections {
		if err != nil {
			break
		}
		k := &conn{fd: -1, buffer: make([]byte, 0, 4096)}
		c.conns = append(c.conns, k)
		err = c.connect(k)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends all connections.
func (c *Clients) Close() error {
	for _, k := range c.conns {
		if k.fd >= 0 {
			_ = unix.Close(k.fd) // nothing is in flight that anybody waits for
		}
	}
	for _, fd := range []int{c.timer, c.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	c.conns, c.timer, c.epoll = nil, -1, -1
	return nil
}

// A conn is one connection and the answer that it is reading.
type conn struct {
	fd     int
	buffer []byte    // of the answer, as far as it has come
	since  time.Time // when its request was sent, or meant to be
	busy   bool
}

func (c *Clients) connect(k *conn) error {
	family := unix.AF_INET
	if c.address.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if k.fd >= 0 {
		delete(c.byFD, int32(k.fd))
		_ = unix.Close(k.fd) // the server has closed it
	}
	k.fd = fd
	c.byFD[int32(fd)] = k
	if c.options.Local.IsValid() {
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(c.options.Local, 0))); err != nil {
			return fmt.Errorf("binding to %s: %w", c.options.Local, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(c.address)); err != nil {
		return fmt.Errorf("connecting to %s: %w", c.address, err)
	}
	if err := errors.Join(unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)); err != nil {
		return err
	}
	return c.watch(fd)
}

func (c *Clients) watch(fd int) error {
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)})
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
