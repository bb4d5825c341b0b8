package validator

import (
	"context"
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// A Record is what was written down of a token whose signature held, when it was
// presented.
type Record struct {
	Claims   *token.Object // those that are known
	ClientID string
	Audience []string
	Scope    token.Scopes
	Binding  token.Binding // as it was proved
	Told     bool          // it was opaque
	At       time.Time     // when it was presented

	Refused token.Reason // why it was refused, of one that was not good; then nothing else is known
}

type recordKey struct{}

// WithRecord makes the context in which Recorded judges r.
func WithRecord(ctx context.Context, r *Record) context.Context {
	return context.WithValue(ctx, recordKey{}, r)
}

// Recorded judges records and no tokens: what it makes of one is as good as who
// wrote it down. It is for replays, and for no gate that lets anybody in;
// internal/arch holds that.
type Recorded struct{ resource *Resource }

// Recorded is r for records. Deny rules, status lists and issuers are not asked,
// and signature and proof are taken to be what they were.
func (r *Resource) Recorded() *Recorded {
	return &Recorded{&Resource{&Validator{issuers: r.issuers}, r.audience}}
}

var errNoRecord = errors.New("there is no record to judge")

// Validate holds the record of ctx against all that is asked of a token's claims,
// as of the time it was presented. Of cred it does not look at the token.
func (r *Recorded) Validate(ctx context.Context, cred token.Credential) (*token.Principal, error) {
	if !cred.Present() {
		return nil, token.Refuse(token.CredentialRequired, token.ReasonMissing)
	}
	rec, found := ctx.Value(recordKey{}).(*Record)
	if !found {
		return nil, errNoRecord
	}
	if rec.Refused != token.ReasonNone {
		return nil, refuse(rec.Refused)
	}
	claims, err := token.ReadClaims(rec.Claims)
	if err != nil {
		return nil, err
	}
	i := r.resource.issuers[claims.Issuer]
	cred.Trace.Text(token.ReasonIssuer, claims.Issuer)
	if i == nil {
		return nil, refuse(token.ReasonIssuer)
	}
	if rec.Told && !i.Introspection.Opaque {
		return nil, refuse(token.ReasonMalformed)
	}
	claims.ClientID = rec.ClientID
	seen := &verified{Claims: claims, issuer: i, audience: rec.Audience, scope: rec.Scope, machine: i.isMachine(claims), told: rec.Told}
	for _, c := range checks {
		if cred.Trace != nil {
			c.note(cred.Trace, r.resource, seen, rec.At)
		}
		if refusal := c.run(r.resource, seen, rec.At); refusal != nil {
			return nil, refusal
		}
	}
	return &token.Principal{
		Claims: claims, Scope: rec.Scope, Binding: rec.Binding, Issuer: i.Name, Machine: seen.machine, Told: rec.Told, Until: seen.until(),
	}, nil
}
