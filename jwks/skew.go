package jwks

import (
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/internal/fetch"
)

// precision is how far an estimate of a clock may be off: a date has no
// fractions, and nobody knows which half of the way took longer.
const precision = time.Second

// Skew is by how much an issuer's clock differs from ours, by the date of its
// answers.
type Skew struct {
	Known  bool
	Ahead  time.Duration // of ours; give or take a second
	Beyond bool          // more than the issuer's leeway
	News   bool          // Beyond changed with this load
}

// clock is what is known of an issuer's clock.
type clock struct {
	held atomic.Pointer[Skew]
}

func (c *clock) note(body *fetch.Body, leeway time.Duration) {
	if body.Date.IsZero() {
		return
	}
	next := &Skew{Known: true, Ahead: body.Ahead, Beyond: body.Ahead.Abs()-precision > leeway}
	before := c.held.Load()
	next.News = next.Beyond != (before != nil && before.Beyond)
	c.held.Store(next)
}

func (c *clock) skew() Skew {
	if s := c.held.Load(); s != nil {
		return *s
	}
	return Skew{}
}
