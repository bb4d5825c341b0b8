// Package validator turns a credential into a principal: it finds the issuer
// and the key, checks the signature, judges every claim and the binding of the
// token to its sender (RFC 9068 section 4, RFC 9449 section 7).
//
// It decides who the caller is, not what the caller may do; that is package
// policy. It reads no HTTP message.
package validator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/cache"
	"github.com/wicketgate/wicketgate/validator/revoke"
	"github.com/wicketgate/wicketgate/validator/status"
)

// A Profile says what an issuer's access tokens look like.
type Profile uint8

// The profiles.
const (
	RFC9068    Profile = iota // typ at+jwt and all seven claims: RFC 9068 sections 2 and 4
	JWT                       // older servers: typ absent or JWT as well, exp and aud needed, signs of other kinds of JWT refused
	Kubernetes                // service accounts: typ absent or JWT, exp, aud, their sub and kubernetes.io needed
)

// Options describes one issuer. The zero value of a field but Name and Issuer
// is its default.
type Options struct {
	Name   string // for logs and metrics
	Keys   string // the source of its keys in Parts.Keys; default Name
	Issuer string // what iss must equal, code point for code point

	Profile    Profile
	Algorithms []string // default: all that jwks knows

	ScopeClaim    string // default "scope"; may be an array too, but for "scope" of RFC9068
	AudienceClaim string // default "aud"
	ClientIDClaim string // default "client_id"

	Tenant   string              // what the tid claim must equal; empty for no such demand
	Required map[string][]string // by dotted path: values of which each claim must hold one, AnyValue for any
	Machine  map[string][]string // the same form: one of these marks a client that acts for itself
	Clients  []string            // whose tokens are accepted; empty for those of all, and of none

	Leeway      time.Duration // for exp, nbf and iat
	MaxLifetime time.Duration // longest accepted exp - iat; 0 for no limit
	AnyAudience bool          // accepts tokens made for others: insecure
	Vouch       bool          // errors about its tokens are a token.Vouched, once their signature held

	Introspection Introspection
	Status        *status.Rules // for the status claim; nil: nobody looks at it
}

// A Confirmer checks the proof of possession that comes with a token bound to
// the key with thumbprint jkt. digest is the SHA-256 of the token's text. next
// is a nonce for the client's next proof, or empty when it needs no other.
type Confirmer interface {
	Confirm(ctx context.Context, cred token.Credential, digest [32]byte, jkt string, now time.Time) (next string, err error)
}

// Parts is what a Validator is made of.
type Parts struct {
	Issuers []Options
	Keys    *jwks.Cache
	DPoP    Confirmer // nil: bound tokens are refused

	Introspector Introspector // for issuers with Introspection; else nil
	Statuses     Statuses     // for issuers with Status; else nil

	Denials *revoke.Rules // looked at for every request; nil for none

	MaxLength int          // octets of a token; 0 for token.MaxLength
	CacheSize int          // verified tokens remembered; 0 for none
	Bounds    Bounds       // what bad tokens may cost
	OnLookup  func(bool)   // told of each look into the cache, true for a hit; may be nil
	OnJudged  func(Result) // told of each judged token; may be nil

	Now func() time.Time // the clock that tokens are judged by; nil for time.Now
}

// Result tells how one token was judged.
type Result struct {
	Issuer string       // the issuer's name once its signature held, else empty
	Scheme token.Scheme // what the token came with
	Opaque bool         // only its issuer can read it
	Err    error        // nil, a *token.Error or a fault
	Took   time.Duration
}

// A Validator judges tokens of a set of issuers. It is immutable but for its
// cache, and safe for concurrent use. Ask it through For.
type Validator struct {
	issuers  map[string]*issuer
	keys     *jwks.Cache
	dpop     Confirmer
	opaque   []*issuer // those that give tokens which are no JWT
	limit    int
	cache    *cache.Cache[*kept] // nil for none
	doubts   *doubts             // nil for none
	flights  flights
	bounds   Bounds
	onLookup func(bool)
	onJudged func(Result)
	heads    token.Heads // of tokens whose signature held

	introspector Introspector
	statuses     Statuses
	denials      *revoke.Rules
	vouching     map[string]bool // names of issuers with Vouch; nil for none

	now func() time.Time // the wall clock, which may be set back
}

