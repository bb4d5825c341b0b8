// Package dpop checks DPoP proofs at the resource: that whoever sends a
// sender-constrained token also holds its key (RFC 9449 sections 4.3 and 7).
//
// It judges proofs only. Whether the token itself is good was decided before,
// and its cnf.jkt is handed in. Nonces are given out and known again here too
// (RFC 9449 sections 8 and 9).
package dpop

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/budget"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// Limits on a proof.
const (
	maxID = 256 // octets of a jti

	// DefaultMaxAge and DefaultFuture bound iat around now.
	DefaultMaxAge = 60 * time.Second
	DefaultFuture = 30 * time.Second

	// firstSecond is how long after Since a proof of that second is good. Dates
	// have no fractions: it may have been made and used before Since, and whoever
	// made it after Since sends it at once.
	firstSecond = 5 * time.Second

	keysCached = 1000 // parsed client keys kept at hand
)

// DefaultAlgorithms are the proof algorithms accepted unless the operator says
// otherwise. ES384 and ES512 cost up to 35 times as much to check, at the
// caller's choice.
var DefaultAlgorithms = []string{"ES256", "EdDSA", "RS256", "PS256"}

// Options says which proofs are good. The zero value of a field is its
// default.
type Options struct {
	MaxAge     time.Duration // how old iat may be
	Future     time.Duration // how far ahead of us iat may be
	MaxLength  int           // octets of a proof
	Algorithms []string      // algs of the challenge

	// Since refuses proofs made before it. A store that begins empty with the
	// process cannot know what was used before; Since is the second in which
	// it began, and proofs of that very second are good only while they are new.
	// Zero for a store that outlives the process. A proof with a nonce
	// that only this process can have given out was not used before it.
	Since time.Time

	// Horizon refuses proofs that may have been forgotten because the wall clock
	// was set back, from the first reading of it that tells; nil for none. It
	// outlives a Verifier.
	Horizon *Horizon

	// Nonces is where the nonces of credentials that need one come from; nil for
	// one that no other Verifier shares.
	Nonces *Nonces

	// Failures is how many proofs whose signature does not hold one address may send
	// for one key; nil for any number.
	Failures *budget.Sources

	OnSignature func(held bool) // told of each signature that was checked; may be nil

	// Tables are for keys seen again; nil for none.
	Tables *jwks.Tables

	// OnSkew is told iat less now of each proof that held; may be nil.
	OnSkew func(time.Duration)
}

// A Verifier checks proofs against one set of options. It is immutable and
// safe for concurrent use.
type Verifier struct {
	options Options
	allowed map[string]bool // by canonical name
	store   replay.Store
	used    *used // nil where others know more of what was used
	keys    *jwks.ProofKeys
}

// New makes a Verifier that remembers proofs in store. It fails on an
// algorithm that is not known.
func New(o Options, store replay.Store) (*Verifier, error) {
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Future == 0 {
		o.Future = DefaultFuture
	}
	if o.MaxLength == 0 {
		o.MaxLength = token.MaxProofLength
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = DefaultAlgorithms
	}
	if o.Nonces == nil {
		o.Nonces = NewNonces()
	}
	o.Since = o.Since.Truncate(time.Second)
	v := &Verifier{options: o, allowed: make(map[string]bool), store: store, keys: jwks.NewProofKeys(keysCached).With(o.Tables)}
	if _, alone := store.(*replay.Memory); alone {
		v.used = newUsed()
	}
	for _, alg := range o.Algorithms {
		if !jwks.Known(alg) {
			return nil, fmt.Errorf("unknown proof algorithm %q", alg)
		}
		v.allowed[jwks.Canonical(alg)] = true
	}
	return v, nil
}

// Algorithms is the value of algs in a DPoP challenge (RFC 9449 section 7.1):
// exactly what Confirm accepts. EdDSA is told under both of its names.
func (v *Verifier) Algorithms() []string {
	algs := slices.Clone(v.options.Algorithms)
	if v.allowed["EdDSA"] {
		for _, name := range [...]string{"EdDSA", "Ed25519"} {
			if !slices.Contains(algs, name) {
				algs = append(algs, name)
			}
		}
	}
	return algs
}

