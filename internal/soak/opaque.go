package main

import (
	"crypto/rand"
	"fmt"
	math "math/rand/v2"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

const (
	opaquePrefix = "op_"
	// answerTime is how long an active answer is remembered, as configured, and so
	// how long a revoked token may pass.
	answerTime = 5 * time.Second
	// questionTime bounds a question to the issuer.
	questionTime = 2 * time.Second
	// breakerTime is how long an issuer that failed is left alone.
	breakerTime = 5 * time.Second
)

// opaque is a token that only its issuer can read. Its times belong to opaques.
type opaque struct {
	raw      string
	facts    facts
	expires  time.Time
	revoking time.Time // before it was revoked; zero: it was not
	revoked  time.Time // after it
}

// opaques are the opaque tokens of one issuer, and the oracle about them.
type opaques struct {
	issuer *issuer

	mu   sync.Mutex // guards all below, and the times of tokens
	made int
	good []*opaque
	gone []*opaque // revoked, the last of them
}

func newOpaques(is *issuer) *opaques { return &opaques{issuer: is} }

// mint makes a token for the pool, or with short, one that soon expires.
func (o *opaques) mint(short time.Duration) (*opaque, error) {
	o.mu.Lock()
	o.made++
	subject := fmt.Sprintf("opaque-%d", o.made)
	o.mu.Unlock()
	ends := time.Now().Add(30 * time.Minute)
	if short > 0 {
		ends = time.Now().Add(short)
	}
	t := &opaque{facts: facts{subject, o.issuer.url, "client-1", "read", ""}, expires: ends.Truncate(time.Second)}
	var err error
	t.raw, err = o.issuer.Opaque(opaquePrefix, devissuer.Token{
		KeyID: o.issuer.current().id, Alg: o.issuer.alg, Claims: map[string]any{"sub": subject, "exp": t.expires.Unix()},
	})
	if err == nil && short == 0 {
		o.mu.Lock()
		o.good = append(o.good, t)
		o.mu.Unlock()
	}
	return t, err
}

// unknown is a token nobody made.
func (*opaques) unknown() string { return opaquePrefix + rand.Text() }

// pick is one of the pool, or of those revoked; nil when there is none yet.
func (o *opaques) pick(revoked bool) *opaque {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.good
	if revoked {
		list = o.gone
	}
	if len(list) == 0 {
		return nil
	}
	return list[math.IntN(len(list))]
}

// revoke takes the oldest of the pool.
func (o *opaques) revoke() {
	o.mu.Lock()
	if len(o.good) < 2 {
		o.mu.Unlock()
		return
	}
	t := o.good[0]
	o.good = o.good[1:]
	o.gone = append(o.gone, t)
	o.gone = o.gone[max(0, len(o.gone)-10):]
	t.revoking = time.Now()
	o.mu.Unlock()
	o.issuer.Revoke(t.raw)
	o.mu.Lock()
	t.revoked = time.Now()
	o.mu.Unlock()
}

// find says what may become of a token between sent and received; nil is one
// that nobody made.
func (o *opaques) find(t *opaque, sent, received time.Time) (f finding) {
	// A question that failed as the issuer came back opens the breaker once more.
	f.busy = o.issuer.timeline.away(sent, received, questionTime+breakerTime)
	f.away = f.busy
	if t == nil {
		f.refused = true
		return f
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	// The remembered time runs from before the question, and no answer is kept past
	// exp. Who comes later may still share a question that was asked before exp.
	f.held = (t.revoked.IsZero() || sent.Before(t.revoked.Add(answerTime))) && sent.Before(t.expires.Add(questionTime))
	f.refused = !t.revoking.IsZero() && !t.revoking.After(received) || !received.Before(t.expires)
	return f
}

// turnover makes and revokes tokens until ctx ends.
func (o *opaques) turnover(done <-chan struct{}) error {
	for range 8 {
		if _, err := o.mint(0); err != nil {
			return err
		}
	}
	tick := time.NewTicker(2500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			o.revoke()
			if _, err := o.mint(0); err != nil {
				return err
			}
		}
	}
}
