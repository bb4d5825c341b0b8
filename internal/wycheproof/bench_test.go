//go:build wycheproof

package wycheproof

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

const (
	issuer   = "https://as.example.com"
	resource = "https://rs.example.com"
)

// bench tries the vectors of one group: an issuer with the group's key set, and
// the key that signs what vectors are carried onto.
type bench struct {
	ours      *jwks.Set // of the group, as published
	key       privateKey
	jwk       json.RawMessage // of key, for a proof
	symmetric privateKey      // of a group of MACs
	valid     string          // the group's first valid vector
	resource  *validator.Resource
	proofs    *dpop.Verifier
}

// stand is an ES256 key pair that every issuer here publishes as well. It
// stands in for the secret of a group of MACs, whose faults are all in the text.
// It is that of RFC 7515 appendix A.3.
const stand = `{"kty":"EC","crv":"P-256","kid":"stand",` +
	`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`

const standPrivate = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"

// signatureBench is for a group with one key.
func signatureBench(t *testing.T, g group) *bench {
	t.Helper()
	b := &bench{jwk: g.Public}
	unmarshal(t, g.Private, &b.key)
	key := cmp.Or(string(g.Public), string(g.Private))
	b.ours = parsed(t, keySet(key))
	if b.key.Kty == "oct" {
		b.symmetric, b.jwk, b.key = b.key, json.RawMessage(stand), privateKey{Alg: "ES256"}
		unmarshal(t, b.jwk, &b.key)
		b.key.D = standPrivate
	}
	if i := slices.IndexFunc(g.Tests, func(v vector) bool { return v.Result == "valid" }); i >= 0 {
		b.valid = g.Tests[i].text()
	}
	// A set without any usable key would not be believed.
	b.open(t, keySet(key, stand))
	return b
}

// keyBench is for a group with a key set, whose fault is in the set.
func keyBench(t *testing.T, g group) *bench {
	t.Helper()
	var public, private struct{ Keys []json.RawMessage }
	unmarshal(t, g.Private, &private)
	unmarshal(t, []byte(cmp.Or(string(g.Public), string(g.Private))), &public)
	b := &bench{jwk: public.Keys[0]}
	unmarshal(t, private.Keys[0], &b.key)
	texts := make([]string, len(public.Keys))
	for i, text := range public.Keys {
		texts[i] = string(text)
	}
	b.ours = parsed(t, keySet(texts...))
	// A set without any usable key would not be believed.
	b.open(t, keySet(append(texts, stand)...))
	return b
}

