// Package upstream is the server behind the proxies that are measured: it
// answers every request without a body with the same 256 octets, from one thread
// and with two system calls a request. It needs Linux.
package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Body is what each answer holds, in octets.
const Body = 256

// A Server is one that runs.
type Server struct {
	listener *net.TCPListener
	file     int // the listener's socket
	epoll    int
	wake     int // an event that ends the loop
	done     chan struct{}
	answer   []byte
	partial  map[int32][]byte // requests that have come in part, by socket
}

// Start listens at a loopback address of its own.
func Start() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l.(*net.TCPListener), done: make(chan struct{}), partial: make(map[int32][]byte)}
	s.answer = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", Body, strings.Repeat("x", Body))
	raw, err := s.listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	var errD, errE, errW error
	err = raw.Control(func(fd uintptr) { s.file, errD = unix.Dup(int(fd)) })
	s.epoll, errE = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	s.wake, errW = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err := errors.Join(err, errD, errE, errW); err != nil {
		return nil, err
	}
	if err := errors.Join(s.watch(s.file), s.watch(s.wake)); err != nil {
		return nil, err
	}
	go s.loop()
	return s, nil
}

// Address is its IP address and port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// URL is its address with http:// before it.
func (s *Server) URL() string { return "http://" + s.Address() }

// Close ends it and all its connections.
func (s *Server) Close() error {
	_, err := unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-s.done
	return errors.Join(err, s.listener.Close())
}

func (s *Server) watch(fd int) error {
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (s *Server) loop() {
	runtime.LockOSThread()
	open := make(map[int32]bool)
	defer close(s.done)
	defer func() {
		for fd := range open {
			_ = unix.Close(int(fd))
		}
		for _, fd := range []int{s.file, s.epoll, s.wake} {
			_ = unix.Close(fd)
		}
	}()
	events, buffer := make([]unix.EpollEvent, 128), make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			switch int(e.Fd) {
			case s.wake:
				return
			case s.file:
				if fd, ok := s.accept(); ok {
					open[fd] = true
				}
			default:
				if !s.serve(e.Fd, buffer) {
					delete(open, e.Fd)
					delete(s.partial, e.Fd)
					_ = unix.Close(int(e.Fd)) // the other side is gone, or talks what is not understood here
				}
			}
		}
	}
}

func (s *Server) accept() (int32, bool) {
	fd, _, err := unix.Accept4(s.file, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return 0, false // who connected has left
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // only slower without
	return int32(fd), s.watch(fd) == nil
}

// serve answers what has come, and reports whether the connection goes on.
func (s *Server) serve(fd int32, buffer []byte) bool {
	n, err := unix.Read(int(fd), buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return true
	}
	if n <= 0 || err != nil {
		return false
	}
	text := buffer[:n]
	if before := s.partial[fd]; len(before) > 0 {
		text = append(before, text...)
		delete(s.partial, fd)
	}
	for {
		end := bytes.Index(text, []byte("\r\n\r\n"))
		if end < 0 {
			break
		}
		if !bytes.HasPrefix(text, []byte("GET ")) {
			return false
		}
		if _, err := unix.Write(int(fd), s.answer); err != nil {
			return false
		}
		text = text[end+4:]
	}
	if len(text) > 0 {
		s.partial[fd] = bytes.Clone(text)
	}
	return len(text) < len(buffer)
}
