package validator

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// vectors are signed tokens and proofs with what must come of them.
type vectors struct {
	Now     int64
	Issuers map[string]struct{ JWKS json.RawMessage }
	Tokens  []struct{ Row, Name, Token, Expect string } `json:"access_tokens"`
	Proofs  []struct {
		Row, Name, Method, URI, Proof, Expect string
		AccessToken                           string `json:"access_token"`
		RequiredNonce                         string `json:"required_nonce"`
	} `json:"dpop_proofs"`
}

func readVectors(t testing.TB) *vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
	return v
}

const vectorAudience = "https://rs.example.com"

// atVectorTime runs a test with the clock of the vectors.
func atVectorTime(t *testing.T, v *vectors, run func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(v.Now, 0)))
		run(t)
	})
}

// vectorValidator knows the issuers of the vectors.
func vectorValidator(t testing.TB, v *vectors, cacheSize int) *Resource {
	t.Helper()
	cache := jwks.NewCache(jwks.Options{})
	var sources []jwks.Source
	parts := Parts{Keys: cache, CacheSize: cacheSize}
	algorithms := []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
	for issuer, i := range v.Issuers {
		path := filepath.Join(t.TempDir(), "jwks.json")
		if err := os.WriteFile(path, i.JWKS, 0o600); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, jwks.Source{Name: issuer, Issuer: issuer, File: path})
		parts.Issuers = append(parts.Issuers, Options{Name: issuer, Issuer: issuer, Algorithms: algorithms, Leeway: 30 * time.Second})
	}
	cache.Configure(sources)
	var err error
	if parts.DPoP, err = dpop.New(dpop.Options{}, replay.NewMemory(1000)); err != nil {
		t.Fatal(err)
	}
	validator, err := New(parts)
	if err != nil {
		t.Fatal(err)
	}
	return validator.For(Audience{Any: []string{vectorAudience}})
}

// codeOf is the wire code of a verdict; "ok" when it allowed.
func codeOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return "ok"
	}
	refusal, ok := errors.AsType[*token.Error](err)
	if !ok {
		t.Fatalf("a fault, not a verdict: %v", err)
	}
	return string(refusal.Code)
}

func TestConformanceAccessTokens(t *testing.T) {
	v := readVectors(t)
	for _, vector := range v.Tokens {
		t.Run(vector.Row+" "+vector.Name, func(t *testing.T) {
			atVectorTime(t, v, func(t *testing.T) {
				r := vectorValidator(t, v, 0)
				cred, refusal := token.ReadAuthorization([]string{"Bearer " + vector.Token})
				var err error
				if refusal != nil {
					err = refusal
				} else {
					_, err = r.Validate(context.Background(), cred)
				}
				got := codeOf(t, err)
				if vector.Expect == "invalid_request or invalid_token" {
					if got != "invalid_request" && got != "invalid_token" {
						t.Errorf("got %s, want %s", got, vector.Expect)
					}
					return
				}
				if got != vector.Expect {
					t.Errorf("got %s (%v), want %s", got, err, vector.Expect)
				}
			})
		})
	}
}

func TestConformanceProofs(t *testing.T) {
	v := readVectors(t)
	for _, vector := range v.Proofs {
		if vector.RequiredNonce != "" {
			continue // server nonces: docs/conformance.md lists them as not checked yet
		}
		t.Run(vector.Row+" "+vector.Name, func(t *testing.T) {
			atVectorTime(t, v, func(t *testing.T) {
				r := vectorValidator(t, v, 10)
				cred := token.Credential{
					Scheme: token.DPoP, Raw: vector.AccessToken, Proofs: []string{vector.Proof},
					Method: vector.Method, Origins: []string{vectorAudience}, Path: vector.URI[len(vectorAudience):],
				}
				_, err := r.Validate(context.Background(), cred)
				if got := codeOf(t, err); got != vector.Expect {
					t.Errorf("got %s (%v), want %s", got, err, vector.Expect)
				}
				if err != nil {
					return
				}
				if _, again := r.Validate(context.Background(), cred); codeOf(t, again) != "invalid_dpop_proof" {
					t.Error("the same proof passed twice")
				}
			})
		})
	}
}
