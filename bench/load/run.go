package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Plan is what to send and what must come back.
type Plan struct {
	Requests [][]byte // in this order, from the first again when Count is larger
	Count    int      // how many to send; default len(Requests)
	Status   int      // of every answer
	Also     []int    // statuses that are as good
	Rate     float64  // requests a second; 0: closed loop

	// Reconnect opens a connection anew that the server closed after a whole
	// answer. Without it a connection that closes is an error.
	Reconnect bool
}

// A Result is what a run came to. There is one only if every answer was as
// planned.
type Result struct {
	Count    int
	Elapsed  time.Duration
	Latency  *Histogram  // until the whole answer was read, see the package comment
	Statuses map[int]int // how many answers had which
	Reopened int         // connections that the server closed
}

// Run sends all requests and reads all answers. Another status than planned, a
// closed connection, an answer that is no HTTP/1.1 and an octet too many are
// errors; afterwards the connections are of no more use.
func (c *Clients) Run(p Plan) (Result, error) {
	if p.Count == 0 {
		p.Count = len(p.Requests)
	}
	if len(p.Requests) == 0 || p.Status == 0 {
		return Result{}, errors.New("a plan without requests or without a status")
	}
	runtime.LockOSThread() // no other goroutine is in the way of the one that counts
	defer runtime.UnlockOSThread()
	r := &run{Clients: c, plan: p, started: time.Now(), result: Result{Latency: &Histogram{}, Statuses: make(map[int]int)}}
	r.free = slices.Clone(c.conns)
	if p.Rate > 0 {
		if err := c.tick(time.Duration(float64(time.Second) / p.Rate)); err != nil {
			return Result{}, err
		}
		defer c.tick(0) //nolint:errcheck // a clock that still ticks is ignored
	}
	if err := r.loop(); err != nil {
		return Result{}, fmt.Errorf("after %d of %d answers: %w", r.result.Count, p.Count, err)
	}
	r.result.Elapsed = time.Since(r.started)
	return r.result, nil
}

// tick makes the timer fire at this pace, at most ten thousand times a second.
func (c *Clients) tick(every time.Duration) error {
	if every > 0 {
		every = max(every, 100*time.Microsecond)
	}
	pace := unix.NsecToTimespec(int64(every))
	return unix.TimerfdSettime(c.timer, 0, &unix.ItimerSpec{Interval: pace, Value: pace}, nil)
}

type run struct {
	*Clients
	plan    Plan
	started time.Time
	sent    int
	free    []*conn // waiting longest first
	result  Result
}

func (r *run) loop() error {
	events := make([]unix.EpollEvent, 128)
	if err := r.send(); err != nil {
		return err
	}
	for r.result.Count < r.plan.Count {
		n, err := unix.EpollWait(r.epoll, events, int(r.options.Silence/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("no answer for %v", r.options.Silence)
		}
		for _, e := range events[:n] {
			if int(e.Fd) == r.timer {
				var expirations [8]byte
				_, _ = unix.Read(r.timer, expirations[:]) // the clock says how many are due
				_ = binary.NativeEndian.Uint64(expirations[:])
				continue
			}
			if err := r.read(r.byFD[e.Fd]); err != nil {
				return err
			}
		}
		if err := r.send(); err != nil {
			return err
		}
	}
	return nil
}

// send gives each free connection a request that is due.
func (r *run) send() error {
	now := time.Now()
	for len(r.free) > 0 && r.sent < r.plan.Count {
		meant := now
		if r.plan.Rate > 0 {
			meant = r.started.Add(time.Duration(float64(r.sent) * float64(time.Second) / r.plan.Rate))
			if meant.After(now) {
				return nil
			}
		}
		k := r.free[0]
		r.free = r.free[1:]
		request := r.plan.Requests[r.sent%len(r.plan.Requests)]
		n, err := unix.Write(k.fd, request)
		if err != nil && r.plan.Reconnect { // closed since, with nothing said
			r.result.Reopened++
			if err := r.connect(k); err != nil {
				return err
			}
			n, err = unix.Write(k.fd, request)
		}
		if err != nil || n < len(request) {
			return fmt.Errorf("sent %d of %d octets: %w", n, len(request), errors.Join(err, errShort))
		}
		k.since, k.busy = meant, true
		r.sent++
	}
	return nil
}

var errShort = errors.New("the connection takes no more")

// read takes what has come for a connection.
func (r *run) read(k *conn) error {
	if k == nil {
		return nil // of a connection that was closed in this same turn
	}
	if cap(k.buffer)-len(k.buffer) < 1024 {
		k.buffer = slices.Grow(k.buffer, cap(k.buffer))
	}
	n, err := unix.Read(k.fd, k.buffer[len(k.buffer):cap(k.buffer)])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case !k.busy && (n == 0 || err != nil) && r.plan.Reconnect:
		r.result.Reopened++
		return r.connect(k)
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("the connection was closed, %d octets into an answer", len(k.buffer))
	case !k.busy:
		return errors.New("an octet that nobody asked for")
	}
	k.buffer = k.buffer[:len(k.buffer)+n]
	a, err := parse(k.buffer)
	if err != nil {
		return err
	}
	if a.length == 0 {
		if len(k.buffer) > maxAnswer {
			return errLong
		}
		return nil
	}
	return r.answered(k, a)
}

func (r *run) answered(k *conn, a answer) error {
	if len(k.buffer) > a.length {
		return errors.New("octets after the end of an answer")
	}
	if a.status != r.plan.Status && !slices.Contains(r.plan.Also, a.status) {
		return fmt.Errorf("status %d, want %d", a.status, r.plan.Status)
	}
	r.result.Latency.Add(time.Since(k.since))
	r.result.Statuses[a.status]++
	r.result.Count++
	k.buffer, k.busy = k.buffer[:0], false
	if a.closes {
		if !r.plan.Reconnect {
			return errors.New("the server closes the connection")
		}
		r.result.Reopened++
		if err := r.connect(k); err != nil {
			return err
		}
	}
	r.free = append(r.free, k)
	return nil
}
