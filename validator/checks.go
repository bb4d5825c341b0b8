package validator

import (
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// checks is what a token must survive once its signature held, in order, on
// every request, and what a trace notes of each.
var checks = []struct {
	run  func(*Resource, *verified, time.Time) *token.Error
	note func(*token.Trace, *Resource, *verified, time.Time)
}{
	{checkIssuer, func(l *token.Trace, _ *Resource, t *verified, _ time.Time) { l.Text(token.ReasonIssuer, t.Issuer) }},
	{checkTenant, noteTenant},
	{checkRequired, noteRequired},
	{checkDemands, noteDemands},
	{checkClient, noteClient},
	{checkKind, noteKind},
	{checkExpiry, func(l *token.Trace, _ *Resource, t *verified, now time.Time) {
		l.Time(token.ReasonExpired, t.Expiry, now)
	}},
	{checkNotBefore, func(l *token.Trace, _ *Resource, t *verified, now time.Time) {
		l.Time(token.ReasonNotYet, t.NotBefore, now)
	}},
	{checkIssuedAt, func(l *token.Trace, _ *Resource, t *verified, now time.Time) {
		l.Time(token.ReasonIssuedAt, t.IssuedAt, now)
	}},
	{checkLifetime, func(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
		l.Text(token.ReasonLifetime, t.Expiry.Sub(t.IssuedAt).String())
	}},
	{checkAudience, func(l *token.Trace, r *Resource, t *verified, _ time.Time) {
		l.Texts(token.ReasonAudience, t.audience)
		l.Want(r.wanted(t.issuer))
	}},
	{checkSame, func(*token.Trace, *Resource, *verified, time.Time) {}},
	{checkTokenType, noteTokenType},
	{checkRevoked, noteRevoked},
	{checkReference, noteReference},
}

func noteRequired(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	have, want := []string{}, []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}
	for _, name := range want {
		if _, found := t.Lookup(name); found {
			have = append(have, name)
		}
	}
	l.Texts(token.ReasonClaim, have)
	if t.issuer.Profile == JWT {
		want = []string{"exp"}
	}
	l.Want(want)
}

func noteKind(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	if t.issuer.Profile == RFC9068 && !t.told {
		l.Text(token.ReasonKind, "an access token by its typ")
		return
	}
	l.Text(token.ReasonKind, "no sign of another kind of JWT")
}

// refusals are made once: a refusal that says nothing of its request is the same
// for all, and costs nothing however many bad tokens come. Nobody changes one: Because
// and Using make copies.
var refusals = func() map[token.Reason]*token.Error {
	m := make(map[token.Reason]*token.Error, len(token.Reasons))
	for _, r := range token.Reasons {
		m[r.Reason] = token.Refuse(token.InvalidToken, r.Reason)
	}
	return m
}()

// missing is that of a request without a token.
var missing = token.Refuse(token.CredentialRequired, token.ReasonMissing)

func refuse(r token.Reason) *token.Error {
	if made := refusals[r]; made != nil {
		return made
	}
	return token.Refuse(token.InvalidToken, r)
}

func checkIssuer(_ *Resource, t *verified, _ time.Time) *token.Error {
	if t.Issuer != t.issuer.Issuer {
		return refuse(token.ReasonIssuer)
	}
	return nil
}

// checkRequired asks nothing of an answer: RFC 7662 section 2.2 makes all but
// active optional.
func checkRequired(_ *Resource, t *verified, _ time.Time) *token.Error {
	if t.told {
		return nil
	}
	if t.Expiry.IsZero() {
		return refuse(token.ReasonClaim)
	}
	switch t.issuer.Profile {
	case JWT:
		return nil
	case Kubernetes:
		return checkServiceAccount(t)
	case RFC9068:
	}
	if t.Subject == "" || t.ClientID == "" || t.ID == "" || t.IssuedAt.IsZero() {
		return refuse(token.ReasonClaim)
	}
	return nil
}

// foreignClaims are signs of a JWT that is no access token: an ID token
// (OpenID Connect Core section 2) or a security event (RFC 8417 section 2.2).
var foreignClaims = [...]string{"nonce", "at_hash", "c_hash", "s_hash", "events"}

// foreignKinds are values by which well-known servers mark their other tokens
// in the payload: Keycloak by typ, Cognito and Hydra by token_use.
var foreignKinds = [...]struct{ claim, value string }{
	{"typ", "ID"}, {"typ", "Refresh"}, {"typ", "Offline"}, {"typ", "Logout"}, {"token_use", "id"},
	{"token_use", "refresh"}, {"token_use", "refresh_token"},
}

