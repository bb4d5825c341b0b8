package status

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// Bounds on what is kept of one issuer. Issuers share nothing: none can drive
// out the lists of another.
const (
	maxLists = 128
	maxBytes = 128 << 20     // of all lists, inflated
	idleTime = 2 * time.Hour // after which a list nobody asks for is given up

	usedStep   = int64(time.Second) // use is noted no finer than this
	retryAfter = 5 * time.Second
)

// Load is what one attempt to get a list came to.
type Load struct {
	Issuer string // its label
	Took   time.Duration
	Err    error
	Lists  int       // of the issuer, at hand now
	Bytes  int       // of these, inflated
	Oldest time.Time // when the one of them that was got first was got; zero without any
}

// Options of Lists.
type Options struct {
	Keys   *jwks.Cache
	OnLoad func(Load) // may be nil
}

// Lists keeps the status lists of all issuers at hand: refreshed ahead of their
// end, each fetched once however many ask. It lives as long as the process and
// is safe for concurrent use. A look at a list that is at hand takes no lock.
type Lists struct {
	options Options
	issuers atomic.Pointer[map[string]*shelf]
	root    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards closed, and the replacing of issuers and of every shelf's table
	closed bool
}

// shelf is the lists of one issuer, by address.
type shelf struct {
	*source
	table atomic.Pointer[map[string]*entry]
}

// entry is one list.
type entry struct {
	uri     string
	current *fetch.Resource[*held]
	last    atomic.Pointer[held]
	used    atomic.Int64 // nanoseconds since the epoch
	gone    atomic.Bool
	stop    context.CancelFunc
}

// New makes Lists that know no issuer yet. It starts nothing.
func New(o Options) *Lists {
	l := &Lists{options: o}
	l.root, l.stop = context.WithCancel(context.Background())
	l.issuers.Store(&map[string]*shelf{})
	return l
}

// Configure replaces the issuers. One that is the same as before keeps its
// lists.
func (l *Lists) Configure(sources []Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, next := *l.issuers.Load(), make(map[string]*shelf, len(sources))
	for _, s := range sources {
		fresh := newSource(s, l.options.Keys)
		if before := old[s.Name]; before != nil && before.equal(&fresh.Source) {
			next[s.Name] = before
			continue
		}
		next[s.Name] = &shelf{source: fresh}
		next[s.Name].table.Store(&map[string]*entry{})
	}
	l.issuers.Store(&next)
	for name, s := range old {
		if next[name] != s {
			for _, e := range *s.table.Load() {
				e.drop()
			}
		}
	}
}

// Close ends every load and returns when none is under way.
func (l *Lists) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.running.Wait()
}

var (
	errUnknown = fmt.Errorf("looking at the issuer's status lists: %w", token.ErrNotConfigured)
	errBeyond  = errors.New("status_list.idx is beyond the end of the list")
	errIdle    = errors.New("nobody asks for the list any more")
)

// Value is the status at a reference of the issuer called name. The error is a
// *token.Error when the list has no such index, and a *token.Fault when there is
// no list to be had.
func (l *Lists) Value(ctx context.Context, name string, at Reference) (uint8, error) {
	s := (*l.issuers.Load())[name]
	if s == nil {
		return 0, fault(errUnknown)
	}
	h, err := l.find(ctx, s, at.URI)
	if err != nil {
		return 0, fault(err)
	}
	value, ok := h.at(at.Index)
	if !ok {
		return 0, token.Refuse(token.InvalidToken, token.ReasonStatusReference).Because(errBeyond)
	}
	return value, nil
}

func fault(cause error) *token.Fault {
	return &token.Fault{Reason: token.ReasonStatusUnavailable, RetryAfter: retryAfter, Cause: cause}
}

// find returns the list at uri. One that was given up meanwhile is asked for
// anew, once.
func (l *Lists) find(ctx context.Context, s *shelf, uri string) (h *held, err error) {
	for range 2 {
		e := (*s.table.Load())[uri]
		if e == nil {
			if e, err = l.add(s, uri); err != nil {
				return nil, err
			}
		}
		if h, err = e.get(ctx); err == nil || !e.gone.Load() {
			return h, err
		}
	}
	return nil, err
}

