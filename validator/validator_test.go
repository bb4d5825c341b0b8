package validator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// world is an issuer whose key set lies in a file, and a validator that knows
// it.
type world struct {
	t         *testing.T
	issuer    *devissuer.Issuer
	file      string
	keys      *jwks.Cache
	validator *Validator
	lookups   []bool
}

const issuerName = "https://as.example.com"

func newWorld(t *testing.T, o Options, cacheSize int) *world {
	t.Helper()
	w := &world{t: t, file: filepath.Join(t.TempDir(), "jwks.json")}
	var err error
	w.issuer, err = devissuer.New(devissuer.Options{Identifier: issuerName, Algorithms: []string{"ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	w.publish()
	w.keys = jwks.NewCache(jwks.Options{})
	w.keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, File: w.file}})
	proofs, err := dpop.New(dpop.Options{}, replay.NewMemory(100))
	if err != nil {
		t.Fatal(err)
	}
	o.Name, o.Issuer = "as", issuerName
	w.validator, err = New(Parts{
		Issuers: []Options{o}, Keys: w.keys, DPoP: proofs, CacheSize: cacheSize,
		OnLookup: func(hit bool) { w.lookups = append(w.lookups, hit) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) publish() {
	w.t.Helper()
	if err := os.WriteFile(w.file, w.issuer.JWKS(), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mint(token devissuer.Token) string {
	w.t.Helper()
	raw, err := w.issuer.Mint(token)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// judge validates raw as a bearer token and returns the reason it is refused
// for, or "".
func (w *world) judge(raw string, audience ...string) token.Reason {
	w.t.Helper()
	if audience == nil {
		audience = []string{"https://rs.example.com"}
	}
	return w.reason(w.validator.For(Audience{Any: audience}).Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: raw}))
}

func (w *world) reason(_ *token.Principal, err error) token.Reason {
	w.t.Helper()
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*token.Error](err); ok {
		return refusal.Reason
	}
	if fault, ok := errors.AsType[*token.Fault](err); ok {
		return fault.Reason
	}
	w.t.Fatalf("neither refusal nor fault: %v", err)
	return ""
}

func TestProfileJWT(t *testing.T) {
	type m = map[string]any
	tests := []struct {
		name  string
		token devissuer.Token
		want  token.Reason
	}{
		{"typ JWT", devissuer.Token{Header: m{"typ": "JWT"}}, ""},
		{"no typ", devissuer.Token{Header: m{"typ": nil}}, ""},
		{"typ at+jwt", devissuer.Token{}, ""},
		{"typ empty", devissuer.Token{Header: m{"typ": ""}}, token.ReasonType},
		{"typ logout+jwt", devissuer.Token{Header: m{"typ": "logout+jwt"}}, token.ReasonType},
		{"only what older servers send", devissuer.Token{Header: m{"typ": nil}, Claims: m{"client_id": nil, "jti": nil, "iat": nil, "sub": nil}}, ""},
		{"no exp", devissuer.Token{Claims: m{"exp": nil}}, token.ReasonClaim},
		{"no aud", devissuer.Token{Claims: m{"aud": nil}}, token.ReasonAudience},
		{"ID token by nonce", devissuer.Token{Header: m{"typ": "JWT"}, Claims: m{"nonce": "n"}}, token.ReasonKind},
		{"ID token by at_hash", devissuer.Token{Claims: m{"at_hash": "h"}}, token.ReasonKind},
		{"security event", devissuer.Token{Claims: m{"events": m{}}}, token.ReasonKind},
		{"Keycloak refresh token", devissuer.Token{Claims: m{"typ": "Refresh"}}, token.ReasonKind},
		{"Keycloak bearer token", devissuer.Token{Claims: m{"typ": "Bearer"}}, ""},
		{"Cognito ID token", devissuer.Token{Claims: m{"token_use": "id"}}, token.ReasonKind},
	}
	w := newWorld(t, Options{Profile: JWT}, 0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := w.judge(w.mint(test.token)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestClaimsOfAnIssuer(t *testing.T) {
	type m = map[string]any
	tests := []struct {
		name    string
		options Options
		claims  m
		want    token.Reason
	}{
		{"scope as array is refused under its own name", Options{}, m{"scope": []string{"read"}}, token.ReasonClaim},
		{"scp as array", Options{ScopeClaim: "scp"}, m{"scp": []string{"read"}}, ""},
		{"scp as string", Options{ScopeClaim: "scp"}, m{"scp": "read"}, ""},
		{"scp as number", Options{ScopeClaim: "scp"}, m{"scp": 1}, token.ReasonClaim},
		{"audience from another claim", Options{AudienceClaim: "target"}, m{"target": "https://rs.example.com", "aud": nil}, ""},
		{"that claim missing", Options{AudienceClaim: "target"}, m{}, token.ReasonAudience},
		{"any audience", Options{AnyAudience: true}, m{"aud": "https://other.example"}, ""},
		{"lifetime within", Options{MaxLifetime: time.Hour}, m{}, ""},
		{"lifetime beyond", Options{MaxLifetime: time.Minute}, m{}, token.ReasonLifetime},
		{"algorithm not listed", Options{Algorithms: []string{"RS256"}}, m{}, token.ReasonAlgorithm},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.options, 0)
			if got := w.judge(w.mint(devissuer.Token{Claims: test.claims})); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAudienceOfTheResource(t *testing.T) {
	w := newWorld(t, Options{}, 10)
	raw := w.mint(devissuer.Token{Claims: map[string]any{"aud": []string{"urn:a", "urn:b"}}})
	if got := w.judge(raw, "urn:b"); got != "" {
		t.Errorf("at its own resource: %q", got)
	}
	if got := w.judge(raw, "urn:c"); got != token.ReasonAudience {
		t.Errorf("at another resource, out of the cache: %q", got)
	}
	own := w.validator.For(Audience{Any: []string{"urn:c"}, ByIssuer: map[string][]string{"as": {"urn:a"}}})
	if got := w.reason(own.Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: raw})); got != "" {
		t.Errorf("audiences of the issuer: %q", got)
	}
	other := w.validator.For(Audience{Any: []string{"urn:a"}, ByIssuer: map[string][]string{"as": {"urn:c"}}})
	if got := w.reason(other.Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: raw})); got != token.ReasonAudience {
		t.Errorf("the issuer's audiences add to the resource's instead of replacing them: %q", got)
	}
}

// JWS-23: what is remembered is that a signature held, and nothing else.
func TestCacheRemembersOnlyTheSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Leeway: 30 * time.Second}, 10)
		raw := w.mint(devissuer.Token{})
		for range 2 {
			if got := w.judge(raw); got != "" {
				t.Fatalf("good token: %q", got)
			}
		}
		if len(w.lookups) != 2 || w.lookups[0] || !w.lookups[1] {
			t.Fatalf("lookups %v, want a miss and a hit", w.lookups)
		}
		other := raw[:len(raw)-4] + "AAAA"
		if got := w.judge(other); got != token.ReasonSignature {
			t.Errorf("same claims under another signature: %q", got)
		}
		time.Sleep(10*time.Minute + 29*time.Second)
		if got := w.judge(raw); got != "" {
			t.Errorf("within the leeway: %q", got)
		}
		time.Sleep(time.Second)
		if got := w.judge(raw); got != token.ReasonExpired {
			t.Errorf("at exp + leeway, remembered: %q", got)
		}
	})
}

func TestCachedVerdictDiesWithItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, 10)
		raw := w.mint(devissuer.Token{})
		if got := w.judge(raw); got != "" {
			t.Fatalf("good token: %q", got)
		}
		if _, err := w.issuer.Rotate("ES256"); err != nil {
			t.Fatal(err)
		}
		w.publish()
		time.Sleep(time.Minute)
		if got := w.judge(w.mint(devissuer.Token{})); got != "" {
			t.Fatalf("token of the new key: %q", got)
		}
		if got := w.judge(raw); got != token.ReasonUnknownKey {
			t.Errorf("token of the withdrawn key: %q, want unknown_key", got)
		}
	})
}

func TestBindingIsJudgedOnEveryRequest(t *testing.T) {
	w := newWorld(t, Options{}, 10)
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	raw := w.mint(devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}}})
	r := w.validator.For(Audience{Any: []string{"https://rs.example.com"}})
	cred := token.Credential{
		Scheme: token.DPoP, Raw: raw, Method: "GET", Origins: []string{"https://rs.example.com"}, Path: "/read",
	}
	proof := func(k *devissuer.ClientKey) []string {
		p, err := k.Proof(devissuer.Proof{Method: "GET", URL: "https://rs.example.com/read", AccessToken: raw})
		if err != nil {
			t.Fatal(err)
		}
		return []string{p}
	}
	cred.Proofs = proof(key)
	if got := w.reason(r.Validate(context.Background(), cred)); got != "" {
		t.Fatalf("bound token with its proof: %q", got)
	}
	cred.Proofs = nil
	if got := w.reason(r.Validate(context.Background(), cred)); got != token.ReasonDPoPMissing {
		t.Errorf("remembered token without a proof: %q", got)
	}
	thief, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	cred.Proofs = proof(thief)
	if got := w.reason(r.Validate(context.Background(), cred)); got != token.ReasonDPoPBinding {
		t.Errorf("remembered token with another key's proof: %q", got)
	}
	cred.Scheme = token.Bearer
	if got := w.reason(r.Validate(context.Background(), cred)); got != token.ReasonDPoPBinding {
		t.Errorf("remembered token as bearer: %q", got)
	}
}

func TestNewRefusesUnknownNames(t *testing.T) {
	if _, err := New(Parts{Issuers: []Options{{Name: "a", Issuer: "i", Algorithms: []string{"ES265"}}}}); err == nil {
		t.Error("an unknown algorithm is configured")
	}
	if _, err := New(Parts{Issuers: []Options{{Name: "a", Issuer: "i"}, {Name: "b", Issuer: "i"}}}); err == nil {
		t.Error("an issuer is configured twice")
	}
}
