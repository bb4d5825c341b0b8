package jwks

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/wicketgate/wicketgate/token"
)

// ErrNoKey says that the issuer has no key by which a token could have been
// signed. It is the client's doing.
var ErrNoKey = errors.New("the issuer has no such key")

// parsedSets is how many parsed sets are remembered: enough for a few versions
// of each of many issuers.
const parsedSets = 256

// retryAfter is what a client is told to wait when an issuer's keys are not to
// be had: about the middle of the backoff between attempts.
const retryAfter = 5 * time.Second

// reissueInterval is the shortest time between two fetches of one set because
// of signatures that failed.
const reissueInterval = time.Minute

// Options of a Cache. The hooks are called with the source's name and may be
// nil.
type Options struct {
	OnLoad       func(issuer string, load Load)
	OnUnknownKey func(issuer string, refetched bool)
	OnCopy       func(issuer string, c Copied)
	OnDisagree   func(issuer, what string) // two metadata documents of one issuer differ

	Tables *Tables // for keys seen again; nil for none

	Folder string // for copies of the sets on disk, which serve after a restart; empty for none
}

// Load is what one attempt to get an issuer's keys came to.
type Load struct {
	Took    time.Duration
	Err     error // the keys held before stay
	Changed bool  // other keys than before
	Keys    int
	Skipped []Skipped
	At      time.Time
	Skew    Skew
}

// Status is how one issuer stands.
type Status struct {
	Name, Issuer string
	Ready        bool // its tokens can be judged
	Keys         int
	LastSuccess  time.Time // start of the load that brought the keys held
	Next         time.Time // when Run loads them again; zero for at once
	Err          string    // why the last load failed; empty when it did not
	Skew         Skew
}

// Cache holds the keys of all issuers. They share nothing but the memory of
// parsed sets: an issuer that is slow or gone delays no other.
type Cache struct {
	options Options
	copies  *copies // nil for none
	entries atomic.Pointer[table]
	changed chan struct{}

	// parsed remembers sets by their text, so that a text seen before costs no
	// parsing. Nothing depends on what it forgets.
	parsed *lru.Cache[[sha256.Size]byte, parsedSet]
}

type table struct {
	list   []*entry
	byName map[string]*entry
}

type parsedSet struct {
	set     *Set
	skipped []Skipped
}

// NewCache makes a Cache without issuers. It starts nothing.
func NewCache(o Options) *Cache {
	parsed, _ := lru.New[[sha256.Size]byte, parsedSet](parsedSets) // fails for a size below 1 only
	c := &Cache{options: o, parsed: parsed, changed: make(chan struct{}, 1), copies: newCopies(o.Folder, o.OnCopy)}
	c.entries.Store(&table{})
	return c
}

// Configure replaces the issuers. A source that is the same as before keeps its
// keys and its history; one of which only changed what does not decide which
// keys these are keeps the keys. It asks nobody anything. It must not run twice
// at once.
func (c *Cache) Configure(sources []Source) {
	old := c.entries.Load()
	t := &table{byName: make(map[string]*entry, len(sources))}
	for _, s := range sources {
		e := old.byName[s.Name]
		if s.RefetchInterval <= 0 {
			s.RefetchInterval = refetchInterval
		}
		if e == nil || !e.source.equal(s) {
			e = newEntry(s, c, e)
		}
		t.list = append(t.list, e)
		t.byName[s.Name] = e
	}
	c.entries.Store(t)
	select {
	case c.changed <- struct{}{}:
	default: // Run has not looked at the change before this one yet
	}
}

// Run keeps the keys of all issuers fresh, those of later calls to Configure
// too. It returns when ctx ends and every load has ended.
func (c *Cache) Run(ctx context.Context) {
	running := make(map[*entry]context.CancelFunc)
	defer c.writing()()
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		kept := make(map[*entry]context.CancelFunc, len(running))
		for _, e := range c.entries.Load().list {
			if stop := running[e]; stop != nil {
				kept[e] = stop
				delete(running, e)
				continue
			}
			one, stop := context.WithCancel(ctx)
			kept[e] = stop
			wait.Go(func() { e.current.Run(one) })
			wait.Go(func() { e.compare(one) })
		}
		for _, stop := range running {
			stop()
		}
		running = kept
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return
		case <-c.changed:
		}
	}
}

// writing starts the writing of copies, and returns what ends it.
func (c *Cache) writing() (end func()) {
	if c.copies == nil {
		return func() {}
	}
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() { c.copies.run(stop) })
	return func() {
		close(stop)
		wait.Wait()
	}
}

// Keys returns the keys, at most 4, by one of which a token of this issuer with
// this kid and alg must be signed. issuedAt is the token's iat, or zero; it
// decides only what an unknown kid means while the set may not be fetched
// again. The error is ErrNoKey, or a *token.Fault when it cannot be told.
func (c *Cache) Keys(ctx context.Context, issuer, kid, alg string, issuedAt time.Time) ([]*Key, error) {
	e := c.entries.Load().byName[issuer]
	if e == nil {
		return nil, unavailable(retryAfter, fmt.Errorf("the issuer: %w", token.ErrNotConfigured))
	}
	began := time.Now()
	set, err := e.current.Get(ctx)
	if err != nil {
		return nil, unavailable(retryAfter, err)
	}
	if keys := set.Find(kid, alg); keys != nil {
		return keys, nil
	}
	if set.names(kid) {
		return nil, ErrNoKey // a key with another algorithm: no fetch changes that
	}
	return e.newer(ctx, kid, alg, began, issuedAt)
}

