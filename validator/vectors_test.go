package validator

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func TestConformance(t *testing.T) {
	v := readVectors(t)
	rows := make(map[string]map[string]func(*testing.T))
	add := func(row, name string, run func(*testing.T)) {
		if rows[row] == nil {
			rows[row] = make(map[string]func(*testing.T))
		}
		rows[row][name] = func(t *testing.T) { atVectorTime(t, v, run) }
	}
	for _, vector := range v.Tokens {
		add(vector.Row, vector.Name, func(t *testing.T) { tryToken(t, v, vector.Token, vector.Expect) })
	}
	for _, vector := range v.Proofs {
		cred := token.Credential{
			Scheme: token.DPoP, Raw: vector.AccessToken, Proofs: []string{vector.Proof},
			Method: vector.Method, Origins: []string{vectorAudience}, Path: vector.URI[len(vectorAudience):],
			NonceNeeded: vector.RequiredNonce != "", // ours is another one, but the vector's proof has none
		}
		add(vector.Row, vector.Name, func(t *testing.T) { tryProof(t, v, cred, vector.Expect) })
	}
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		t.Run(row, func(t *testing.T) {
			for name, run := range rows[row] {
				t.Run(name, run)
			}
		})
	}
}

func tryToken(t *testing.T, v *vectors, raw, want string) {
	r := vectorValidator(t, v, 0)
	cred, refusal := token.ReadAuthorization([]string{"Bearer " + raw})
	var err error
	if refusal != nil {
		err = refusal
	} else {
		_, err = r.Validate(context.Background(), cred)
	}
	got := codeOf(t, err)
	if want == "invalid_request or invalid_token" && got == "invalid_request" {
		return // no token68: refused before it is looked at as a token
	}
	if got != strings.TrimPrefix(want, "invalid_request or ") {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

func tryProof(t *testing.T, v *vectors, cred token.Credential, want string) {
	r := vectorValidator(t, v, 10)
	_, err := r.Validate(context.Background(), cred)
	if got := codeOf(t, err); got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	if err != nil {
		return
	}
	if _, again := r.Validate(context.Background(), cred); codeOf(t, again) != "invalid_dpop_proof" {
		t.Error("the same proof passed twice")
	}
}
