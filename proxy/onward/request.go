package onward

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// valid refuses what could not be written so that every reader takes it for the
// same (RFC 9112). A value is not shown: it may be a secret.
func valid(r *http.Request) error {
	switch {
	case r.URL == nil || r.Header == nil:
		return errors.New("request without URL or header")
	case r.URL.Scheme != "http":
		return errors.New("scheme of the request is not http")
	case r.Method != "" && !token.IsToken(r.Method):
		return errors.New("method of the request is no token")
	}
	for _, h := range [...]http.Header{r.Header, r.Trailer} {
		for name, lines := range h {
			if !token.IsToken(name) {
				return fmt.Errorf("name of a field is no token: %q", name)
			}
			for _, line := range lines {
				if hasControl(line) {
					return fmt.Errorf("control character in field %q", name)
				}
			}
		}
	}
	return nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// replayable tells a request that may be sent again though the upstream may
// have executed it: RFC 9110 section 9.2.2, as narrow as net/http reads it.
func replayable(r *http.Request) bool {
	if !bodiless(r) && r.GetBody == nil {
		return false
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

func bodiless(r *http.Request) bool { return r.Body == nil || r.Body == http.NoBody }

// asksLeave tells whether the body waits for a 100 (RFC 9110 section 10.1.1).
func asksLeave(r *http.Request) bool {
	return strings.EqualFold(strings.Trim(r.Header.Get("Expect"), " \t"), "100-continue")
}

// inline is how many octets of a body are written before the answer is looked
// at. They find room in the buffers of the system.
const inline = 16 << 10

// content returns the body of a request for a goroutine of its own, or nil when
// it needs none: there is none, or it is short and can be had again, so that it
// does not come from afar.
func contentOf(r *http.Request) *content {
	if bodiless(r) || r.GetBody != nil && r.ContentLength > 0 && r.ContentLength <= inline && !asksLeave(r) {
		return nil
	}
	b := &content{body: r.Body, written: make(chan struct{})}
	if asksLeave(r) {
		b.leave = make(chan bool, 1)
	}
	return b
}

// continueAfter is how long a body waits for a 100 before it goes without.
const continueAfter = time.Second

// content is a body on its way to the upstream.
type content struct {
	body    io.ReadCloser
	leave   chan bool     // says whether to go on; nil for a body that does not ask
	written chan struct{} // closed when nobody reads it any more
	state   atomic.Int32
	waited  bool                  // for leave
	refused atomic.Bool           // leave
	broken  atomic.Pointer[error] // why it could not be read; net/http may leave a Read behind
}

// What has become of a content.
const (
	untouched = iota
	touched
	withdrawn
)

var (
	errNotWanted = errors.New("the upstream answered before it took the body")
	errWithdrawn = errors.New("the connection was given up before the body was begun")
)

// withdraw keeps a body from being read. It reports false when it was already.
func (b *content) withdraw() bool { return b.state.CompareAndSwap(untouched, withdrawn) }

// Read implements io.Reader.
func (b *content) Read(p []byte) (int, error) {
	if b.state.Load() != touched && !b.state.CompareAndSwap(untouched, touched) {
		return 0, errWithdrawn
	}
	if b.leave != nil && !b.waited {
		if b.waited = b.may(); !b.waited {
			b.refused.Store(true)
			return 0, errNotWanted
		}
	}
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		b.broken.Store(&err)
	}
	return n, err
}

// fault is why the body could not be read, or nil.
func (b *content) fault() error {
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// answer says whether the body may go on. The first answer counts.
func (b *content) answer(may bool) {
	if b != nil && b.leave != nil {
		select {
		case b.leave <- may:
		default:
		}
	}
}

func (b *content) may() bool {
	late := time.NewTimer(continueAfter)
	defer late.Stop()
	select {
	case yes := <-b.leave:
		return yes
	case <-late.C:
		return true
	}
}

// Close implements io.Closer, for http.Request.Write. The body itself is closed
// when it is known that no other connection gets it.
func (b *content) Close() error { return nil }
