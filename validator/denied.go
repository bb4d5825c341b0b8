package validator

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/revoke"
)

// readDeniable takes what deny rules ask for and no other check does.
func (t *verified) readDeniable() {
	v, _ := t.Lookup("sid")
	var ok bool
	if t.session, ok = v.Text(); !ok {
		t.session, _ = v.Number() // some issuers number their sessions
	}
	v, _ = t.Lookup("email")
	text, _ := v.Text()
	t.email = revoke.Fold(text)
}

// deniable is what deny rules are compared with. The key is the one that the
// signature held under, whatever the token's header says; an answer has none. An
// answer about a JWT is of the same token: what it leaves out the JWT says.
func (t *verified) deniable() revoke.Token {
	d := revoke.Token{
		Issuer: t.Issuer, ID: t.ID, Subject: t.Subject, Client: t.ClientID, Session: t.session, Email: t.email, IssuedAt: t.IssuedAt,
	}
	if t.key != nil {
		d.KeyID = t.key.ID
	}
	if t.beside == nil {
		return d
	}
	jwt := t.beside.deniable()
	for _, pair := range [...]struct {
		to   *string
		from string
	}{
		{&d.ID, jwt.ID}, {&d.Subject, jwt.Subject}, {&d.Client, jwt.Client}, {&d.Session, jwt.Session}, {&d.Email, jwt.Email}, {&d.KeyID, jwt.KeyID},
	} {
		*pair.to = cmp.Or(*pair.to, pair.from)
	}
	if d.IssuedAt.IsZero() {
		d.IssuedAt = jwt.IssuedAt
	}
	return d
}

// checkRevoked looks at the deny rules, of which none is remembered with a
// token: a rule counts for the next request.
func checkRevoked(r *Resource, t *verified, now time.Time) *token.Error {
	if r.denials == nil {
		return nil
	}
	if _, denied := r.denials.Denies(t.deniable(), now); denied {
		return refuse(token.ReasonRevoked)
	}
	return nil
}

func noteRevoked(l *token.Trace, r *Resource, t *verified, now time.Time) {
	if r.denials == nil {
		return
	}
	if members, denied := r.denials.Denies(t.deniable(), now); denied {
		l.Text(token.ReasonRevoked, "denied by a rule with "+members.String())
		return
	}
	l.Text(token.ReasonRevoked, fmt.Sprintf("denied by none of %d rules", r.denials.Len()))
}

var errNotRead = errors.New("the deny rules have not been read yet")

// canTell is a fault until every source of deny rules has been read once.
// Tokens that are refused anyway are refused before.
func (v *Validator) canTell() error {
	if v.denials == nil || v.denials.Complete() {
		return nil
	}
	return &token.Fault{Reason: token.ReasonRevocationUnavailable, RetryAfter: time.Second, Cause: errNotRead}
}