type issuer struct {
	Options
	allowed           map[string]bool // canonical names
	required, machine []demand
	common            *token.Dictionary // of its tokens that are remembered; nil for none
}

// verified is what is remembered of a token: that this signature held under
// this key, and the claims decoded once. Time, audience, binding and policy
// are judged on every request.
type verified struct {
	*token.Claims
	issuer   *issuer
	key      *jwks.Key
	audience []string
	scope    token.Scopes
	machine  bool

	principal token.Principal // of whoever passes all checks; shared by requests, never changed

	session, email string // sid and email, for deny rules

	told   bool      // by the issuer's answer, not by the token
	beside *verified // with told: the JWT that the answer is about, or nil

	listed    bool             // it has a status claim, and its issuer's Rules are to be followed
	status    status.Reference // with listed and no statusErr
	statusErr error            // why the claim cannot be followed
}

// New makes a Validator. It fails on two issuers with one identifier, on an
// algorithm that is not known and when nobody can ask where somebody has to.
func New(p Parts) (*Validator, error) {
	v := &Validator{
		issuers: make(map[string]*issuer), keys: p.Keys, dpop: p.DPoP, limit: p.MaxLength,
		onLookup: p.OnLookup, onJudged: p.OnJudged, now: time.Now, introspector: p.Introspector, statuses: p.Statuses, denials: p.Denials,
	}
	if v.limit == 0 {
		v.limit = token.MaxLength
	}
	if p.Now != nil {
		v.now = p.Now
	}
	for _, o := range p.Issuers {
		if _, twice := v.issuers[o.Issuer]; twice {
			return nil, fmt.Errorf("issuer %q is configured twice", o.Issuer)
		}
		i, err := newIssuer(o)
		if err != nil {
			return nil, err
		}
		if p.CacheSize > 0 {
			i.common = &token.Dictionary{}
		}
		v.issuers[o.Issuer] = i
		if o.Vouch {
			if v.vouching == nil {
				v.vouching = make(map[string]bool)
			}
			v.vouching[o.Name] = true
		}
		if (o.Introspection.Opaque || o.Introspection.JWT) && p.Introspector == nil {
			return nil, fmt.Errorf("issuer %s: nobody can ask it about tokens", o.Name)
		}
		if o.Status != nil && p.Statuses == nil {
			return nil, fmt.Errorf("issuer %s: nobody can look at its status lists", o.Name)
		}
		if o.Introspection.Opaque {
			v.opaque = append(v.opaque, i)
		}
	}
	if p.CacheSize > 0 {
		v.cache = cache.New[*kept](p.CacheSize, func() time.Time { return v.now() })
	}
	v.doubts, v.bounds, v.flights.under = newDoubts(p.Bounds.Refused), p.Bounds, make(map[[32]byte]*flight)
	return v, nil
}

func newIssuer(o Options) (*issuer, error) {
	if len(o.Algorithms) == 0 {
		o.Algorithms = jwks.Algorithms()
	}
	if o.ScopeClaim == "" {
		o.ScopeClaim = "scope"
	}
	if o.AudienceClaim == "" {
		o.AudienceClaim = "aud"
	}
	if o.ClientIDClaim == "" {
		o.ClientIDClaim = "client_id"
	}
	o.Keys = cmp.Or(o.Keys, o.Name)
	i := &issuer{Options: o, allowed: make(map[string]bool), required: compileDemands(o.Required), machine: compileDemands(o.Machine)}
	for _, alg := range o.Algorithms {
		if !jwks.Known(alg) {
			return nil, fmt.Errorf("issuer %s: unknown algorithm %q", o.Name, alg)
		}
		i.allowed[jwks.Canonical(alg)] = true
	}
	return i, nil
}

// Audience is who a token must be meant for to be good at one resource.
type Audience struct {
	Any      []string            // one of these must be in aud
	ByIssuer map[string][]string // replaces Any for the issuer of that name
}

