package validator

import (
	"context"
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/token"
)

// Recheck judges the token of cred once more, for who has been let in with it
// before and is still there: its end, the key it was signed with, deny rules,
// status list and introspection. What shows that the sender may use it was
// shown when it was let in, and a proof is not used up. The error is that of
// Validate, but for a token whose issuer was taken out of the configuration: it
// is refused, since nobody will ever tell of it again.
func (r *Resource) Recheck(ctx context.Context, cred token.Credential) error {
	cred.Sender = nil // nobody pays for what was asked by us
	_, _, _, err := r.judge(ctx, cred, r.opaqueIssuer(cred.Raw), cred.Digest(), r.now())
	if errors.Is(err, token.ErrNotConfigured) {
		return refuse(token.ReasonIssuer).Because(err)
	}
	return err
}

// until is when the token is taken no more; zero where its issuer does not tell.
func (t *verified) until() time.Time {
	if t.Expiry.IsZero() {
		return time.Time{}
	}
	return t.Expiry.Add(t.issuer.Leeway)
}
