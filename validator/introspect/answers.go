package introspect

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/wicketgate/wicketgate/token"
)

// answer is what a server said of an active token.
type answer struct {
	claims *token.Claims
	size   int    // octets of its text
	text   string // as it was sent; not remembered
}

// entry is a remembered answer: claims, or the refusal.
type entry struct {
	claims *token.Claims
	err    error
	size   int
	began  time.Time // when the server was asked
	end    time.Time // of the token; zero where it has none
}

// serves tells whether e is young enough to be the answer for ttl. How long that
// is the settings in force say, not those that e was remembered under.
func (e *entry) serves(now time.Time, ttl time.Duration) bool {
	return now.Before(e.began.Add(ttl)) && (e.end.IsZero() || now.Before(e.end))
}

// answers remembers what servers said. Refusals have a place of their own, so
// that a flood of garbage drives out no good answer. The caller holds the lock.
type answers struct {
	active  *simplelru.LRU[[32]byte, *entry]
	refused *simplelru.LRU[[32]byte, *entry]
	bytes   int
	limit   int
}

// entryCost is about what an entry takes beside the text of its answer.
const entryCost = 1 << 10

func newAnswers() *answers {
	a := &answers{limit: positiveBytes}
	// Both fail for a size below 1 only.
	a.active, _ = simplelru.NewLRU(positiveBytes/entryCost, func(_ [32]byte, e *entry) { a.bytes -= e.size })
	a.refused, _ = simplelru.NewLRU[[32]byte, *entry](negativeCount, nil)
	return a
}

// get returns what is remembered and fresh, or nil. Active answers are for ttl.
func (a *answers) get(key [32]byte, now time.Time, ttl time.Duration) *entry {
	if e, found := a.active.Get(key); found && e.serves(now, ttl) {
		return e
	}
	if e, found := a.refused.Get(key); found && e.serves(now, negativeTime) {
		return e
	}
	return nil
}

// keep remembers an active answer that may serve for ttl, never past the token's
// exp.
func (a *answers) keep(key [32]byte, told *answer, began time.Time, ttl time.Duration) {
	a.active.Remove(key)
	a.refused.Remove(key)
	e := &entry{claims: told.claims, size: told.size + entryCost, began: began, end: told.claims.Expiry}
	if !e.serves(began, ttl) {
		return
	}
	a.bytes += e.size
	a.active.Add(key, e)
	for a.bytes > a.limit {
		a.active.RemoveOldest()
	}
}

func (a *answers) refuse(key [32]byte, refusal error, began time.Time) {
	a.active.Remove(key)
	a.refused.Add(key, &entry{err: refusal, began: began})
}

// grace returns the last active answer, if it may still stand in until ttl after
// it was asked for, or nil.
func (a *answers) grace(key [32]byte, now time.Time, ttl time.Duration) *token.Claims {
	if e, found := a.active.Get(key); found && e.serves(now, ttl) {
		return e.claims
	}
	return nil
}