// checkKind looks for signs of another kind of token where typ does not tell.
// An issuer answers about refresh tokens too (RFC 7662 section 2.1).
func checkKind(_ *Resource, t *verified, _ time.Time) *token.Error {
	if t.issuer.Profile == RFC9068 && !t.told {
		return nil
	}
	for _, name := range foreignClaims {
		if _, found := t.Lookup(name); found && !t.told {
			return refuse(token.ReasonKind)
		}
	}
	for _, k := range foreignKinds {
		v, _ := t.Lookup(k.claim)
		if text, ok := v.Text(); ok && text == k.value {
			return refuse(token.ReasonKind)
		}
	}
	return nil
}

func checkExpiry(_ *Resource, t *verified, now time.Time) *token.Error {
	if t.told && t.Expiry.IsZero() {
		return nil
	}
	if !now.Before(t.Expiry.Add(t.issuer.Leeway)) {
		return refuse(token.ReasonExpired)
	}
	return nil
}

func checkNotBefore(_ *Resource, t *verified, now time.Time) *token.Error {
	if !t.NotBefore.IsZero() && t.NotBefore.Sub(now) > t.issuer.Leeway {
		return refuse(token.ReasonNotYet)
	}
	return nil
}

func checkIssuedAt(_ *Resource, t *verified, now time.Time) *token.Error {
	if !t.IssuedAt.IsZero() && t.IssuedAt.Sub(now) > t.issuer.Leeway {
		return refuse(token.ReasonIssuedAt)
	}
	return nil
}

// checkLifetime counts from iat where there is one, else from now: a token
// without iat cannot claim a past it does not have.
func checkLifetime(_ *Resource, t *verified, now time.Time) *token.Error {
	limit := t.issuer.MaxLifetime
	if limit == 0 {
		return nil
	}
	from := t.IssuedAt
	if from.IsZero() {
		from = now
	}
	if t.Expiry.Sub(from) > limit {
		return refuse(token.ReasonLifetime)
	}
	return nil
}

func checkAudience(r *Resource, t *verified, _ time.Time) *token.Error {
	if trusted := t.beside != nil || t.issuer.Introspection.TrustAudience; t.told && trusted && t.audience == nil {
		return nil
	}
	if !r.accepts(t.issuer, t.audience) {
		return refuse(token.ReasonAudience)
	}
	return nil
}

var errTyp = errors.New("profile rfc9068 takes typ at+jwt only; issuers[].profile: jwt takes JWT or none as well")

// early refuses by what the token says of itself, before a key is looked for.
// An expired token or one for somebody else costs no signature check that way;
// all of it is judged again once the signature held.
func (i *issuer) early(r *Resource, u *token.Unverified, now time.Time, trace *token.Trace) *token.Error {
	trace.Text(token.ReasonAlgorithm, u.Algorithm)
	trace.Want(i.Algorithms)
	if !i.allowed[jwks.Canonical(u.Algorithm)] {
		return refuse(token.ReasonAlgorithm)
	}
	typ, _ := u.Header("typ")
	trace.Value(token.ReasonType, typ)
	if !i.acceptsType(u) {
		return refuse(token.ReasonType).Because(errTyp)
	}
	if v, found := u.Untrusted("exp"); found {
		end, ok := token.NumericDate(v)
		trace.Time(token.ReasonExpired, end, now)
		if !ok {
			return refuse(token.ReasonClaim)
		} else if !now.Before(end.Add(i.Leeway)) {
			return refuse(token.ReasonExpired)
		}
	}
	if v, found := u.Untrusted("nbf"); found {
		begin, ok := token.NumericDate(v)
		trace.Time(token.ReasonNotYet, begin, now)
		if !ok {
			return refuse(token.ReasonClaim)
		} else if begin.Sub(now) > i.Leeway {
			return refuse(token.ReasonNotYet)
		}
	}
	// A date of issue ahead of us would make a key look newer than the set.
	if v, found := u.Untrusted("iat"); found {
		begin, ok := token.NumericDate(v)
		trace.Time(token.ReasonIssuedAt, begin, now)
		if !ok {
			return refuse(token.ReasonClaim)
		} else if begin.Sub(now) > i.Leeway {
			return refuse(token.ReasonIssuedAt)
		}
	}
	if v, found := u.Untrusted("aud"); found && i.AudienceClaim == "aud" {
		trace.Value(token.ReasonAudience, v)
		trace.Want(r.wanted(i))
		if !r.acceptsClaim(i, v) {
			return refuse(token.ReasonAudience)
		}
	}
	return nil
}

// acceptsType is the defence against ID tokens, logout tokens and all other
// JWTs of the same issuer (RFC 9068 section 4, RFC 8725 section 3.11).
func (i *issuer) acceptsType(u *token.Unverified) bool {
	switch {
	case i.Profile == Kubernetes:
	case u.Type == "at+jwt":
		return true
	case i.Profile == RFC9068:
		return false
	}
	_, named := u.Header("typ")
	return !named || u.Type == "jwt"
}
