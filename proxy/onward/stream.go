package onward

import (
	"bufio"
	"errors"
	"net"
)

// stream is the body of a 101: the connection, with what was read of it already.
type stream struct {
	net.Conn
	in   *bufio.Reader // nil once it is empty
	done func()
}

// Close implements io.Closer.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.done()
	return err
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if s.in != nil {
		if n := s.in.Buffered(); n > 0 {
			return s.in.Read(p[:min(n, len(p))])
		}
		s.in = nil
	}
	return s.Conn.Read(p)
}

// CloseWrite lets a tunnel say that one side is done.
func (s *stream) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
