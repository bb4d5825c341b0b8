// Package streams keeps account of what has no end of its own, and ends it: with
// the token it lives by, when that is refused before its end, and when the
// program ends.
package streams

import (
	"context"
	"sync"
	"time"
)

// Kind says what a stream is made of.
type Kind uint8

// What has no end of its own. A download has one, however long it takes.
const (
	WebSocket Kind = iota
	SSE            // an answer of type text/event-stream
	GRPC           // a call of type application/grpc or a kin, unary ones too: nothing tells them apart
)

func (k Kind) String() string { return [...]string{"websocket", "sse", "grpc"}[k] }

// Ending says why a stream ended.
type Ending uint8

// The endings.
const (
	ByPeer  Ending = iota // client or upstream ended it
	Expired               // its token did
	Revoked               // its token is refused before its end
	Silent                // nothing moved in a tunnel
	Drain                 // the program ends
)

func (e Ending) String() string {
	return [...]string{"peer", "expired", "revoked", "silent", "drain"}[e]
}

// Hooks are told of streams; each may be nil.
type Hooks struct {
	Began func(Kind)
	Ended func(Kind, Ending)
}

// Set is the streams under way. It outlives a configuration, and http.Server
// does not know of all in it.
type Set struct {
	hooks Hooks

	mu    sync.Mutex // guards all below
	open  map[*Stream]struct{}
	room  int             // tunnels, those included whose handshake is not answered yet
	empty []chan struct{} // closed when there are none of both
}

// NewSet makes an empty set.
func NewSet(h Hooks) *Set { return &Set{hooks: h, open: make(map[*Stream]struct{})} }

// End ends all streams in good order because the program ends, and returns how
// many there were. It does not wait.
func (s *Set) End() int {
	all := s.all()
	for _, one := range all {
		one.End(Drain)
	}
	return len(all)
}

// Close cuts off the tunnels, which no server knows.
func (s *Set) Close() {
	for _, one := range s.all() {
		if one.options.Cut != nil {
			one.options.Cut()
		}
	}
}

// Wait returns when there are no streams, and no tunnels whose handshake is not
// answered yet, or with the error of ctx.
func (s *Set) Wait(ctx context.Context) error {
	s.mu.Lock()
	if len(s.open) == 0 && s.room == 0 {
		s.mu.Unlock()
		return nil
	}
	none := make(chan struct{})
	s.empty = append(s.empty, none)
	s.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Set) all() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Stream, 0, len(s.open))
	for one := range s.open {
		all = append(all, one)
	}
	return all
}

// TakeRoom counts a tunnel, unless there are limit of them; 0 is no limit. Who
// takes room leaves it.
func (s *Set) TakeRoom(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.room >= limit {
		return false
	}
	s.room++
	return true
}

// LeaveRoom takes back what TakeRoom counted.
func (s *Set) LeaveRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room--
	s.tell()
}

// tell wakes those who wait for the end of all. It is called with the lock held.
func (s *Set) tell() {
	if len(s.open) > 0 || s.room > 0 {
		return
	}
	for _, waiting := range s.empty {
		close(waiting)
	}
	s.empty = nil
}

// Options say how a stream ends.
type Options struct {
	Kind Kind
	Stop func(Ending) // ends it in good order, without waiting
	Cut  func()       // ends it at once; nil where closing the connection does

	Until time.Time             // when its token ends; zero for never
	Every time.Duration         // between two calls of Judge; 0 for none
	Judge func() (Ending, bool) // tells whether its token is refused by now; may be nil
}

// A Stream is one stream, and the token it lives by.
type Stream struct {
	set     *Set
	options Options

	mu     sync.Mutex // guards all below
	timer  *time.Timer
	ended  bool // by the gate, as ending says
	ending Ending
	over   bool
}

// Begin counts a stream. Its Done must be called.
func (s *Set) Begin(o Options) *Stream {
	one := &Stream{set: s, options: o}
	s.mu.Lock()
	s.open[one] = struct{}{}
	s.mu.Unlock()
	if s.hooks.Began != nil {
		s.hooks.Began(o.Kind)
	}
	one.arm()
	return one
}

// arm waits for the end of the token, or for the next time it is judged. The
// clock may be set meanwhile, so the wait for a far end is none in one piece
// where tokens are judged.
func (one *Stream) arm() {
	o := &one.options
	next := time.Duration(0)
	if o.Judge != nil {
		next = o.Every
	}
	if !o.Until.IsZero() {
		if left := time.Until(o.Until); next == 0 || left < next {
			next = max(left, time.Nanosecond)
		}
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if next > 0 && !one.over && !one.ended {
		one.timer = time.AfterFunc(next, one.look)
	}
}

func (one *Stream) look() {
	o := &one.options
	if !o.Until.IsZero() && !time.Now().Before(o.Until) {
		one.End(Expired)
		return
	}
	if o.Judge != nil {
		if e, refused := o.Judge(); refused {
			one.End(e)
			return
		}
	}
	one.arm()
}

// Kind is what the stream is made of.
func (one *Stream) Kind() Kind { return one.options.Kind }

// End has the stream stopped, once.
func (one *Stream) End(e Ending) {
	one.mu.Lock()
	first := !one.ended && !one.over
	if first {
		one.ended, one.ending = true, e
	}
	one.mu.Unlock()
	if first {
		one.options.Stop(e)
	}
}

// Ended tells whether the gate ended the stream, and why.
func (one *Stream) Ended() (e Ending, ended bool) {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.ending, one.ended
}

// Done takes the stream out of the count.
func (one *Stream) Done() {
	one.mu.Lock()
	one.over = true
	if one.timer != nil {
		one.timer.Stop()
	}
	ending := one.ending // ByPeer unless the gate did
	one.mu.Unlock()
	s := one.set
	s.mu.Lock()
	delete(s.open, one)
	s.tell()
	s.mu.Unlock()
	if s.hooks.Ended != nil {
		s.hooks.Ended(one.options.Kind, ending)
	}
}
