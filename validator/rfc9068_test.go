package validator

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// TestRFC9068Example is the token of RFC 9068 figure 2, at its time and with
// its names, letter for letter. The RFC does not publish the key, so ours
// signs (JWT-24).
func TestRFC9068Example(t *testing.T) {
	const example = `{"iss":"https://authorization-server.example.com/","sub":"5ba552d67","aud":"https://rs.example.com/",` +
		`"exp":1639528912,"iat":1618354090,"jti":"dbe39bf3a3ba4238a513f51d6e1691c4","client_id":"s6BhdRkqt3","scope":"openid profile reademail"}`
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1618354100, 0)))
		issuer, err := devissuer.New(devissuer.Options{Identifier: "https://authorization-server.example.com/", Algorithms: []string{"RS256"}})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := issuer.Mint(devissuer.Token{
			Alg: "RS256", RawHeader: []byte(`{"typ":"at+JWT","alg":"RS256","kid":"rs256-1"}`), RawPayload: []byte(example),
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "jwks.json")
		if err := os.WriteFile(file, issuer.JWKS(), 0o600); err != nil {
			t.Fatal(err)
		}
		keys := jwks.NewCache(jwks.Options{})
		keys.Configure([]jwks.Source{{Name: "as", Issuer: issuer.Identifier(), File: file}})
		v, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuer.Identifier()}}, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		p, err := v.For(Audience{Any: []string{"https://rs.example.com/"}}).Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: raw})
		if err != nil {
			t.Fatal(err)
		}
		if p.Subject != "5ba552d67" || p.ClientID != "s6BhdRkqt3" || !p.Scope.Has("reademail") || p.SubjectType() != "user" {
			t.Errorf("got %+v, scope %v", p.Claims, p.Scope)
		}
	})
}
