package validator

import (
	"context"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/status"
)

// Statuses tells what a status list of the issuer whose keys are called name
// says at a reference (Token Status List section 8.3). The error is a
// *token.Error when the list says nothing there; any other error means that
// nobody can tell.
type Statuses interface {
	Value(ctx context.Context, name string, at status.Reference) (uint8, error)
}

// readStatus finds where the token's status is. What is wrong with the claim is
// told after all other checks.
func (t *verified) readStatus() {
	if t.issuer.Status == nil {
		return
	}
	if v, found := t.Lookup("status"); found {
		t.listed = true
		t.status, t.statusErr = t.issuer.Status.Read(v)
	}
}

func checkReference(_ *Resource, t *verified, _ time.Time) *token.Error {
	if t.statusErr != nil {
		return refuse(token.ReasonStatusReference).Because(t.statusErr)
	}
	return nil
}

func noteReference(l *token.Trace, _ *Resource, t *verified, _ time.Time) {
	v, found := t.Lookup("status")
	switch {
	case found && t.issuer.Status == nil:
		l.Text(token.ReasonStatusReference, "not looked at: issuers[].status_list is not set")
	case found:
		l.Value(token.ReasonStatusReference, v)
	}
}

// checkStatus looks the token up in the list it names. That comes after every
// check of the token itself, so that a bad one makes nobody fetch anything, and
// before its proof is looked at, so that a list that cannot be had uses up none.
func (r *Resource) checkStatus(ctx context.Context, cred token.Credential, t *verified) error {
	if !t.listed {
		return nil
	}
	value, err := r.statuses.Value(ctx, t.issuer.Keys, t.status)
	if err != nil {
		return err
	}
	if cred.Trace != nil {
		cred.Trace.Text(token.ReasonStatusRevoked, fmt.Sprintf("status %d at index %d of %s", value, t.status.Index, t.status.URI))
	}
	if !t.issuer.Status.Accepts(value) {
		return refuse(token.ReasonStatusRevoked)
	}
	return nil
}
