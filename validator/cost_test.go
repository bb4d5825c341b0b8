package validator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// TestGarbageCostsNoSignature is H-81: what is no token, or none of ours, is
// refused before a signature is checked. The trace says how far it came.
func TestGarbageCostsNoSignature(t *testing.T) {
	issuer, err := devissuer.New(devissuer.Options{Identifier: issuerName, Algorithms: []string{"ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := jwks.NewCache(jwks.Options{})
	keys.Configure([]jwks.Source{{Name: "as", Issuer: issuerName, File: file}})
	v, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName, Leeway: 30 * time.Second}}, Keys: keys, CacheSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	r := v.For(Audience{Any: []string{"https://rs.example.com"}})
	stranger, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	mint := func(d devissuer.Token) string {
		raw, err := issuer.Mint(d)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	old := map[string]any{"iat": time.Now().Unix() - 60}
	parts := strings.Split(mint(devissuer.Token{}), ".")
	forged := devissuer.Token{Key: stranger.Signer, Alg: "ES256", Header: map[string]any{"kid": "es256-1"}}
	for name, c := range map[string]struct {
		raw      string
		want     token.Reason
		verifies bool
	}{
		"good":             {mint(devissuer.Token{}), token.ReasonNone, true},
		"forged":           {mint(forged), token.ReasonSignature, true},
		"not base64url":    {parts[0] + "." + parts[1] + "." + parts[2] + "*", token.ReasonMalformed, false},
		"padding":          {parts[0] + "." + parts[1] + "." + parts[2] + "=", token.ReasonMalformed, false},
		"two parts":        {parts[0] + "." + parts[1], token.ReasonMalformed, false},
		"cut JSON":         {parts[0] + "." + parts[1][:len(parts[1])-8] + "." + parts[2], token.ReasonMalformed, false},
		"letters":          {strings.Repeat("x", 16<<10), token.ReasonMalformed, false},
		"over the limit":   {strings.Repeat("x", 16<<10+1), token.ReasonTooLong, false},
		"none":             {mint(devissuer.Token{Alg: devissuer.None}) + "AA", token.ReasonAlgorithm, false},
		"MAC":              {mint(devissuer.Token{Alg: "HS256", Secret: make([]byte, 32)}), token.ReasonAlgorithm, false},
		"unknown issuer":   {mint(devissuer.Token{Claims: map[string]any{"iss": "https://x.example.com"}}), token.ReasonIssuer, false},
		"unknown kid":      {mint(devissuer.Token{Header: map[string]any{"kid": "x"}, Claims: old}), token.ReasonUnknownKey, false},
		"expired":          {mint(devissuer.Token{Claims: map[string]any{"exp": 1}}), token.ReasonExpired, false},
		"for others":       {mint(devissuer.Token{Claims: map[string]any{"aud": "https://x.example.com"}}), token.ReasonAudience, false},
		"another type":     {mint(devissuer.Token{Header: map[string]any{"typ": "JWT"}}), token.ReasonType, false},
		"short signature":  {parts[0] + "." + parts[1] + ".AAAA", token.ReasonSignature, true}, // by length alone, in package jwks
		"critical members": {mint(devissuer.Token{Header: map[string]any{"crit": []string{"b64"}, "b64": false}}), token.ReasonCritical, false},
	} {
		t.Run(name, func(t *testing.T) {
			trace := &token.Trace{}
			_, err := r.Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: c.raw, Trace: trace})
			got := token.ReasonNone
			if refusal, refused := errors.AsType[*token.Error](err); refused {
				got = refusal.Reason
			}
			if got != c.want || (err == nil) != (c.want == token.ReasonNone) {
				t.Errorf("refused for %q (%v), want %q", got, err, c.want)
			}
			verified := slices.ContainsFunc(trace.Steps, func(s token.Step) bool { return s.Reason == token.ReasonSignature })
			if verified != c.verifies {
				t.Errorf("a signature was checked: %v, want %v", verified, c.verifies)
			}
		})
	}
}
