package bound

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Body is a client's body on its way to the upstream. It may be of any
// length as long as it moves, and as long as the route sets no limit.
type Body struct {
	io.ReadCloser
	control *http.ResponseController
	wait    time.Duration
	left    int64       // octets that may still come; negative for any number
	timer   *time.Timer // runs while somebody reads; nil until then

	reading  sync.Mutex // held by who reads
	cut      atomic.Bool
	whole    atomic.Bool
	broken   atomic.Bool
	stalled  atomic.Bool
	tooLarge atomic.Bool
}

var (
	errBodyTooLarge = errors.New("the request's body is too large")
	errBodyCut      = errors.New("the request's body was cut")
)

// NewBody bounds a body: wait is for the next octet, 0 for ever; most is how
// many octets there may be, negative for any number. w is where the answer to
// the request goes.
func NewBody(body io.ReadCloser, w http.ResponseWriter, wait time.Duration, most int64) *Body {
	return &Body{ReadCloser: body, control: http.NewResponseController(w), wait: wait, left: most}
}

// Whole reports whether the body was read to its end.
func (b *Body) Whole() bool { return b.whole.Load() }

// Broken reports whether it could not be read to its end: it is malformed, was
// broken off, or was cut.
func (b *Body) Broken() bool { return b.broken.Load() }

// Stalled reports whether it was cut because it did not move.
func (b *Body) Stalled() bool { return b.stalled.Load() }

// TooLarge reports whether it was cut because it is larger than allowed.
func (b *Body) TooLarge() bool { return b.tooLarge.Load() }

// Read implements io.Reader. Only time spent waiting for the client counts. Who
// has read to the end finds the end there for good: net/http's client asks once
// more when the upstream has all, and net/http's server has closed the body by
// then if the answer was quick. An error would cost the answer its connection.
func (b *Body) Read(p []byte) (int, error) {
	if b.whole.Load() {
		return 0, io.EOF
	}
	n, err := b.next(p)
	switch {
	case errors.Is(err, io.EOF):
		b.whole.Store(true)
	case err != nil:
		b.broken.Store(true)
	}
	if b.left < 0 {
		return n, err
	}
	if int64(n) > b.left {
		b.tooLarge.Store(true)
		return int(b.left), errBodyTooLarge
	}
	b.left -= int64(n)
	return n, err
}

func (b *Body) next(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.cut.Load() {
		return 0, errBodyCut
	}
	b.begin()
	defer b.end()
	return b.ReadCloser.Read(p)
}

func (b *Body) begin() {
	switch {
	case b.wait == 0:
	case b.timer == nil:
		b.timer = time.AfterFunc(b.wait, func() {
			b.stalled.Store(true)
			b.Cut()
		})
	default:
		b.timer.Reset(b.wait)
	}
}

func (b *Body) end() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// Cut ends a read that is waiting, and all that come after it.
func (b *Body) Cut() {
	b.cut.Store(true)
	_ = b.control.SetReadDeadline(time.Unix(1, 0)) // a server of ours can always
}

// End cuts the body and waits until nobody reads it. After the handler net/http
// lifts every deadline if it finds somebody reading, and then waits without one
// for the rest of a short body.
func (b *Body) End() {
	b.Cut()
	b.reading.Lock()
	defer b.reading.Unlock()
}
