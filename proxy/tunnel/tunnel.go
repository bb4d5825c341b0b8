package tunnel

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Grace is how long both sides have to say goodbye once one of them or the
// gate has begun to.
const Grace = 2 * time.Second

// Buffers grow when a read fills them: most connections are silent most of the
// time, and there are many.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

// A Tunnel carries octets between a client and an upstream that have agreed to
// speak WebSocket.
type Tunnel struct {
	client   net.Conn
	upstream io.ReadWriteCloser
	early    []byte // what the client sent before it was answered
	up, down half

	began time.Time
	moved atomic.Int64 // when octets last moved, in nanoseconds since began

	mu     sync.Mutex  // guards all below
	silent *time.Timer // until none have moved for too long
	grace  *time.Timer // until the sides are cut off
	over   bool
}

// New makes a tunnel. early is what has been read from client already.
func New(client net.Conn, early []byte, upstream io.ReadWriteCloser) *Tunnel {
	return &Tunnel{
		client: client, upstream: upstream, early: early, began: time.Now(),
		up: half{to: upstream, masked: true}, down: half{to: client},
	}
}

// Run carries octets until both directions have ended, and closes both sides.
// When none have moved for as long as idle, it calls quiet, once; 0 allows any
// silence. It returns how many went to the client.
func (t *Tunnel) Run(idle time.Duration, quiet func()) int64 {
	t.watch(idle, quiet)
	var other sync.WaitGroup
	var broken any // a panic there would end the process; here it ends the tunnel
	other.Go(func() {
		defer func() {
			if broken = recover(); broken != nil {
				t.Close()
			}
		}()
		t.copy(&t.down, t.upstream, nil)
	})
	defer func() {
		t.Close()
		other.Wait()
		if broken != nil {
			panic(broken)
		}
	}()
	t.copy(&t.up, t.client, t.early)
	other.Wait()
	t.Close()
	t.down.mu.Lock() // a goodbye may be on its way to who has gone
	defer t.down.mu.Unlock()
	return t.down.octets
}

// copy carries one direction to its end. One in good order is passed on and
// leaves the other direction a while, any other ends both.
func (t *Tunnel) copy(h *half, from io.Reader, early []byte) {
	refused := h.write(early)
	err := refused
	buffer := make([]byte, smallBuffer)
	for err == nil {
		var n int
		if n, err = from.Read(buffer); n > 0 {
			if refused = h.write(buffer[:n]); refused != nil {
				err = refused
			}
			t.moved.Store(int64(time.Since(t.began)))
		}
		if n == len(buffer) && n < largeBuffer {
			buffer = make([]byte, largeBuffer)
		}
	}
	switch {
	case errors.Is(err, errGoodbye):
	case refused != nil:
		// What a side said before it went is still to be read in the other direction,
		// and closing one side before it has been read out could lose it there too.
		t.hurry()
		_, _ = io.Copy(io.Discard, from)
	case (errors.Is(err, io.EOF) || t.ending()) && h.finish():
		t.hurry()
	default:
		t.Close()
	}
}

// watch waits for silence.
func (t *Tunnel) watch(idle time.Duration, quiet func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if idle == 0 || t.over {
		return
	}
	t.silent = time.AfterFunc(idle, func() {
		rest := idle - time.Since(t.began) + time.Duration(t.moved.Load())
		if rest <= 0 {
			quiet()
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.over {
			t.silent.Reset(rest)
		}
	})
}

// hurry gives what is left Grace from now: with one direction ended there is
// no connection any more (RFC 6455 section 7.1.1).
func (t *Tunnel) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grace == nil && !t.over {
		t.grace = time.AfterFunc(Grace, t.Close)
	}
}

// ending reports whether Grace runs.
func (t *Tunnel) ending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grace != nil
}

// End tells both sides goodbye, each as soon as the frame on its way to it has
// ended, and closes them when they have answered, or after Grace. The client is
// told first, so that what the upstream answers cannot be there before it. End
// does not wait, and a side that does not read holds the other up for a while only.
func (t *Tunnel) End(c Close) {
	t.hurry()
	told := make(chan struct{})
	go func() {
		defer close(told)
		t.down.end(c.frame(t.down.masked))
	}()
	go func() {
		select {
		case <-told:
		case <-time.After(Grace / 4):
		}
		t.up.end(c.frame(t.up.masked))
	}()
}

// Close cuts both sides off.
func (t *Tunnel) Close() {
	t.mu.Lock()
	t.over = true
	for _, timer := range []*time.Timer{t.silent, t.grace} {
		if timer != nil {
			timer.Stop()
		}
	}
	t.mu.Unlock()
	_ = t.client.Close()
	_ = t.upstream.Close()
}

// half is one direction.
type half struct {
	to     io.Writer
	masked bool // frames of our own are masked

	mu      sync.Mutex // guards all below, and each write
	passed  frames     // what came from the other side
	octets  int64      // written
	goodbye []byte     // to be written when the frame under way has ended
	over    bool       // nothing more is written
}

// errGoodbye ends a direction that has nothing more to carry.
var errGoodbye = errors.New("goodbye was said and answered")

// write passes p on. Once goodbye is said nothing more is; p is followed for
// the answer then, which is errGoodbye.
func (h *half) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := p
	for len(rest) > 0 {
		n, ends := h.passed.next(rest)
		rest = rest[n:]
		if ends && h.goodbye != nil {
			break
		}
	}
	if !h.over {
		n, err := h.to.Write(p[:len(p)-len(rest)])
		h.octets += int64(n)
		if err != nil {
			return err
		}
	}
	if h.goodbye != nil && h.passed.between() {
		h.sayGoodbye()
	}
	for len(rest) > 0 {
		n, _ := h.passed.next(rest)
		rest = rest[n:]
	}
	if h.over && h.passed.closed {
		return errGoodbye
	}
	return nil
}

// end has frame written between two others.
func (h *half) end(frame []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.goodbye != nil {
		return
	}
	if h.goodbye = frame; h.passed.between() {
		h.sayGoodbye()
	}
}

// sayGoodbye writes the last frame of a direction, unless the other side has
// said it.
func (h *half) sayGoodbye() {
	if !h.over && !h.passed.closed {
		n, _ := h.to.Write(h.goodbye) // who has gone needs none
		h.octets += int64(n)
	}
	h.over, h.goodbye = true, nil
}

// finish passes an end on. It is not ok where a side can only be closed whole.
func (h *half) finish() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	to, ok := h.to.(interface{ CloseWrite() error })
	return ok && to.CloseWrite() == nil
}
