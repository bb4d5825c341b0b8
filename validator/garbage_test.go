package validator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// BenchmarkGarbage is what one token costs that is no good, by how far it gets,
// next to a good one that was not seen before. Each has a text of its own, as an
// attacker's would.
func BenchmarkGarbage(b *testing.B) {
	issuer, r := benchWorld(b, "ES256", 100_000)
	old := map[string]any{"iat": time.Now().Unix() - 60}
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		b.Fatal(err)
	}
	mint := func(t devissuer.Token) string {
		if t.Claims == nil {
			t.Claims = old
		}
		raw, err := issuer.Mint(t)
		if err != nil {
			b.Fatal(err)
		}
		return raw
	}
	good := mint(devissuer.Token{})
	parts := strings.Split(good, ".")
	texts := func(make func(n int) string) (list []string) {
		for n := range 1000 {
			list = append(list, make(n))
		}
		return list
	}
	for _, kind := range []struct {
		name string
		make func(n int) string
		want token.Reason // none for a good one
	}{
		{"not base64", func(int) string { return parts[0] + "." + parts[1] + "." + parts[2] + "*" }, token.ReasonMalformed},
		{"bad JSON", func(int) string { return parts[0] + "." + parts[1][:len(parts[1])-8] + "." + parts[2] }, token.ReasonMalformed},
		{"unknown issuer", func(int) string { return mint(devissuer.Token{Claims: map[string]any{"iss": "https://x.example.com"}}) }, token.ReasonIssuer},
		{"expired", func(int) string { return mint(devissuer.Token{Claims: map[string]any{"exp": 1}}) }, token.ReasonExpired},
		{"random kid", func(n int) string {
			return mint(devissuer.Token{Header: map[string]any{"kid": strings.Repeat("k", n%100+1)}})
		}, token.ReasonUnknownKey},
		{"bad signature", func(int) string {
			return mint(devissuer.Token{Key: key.Signer, Alg: "ES256", Header: map[string]any{"kid": "es256-1"}})
		}, token.ReasonSignature},
		{"good", nil, token.ReasonNone},
	} {
		b.Run(strings.ReplaceAll(kind.name, " ", "-"), func(b *testing.B) {
			list := []string{good}
			if kind.make != nil {
				list = texts(kind.make)
			}
			measure(b, func(n int) error {
				if kind.make == nil {
					r.Forget()
				}
				_, err := r.Validate(context.Background(), token.Credential{Scheme: token.Bearer, Raw: list[n%len(list)]})
				if refusal, refused := errors.AsType[*token.Error](err); refused && refusal.Reason == kind.want || err == nil && kind.make == nil {
					return nil
				}
				return errors.Join(err, errors.New("that is not what it should come to"))
			})
		})
	}
}
