package onward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync"
	"time"
)

// exchange is one request on one connection, and the body of its answer.
type exchange struct {
	t       *Transport
	c       *conn
	ctx     context.Context
	stop    func() bool // ends the watch over ctx
	request *http.Request
	wait    time.Duration // for the header of the answer; 0 for ever
	content *content      // nil when it was written at once
	answer  io.ReadCloser // what the body of the answer is read from
	keep    bool          // the answer does not end the connection

	mu       sync.Mutex // guards all below, and deadlines of the connection
	parties  int        // who still uses the connection: one who reads, and maybe one who writes
	spoilt   bool       // nobody gets the connection after this
	aborted  bool       // ctx has ended
	failed   bool       // there is no answer, and RoundTrip goes on
	answered bool       // the header of the answer is there
	unread   bool       // the body was left alone when the connection took no more
	told     bool       // Done was called
	fault    error      // why the request was not written, when it is not the connection's fault
	end      error      // what Read returns from now on
}

var (
	errClosed    = errors.New("the body of the upstream's answer was closed")
	errStatus    = errors.New("upstream answered with a status that is none")
	errUnwritten = errors.New("nothing was written of the request")
	errSwitched  = errors.New("upstream switched protocols in the middle of a request")
)

// errTimeout tells that the header of an answer did not come in time.
type errTimeout struct{}

func (errTimeout) Error() string   { return "upstream did not answer in time" }
func (errTimeout) Timeout() bool   { return true }
func (errTimeout) Temporary() bool { return true }

// run sends the request and returns its answer.
func (x *exchange) run() (*http.Response, error) {
	x.stop = context.AfterFunc(x.ctx, x.abort)
	x.parties = 1
	if x.content = contentOf(x.request); x.content != nil {
		x.parties = 2
		begun := make(chan struct{})
		x.c.begun = begun
		go x.upload()
		if err := x.begin(begun); err != nil {
			return nil, x.fail(err)
		}
	} else if err := x.write(x.request); err != nil && (!x.c.asked || x.c.broken == nil) {
		return nil, x.fail(err)
	} else {
		x.spoilt = err != nil
		x.await() // also when the connection took not all: a last word may be there to read
	}
	resp, err := x.header()
	if err != nil {
		return nil, x.fail(err)
	}
	x.settle()
	x.keep = !resp.Close && !x.request.Close
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return x.switched(resp)
	case resp.Body == http.NoBody:
		_ = x.finish(io.EOF)
	default:
		x.answer, resp.Body = resp.Body, x
	}
	return resp, nil
}

// begin waits until the other goroutine has looked at the connection and begins to
// write. What is read before that is no answer.
func (x *exchange) begin(begun <-chan struct{}) error {
	select {
	case <-begun:
		return nil
	case <-x.content.written:
		if x.c.asked {
			return nil
		}
		return errUnwritten // fault tells why
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

func (x *exchange) write(r *http.Request) error {
	if err := r.Write(x.c.out); err != nil {
		return err
	}
	return x.c.out.Flush()
}

// upload writes a request whose body may take its time.
func (x *exchange) upload() {
	r := *x.request
	r.Body = x.content
	err := x.write(&r)
	x.mu.Lock()
	// A body that nobody has read may be for another connection, while there is
	// no answer.
	x.unread = x.content.state.Load() != touched && !x.answered
	unread := x.unread
	x.mu.Unlock()
	if !unread {
		_ = x.content.body.Close()
	}
	switch {
	case err == nil:
		x.await()
	case x.content.refused.Load(): // net/http's error does not tell
	case x.content.fault() == nil && x.c.asked && x.c.broken != nil:
		x.await() // as in run
	default:
		x.mu.Lock()
		if fault := x.content.fault(); fault != nil {
			err = fault
		}
		x.fault = err
		_ = x.c.Close() // ends the read
		x.mu.Unlock()
	}
	close(x.content.written)
	x.leave(err == nil)
}

// header reads the header of the final answer, and passes on those before it.
func (x *exchange) header() (*http.Response, error) {
	trace := httptrace.ContextClientTrace(x.ctx)
	for {
		resp, err := http.ReadResponse(x.c.in, x.request)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode < 100:
			return nil, errStatus
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			x.c.left = -1
			return resp, nil
		case resp.StatusCode == http.StatusContinue && x.content != nil && x.content.leave != nil:
			if trace != nil && trace.Got100Continue != nil {
				trace.Got100Continue()
			}
			x.content.answer(true)
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
	}
}

// switched hands the connection over to the caller.
func (x *exchange) switched(resp *http.Response) (*http.Response, error) {
	if x.content != nil {
		return nil, x.fail(errSwitched)
	}
	if !x.stop() {
		return nil, x.fail(context.Cause(x.ctx))
	}
	resp.Body = &stream{Conn: x.c.Conn, in: x.c.in, done: sync.OnceFunc(x.t.o.Done)}
	return resp, nil
}

// abort ends all reads and writes when the request's context has ended.
func (x *exchange) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.aborted = true
	_ = x.c.SetDeadline(time.Unix(1, 0))
}

// await begins the wait for the header of the answer.
func (x *exchange) await() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.wait > 0 && !x.aborted && !x.answered {
		_ = x.c.SetReadDeadline(time.Now().Add(x.wait))
	}
}

