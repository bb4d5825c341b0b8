package devissuer

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A ClientKey is what a client proves possession of (RFC 9449).
type ClientKey struct {
	Algorithm string // what Proof signs with
	Signer    crypto.Signer

	public     json.RawMessage
	thumbprint string
}

// NewClientKey makes a key; the algorithm must be one with key pairs.
func NewClientKey(alg string) (*ClientKey, error) {
	signer, err := generate(alg)
	if err != nil {
		return nil, err
	}
	return clientKey(alg, signer)
}

func clientKey(alg string, signer crypto.Signer) (*ClientKey, error) {
	j, err := publicJWK(signer.Public())
	if err != nil {
		return nil, err
	}
	thumbprint, errT := j.thumbprint()
	public, errM := json.Marshal(j)
	return &ClientKey{alg, signer, public, thumbprint}, cmp.Or(errT, errM)
}

// ParseClientKey reads a private JWK: P-256, P-384, P-521, Ed25519 or RSA.
// Without an alg member the key's usual algorithm is taken.
func ParseClientKey(text []byte) (*ClientKey, error) {
	var j jwk
	if json.Unmarshal(text, &j) != nil {
		return nil, errJWK
	}
	signer, err := j.signer()
	if err != nil {
		return nil, err
	}
	return clientKey(cmp.Or(j["alg"], algorithmFor(signer.Public())), signer)
}

// LoadClientKey reads the file that Save wrote.
func LoadClientKey(path string) (*ClientKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := ParseClientKey(text)
	if err != nil {
		return nil, fmt.Errorf("client key %s: %w", path, err)
	}
	return k, nil
}

// Save writes the private key as a JWK that only its owner may read. Readers
// see the old file or the new one, never half of it.
func (k *ClientKey) Save(path string) error {
	text, err := privateJWK(k.Signer, k.Algorithm)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".client-key-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing is left in it that matters
	draft := filepath.Join(dir, "key")
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// Thumbprint is the key's SHA-256 thumbprint (RFC 7638): the cnf.jkt of tokens
// bound to it.
func (k *ClientKey) Thumbprint() string { return k.thumbprint }

// PublicJWK is the public key, required members only.
func (k *ClientKey) PublicJWK() json.RawMessage { return k.public }

// A Proof says for what a DPoP proof is made (RFC 9449 section 4.2) and in
// what it differs from a good one.
type Proof struct {
	Method, URL string    // htm, and htu without query and fragment
	AccessToken string    // for ath; empty: no ath, as at a token endpoint
	Nonce       string    // empty: none
	ID          string    // the jti; default: random
	IssuedAt    time.Time // default: now
	Alg         string    // how it is signed; default: the key's own

	// Header and Claims are laid over the good ones; a nil value removes the member.
	Header, Claims map[string]any
	// RawHeader and RawPayload are taken as they are, whatever they say.
	RawHeader, RawPayload []byte
}

// Proof makes a DPoP proof.
func (k *ClientKey) Proof(p Proof) (string, error) {
	if p.IssuedAt.IsZero() {
		p.IssuedAt = time.Now()
	}
	if end := strings.IndexAny(p.URL, "?#"); end >= 0 {
		p.URL = p.URL[:end]
	}
	alg := cmp.Or(p.Alg, k.Algorithm)
	claims := map[string]any{"jti": cmp.Or(p.ID, rand.Text()), "htm": p.Method, "htu": p.URL, "iat": p.IssuedAt.Unix()}
	if p.AccessToken != "" {
		sum := sha256.Sum256([]byte(p.AccessToken))
		claims["ath"] = encode(sum[:])
	}
	if p.Nonce != "" {
		claims["nonce"] = p.Nonce
	}
	header, errH := overlaid(p.RawHeader, p.Header, map[string]any{"typ": "dpop+jwt", "alg": alg, "jwk": k.public})
	payload, errP := overlaid(p.RawPayload, p.Claims, claims)
	if err := cmp.Or(errH, errP); err != nil {
		return "", err
	}
	return Sign(alg, k.Signer, header, payload)
}
