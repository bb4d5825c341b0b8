package places

import (
	"errors"
	"io"
	"sync/atomic"
)

// A Body is the body of an answer that holds a place at its upstream. Hold makes it one.
type Body struct {
	io.ReadCloser
	at   *Places
	left atomic.Bool
}

// Hold has b read inner and leave a place at p, which was entered, when inner is over.
// Where inner can be written to, as after 101, that is when it is closed, and so can
// what is returned, which else is b.
func (b *Body) Hold(inner io.ReadCloser, p *Places) io.ReadCloser {
	b.ReadCloser, b.at = inner, p
	b.left.Store(false)
	if both, ok := inner.(io.ReadWriteCloser); ok {
		return &stream{b, both}
	}
	return b
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.over()
	}
	return n, err
}

// Close implements io.Closer.
func (b *Body) Close() error {
	err := b.ReadCloser.Close()
	b.over()
	return err
}

func (b *Body) over() {
	if !b.left.Swap(true) {
		b.at.Leave()
	}
}

// stream is the body of a 101.
type stream struct {
	*Body
	both io.ReadWriteCloser
}

// Read implements io.Reader. One side may be done long before the connection is.
func (s *stream) Read(p []byte) (int, error) { return s.both.Read(p) }

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) { return s.both.Write(p) }

// CloseWrite lets a tunnel say that one side is done.
func (s *stream) CloseWrite() error {
	if half, ok := s.both.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
