package decisions

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/proxy"
)

// Standard stands for standard output where a file is named.
const Standard = "-"

// A Sink takes lines and never waits for whoever reads them.
type Sink interface {
	io.Writer
	Lost() uint64        // lines that found no room or could not be written
	Close(time.Duration) // waits that long for the last ones
}

// A Log records decisions while it has an Outlet. Its methods are safe for
// concurrent use, and none but Close waits for a disk.
type Log struct {
	stdout   io.Writer
	newSink  func(io.Writer) Sink
	patience time.Duration // with the last lines of an outlet

	recorder atomic.Pointer[Recorder] // nil for none
	outlet   atomic.Pointer[Outlet]   // of recorder
	before   atomic.Uint64            // lines lost by outlets that are closed
	leaving  sync.WaitGroup           // outlets that are being closed
}

// An Outlet is where lines go.
type Outlet struct {
	name string
	sink Sink
	file *File // nil for standard output
}

// NewLog makes a Log that records nothing yet. stdout is written to for the name
// Standard; patience is how long the last lines of an outlet are waited for.
func NewLog(stdout io.Writer, patience time.Duration, newSink func(io.Writer) Sink) *Log {
	return &Log{stdout: stdout, newSink: newSink, patience: patience}
}

// Prepare opens the file called name, unless it is the one in use. The empty name
// is no outlet: nil. What is not put to use must be dropped.
func (l *Log) Prepare(name string) (*Outlet, error) {
	now := l.outlet.Load()
	switch {
	case name == "":
		return nil, nil
	case now != nil && now.name == name:
		return now, nil
	case name == Standard:
		return &Outlet{name: name, sink: l.newSink(l.stdout)}, nil
	}
	file, err := Open(name)
	if err != nil {
		return nil, err
	}
	return &Outlet{name: name, sink: l.newSink(file), file: file}, nil
}

// Use records through to from now on, or not at all if it is nil. The outlet that
// was used before is dropped.
func (l *Log) Use(to *Outlet, o Options) {
	if to == nil {
		l.recorder.Store(nil)
	} else {
		l.recorder.Store(NewRecorder(o, to.sink))
	}
	l.Drop(l.outlet.Swap(to))
}

// Drop closes an outlet that is not in use, once its lines are written.
func (l *Log) Drop(o *Outlet) {
	if o == nil || o == l.outlet.Load() {
		return
	}
	l.leaving.Go(func() {
		o.sink.Close(l.patience)
		l.before.Add(o.sink.Lost())
		if o.file != nil {
			_ = o.file.Close() // what was written is written
		}
	})
}

// Reopen goes on in the file that has the name now: a tool may have moved the old
// one away. On an error it goes on in the old one.
func (l *Log) Reopen() error {
	if o := l.outlet.Load(); o != nil && o.file != nil {
		return o.file.Reopen()
	}
	return nil
}

// Close records nothing more, and waits for the last lines, but not for long.
func (l *Log) Close() error {
	l.Use(nil, Options{})
	gone := make(chan struct{})
	go func() {
		l.leaving.Wait()
		close(gone)
	}()
	timer := time.NewTimer(2 * l.patience) // a file is closed after its lines, and a disk may hang then too
	defer timer.Stop()
	select {
	case <-gone:
		return nil
	case <-timer.C:
		return errors.New("the last lines of the decision log could not be written in time")
	}
}

// Lost is how many lines were not written.
func (l *Log) Lost() uint64 {
	n := l.before.Load()
	if o := l.outlet.Load(); o != nil {
		n += o.sink.Lost()
	}
	return n
}

// Decided is told of a request that came in at listener and has been answered.
func (l *Log) Decided(listener string, r *http.Request, o *proxy.Outcome) {
	if recorder := l.recorder.Load(); recorder != nil {
		recorder.Decided(listener, r, o)
	}
}
