package telemetry

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// sinkRoom is how many octets wait for a reader of the log that is behind:
// about a thousand lines.
const sinkRoom = 256 << 10

// A Sink takes lines and never waits for whoever reads them: a pipe nobody
// empties or a full disk must not hold requests up. What finds no room is lost,
// and counted.
type Sink struct {
	to   io.Writer
	room int // octets that may wait
	lost atomic.Uint64
	done chan struct{} // closed when everything that will be written is

	mu      sync.Mutex // guards all below
	waiting []byte     // whole lines
	closed  bool
	more    *sync.Cond // waiting or closed has changed
}

// NewSink makes a Sink that writes to w, which nobody else should. Its Close
// must be called.
func NewSink(w io.Writer) *Sink { return NewWideSink(w, sinkRoom) }

// NewWideSink makes a Sink in which room octets may wait.
func NewWideSink(w io.Writer, room int) *Sink {
	s := &Sink{to: w, room: room, done: make(chan struct{})}
	s.more = sync.NewCond(&s.mu)
	go s.run()
	return s
}

// Write takes one or more whole lines. It never fails.
func (s *Sink) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.waiting)+len(lines) > s.room {
		s.lost.Add(count(lines))
		return len(lines), nil
	}
	s.waiting = append(s.waiting, lines...)
	s.more.Signal()
	return len(lines), nil
}

// Lost is how many lines found no room or could not be written.
func (s *Sink) Lost() uint64 { return s.lost.Load() }

// Close takes no more lines, and waits as long as patience for those that are
// there to be written.
func (s *Sink) Close(patience time.Duration) {
	s.mu.Lock()
	s.closed = true
	s.more.Signal()
	s.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
}

// run writes what waits, all of it at once, and swaps two buffers to do so.
func (s *Sink) run() {
	defer close(s.done)
	var written []byte
	for {
		s.mu.Lock()
		for len(s.waiting) == 0 && !s.closed {
			s.more.Wait()
		}
		if len(s.waiting) == 0 {
			s.mu.Unlock()
			return
		}
		s.waiting, written = written[:0], s.waiting
		s.mu.Unlock()
		if n, err := s.to.Write(written); err != nil {
			s.lost.Add(count(written[max(n, 0):]))
		}
	}
}

func count(lines []byte) uint64 { return uint64(bytes.Count(lines, []byte{'\n'})) }