// newer looks for a kid the set does not have. began is when the request came:
// a set asked for later than that has the last word. The load that was under
// way already may have missed a key just published, hence two tries.
func (e *entry) newer(ctx context.Context, kid, alg string, began, issuedAt time.Time) ([]*Key, error) {
	set, at, _ := e.current.Peek()
	asked := false
	for range 2 {
		if !at.Before(began) {
			break
		}
		var again bool
		var err error
		set, at, again, err = e.current.Newer(ctx)
		asked = asked || again
		if !again || err != nil || set.Find(kid, alg) != nil || set.names(kid) {
			break
		}
	}
	if e.cache.options.OnUnknownKey != nil {
		e.cache.options.OnUnknownKey(e.label(), asked)
	}
	switch {
	case set == nil || set.Len() == 0:
		return nil, unavailable(retryAfter, errors.New("the issuer publishes no key"))
	case set.Find(kid, alg) != nil:
		return set.Find(kid, alg), nil
	case set.names(kid), !at.Before(began), !issuedAt.IsZero() && !at.Before(issuedAt.Add(time.Second)): // iat has no fractions
		return nil, ErrNoKey
	}
	return nil, unavailable(e.source.RefetchInterval, errors.New("unknown key, and the set may not be fetched again yet"))
}

// Reissued returns the keys a token of this issuer with this kid and alg may be
// signed with beside tried, all of which were found not to have signed it: an
// issuer may have put a new key under an old kid. It fetches the set for that at
// most once a minute, whatever clients send, and returns none when it may not.
func (c *Cache) Reissued(ctx context.Context, issuer, kid, alg string, tried []*Key) []*Key {
	e := c.entries.Load().byName[issuer]
	if e == nil {
		return nil
	}
	set, _, _ := e.current.Peek()
	if others := set.without(kid, alg, tried); len(others) > 0 {
		return others
	}
	return e.current.Again(ctx).without(kid, alg, tried) // without a new set, nothing is new
}

// Open returns the claims of u if a key of the issuer signed it. The error is
// ErrNoKey when none did, a *token.Error when the claims are malformed, or the
// fault of Keys.
func (c *Cache) Open(ctx context.Context, issuer string, u *token.Unverified) (*token.Claims, error) {
	iat, _ := u.Untrusted("iat")
	issued, _ := token.NumericDate(iat)
	keys, err := c.Keys(ctx, issuer, u.KeyID, Canonical(u.Algorithm), issued)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		claims, err := u.Open(key)
		if _, refused := errors.AsType[*token.Error](err); refused || err == nil {
			return claims, err
		}
	}
	return nil, ErrNoKey
}

func unavailable(wait time.Duration, cause error) *token.Fault {
	return &token.Fault{Reason: token.ReasonKeysUnavailable, RetryAfter: max(wait, time.Second), Cause: cause}
}

// Holds reports whether key is in the issuer's set still and that set may be
// used still. It takes no lock, asks nobody and allocates nothing.
func (c *Cache) Holds(issuer string, key *Key) bool {
	e := c.entries.Load().byName[issuer]
	if e == nil {
		return false
	}
	set, _, _ := e.current.Peek()
	return set != nil && set.holds(key)
}

// Current is the issuer's set as it is now, or nil while there is none that may
// be used. As long as it stays the same, so does what its keys have signed. It
// takes no lock, asks nobody and allocates nothing.
func (c *Cache) Current(issuer string) *Set {
	e := c.entries.Load().byName[issuer]
	if e == nil {
		return nil
	}
	set, _, _ := e.current.Peek()
	return set
}

// Status says how the issuers stand, in the order of Configure.
func (c *Cache) Status() []Status {
	t := c.entries.Load()
	all := make([]Status, len(t.list))
	for i, e := range t.list {
		set, loaded, err := e.current.Peek()
		all[i] = Status{Name: e.source.Name, Issuer: e.source.Issuer, LastSuccess: loaded, Next: e.current.Due()}
		if set != nil {
			all[i].Keys, all[i].Ready = set.Len(), set.Len() > 0
		}
		// Without keys from the start or by its own word, but not because they are too old.
		all[i].Ready = all[i].Ready || e.source.Optional && (loaded.IsZero() || set != nil)
		all[i].Skew = e.clock.skew()
		if err != nil {
			all[i].Err = err.Error()
		}
	}
	return all
}

// parse is parseSet for a text that may have been seen before. The fields under
// the hash carry their lengths, so that no two texts run together.
func (c *Cache) parse(s Source, body []byte, known *Set) (*Set, []Skipped, error) {
	h := sha256.New()
	for _, field := range [][]byte{[]byte(s.Name), []byte(strings.Join(s.Algorithms, " ")), body} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		h.Write(field)
	}
	id := [sha256.Size]byte(h.Sum(nil))
	if p, found := c.parsed.Get(id); found {
		return p.set, p.skipped, nil
	}
	set, skipped, err := parseSet(body, s.Algorithms, known)
	if err == nil {
		for _, k := range set.keys {
			k.join(c.options.Tables)
		}
		c.parsed.Add(id, parsedSet{set, skipped})
	}
	return set, skipped, err
}
