package validator

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/budget"
)

// Bounds are what the signatures of tokens may cost. The zero Bounds is none.
type Bounds struct {
	Refused     int             // tokens remembered whose signature does not hold
	Failures    *budget.Sources // how many such tokens a source may send; nil for any number
	Gate        *budget.Gate    // how many signatures are checked at once; nil for any number
	OnSignature func(held bool) // told of each signature that was checked; may be nil
	OnRefused   func()          // told of each token that was refused by memory; may be nil
}

// refusedFor is how long a signature is remembered not to hold. An issuer may
// put a new key under an old kid, and then has it looked for again.
const refusedFor = 10 * time.Second

// doubtsPart is how many tokens whose signature held and that were refused all
// the same are remembered, for one that did not hold.
const doubtsPart = 8

// doubts remembers what came of signatures of tokens that were refused, so that
// the same token again costs no signature. It is apart from the verified tokens:
// nothing that is refused pushes out what is good.
type doubts struct {
	mu      sync.Mutex // guards all below
	forged  *simplelru.LRU[[32]byte, forgery]
	refused *simplelru.LRU[[32]byte, *verified] // signed, and refused for another reason
	signed  *simplelru.LRU[[32]byte, *jwks.Key] // by whom, where only that is known: see vouchEarly
}

// A forgery is a token that no key of a set has signed, or that is none for all
// its signature. What the answer was depends on the resource too, by whose rules
// the token was looked at before.
type forgery struct {
	refusal  *token.Error
	resource *Resource
	issuer   *issuer
	set      *jwks.Set // of its keys
	until    time.Time
}

// newDoubts is nil for a size below 1.
func newDoubts(size int) *doubts {
	if size < 1 {
		return nil
	}
	d := &doubts{}
	// Both fail for a size below 1 only.
	d.forged, _ = simplelru.NewLRU[[32]byte, forgery](size, nil)
	d.refused, _ = simplelru.NewLRU[[32]byte, *verified](max(1, size/doubtsPart), nil)
	d.signed, _ = simplelru.NewLRU[[32]byte, *jwks.Key](max(1, size/doubtsPart), nil)
	return d
}

func (d *doubts) forge(digest [32]byte, f forgery) {
	if d == nil || f.set == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forged.Add(digest, f)
}

func (d *doubts) refuse(digest [32]byte, seen *verified) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused.Add(digest, seen)
}

func (d *doubts) sign(digest [32]byte, by *jwks.Key) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signed.Add(digest, by)
}

// signer is nil for a token that sign was not told of.
func (d *doubts) signer(digest [32]byte) *jwks.Key {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	by, _ := d.signed.Get(digest)
	return by
}

func (d *doubts) purge() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forged.Purge()
	d.refused.Purge()
	d.signed.Purge()
}

// doubted is recall for tokens that were refused before: the refusal, where nothing
// but another key would make it another, or what is known of a token that has to
// be judged again.
func (r *Resource) doubted(cred token.Credential, digest [32]byte, now time.Time) (*verified, error) {
	if r.doubts == nil || cred.Trace != nil {
		return nil, nil
	}
	r.doubts.mu.Lock()
	f, forged := r.doubts.forged.Get(digest)
	seen, refused := r.doubts.refused.Get(digest)
	r.doubts.mu.Unlock()
	switch {
	case forged && f.resource == r && now.Before(f.until) && r.keys.Current(f.issuer.Keys) == f.set:
		if r.bounds.OnRefused != nil {
			r.bounds.OnRefused()
		}
		return nil, f.issuer.vouchOpened(f.refusal)
	case refused && r.keys.Holds(seen.issuer.Keys, seen.key):
		return seen, nil
	}
	return nil, nil
}

// A flight is a signature that is being checked. All but waiting is set before
// landed is closed.
type flight struct {
	set    *jwks.Set
	landed chan struct{} // nil until somebody waits
	seen   *verified
	err    error
}

type flights struct {
	mu    sync.Mutex // guards under, and landed of each
	under map[[32]byte]*flight
}

var errAborted = errors.New("checking a signature was broken off")

// begin returns the flight of somebody else to wait for, or begins one.
func (f *flights) begin(digest [32]byte, set *jwks.Set) (own, other *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	other = f.under[digest]
	switch {
	case other == nil:
		own = &flight{set: set, err: errAborted}
		f.under[digest] = own
		return own, nil
	case other.set != set:
		return nil, nil // by other keys it may come out in another way
	case other.landed == nil:
		other.landed = make(chan struct{})
	}
	return nil, other
}

func (f *flights) land(digest [32]byte, own *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.under, digest)
	if own.landed != nil {
		close(own.landed)
	}
}

