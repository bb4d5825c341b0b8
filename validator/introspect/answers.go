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
	fresh  time.Time // until when it is the answer
	grace  time.Time // until when it may stand in for one that cannot be had
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

// get returns what is remembered and fresh, or nil.
func (a *answers) get(key [32]byte, now time.Time) *entry {
	for _, list := range [...]*simplelru.LRU[[32]byte, *entry]{a.active, a.refused} {
		if e, found := list.Get(key); found && now.Before(e.fresh) {
			return e
		}
	}
	return nil
}

// keep remembers an active answer for ttl, never past the token's exp.
func (a *answers) keep(key [32]byte, told *answer, began time.Time, ttl, grace time.Duration) {
	a.active.Remove(key)
	a.refused.Remove(key)
	e := &entry{claims: told.claims, size: told.size + entryCost, fresh: began.Add(ttl), grace: began.Add(ttl + grace)}
	if end := told.claims.Expiry; !end.IsZero() {
		e.fresh, e.grace = earlier(e.fresh, end), earlier(e.grace, end)
	}
	if !began.Before(e.grace) {
		return
	}
	a.bytes += e.size
	a.active.Add(key, e)
	for a.bytes > a.limit {
		a.active.RemoveOldest()
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (a *answers) refuse(key [32]byte, refusal error, began time.Time) {
	a.active.Remove(key)
	a.refused.Add(key, &entry{err: refusal, fresh: began.Add(negativeTime)})
}

// grace returns the last active answer, if it may still stand in, or nil.
func (a *answers) grace(key [32]byte, now time.Time) *token.Claims {
	if e, found := a.active.Get(key); found && now.Before(e.grace) {
		return e.claims
	}
	return nil
}