// get returns the list while it is fresh, and when it no longer is what the next
// load brings. Only when the last load failed does a list go on that is not
// fresh, until its end.
func (e *entry) get(ctx context.Context) (*held, error) {
	now := time.Now()
	if since := now.UnixNano(); since-e.used.Load() > usedStep {
		e.used.Store(since)
	}
	h := e.last.Load()
	if h != nil && now.Before(h.fresh) {
		return h, nil
	}
	usable := h != nil && now.Before(h.end)
	if _, _, failed := e.current.Peek(); failed != nil && usable {
		return h, nil // the loads go on in the background
	}
	got, err := e.current.Get(ctx)
	if err == nil && !time.Now().Before(got.end) { // the clock was set forward
		got, _, _, err = e.current.Newer(ctx)
	}
	switch {
	case err != nil && usable && ctx.Err() == nil:
		return h, nil
	case err != nil:
		return nil, err
	case got == nil || !time.Now().Before(got.end):
		return nil, errEnded
	}
	return got, nil
}

// add puts a list on the shelf and begins to keep it fresh.
func (l *Lists) add(s *shelf, uri string) (*entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || (*l.issuers.Load())[s.Name] != s {
		return nil, errUnknown
	}
	table := maps.Clone(*s.table.Load())
	if e := table[uri]; e != nil {
		return e, nil
	}
	e := &entry{uri: uri}
	e.used.Store(time.Now().UnixNano())
	e.current = fetch.New(func(ctx context.Context) (*held, time.Duration, error) { return l.load(ctx, s, e) }, fetch.Limits{
		Name: "status list", Timeout: loadTimeout, MinGap: time.Second,
		OnLoad: func(took time.Duration, err error) { l.loaded(s, took, err) },
	})
	var ctx context.Context
	ctx, e.stop = context.WithCancel(l.root)
	for len(table) >= maxLists {
		oldest(table, nil).leave(table)
	}
	table[uri] = e
	s.table.Store(&table)
	l.running.Go(func() { e.current.Run(ctx) })
	return e, nil
}

func (l *Lists) load(ctx context.Context, s *shelf, e *entry) (*held, time.Duration, error) {
	if time.Since(time.Unix(0, e.used.Load())) > idleTime {
		l.mu.Lock()
		defer l.mu.Unlock()
		table := maps.Clone(*s.table.Load())
		e.leave(table)
		s.table.Store(&table)
		return nil, 0, errIdle
	}
	h, err := s.load(ctx, e.uri)
	if err != nil {
		return nil, 0, err
	}
	e.last.Store(h)
	l.makeRoom(s, e)
	return h, max(time.Until(h.fresh), 1), nil
}

// makeRoom gives up the lists that nobody asked for longest, but never the one
// that came just now: it is smaller than the whole.
func (l *Lists) makeRoom(s *shelf, latest *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, bytes, _ := size(*s.table.Load()); bytes <= maxBytes {
		return
	}
	table := maps.Clone(*s.table.Load())
	for _, bytes, _ := size(table); bytes > maxBytes; _, bytes, _ = size(table) {
		victim := oldest(table, latest)
		if victim == nil {
			break
		}
		victim.leave(table)
	}
	s.table.Store(&table)
}

// size counts the lists of a table that came, adds them up, and finds when the
// first of them was got.
func size(table map[string]*entry) (lists, bytes int, first time.Time) {
	for _, e := range table {
		if h := e.last.Load(); h != nil {
			lists++
			bytes += len(h.packed)
			if first.IsZero() || h.loaded.Before(first) {
				first = h.loaded
			}
		}
	}
	return lists, bytes, first
}

// oldest is the entry that was not used for longest, but for one.
func oldest(table map[string]*entry, but *entry) (found *entry) {
	for _, e := range table {
		if e != but && (found == nil || e.used.Load() < found.used.Load()) {
			found = e
		}
	}
	return found
}

func (e *entry) leave(table map[string]*entry) {
	if table[e.uri] == e {
		delete(table, e.uri)
	}
	e.drop()
}

func (e *entry) drop() {
	e.gone.Store(true)
	e.stop()
}

func (l *Lists) loaded(s *shelf, took time.Duration, err error) {
	if l.options.OnLoad == nil || errors.Is(err, errIdle) || errors.Is(err, context.Canceled) {
		return
	}
	table := *s.table.Load()
	told := Load{Issuer: s.Label, Took: took, Err: err}
	told.Lists, told.Bytes, told.Oldest = size(table)
	l.options.OnLoad(told)
}