// signed finds out whether one of keys signed u. Requests with one token that
// come at once have it found out once: whoever comes later waits for what the
// first one finds, unless that is about the first one and not about the token.
func (r *Resource) signed(ctx context.Context, cred token.Credential, digest [32]byte, q question) (*verified, error) {
	own, other := r.flights.begin(digest, q.set)
	switch {
	case own != nil:
		defer r.flights.land(digest, own)
		own.seen, own.err = r.find(ctx, cred, q)
		return own.seen, own.err
	case other == nil:
		return r.find(ctx, cred, q)
	}
	select {
	case <-other.landed:
	case <-ctx.Done():
		return nil, busy(ctx.Err())
	}
	refusal, told := aboutToken(other.err)
	switch {
	case told:
		return nil, refusal
	case other.err == nil && r.keys.Holds(q.issuer.Keys, other.seen.key):
		return other.seen, nil
	}
	return r.find(ctx, cred, q)
}

// aboutToken tells a refusal that every other request with the token gets too.
func aboutToken(err error) (*token.Error, bool) {
	refusal, refused := errors.AsType[*token.Error](err)
	return refusal, refused && refusal.Code == token.InvalidToken
}

// A question is whether a key of keys, which are of set, signed a token.
type question struct {
	issuer *issuer
	token  *token.Unverified
	keys   []*jwks.Key
	set    *jwks.Set
}

// find tries the keys at hand, and those that the issuer may have put in their
// place since.
func (r *Resource) find(ctx context.Context, cred token.Credential, q question) (*verified, error) {
	seen, err := r.try(ctx, cred, q, q.keys)
	if refusal, refused := errors.AsType[*token.Error](err); refused && refusal.Reason == token.ReasonSignature {
		if others := r.keys.Reissued(ctx, q.issuer.Keys, q.token.KeyID, jwks.Canonical(q.token.Algorithm), q.keys); len(others) > 0 {
			return r.try(ctx, cred, q, others)
		}
		if ctx.Err() != nil { // nobody stayed to see whether there are others: nothing was found out
			return nil, busy(ctx.Err())
		}
	}
	return seen, err
}

// try tries the keys that fit. There is more than one only where a token names
// no key or a set names one twice. A signature that is too long or too short for
// all of them costs nothing, and nobody waits for it.
func (r *Resource) try(ctx context.Context, cred token.Credential, q question, keys []*jwks.Key) (*verified, error) {
	if !slices.ContainsFunc(keys, q.measures) {
		return nil, refuse(token.ReasonSignature)
	}
	source := r.bounds.Failures.Of(payer(cred), "")
	if err := r.enter(ctx, source); err != nil {
		return nil, err
	}
	held := false
	defer r.leave(source, &held)
	for _, key := range keys {
		if !q.measures(key) {
			continue
		}
		claims, err := q.token.OpenInto(q.issuer.common, key)
		_, refused := errors.AsType[*token.Error](err)
		held = refused || err == nil
		if r.bounds.OnSignature != nil {
			r.bounds.OnSignature(held)
		}
		if refused {
			return nil, err
		}
		if err == nil {
			return q.issuer.read(claims, key)
		}
	}
	return nil, refuse(token.ReasonSignature)
}

// measures tells whether the signature is as long as one by key is.
func (q question) measures(key *jwks.Key) bool {
	return key.Measures(q.token.Algorithm, q.token.SignatureLength())
}

// payer is the address that pays for what cred costs in vain.
func payer(cred token.Credential) netip.Addr {
	if cred.Sender == nil {
		return netip.Addr{}
	}
	return cred.Sender.Payer()
}

// busyFor is what a client is told to wait when all places are taken.
const busyFor = time.Second

// enter asks for leave to check a signature. Whose budget is spent does not even
// wait for a place. A nil error wants leave.
func (v *Validator) enter(ctx context.Context, source budget.Source) error {
	if err := v.overspent(source); err != nil {
		return err
	}
	waited, err := v.bounds.Gate.Enter(ctx)
	if err != nil {
		return busy(err)
	}
	if !waited {
		return nil
	}
	if err := v.overspent(source); err != nil { // by those of its requests that were before this one
		v.bounds.Gate.Leave()
		return err
	}
	return nil
}

// busy is what becomes of who waited in vain, or did not wait until the end: that is
// no fault within.
func busy(cause error) error {
	return &token.Fault{Reason: token.ReasonBusy, RetryAfter: busyFor, Cause: cause}
}

func (v *Validator) overspent(source budget.Source) error {
	if wait := v.bounds.Failures.Wait(source); wait > 0 {
		return token.TooMany(token.ReasonFailures, wait)
	}
	return nil
}

func (v *Validator) leave(source budget.Source, held *bool) {
	if !*held {
		v.bounds.Failures.Charge(source)
	}
	v.bounds.Gate.Leave()
}