// Resource judges tokens for one resource.
type Resource struct {
	*Validator
	audience Audience
}

// For returns the view of v for one resource. All views share the cache, since
// what it remembers does not depend on the resource.
func (v *Validator) For(a Audience) *Resource { return &Resource{v, a} }

// Validate checks cred and says who presents it. The error is a *token.Error
// when the client is at fault; any other error means that nobody can tell.
func (r *Resource) Validate(ctx context.Context, cred token.Credential) (*token.Principal, error) {
	opaque := r.opaqueIssuer(cred.Raw)
	if r.onJudged == nil {
		p, issuer, err := r.validate(ctx, cred, opaque)
		return p, r.vouched(issuer, err)
	}
	began := time.Now()
	p, issuer, err := r.validate(ctx, cred, opaque)
	r.onJudged(Result{Issuer: issuer, Scheme: cred.Scheme, Opaque: opaque != nil, Err: err, Took: time.Since(began)})
	return p, r.vouched(issuer, err)
}

// validate also names the issuer, as soon as its signature held. opaque is the one
// who alone can read the token; nil for a JWT.
func (r *Resource) validate(ctx context.Context, cred token.Credential, opaque *issuer) (p *token.Principal, issuer string, err error) {
	if !cred.Present() {
		return nil, "", missing
	}
	cred.Trace.Count(token.ReasonTooLong, len(cred.Raw), "octets")
	if len(cred.Raw) > r.limit {
		return nil, "", token.Refuse(token.InvalidToken, token.ReasonTooLong)
	}
	if opaque == nil && !token.InThreeParts(cred.Raw) { // nobody remembers it
		refusal := refuse(token.ReasonMalformed)
		noteForm(cred, refusal)
		return nil, "", refusal
	}
	now, digest := r.now(), cred.Digest()
	p, seen, issuer, err := r.judge(ctx, cred, opaque, digest, now)
	if err != nil {
		return nil, issuer, err
	}
	binding, nonce, err := r.confirm(ctx, cred, digest, seen.Confirm, now)
	if err != nil {
		return nil, issuer, err
	}
	return shown(p, binding, nonce), issuer, nil
}

// judge is all of validate that is about the token and not about its sender.
func (r *Resource) judge(ctx context.Context, cred token.Credential, opaque *issuer, digest [32]byte, now time.Time) (p *token.Principal, seen *verified, issuer string, err error) {
	seen, known, err := r.learn(ctx, cred, opaque, digest, now)
	if err != nil {
		return nil, nil, r.voucher(err), err
	}
	issuer = seen.issuer.Name
	for _, c := range checks {
		if cred.Trace != nil {
			c.note(cred.Trace, r, seen, now)
		}
		if refusal := c.run(r, seen, now); refusal != nil {
			if !known {
				r.doubts.refuse(digest, seen)
			}
			return nil, nil, issuer, refusal
		}
	}
	if err := r.canTell(); err != nil {
		return nil, nil, issuer, err
	}
	if !known && r.cache != nil {
		if k, ok := keep(seen); ok {
			r.cache.Add(digest, k, cache.Holder{Issuer: issuer, Client: strings.Clone(seen.ClientID)}, seen.until())
		}
	}
	if err = r.checkStatus(ctx, cred, seen); err != nil {
		return nil, nil, issuer, err
	}
	p = &seen.principal
	if seen.issuer.Introspection.JWT && !seen.told {
		scope, err := r.confirmActive(ctx, cred, digest, seen, now)
		if err != nil {
			return nil, nil, issuer, err
		}
		p = narrowed(p, scope)
	}
	return p, seen, issuer, nil
}

// recall returns what is remembered of a token, unless the key that vouched
// for it is no longer the issuer's.
func (v *Validator) recall(digest [32]byte) (seen *verified, hit bool) {
	if v.cache == nil {
		return nil, false
	}
	k, hit := v.cache.Get(digest)
	if hit && !v.keys.Holds(k.issuer.Keys, k.key) {
		v.cache.Remove(digest)
		hit = false
	}
	if hit {
		seen = k.verified()
		hit = seen != nil
	}
	if v.onLookup != nil {
		v.onLookup(hit)
	}
	return seen, hit
}

