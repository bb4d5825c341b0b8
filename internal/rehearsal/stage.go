package rehearsal

import (
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/status"
)

// A Stage stands in for everybody a gate would ask: each issuer has a key of
// this process, and answers about the tokens that are made here. It is for one
// goroutine.
type Stage struct {
	at      time.Time // what the gate takes for now; zero: the clock
	issuers []validator.Options
	signers map[string]signer // by Options.Keys
	made    map[string]made   // by the token's text
}

// A made token is one of this process.
type made struct {
	claims  *token.Claims
	refusal error // of an answer with these claims; nil for none
	revoked bool  // its issuer says so when it is asked
}

// signer is an issuer's key of this process.
type signer struct {
	alg, id string
	key     crypto.Signer
}

// NewStage makes a Stage without issuers.
func NewStage() *Stage {
	return &Stage{signers: make(map[string]signer), made: make(map[string]made)}
}

// Now is what time it is: the clock of the gate that is built with the Stage.
func (s *Stage) Now() time.Time {
	if s.at.IsZero() {
		return time.Now()
	}
	return s.at
}

// Take puts the Stage where a validator would ask somebody, and learns its
// issuers.
func (s *Stage) Take(p *validator.Parts) {
	s.issuers = p.Issuers
	p.Introspector, p.Statuses, p.Now = s, s, s.Now
}

// KeySet is the key set of the issuer that Options.Keys calls name: a key of this
// process, and those of a key set beside it, so that real tokens can be judged
// too. beside may be empty. It fails when that is no key set.
func (s *Stage) KeySet(name string, beside []byte) ([]byte, error) {
	own, err := s.signer(name)
	if err != nil {
		return nil, err
	}
	key, err := devissuer.JWK(own.key.Public(), own.id, own.alg)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(beside) > 0 && json.Unmarshal(beside, &set) != nil {
		return nil, errors.New("is no JWK set")
	}
	set.Keys = append(set.Keys, key)
	return json.Marshal(set)
}

// preferred are the algorithms whose keys are made at once, before those that
// take a while.
var preferred = []string{"ES256", "EdDSA", "Ed25519", "ES384", "ES512", "PS256"}

func (s *Stage) signer(name string) (signer, error) {
	if own, known := s.signers[name]; known {
		return own, nil
	}
	i := slices.IndexFunc(s.issuers, func(o validator.Options) bool { return cmp.Or(o.Keys, o.Name) == name })
	if i < 0 {
		return signer{}, fmt.Errorf("no issuer has the keys %s", name)
	}
	allowed := s.issuers[i].Algorithms
	if len(allowed) == 0 {
		allowed = preferred
	}
	alg := allowed[0]
	for _, one := range slices.Backward(preferred) {
		if slices.Contains(allowed, one) {
			alg = one
		}
	}
	key, err := devissuer.NewClientKey(alg)
	if err != nil {
		return signer{}, err
	}
	own := signer{alg, "rehearsal-" + key.Thumbprint()[:8], key.Signer}
	s.signers[name] = own
	return own, nil
}

var errNotMade = errors.New("nobody is asked here about a token that was not made here")

// Introspect implements validator.Introspector.
func (s *Stage) Introspect(_ context.Context, _, raw string, _ [32]byte) (*token.Claims, error) {
	known, found := s.made[raw]
	switch {
	case !found:
		return nil, &token.Fault{Reason: token.ReasonIntrospectionUnavailable, RetryAfter: time.Second, Cause: errNotMade}
	case known.revoked:
		return nil, token.Refuse(token.InvalidToken, token.ReasonInactive)
	}
	return known.claims, known.refusal
}

// What a status list says (Token Status List section 7.1).
const (
	statusValid   = 0
	statusInvalid = 1
)

// Value implements validator.Statuses. One scene is on at a time, so that it is
// about the one token made for it.
func (s *Stage) Value(context.Context, string, status.Reference) (uint8, error) {
	for _, one := range s.made {
		if one.revoked {
			return statusInvalid, nil
		}
		return statusValid, nil
	}
	return 0, &token.Fault{Reason: token.ReasonStatusUnavailable, RetryAfter: time.Second, Cause: errNotMade}
}

// issuer finds who makes a token: the one of that name, or the only one there is.
// Of the tenants of one issuer it is the one that tid names, or the first.
func (s *Stage) issuer(name, tenant string) (validator.Options, error) {
	var names []string
	var found *validator.Options
	for i := range s.issuers {
		o := &s.issuers[i]
		if !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
		if name != "" && o.Name != name {
			continue
		}
		if found == nil || tenant != "" && o.Tenant == tenant {
			found = o
		}
	}
	switch {
	case found == nil:
		return validator.Options{}, fmt.Errorf("no issuer is called %s; there are %q", name, names)
	case name == "" && len(names) > 1:
		return validator.Options{}, fmt.Errorf("there are several issuers, so name one of %q", names)
	}
	return *found, nil
}
