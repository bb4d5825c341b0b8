package validator

import (
	"context"
	"errors"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// vouched names the issuer in an error about its token, once its signature held
// and where the issuer's Options.Vouch ask for it.
func (v *Validator) vouched(issuer string, err error) error {
	if err == nil || !v.vouching[issuer] || token.Voucher(err) != "" {
		return err
	}
	return &token.Vouched{Issuer: issuer, Err: err}
}

// voucher is token.Voucher where somebody may have vouched: to look through a
// refusal costs more than to make it.
func (v *Validator) voucher(err error) string {
	if v.vouching == nil {
		return ""
	}
	return token.Voucher(err)
}

// vouchEarly finds out whether the token that early refuses is the issuer's at all,
// for those who treat its refusals in another way. Of a token with an algorithm that
// is not accepted nobody can tell. The answer stays the refusal, and what is found
// out is remembered for this question only.
func (r *Resource) vouchEarly(ctx context.Context, cred token.Credential, digest [32]byte, i *issuer, u *token.Unverified, refusal *token.Error) error {
	if !i.Vouch || refusal.Reason == token.ReasonAlgorithm {
		return refusal
	}
	if key := r.doubts.signer(digest); key != nil && r.keys.Holds(i.Keys, key) {
		return &token.Vouched{Issuer: i.Name, Err: refusal}
	}
	// No date of issue: what an expired token says of it would tell nothing of the set.
	keys, err := r.keys.Keys(ctx, i.Keys, u.KeyID, jwks.Canonical(u.Algorithm), time.Time{})
	if err != nil {
		return refusal
	}
	seen, err := r.try(ctx, cred, question{issuer: i, token: u}, keys)
	if err == nil {
		r.doubts.sign(digest, seen.key)
	}
	if told, is := aboutToken(err); err == nil || is && told.Reason != token.ReasonSignature {
		return &token.Vouched{Issuer: i.Name, Err: refusal}
	}
	return refusal
}

// vouchOpened is for what is wrong with the claims themselves, which nobody reads
// before the signature held.
func (i *issuer) vouchOpened(err error) error {
	refusal, refused := errors.AsType[*token.Error](err)
	if !i.Vouch || !refused || refusal.Reason == token.ReasonSignature {
		return err
	}
	return &token.Vouched{Issuer: i.Name, Err: err}
}