// Confirm checks that the one proof of cred was made now, for this request and
// token, by the holder of the key whose thumbprint is jkt, and was not seen
// before. digest is the SHA-256 of the token's text.
//
// The order is by cost: what a stranger can make us do is parsing. The
// signature is checked only for the key the token names, and a proof is
// remembered only when all else held, so nobody can use up the proofs of
// another.
//
// Where cred needs a nonce, next is another one as soon as the one the client
// used is about to end, and every refusal of a proof carries one that is good
// (RFC 9449 section 8.2).
//
// The error is an *token.Error (invalid_dpop_proof, use_dpop_nonce, or
// invalid_token when proof and token name different keys), or a *token.Fault
// when the store cannot say.
func (v *Verifier) Confirm(ctx context.Context, cred token.Credential, digest [32]byte, jkt string, now time.Time) (next string, err error) {
	next, err = v.confirm(ctx, cred, digest, jkt, now)
	if refusal, refused := errors.AsType[*token.Error](err); refused && cred.NonceNeeded && refusal.Code != token.InvalidToken {
		refusal.Nonce = v.options.Nonces.At(now)
	}
	return next, err
}

func (v *Verifier) confirm(ctx context.Context, cred token.Credential, digest [32]byte, jkt string, now time.Time) (next string, err error) {
	set := v.options.Horizon.look(now)
	proof, key, err := v.read(cred.Proofs, cred.Trace)
	if err != nil {
		return "", err
	}
	if cred.Trace != nil {
		cred.Trace.Text(token.ReasonDPoPBinding, key.Thumbprint())
		cred.Trace.Want([]string{jkt})
	}
	if subtle.ConstantTimeCompare([]byte(key.Thumbprint()), []byte(jkt)) != 1 {
		return "", token.Refuse(token.InvalidToken, token.ReasonDPoPBinding)
	}
	said, err := v.judge(proof, cred, digest, jkt, now)
	if err != nil {
		return "", err
	}
	if err := v.signed(cred, proof, key, jkt); err != nil {
		return "", err
	}
	v.keys.Remember(proof, key) // not before its holder has signed one: who has only stolen a token pushes nothing out
	ttl := said.issued.Add(v.options.MaxAge).Sub(now) + time.Second
	cred.Trace.Text(token.ReasonDPoPReplay, said.id)
	first, err := v.store.First(ctx, jkt, said.id, said.issued, ttl)
	if err != nil {
		return "", v.unsure(cred, err)
	}
	if !first {
		return "", refuse(token.ReasonDPoPReplay)
	}
	v.used.add(cred.Proofs[0])
	v.options.Horizon.took(jkt, said.issued, set)
	if v.options.OnSkew != nil {
		v.options.OnSkew(said.issued.Sub(now))
	}
	if said.nonce.ending {
		next = v.options.Nonces.At(now)
	}
	return next, nil
}

// signed checks the signature of a proof, where nothing cheaper refuses it: that it
// was used before, its length, and what its sender did with this key before.
func (v *Verifier) signed(cred token.Credential, proof *token.Unverified, key *jwks.Key, jkt string) error {
	if cred.Trace == nil && v.used.has(cred.Proofs[0]) {
		return refuse(token.ReasonDPoPReplay)
	}
	cred.Trace.Text(token.ReasonDPoPSignature, proof.Algorithm)
	if !key.Measures(proof.Algorithm, proof.SignatureLength()) {
		return refuse(token.ReasonDPoPSignature).Because(jwks.ErrSignature)
	}
	source := budget.Source{}
	if cred.Sender != nil {
		source = v.options.Failures.Of(cred.Sender.Payer(), jkt)
	}
	if wait := v.options.Failures.Wait(source); wait > 0 {
		return token.TooMany(token.ReasonFailures, wait)
	}
	err := proof.Signature(key)
	if v.options.OnSignature != nil {
		v.options.OnSignature(err == nil)
	}
	if err != nil {
		v.options.Failures.Charge(source)
		return refuse(token.ReasonDPoPSignature).Because(err)
	}
	return nil
}

// reachableAgain is when a client may ask again while the store is out of
// reach: a lost connection is back sooner than room in a full store.
const reachableAgain = 2 * time.Second

