package jwks

import (
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/wicketgate/wicketgate/token"
)

// ParseProofKey reads the jwk of a DPoP proof (RFC 9449 section 4.2): a public
// RSA key of 2048 to 4096 bits, an EC key on P-256, P-384 or P-521, or an
// Ed25519 key, with no private member and no certificate, in canonical form.
// Its cost is bounded by the length of text whatever the text says.
func ParseProofKey(text string) (*Key, error) {
	jwk, err := token.ParseObject(text)
	if err != nil {
		return nil, errNotObject
	}
	// Nobody would hold the certificate against the key (RFC 7517 section 4.7),
	// and reading one that a stranger made is a risk for nothing.
	if _, found := jwk.Get("x5c"); found {
		return nil, errCertificate
	}
	k, _, err := readKey(jwk, maxProofRSA)
	return k, err
}

// ProofKeys remembers the proof keys seen last, and the headers they came in. It
// remembers what a text says, never that anybody holds the key.
type ProofKeys struct {
	keys  *lru.Cache[string, *Key]
	heads *lru.Cache[string, ProofHead] // by their octets
}

// A ProofHead is the header of a proof with its key, which is fit for its alg.
type ProofHead struct {
	*token.Head
	Key *Key
}

// NewProofKeys makes a memory of at most size keys, and at least one.
func NewProofKeys(size int) *ProofKeys {
	keys, _ := lru.New[string, *Key](max(size, 1)) // fails for a size below 1 only
	heads, _ := lru.New[string, ProofHead](max(size, 1))
	return &ProofKeys{keys: keys, heads: heads}
}

// Head returns what is remembered of the header that proof begins with; the zero
// ProofHead where nothing is.
func (p *ProofKeys) Head(proof string) ProofHead {
	h, _ := p.heads.Get(token.Segment(proof))
	return h
}

// Remember remembers the header of proof with the key that is in it.
func (p *ProofKeys) Remember(proof *token.Unverified, key *Key) {
	if !p.heads.Contains(proof.Segment()) {
		head := proof.Head()
		p.heads.Add(head.Segment(), ProofHead{head, key})
	}
}

// Parse is ParseProofKey for a text that may have been seen before.
func (p *ProofKeys) Parse(text string) (*Key, error) {
	if k, found := p.keys.Get(text); found {
		return k, nil
	}
	k, err := ParseProofKey(text)
	if err != nil {
		return nil, err
	}
	// A copy: text is a part of a whole proof, which would stay in memory.
	p.keys.Add(strings.Clone(text), k)
	return k, nil
}
