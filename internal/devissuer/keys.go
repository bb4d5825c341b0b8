package devissuer

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Key signs tokens and is published under ID and Algorithm. An empty ID
// becomes one such as "es256-1", and an empty Algorithm follows from Signer.
type Key struct {
	ID, Algorithm string
	Signer        crypto.Signer // nil: one is made
}

type signingKey struct {
	Key
	withdrawn bool
}

// Add publishes a key beside the others, and the next tokens of its algorithm
// are signed with it. Under an ID and algorithm in use it takes that key's
// place, as with a careless issuer.
func (is *Issuer) Add(k Key) (kid string, err error) { return is.renew(k, false) }

// Rotate adds a new key and withdraws at once all others of its algorithm.
func (is *Issuer) Rotate(alg string) (kid string, err error) {
	return is.renew(Key{Algorithm: alg}, true)
}

func (is *Issuer) renew(k Key, alone bool) (kid string, err error) {
	if k.Signer == nil {
		if k.Signer, err = generate(k.Algorithm); err != nil {
			return "", err
		}
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	for _, old := range is.keys {
		old.withdrawn = old.withdrawn || alone && old.Algorithm == k.Algorithm
	}
	return is.add(k)
}

// Withdraw takes a key out of the JWKS; Token.KeyID still reaches it.
func (is *Issuer) Withdraw(kid string) {
	is.mu.Lock()
	defer is.mu.Unlock()
	for _, k := range is.keys {
		k.withdrawn = k.withdrawn || k.ID == kid
	}
}

// Publish puts a text into the JWKS as it is, before the issuer's own keys.
func (is *Issuer) Publish(jwk json.RawMessage) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.extra = append(is.extra, bytes.Clone(jwk))
}

// SetJWKS makes exactly these bytes the JWKS; nil returns to the honest one.
func (is *Issuer) SetJWKS(body []byte) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.jwks = bytes.Clone(body)
}

// JWKS is the key set as it is served (RFC 7517 section 5).
func (is *Issuer) JWKS() []byte {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.jwks != nil {
		return bytes.Clone(is.jwks)
	}
	members := slices.Clone(is.extra)
	for _, k := range is.keys {
		if signer, err := k.signer(); err == nil && !k.withdrawn {
			if text, err := JWK(signer.Public(), k.ID, k.Algorithm); err == nil {
				members = append(members, text)
			}
		}
	}
	return slices.Concat([]byte(`{"keys":[`), bytes.Join(members, []byte(",")), []byte(`]}`))
}

// add, named, newest and signer want mu held.
func (is *Issuer) add(k Key) (kid string, err error) {
	if k.Algorithm == "" && k.Signer != nil {
		k.Algorithm = algorithmFor(k.Signer.Public())
	}
	family, _, err := parse(k.Algorithm)
	if err != nil || family == "HS" {
		return "", errAlgorithm
	}
	if k.Signer != nil && !fits(family, k.Signer.Public()) {
		return "", errKey
	}
	for n := 1; k.ID == ""; n++ {
		if id := fmt.Sprintf("%s-%d", strings.ToLower(k.Algorithm), n); is.named(id) == nil {
			k.ID = id
		}
	}
	is.keys = slices.DeleteFunc(is.keys, func(old *signingKey) bool { return old.ID == k.ID && old.Algorithm == k.Algorithm })
	is.keys = append(is.keys, &signingKey{Key: k})
	return k.ID, nil
}

// named finds a key by its ID; of several, one for the algorithms.
func (is *Issuer) named(id string, algorithms ...string) (found *signingKey) {
	for _, k := range is.keys {
		if k.ID == id && (found == nil || slices.Contains(algorithms, k.Algorithm)) {
			found = k
		}
	}
	return found
}

// newest is the last published key for an algorithm.
func (is *Issuer) newest(alg string) *signingKey {
	for _, k := range slices.Backward(is.keys) {
		if k.Algorithm == alg && !k.withdrawn {
			return k
		}
	}
	return nil
}

func (k *signingKey) signer() (signer crypto.Signer, err error) {
	if k.Signer == nil {
		if strings.HasPrefix(k.Algorithm, "RS") || strings.HasPrefix(k.Algorithm, "PS") {
			k.Signer, err = sharedRSA()
		} else {
			k.Signer, err = generate(k.Algorithm)
		}
	}
	return k.Signer, err
}
