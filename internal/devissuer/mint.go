package devissuer

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
)

var errNoIssuer = errors.New("the issuer has no identifier yet")

// A Token says in what a token differs from a good one, which is what the
// zero value asks for: an RFC 9068 access token of subject user-1 and client
// client-1 with the scope read.
type Token struct {
	// Header and Claims are laid over the good ones; a nil value removes the member.
	Header, Claims map[string]any
	// RawHeader and RawPayload are taken as they are, whatever they say.
	RawHeader, RawPayload []byte

	Alg    string        // how it is signed, None and HS256 included
	KeyID  string        // its kid; the issuer's key of that ID signs, withdrawn or not
	Key    crypto.Signer // signs instead of the issuer's own key
	Secret []byte        // for HS256, HS384, HS512
}

// Mint makes a token. It fails when the issuer has no identifier, or no key
// for the algorithm.
func (is *Issuer) Mint(t Token) (string, error) {
	o := is.current()
	if o.Identifier == "" {
		return "", errNoIssuer
	}
	alg, kid, key, err := is.choose(t)
	if err != nil {
		return "", err
	}
	now := o.Now()
	good := map[string]any{"typ": "at+jwt", "alg": alg}
	if kid != "" {
		good["kid"] = kid
	}
	header, errH := overlaid(t.RawHeader, t.Header, good)
	payload, errP := overlaid(t.RawPayload, t.Claims, map[string]any{
		"iss": o.Identifier, "sub": "user-1", "client_id": "client-1", "aud": o.Audience, "scope": "read",
		"iat": now.Unix(), "exp": now.Add(o.Lifetime).Unix(), "jti": rand.Text(),
	})
	if err := cmp.Or(errH, errP); err != nil {
		return "", err
	}
	if t.Secret != nil {
		return SignHMAC(alg, t.Secret, header, payload)
	}
	return Sign(alg, key, header, payload)
}

// choose finds what the header says and who signs. The issuer's own key lends
// its kid even when another signs: that is the attack.
func (is *Issuer) choose(t Token) (alg, kid string, key crypto.Signer, err error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if alg = t.Alg; alg == "" && t.Key != nil {
		alg = algorithmFor(t.Key.Public())
	}
	foreign := t.Key != nil || t.Secret != nil || alg == None
	// EdDSA and Ed25519 are two names of one algorithm (RFC 9864 section 2.2).
	names := []string{alg, map[string]string{"EdDSA": "Ed25519", "Ed25519": "EdDSA"}[alg]}
	own := is.named(t.KeyID, names...)
	if foreign || alg == "" {
		names = append(names, is.options.Algorithms[0])
	}
	for _, name := range names {
		if own == nil {
			own = is.newest(name)
		}
	}
	switch {
	case own == nil && foreign:
		return alg, t.KeyID, t.Key, nil
	case own == nil:
		return "", "", nil, errKey
	case foreign:
		key = t.Key
	default:
		key, err = own.signer()
	}
	return cmp.Or(alg, own.Algorithm), cmp.Or(t.KeyID, own.ID), key, err
}

// overlaid is the JSON text of one half of a JWT: the raw one if there is any,
// else the good members with the changes laid over.
func overlaid(raw []byte, changes, good map[string]any) ([]byte, error) {
	if raw != nil {
		return raw, nil
	}
	maps.Copy(good, changes)
	maps.DeleteFunc(good, func(_ string, value any) bool { return value == nil })
	return json.Marshal(good)
}