// settle ends that wait.
func (x *exchange) settle() {
	x.mu.Lock()
	x.answered = true
	if x.wait > 0 && !x.aborted {
		_ = x.c.SetReadDeadline(time.Time{})
	}
	unread := x.unread
	x.mu.Unlock()
	x.content.answer(false)
	if unread {
		_ = x.content.body.Close()
	}
}

// fail ends an exchange without an answer, and says why.
func (x *exchange) fail(err error) error {
	x.content.answer(false)
	x.mu.Lock()
	x.failed = true
	x.mu.Unlock()
	x.leave(false)
	_ = x.c.Close()
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	case x.fault != nil:
		return x.fault
	case errors.Is(x.c.lost, os.ErrDeadlineExceeded): // a reader of half a header has an error of its own
		return errTimeout{}
	}
	return err
}

// again returns the request once more where a connection that was kept for too
// long is to blame for err: nothing was written on it, or nothing came back and
// the request may be executed twice. The latter is silent.
func (x *exchange) again(err error) (second *http.Request, silent bool) {
	if !x.c.reused || x.ctx.Err() != nil {
		return nil, false
	}
	unread := x.content == nil || x.content.withdraw()
	if unread && x.content != nil {
		<-x.content.written // soon: the connection is closed
	}
	x.mu.Lock()
	closed := x.fault == nil && !x.c.heard && !errors.Is(err, errTimeout{})
	x.mu.Unlock()
	switch {
	case unread && !x.c.asked && x.c.broken != nil:
	case closed && replayable(x.request):
		silent = true
	default:
		return nil, false
	}
	if bodiless(x.request) || x.content != nil && unread {
		return x.request, silent
	}
	body, err := x.request.GetBody()
	if err != nil {
		return nil, false
	}
	r := *x.request
	r.Body = body
	return &r, silent
}

// linger is how long a body may still be written once its answer is read: the
// upstream can have the last octet before its writer knows.
const linger = 50 * time.Millisecond

// leave says that one party is done with the connection. The last puts it back
// where others find it, if it is good for them.
func (x *exchange) leave(good bool) {
	x.mu.Lock()
	x.spoilt = x.spoilt || !good
	x.parties--
	spoilt, last := x.spoilt, x.parties == 0
	x.mu.Unlock()
	if !last {
		return
	}
	if x.stop() && !spoilt {
		x.t.keep(x.c)
	} else {
		_ = x.c.Close()
	}
	x.done()
}

// done tells that the connection is closed or there for others. Who still reads a
// body for it may wait for a client as long as that likes.
func (x *exchange) done() {
	x.mu.Lock()
	tell := !x.told && !x.failed
	x.told = true
	x.mu.Unlock()
	if tell {
		x.t.o.Done()
	}
}

// hurry ends what is written for too long after the answer.
func (x *exchange) hurry() {
	x.mu.Lock()
	late := x.parties > 0
	if late {
		x.spoilt = true
		_ = x.c.Close()
	}
	x.mu.Unlock()
	if late {
		x.done()
	}
}

// Read implements io.Reader for the body of the answer.
func (x *exchange) Read(p []byte) (int, error) {
	x.mu.Lock()
	err := x.end
	x.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := x.answer.Read(p)
	if err != nil {
		err = x.finish(err)
	}
	return n, err
}

// Close implements io.Closer. It ends a Read that waits.
func (x *exchange) Close() error {
	_ = x.finish(errClosed)
	return nil
}

// finish ends the reading of the answer. It returns the error that ended it
// first.
func (x *exchange) finish(err error) error {
	whole := err == io.EOF //nolint:errorlint // as io.Reader has it
	x.mu.Lock()
	if x.end != nil {
		defer x.mu.Unlock()
		return x.end
	}
	if !whole && x.ctx.Err() != nil {
		err = context.Cause(x.ctx)
	} else if !whole && x.fault != nil {
		err = fmt.Errorf("request broken off: %w", x.fault)
	}
	x.end = err
	writing, good := x.parties > 1, whole && x.keep
	if writing && !good {
		_ = x.c.Close() // ends the write
	}
	x.mu.Unlock()
	x.leave(good)
	switch {
	case writing && good:
		time.AfterFunc(linger, x.hurry)
	case writing:
		x.done()
	}
	return err
}