// unsure is what becomes of a proof that the store did not take.
func (v *Verifier) unsure(cred token.Credential, err error) error {
	switch {
	case errors.Is(err, replay.ErrForgotten):
		return tooEarly(cred)
	case errors.Is(err, replay.ErrUnavailable):
		return &token.Fault{Reason: token.ReasonReplayUnavailable, RetryAfter: reachableAgain, Cause: err}
	}
	return &token.Fault{Reason: token.ReasonReplayUnavailable, RetryAfter: v.options.MaxAge / 2, Cause: err}
}

func refuse(r token.Reason) *token.Error { return token.Refuse(token.InvalidDPoPProof, r) }

// read parses the one proof and its key: RFC 9449 section 4.3, checks 1, 2, 4,
// 5 and 7.
func (v *Verifier) read(lines []string, trace *token.Trace) (*token.Unverified, *jwks.Key, error) {
	trace.Count(token.ReasonDPoPMissing, len(lines), "field lines")
	switch {
	case len(lines) == 0 || len(lines) == 1 && lines[0] == "":
		return nil, nil, refuse(token.ReasonDPoPMissing)
	case len(lines) > 1:
		return nil, nil, refuse(token.ReasonDPoPMalformed)
	}
	trace.Count(token.ReasonDPoPMalformed, len(lines[0]), "octets")
	var known jwks.ProofHead
	if trace == nil {
		known = v.keys.Head(lines[0])
	}
	proof, err := known.ParseJWT(lines[0], v.options.MaxLength)
	if err != nil {
		return nil, nil, refuse(token.ReasonDPoPMalformed).Because(err)
	}
	if known.Key != nil {
		return proof, known.Key, nil
	}
	key, err := v.readHeader(proof, trace)
	return proof, key, err
}

// readHeader judges the header, which the proofs of one client have in common, and
// parses its key: checks 4, 5 and 7.
func (v *Verifier) readHeader(proof *token.Unverified, trace *token.Trace) (*jwks.Key, error) {
	typ, _ := proof.Header("typ")
	trace.Value(token.ReasonDPoPType, typ)
	if text, ok := typ.Text(); !ok || text != "dpop+jwt" {
		return nil, refuse(token.ReasonDPoPType)
	}
	trace.Text(token.ReasonDPoPAlgorithm, proof.Algorithm)
	trace.Want(v.options.Algorithms)
	if !v.allowed[jwks.Canonical(proof.Algorithm)] {
		return nil, refuse(token.ReasonDPoPAlgorithm)
	}
	jwk, _ := proof.Header("jwk")
	trace.Value(token.ReasonDPoPKey, jwk)
	key, err := v.keys.Parse(string(jwk))
	if err != nil {
		return nil, refuse(token.ReasonDPoPKey).Because(err)
	}
	if !key.Fits(proof.Algorithm) {
		return nil, refuse(token.ReasonDPoPAlgorithm)
	}
	return key, nil
}

// statement is what is kept of a proof's claims.
type statement struct {
	id     string
	issued time.Time
	nonce  finding // of a credential that needs one
}

// judge holds the claims against the request: RFC 9449 section 4.3, checks 3
// and 8 to 12. The nonce comes before the time: a proof for which both have run
// out is one that its client should make again.
func (v *Verifier) judge(p *token.Unverified, cred token.Credential, digest [32]byte, jkt string, now time.Time) (said statement, err error) {
	note(cred, p)
	id, ok := text(p, "jti")
	if !ok || id == "" || len(id) > maxID {
		return said, refuse(token.ReasonDPoPMalformed)
	}
	if method, ok := text(p, "htm"); !ok || method != cred.Method {
		return said, refuse(token.ReasonDPoPMethod)
	}
	if uri, ok := text(p, "htu"); !ok || !isTarget(uri, cred) {
		return said, refuse(token.ReasonDPoPTarget)
	}
	if ath, ok := text(p, "ath"); !ok || !isDigest(ath, digest) {
		return said, refuse(token.ReasonDPoPToken)
	}
	if cred.NonceNeeded {
		nonce, _ := text(p, "nonce")
		if said.nonce = v.options.Nonces.find(nonce, now); !said.nonce.good {
			return said, token.Refuse(token.UseDPoPNonce, token.ReasonDPoPNonce)
		}
	}
	issued, ok := v.timely(p, now)
	if !ok {
		return said, refuse(token.ReasonDPoPTime)
	}
	if v.predates(issued, now) && !said.nonce.own || v.options.Horizon.hides(jkt, issued) {
		return said, tooEarly(cred)
	}
	said.id, said.issued = id, issued
	return said, nil
}