// verify parses the token, finds the issuer's key and checks the signature. What the
// token says of itself before that may refuse it, and does nothing else.
func (r *Resource) verify(ctx context.Context, cred token.Credential, digest [32]byte, now time.Time) (*verified, error) {
	u, err := r.heads.ParseJWT(cred.Raw, r.limit)
	noteForm(cred, err)
	if err != nil {
		return nil, err
	}
	iss, _ := u.Untrusted("iss")
	name, _ := iss.Text()
	i := r.issuers[name]
	cred.Trace.Value(token.ReasonIssuer, iss)
	if i == nil {
		if cred.Trace != nil {
			cred.Trace.Want(slices.Sorted(maps.Keys(r.issuers)))
		}
		return nil, refuse(token.ReasonIssuer)
	}
	if refusal := i.early(r, u, now, cred.Trace); refusal != nil {
		return nil, r.vouchEarly(ctx, cred, digest, i, u, refusal)
	}
	iat, _ := u.Untrusted("iat")
	issued, _ := token.NumericDate(iat)
	cred.Trace.Text(token.ReasonUnknownKey, u.KeyID)
	set := r.keys.Current(i.Keys) // before keys are taken from it: what is found out is not of a later one
	keys, err := r.keys.Keys(ctx, i.Keys, u.KeyID, jwks.Canonical(u.Algorithm), issued)
	if errors.Is(err, jwks.ErrNoKey) {
		return nil, refuse(token.ReasonUnknownKey)
	}
	if err != nil {
		return nil, err
	}
	if set == nil {
		set = r.keys.Current(i.Keys) // the first one, which this very request waited for
	}
	cred.Trace.Text(token.ReasonSignature, u.Algorithm)
	seen, err := r.signed(ctx, cred, digest, question{i, u, keys, set})
	if refusal, told := aboutToken(err); told {
		r.doubts.forge(digest, forgery{refusal, r, i, set, i.refusedUntil(u, now)})
	}
	if err == nil {
		r.heads.Learn(u)
	}
	return seen, i.vouchOpened(err)
}

// noteForm says what was parsed, or how far from it the text is.
func noteForm(cred token.Credential, err error) {
	const form = "three parts of base64url, two JSON objects"
	if refusal, refused := errors.AsType[*token.Error](err); cred.Trace != nil && refused && refusal.Reason == token.ReasonMalformed {
		cred.Trace.Count(token.ReasonMalformed, strings.Count(cred.Raw, ".")+1, "parts, not all well-formed")
		cred.Trace.Want([]string{form})
		return
	}
	cred.Trace.Text(token.ReasonMalformed, form)
}

// refusedUntil is when what is wrong with u beside its signature may be another
// thing than now.
func (i *issuer) refusedUntil(u *token.Unverified, now time.Time) time.Time {
	until := now.Add(refusedFor)
	if v, found := u.Untrusted("exp"); found {
		if end, ok := token.NumericDate(v); ok && end.Add(i.Leeway).Before(until) {
			return end.Add(i.Leeway)
		}
	}
	return until
}

// read decodes the claims whose name or form depends on the issuer.
func (i *issuer) read(c *token.Claims, key *jwks.Key) (*verified, error) {
	seen := &verified{Claims: c, issuer: i, key: key, audience: c.Audience, machine: i.isMachine(c)}
	if i.AudienceClaim != "aud" {
		seen.audience = nil
		if v, found := c.Lookup(i.AudienceClaim); found {
			var ok bool
			if seen.audience, ok = token.TextOrList(v); !ok {
				return nil, token.Refuse(token.InvalidToken, token.ReasonAudience)
			}
		}
	}
	if i.ClientIDClaim != "client_id" {
		v, _ := c.Lookup(i.ClientIDClaim)
		c.ClientID, _ = v.Text()
	}
	seen.readDeniable()
	var refusal *token.Error
	if seen.scope, refusal = i.readScope(c); refusal != nil {
		return nil, refusal
	}
	seen.readStatus()
	seen.introduce()
	return seen, nil
}

