package signals

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// event is a security event token whose signature held and that is for us.
type event struct {
	*token.Claims
	from   Transmitter
	id     [sha256.Size]byte // of iss and jti
	events *token.Object
}

// open reads a security event token (RFC 8417 section 2, SSF 1.0 section 4.1).
// The error is a *problem, or says why nobody can tell.
func (r *Receiver) open(ctx context.Context, raw string, now time.Time) (*event, error) {
	u, err := token.ParseJWT(raw, MaxBody)
	if err != nil {
		return nil, errForm
	}
	if u.Type != "secevent+jwt" {
		return nil, errType // RFC 8725 section 3.11: nothing else passes for an event
	}
	iss, _ := u.Untrusted("iss")
	name, _ := iss.Text()
	from, known := r.transmitters[name]
	if !known {
		return nil, errIssuer
	}
	alg := jwks.Canonical(u.Algorithm)
	if !jwks.Known(alg) {
		return nil, errKey // no set that could be fetched has a key for it
	}
	iat, _ := u.Untrusted("iat")
	issued, _ := token.NumericDate(iat)
	keys, err := r.Keys.Keys(ctx, name, u.KeyID, alg, issued)
	if errors.Is(err, jwks.ErrNoKey) {
		return nil, errKey
	}
	if err != nil {
		return nil, err
	}
	claims, err := verify(u, keys)
	if errors.Is(err, errKey) {
		// A refusal is final to the transmitter, so a key it replaced under an old
		// name must not cost an event.
		claims, err = verify(u, r.Keys.Reissued(ctx, name, u.KeyID, alg, keys))
	}
	if err != nil {
		return nil, err
	}
	return judge(claims, from, now)
}

// verify returns the claims if the signature holds under one of keys. The error
// is a *problem.
func verify(u *token.Unverified, keys []*jwks.Key) (*token.Claims, error) {
	for _, key := range keys {
		claims, err := u.Open(key)
		if _, refused := errors.AsType[*token.Error](err); refused {
			return nil, errClaims
		}
		if err == nil {
			return claims, nil
		}
	}
	return nil, errKey
}

func judge(c *token.Claims, from Transmitter, now time.Time) (*event, error) {
	_, hasSubject := c.Lookup("sub")
	_, hasExpiry := c.Lookup("exp")
	value, _ := c.Lookup("events")
	events, ok := value.Object()
	switch {
	case !slices.Contains(c.Audience, from.Audience):
		return nil, errAudience
	case hasSubject || hasExpiry:
		return nil, errNotToken
	case !ok || len(events.Members()) == 0 || c.ID == "" || c.IssuedAt.IsZero():
		return nil, errRequired
	case c.IssuedAt.Sub(now) > ahead:
		return nil, errFuture
	}
	return &event{c, from, sha256.Sum256([]byte(c.Issuer + "\x00" + c.ID)), events}, nil
}

// The events that take tokens back.
const (
	caep = "https://schemas.openid.net/secevent/caep/event-type/"
	risc = "https://schemas.openid.net/secevent/risc/event-type/"

	sessionRevoked = caep + "session-revoked"
)

var takesBack = []string{
	sessionRevoked, caep + "credential-change", caep + "token-claims-change",
	risc + "account-disabled", risc + "account-purged", risc + "sessions-revoked",
}

// rules are what the events deny. All others, those of the stream itself
// among them, are acknowledged and change nothing.
func (e *event) rules(now time.Time, keep time.Duration) ([]revoke.Rule, error) {
	var all []revoke.Rule
	for _, m := range e.events.Members() {
		if !slices.Contains(takesBack, m.Name) {
			continue
		}
		detail, ok := m.Value.Object()
		if !ok {
			return nil, errClaims
		}
		id, found := detail.Get("subject") // where it was before SSF 1.0
		if !found {
			if id, found = e.Lookup("sub_id"); !found {
				return nil, errSubject
			}
		}
		subjects, err := e.from.subjects(id, m.Name == sessionRevoked)
		if err != nil {
			return nil, err
		}
		before := e.happened(detail, now)
		for _, s := range subjects {
			if s.ID == "" { // what names one token needs no date
				s.IssuedBefore = before
			}
			s.Until = now.Add(keep).Truncate(time.Second)
			all = append(all, s)
		}
	}
	return all, nil
}

// happened is the date from which on tokens are newer than the event: the next
// full second, since iat has no fractions and of a token of the same second
// nobody can tell which came first. Where the event does not say, or not in
// seconds, it is as old as its token. A date ahead of us would deny tokens that
// are not made yet.
func (e *event) happened(detail *token.Object, now time.Time) time.Time {
	v, _ := detail.Get("event_timestamp")
	at, ok := token.NumericDate(v)
	if !ok {
		v, _ = e.Lookup("toe") // RFC 8417 section 2.2
		at, ok = token.NumericDate(v)
	}
	if !ok {
		at = e.IssuedAt
	}
	if at.Sub(now) > ahead {
		at = now.Add(ahead)
	}
	return at.Truncate(time.Second).Add(time.Second)
}