// predates tells of a proof that it may have been used before the store began.
func (v *Verifier) predates(issued, now time.Time) bool {
	since := v.options.Since
	return issued.Before(since) || issued.Before(since.Add(time.Second)) && now.Sub(since) > firstSecond
}

// tooEarly refuses a proof that may have been used before anybody remembered
// it. Where nonces are in use, clients know from the code to try again.
func tooEarly(cred token.Credential) *token.Error {
	if cred.NonceNeeded {
		return token.Refuse(token.UseDPoPNonce, token.ReasonDPoPTime)
	}
	return refuse(token.ReasonDPoPTime)
}

// claimed says which claim each check of judge looks at, in its order.
var claimed = [...]struct {
	reason token.Reason
	name   string
}{
	{token.ReasonDPoPMalformed, "jti"}, {token.ReasonDPoPMethod, "htm"}, {token.ReasonDPoPTarget, "htu"},
	{token.ReasonDPoPToken, "ath"}, {token.ReasonDPoPNonce, "nonce"}, {token.ReasonDPoPTime, "iat"},
}

func note(cred token.Credential, p *token.Unverified) {
	if cred.Trace == nil {
		return
	}
	for _, c := range claimed {
		if c.name == "nonce" && !cred.NonceNeeded {
			continue
		}
		v, _ := p.Untrusted(c.name)
		cred.Trace.Value(c.reason, v)
		switch c.name {
		case "htm":
			cred.Trace.Want([]string{cred.Method})
		case "htu":
			cred.Trace.Want(append([]string{cred.Path, "under"}, cred.Origins...))
		}
	}
}

func text(p *token.Unverified, name string) (string, bool) {
	v, _ := p.Untrusted(name)
	return v.Text()
}

// isDigest reports whether ath is digest in base64url (RFC 9449 section 4.2).
func isDigest(ath string, digest [32]byte) bool {
	return ath == string(base64.RawURLEncoding.AppendEncode(make([]byte, 0, 43), digest[:]))
}

// isTarget reports whether uri is the request's target under one of the
// origins the resource is known by. Host and forwarded fields have no say
// (RFC 9112 section 3.3).
func isTarget(uri string, cred token.Credential) bool {
	if isSpelledOut(uri, cred) {
		return true
	}
	origin, path, ok := split(uri)
	if !ok || !slices.Contains(cred.Origins, origin) {
		return false
	}
	if path == cred.Path {
		return true
	}
	requested, ok := normalPath(cred.Path)
	return ok && path == requested
}

// isSpelledOut reports whether uri is the target octet for octet, as it nearly
// always is: what is equal needs no normalising (RFC 3986 section 6.2.1).
func isSpelledOut(uri string, cred token.Credential) bool {
	for _, origin := range cred.Origins {
		if path, under := strings.CutPrefix(uri, origin); under && path == cred.Path {
			return true
		}
	}
	return false
}

// timely holds iat against the window, and honours exp and nbf where a client
// sends them.
func (v *Verifier) timely(p *token.Unverified, now time.Time) (issued time.Time, ok bool) {
	iat, _ := p.Untrusted("iat")
	issued, ok = token.NumericDate(iat)
	if !ok || now.Sub(issued) > v.options.MaxAge || issued.Sub(now) > v.options.Future {
		return issued, false
	}
	if exp, found := p.Untrusted("exp"); found {
		if end, ok := token.NumericDate(exp); !ok || !now.Before(end) {
			return issued, false
		}
	}
	if nbf, found := p.Untrusted("nbf"); found {
		if begin, ok := token.NumericDate(nbf); !ok || begin.Sub(now) > v.options.Future {
			return issued, false
		}
	}
	return issued, true
}