func unmarshal(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func keySet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func parsed(t *testing.T, set string) *jwks.Set {
	t.Helper()
	s, _, err := jwks.ParseSet([]byte(set), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open makes the validator of a resource whose one issuer publishes set.
func (b *bench) open(t *testing.T, set string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := jwks.NewCache(jwks.Options{})
	cache.Configure([]jwks.Source{{Name: "as", Issuer: issuer, File: path}})
	v, err := validator.New(validator.Parts{Issuers: []validator.Options{{Name: "as", Issuer: issuer}}, Keys: cache})
	if err != nil {
		t.Fatal(err)
	}
	b.resource = v.For(validator.Audience{Any: []string{resource}})
	if b.proofs, err = dpop.New(dpop.Options{Algorithms: jwks.Algorithms()}, replay.NewMemory(100)); err != nil {
		t.Fatal(err)
	}
}

var (
	errForm = errors.New("not a compact serialization")
	errKeys = errors.New("no key of the set fits")
)

// published judges a vector as it is: its form by the token parser, one part
// after the other since its payload is no JSON object, and its signature by the
// keys that the set has for its kid and alg.
func (b *bench) published(text string) error {
	first, last := strings.IndexByte(text, '.'), strings.LastIndexByte(text, '.')
	if first == last {
		if _, err := token.ParseJWT(text, token.MaxLength); err != nil {
			return err
		}
		return errForm // a JWT in two parts
	}
	header, payload, signature := text[:first], text[first+1:last], text[last+1:]
	u, err := token.ParseJWT(header+".e30."+signature, token.MaxLength)
	if err != nil {
		return err
	}
	if _, err := token.ParseJWT(header+".e30."+payload, token.MaxLength); err != nil {
		return err
	}
	err = errKeys
	for _, key := range b.ours.Find(u.KeyID, u.Algorithm) {
		if err = key.Verify(u.Algorithm, header+"."+payload, decode(signature)); err == nil {
			return nil
		}
	}
	return err
}

// kind is what is wrong with a carried vector. It says for which reasons it may
// be refused, so that none is refused for something else.
type kind struct{ token, proof []token.Reason }

var (
	badForm      = kind{[]token.Reason{token.ReasonMalformed}, []token.Reason{token.ReasonDPoPMalformed}}
	badSignature = kind{[]token.Reason{token.ReasonSignature}, []token.Reason{token.ReasonDPoPSignature}}
	badAlgorithm = kind{[]token.Reason{token.ReasonAlgorithm, token.ReasonUnknownKey}, []token.Reason{token.ReasonDPoPAlgorithm, token.ReasonDPoPKey}}
	badKey       = kind{[]token.Reason{token.ReasonUnknownKey}, []token.Reason{token.ReasonDPoPKey, token.ReasonDPoPAlgorithm}}
	badKeyID     = kind{[]token.Reason{token.ReasonUnknownKey}, []token.Reason{token.ReasonDPoPSignature}}
)

// fault makes a text out of a carrier, and says how it may be refused.
type fault struct {
	kind
	apply func(*testing.T, *carrier) string
}

// carrier is a real token or proof: what it says and who signs it.
type carrier struct {
	*bench
	header map[string]any // without alg and kid
	claims map[string]any
}

// token carries a fault onto an access token and has it judged.
func (b *bench) token(t *testing.T, f fault) error {
	t.Helper()
	now := time.Now().Unix()
	raw := f.apply(t, &carrier{b, map[string]any{"typ": "at+jwt"}, map[string]any{
		"iss": issuer, "sub": "user-1", "client_id": "client-1", "aud": resource, "jti": rand.Text(), "iat": now, "exp": now + 600,
	}})
	_, err := b.resource.Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: raw})
	wantReason(t, err, f.kind.token)
	return err
}

// proof carries a fault onto the proof for a token and has it judged.
func (b *bench) proof(t *testing.T, f fault) error {
	t.Helper()
	cred := token.Credential{Scheme: token.DPoP, Raw: "a-token", Method: "GET", Origins: []string{resource}, Path: "/read"}
	sum := cred.Digest()
	text := f.apply(t, &carrier{b, map[string]any{"typ": "dpop+jwt", "jwk": b.jwk}, map[string]any{
		"jti": rand.Text(), "htm": "GET", "htu": resource + "/read", "iat": time.Now().Unix(), "ath": encode(sum[:]),
	}})
	cred.Proofs = []string{text}
	jkt := "the key cannot be read, so nothing is bound to it"
	if key, err := jwks.ParseProofKey(string(b.jwk)); err == nil {
		jkt = key.Thumbprint()
	}
	_, err := b.proofs.Confirm(context.Background(), cred, sum, jkt, time.Now())
	if text == "" {
		wantReason(t, err, []token.Reason{token.ReasonDPoPMissing})
		return err
	}
	wantReason(t, err, f.kind.proof)
	return err
}

func wantReason(t *testing.T, err error, allowed []token.Reason) {
	t.Helper()
	if err == nil {
		return
	}
	refusal, ok := errors.AsType[*token.Error](err)
	if !ok {
		t.Fatalf("neither allowed nor refused: %v", err)
	}
	if allowed != nil && !slices.Contains(allowed, refusal.Reason) {
		t.Errorf("refused for %s, want one of %s", refusal.Reason, allowed)
	}
}

// parts are the encoded parts of a compact serialization.
type parts struct{ header, payload, signature string }

func (p parts) signed() string { return p.header + "." + p.payload }
func (p parts) String() string { return p.signed() + "." + p.signature }

// good is the carrier without a fault, its header with more members.
func (c *carrier) good(t *testing.T, alg string, more map[string]any) parts {
	t.Helper()
	p := c.unsigned(t, more)
	p.signature = encode(c.key.sign(t, alg, p.signed()))
	return p
}

func (c *carrier) unsigned(t *testing.T, more map[string]any) parts {
	t.Helper()
	header := maps.Clone(c.header)
	maps.Copy(header, more)
	h, errH := json.Marshal(header)
	p, errP := json.Marshal(c.claims)
	if err := cmp.Or(errH, errP); err != nil {
		t.Fatal(err)
	}
	return parts{encode(h), encode(p), ""}
}
