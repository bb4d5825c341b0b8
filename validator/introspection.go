package validator

import (
	"context"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// An Introspector asks the issuer whose key set is called name about a token
// (RFC 7662). digest
// is the SHA-256 of its text. The error is a *token.Error when the token is not
// active; any other error means that nobody can tell.
type Introspector interface {
	Introspect(ctx context.Context, name, raw string, digest [32]byte) (*token.Claims, error)
}

// Introspection says what an issuer is asked about. The zero value is nothing.
type Introspection struct {
	Opaque        bool   // tokens that are no JWT
	Prefix        string // what those begin with; empty: those that begin like no other issuer's
	JWT           bool   // its JWTs, once everything else about them is good
	TrustAudience bool   // takes an answer without aud for one that is for us
}

// opaqueIssuer finds the one issuer that a token which is no JWT may be of, or
// nil. It goes by the token's form and by nothing that was tried before: what
// fails as a JWT is never asked about.
func (v *Validator) opaqueIssuer(raw string) *issuer {
	if len(v.opaque) == 0 || token.ResemblesJWT(raw) {
		return nil
	}
	var other *issuer
	for _, i := range v.opaque {
		switch prefix := i.Introspection.Prefix; {
		case prefix == "":
			other = i
		case strings.HasPrefix(raw, prefix):
			return i
		}
	}
	return other
}

// learn finds out what a token says and who vouches for it. known is false for
// a signature that was checked just now.
func (r *Resource) learn(ctx context.Context, cred token.Credential, opaque *issuer, digest [32]byte, now time.Time) (seen *verified, known bool, err error) {
	if opaque != nil {
		if seen, err = r.ask(ctx, opaque, cred, digest); err == nil && seen.ClientID == "" {
			v, _ := seen.Lookup("client_id") // what RFC 7662 calls it, whatever JWTs of the issuer do
			seen.ClientID, _ = v.Text()
		}
		return seen, true, err
	}
	if seen, known = r.recall(digest); known {
		return seen, true, nil
	}
	if seen, err = r.doubted(cred, digest, now); seen == nil && err == nil {
		seen, err = r.verify(ctx, cred, digest, now)
	}
	return seen, false, err
}

// ask is what verify is for a token that only its issuer can read.
func (r *Resource) ask(ctx context.Context, i *issuer, cred token.Credential, digest [32]byte) (*verified, error) {
	cred.Trace.Text(token.ReasonInactive, "asked of issuer "+i.Name)
	claims, err := r.introspector.Introspect(ctx, i.Keys, cred.Raw, digest)
	if err != nil {
		return nil, err
	}
	own := *claims // the answer is shared by all who ask about the token
	if own.Issuer == "" {
		own.Issuer = i.Issuer // who told vouches for it
	}
	seen, err := i.read(&own, nil)
	if err != nil {
		return nil, err
	}
	seen.told, seen.principal.Told = true, true
	return seen, nil
}

// confirmActive asks the issuer about a JWT that is good by itself: it may have
// been revoked (RFC 7662 section 4). What the answer says is judged too, and can
// take from what the token says, never add to it.
func (r *Resource) confirmActive(ctx context.Context, cred token.Credential, digest [32]byte, seen *verified, now time.Time) (token.Scopes, error) {
	answer, err := r.ask(ctx, seen.issuer, cred, digest)
	if err != nil {
		return nil, err
	}
	answer.beside = seen
	for _, c := range checks {
		if refusal := c.run(r, answer, now); refusal != nil {
			return nil, refusal
		}
	}
	if err := r.checkStatus(ctx, cred, answer); err != nil {
		return nil, err
	}
	if _, found := answer.Lookup(seen.issuer.ScopeClaim); !found {
		return seen.scope, nil
	}
	var both token.Scopes
	for _, scope := range seen.scope {
		if answer.scope.Has(scope) {
			both = append(both, scope)
		}
	}
	return both, nil
}

// checkSame refuses an answer that is about another token than the JWT it was
// asked for. What only one of them says is no difference: all members but active
// are optional (RFC 7662 section 2.2), and many JWTs have no client_id.
func checkSame(_ *Resource, t *verified, _ time.Time) *token.Error {
	jwt := t.beside
	if jwt == nil {
		return nil
	}
	for _, pair := range [...][2]string{{t.Subject, jwt.Subject}, {t.ClientID, jwt.ClientID}, {t.ID, jwt.ID}} {
		if pair[0] != "" && pair[1] != "" && pair[0] != pair[1] {
			return refuse(token.ReasonClaim)
		}
	}
	if t.Confirm.Present && t.Confirm != jwt.Confirm {
		return refuse(token.ReasonConfirmation)
	}
	return nil
}

// checkTokenType wants an answer's token_type to agree with its binding, where
// it tells the type (RFC 9449 section 6.2). Any other type is one nobody here
// can use.
func checkTokenType(_ *Resource, t *verified, _ time.Time) *token.Error {
	v, found := t.Lookup("token_type")
	if !t.told || !found {
		return nil
	}
	name, _ := v.Text()
	cnf := t.Confirm
	if t.beside != nil && !cnf.Present {
		cnf = t.beside.Confirm
	}
	switch {
	case strings.EqualFold(name, "DPoP") && cnf.JKT == "", strings.EqualFold(name, "Bearer") && cnf.JKT != "":
		return refuse(token.ReasonDPoPBinding)
	case !strings.EqualFold(name, "DPoP") && !strings.EqualFold(name, "Bearer"):
		return refuse(token.ReasonKind)
	}
	return nil
}

func noteTokenType(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	if v, found := t.Lookup("token_type"); t.told && found {
		l.Value(token.ReasonDPoPBinding, v)
	}
}