// parseScopes shares the scopes of tokens that are remembered.
func (i *issuer) parseScopes(text string) token.Scopes {
	if i.common == nil {
		return token.ParseScopes(text)
	}
	return i.common.Scopes(text)
}

func (i *issuer) readScope(c *token.Claims) (token.Scopes, *token.Error) {
	v, found := c.Lookup(i.ScopeClaim)
	if !found {
		return nil, nil
	}
	if text, ok := v.Text(); ok {
		return i.parseScopes(text), nil
	}
	if list, ok := v.Texts(); ok && (i.ScopeClaim != "scope" || i.Profile != RFC9068) {
		return list, nil
	}
	return nil, token.Refuse(token.InvalidToken, token.ReasonClaim)
}

// misfit says why a token does not go with the scheme it came under.
func misfit(cnf token.Confirmation) string {
	if cnf.JKT == "" {
		return "the token is bound to no key, and came as DPoP"
	}
	return "the token is bound to a key, and came as Bearer"
}

// confirm checks that the caller may use the token: a token bound to a key is
// never a bearer token, and the DPoP scheme is for tokens bound to a key only
// (RFC 9449 sections 7.1 and 7.2). A token bound to a certificate stays with the
// Bearer scheme (RFC 8705 section 3); one bound in both ways needs both, and the
// certificate is looked at first, so that no proof is used up for nothing. A
// binding nobody here can check refuses.
func (v *Validator) confirm(ctx context.Context, cred token.Credential, digest [32]byte, cnf token.Confirmation, now time.Time) (token.Binding, string, error) {
	if cnf.X5T != "" {
		cred.Trace.Text(token.ReasonMTLSBinding, cmp.Or(cred.Certificate, "no certificate"))
		cred.Trace.Want([]string{cnf.X5T})
	}
	switch {
	case !cnf.Present && cred.Scheme == token.Bearer:
		return token.Unbound, "", nil
	case cnf.X5T != "" && !holdsCertificate(cred, cnf.X5T):
		return 0, "", token.Refuse(token.InvalidToken, token.ReasonMTLSBinding)
	case cnf.X5T != "" && cnf.JKT == "" && cred.Scheme == token.Bearer:
		return token.BoundMTLS, "", nil
	case cnf.JKT == "" || cred.Scheme != token.DPoP || v.dpop == nil:
		cred.Trace.Text(token.ReasonDPoPBinding, misfit(cnf))
		return 0, "", token.Refuse(token.InvalidToken, token.ReasonDPoPBinding)
	}
	next, err := v.dpop.Confirm(ctx, cred, digest, cnf.JKT, now)
	if cnf.X5T != "" {
		return token.BoundDPoP | token.BoundMTLS, next, err
	}
	return token.BoundDPoP, next, err
}

// Remembered is how many verified tokens are held.
func (v *Validator) Remembered() int {
	if v.cache == nil {
		return 0
	}
	return v.cache.Len()
}

// Forget has every token verified anew.
func (v *Validator) Forget() {
	if v.cache != nil {
		v.cache.Purge()
	}
	v.doubts.purge()
}

// wanted is the audiences of which a token of i must name one.
func (r *Resource) wanted(i *issuer) []string {
	if want, own := r.audience.ByIssuer[i.Name]; own {
		return want
	}
	return r.audience.Any
}

// accepts tells whether one of audience is wanted of tokens of i.
func (r *Resource) accepts(i *issuer, audience []string) bool {
	if i.AnyAudience {
		return true
	}
	want := r.wanted(i)
	return slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(want, a) })
}

// acceptsClaim is accepts for an aud claim that nobody has read yet. It is a
// string or an array of nothing else.
func (r *Resource) acceptsClaim(i *issuer, aud token.Value) bool {
	want := r.wanted(i)
	if text, ok := aud.Text(); ok {
		return i.AnyAudience || slices.Contains(want, text)
	}
	found, texts := false, aud != "" && aud[0] == '['
	for element := range aud.Each() {
		text, ok := element.Text()
		texts = texts && ok
		found = found || slices.Contains(want, text)
	}
	return texts && (found || i.AnyAudience)
}
