package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wicketgate/wicketgate/proxy/places"
	"github.com/wicketgate/wicketgate/token"
)

// PlaceHooks are told what waits for an upstream, and what was refused for it; each
// may be nil.
type PlaceHooks struct {
	Waiting func(upstream string, n int)
	Refused func(upstream string, late bool) // late: it has waited
}

// OnPlaces sets what is told of places. It is to be set before Open.
func (u *Upstreams) OnPlaces(h PlaceHooks) { u.hooks = h }

// Bound says how many requests each upstream has at once, and who waits for it. It
// holds from the next request on; those under way keep their connections.
func (u *Upstreams) Bound(b places.Bounds) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.bounds.Most
	u.bounds = b
	for _, p := range u.places {
		p.Set(b)
	}
	if before == b.Most {
		return
	}
	for _, c := range u.open {
		if !c.key.own && c.key.scheme != "https" && c.key.scheme != "h2c" {
			c.renew(u.unasked) // net/http is told once
		}
	}
}

// placesAt are the places at the upstream of that name, whatever else changes.
func (u *Upstreams) placesAt(name string) *places.Places {
	p := u.places[name]
	if p != nil {
		return p
	}
	h := places.Hooks{}
	if tell := u.hooks.Waiting; tell != nil {
		h.Waiting = func(n int) { tell(name, n) }
	}
	if tell := u.hooks.Refused; tell != nil {
		h.Refused = func(why error) { tell(name, errors.Is(why, places.ErrLate)) }
	}
	p = places.New(u.bounds, h)
	u.places[name] = p
	return p
}

// errLeft says that a client went away, or was sent away, while it waited for a place.
var errLeft = errors.New("left before there was a place at the upstream")

// enter waits for a place at the upstream.
func (u *Upstream) enter(r *http.Request) error {
	err := u.connections.places.Enter(r.Context())
	if err != nil && r.Body != nil {
		_ = r.Body.Close()
	}
	if err != nil && !errors.Is(err, places.ErrFull) && !errors.Is(err, places.ErrLate) {
		err = fmt.Errorf("%w: %w", errLeft, err)
	}
	return err
}

// hold leaves the place when the answer is over, where net/http asked.
func (u *Upstream) hold(resp *http.Response, err error, ex *exchange) (*http.Response, error) {
	if err != nil || resp.Body == http.NoBody {
		u.connections.places.Leave()
		return resp, err
	}
	b := &places.Body{}
	if ex != nil {
		b = &ex.out().held
	}
	resp.Body = b.Hold(resp.Body, u.connections.places)
	return resp, nil
}

// unasked reports whether err says that there was no place, so that the upstream has no
// part in what became of the request. It takes the allowance back where that was for
// want of one, and not of a client.
func (ex *exchange) unasked(err error) bool {
	if !errors.Is(err, places.ErrFull) && !errors.Is(err, places.ErrLate) {
		return errors.Is(err, errLeft)
	}
	ex.decision.Verdict, ex.decision.Fault = Failed, &token.Fault{Reason: token.ReasonUpstreamBusy, RetryAfter: time.Second, Cause: err}
	return true
}
