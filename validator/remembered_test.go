package validator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// An expired token is the issuer's, however often it comes: that is found out once,
// and again when its key is another.
func TestVouchingForAnExpiredTokenOnce(t *testing.T) {
	b := newBounded(t, Options{Vouch: true})
	vouched := func(raw string) string {
		_, err := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: raw, Sender: sender("192.0.2.1")})
		if got := b.reason(nil, err); got != token.ReasonExpired {
			t.Errorf("refused for %q", got)
		}
		return token.Voucher(err)
	}
	old := map[string]any{"exp": 1, "iat": time.Now().Unix() - 60}
	expired := b.mint(devissuer.Token{Claims: old})
	for range 5 {
		if got := vouched(expired); got != "as" {
			t.Errorf("vouched for by %q", got)
		}
	}
	if n := b.checked.Load(); n != 1 {
		t.Errorf("%d signatures were checked, want one", n)
	}
	b.validator.Forget()
	if vouched(expired); b.checked.Load() != 2 {
		t.Errorf("%d signatures were checked when all was forgotten, want two", b.checked.Load())
	}
	forged := b.mint(devissuer.Token{Key: b.stranger.Signer, Alg: "ES256", Header: map[string]any{"kid": "es256-1"}, Claims: old})
	for range 2 {
		if got := vouched(forged); got != "" {
			t.Errorf("a forged one is vouched for by %q", got)
		}
	}
	// A type that is not accepted is refused before the signature too, and what is
	// remembered of that must let nothing in.
	typed := b.mint(devissuer.Token{Header: map[string]any{"typ": "JWT"}})
	for range 3 {
		if got := b.present(typed, "192.0.2.1"); got != token.ReasonType {
			t.Errorf("refused for %q", got)
		}
	}
}

// Headers are learned of tokens whose signature held, and of no others.
func TestHeadersOfForgedTokensAreNotLearned(t *testing.T) {
	b := newBounded(t, Options{})
	for i := range 100 {
		raw := b.mint(devissuer.Token{Key: b.stranger.Signer, Alg: "ES256", Header: map[string]any{"kid": "es256-1", "x": fmt.Sprint(i)}})
		if got := b.present(raw, fmt.Sprintf("192.0.2.%d", i)); got != token.ReasonSignature {
			t.Fatalf("refused for %q", got)
		}
	}
	if n := b.validator.heads.Len(); n != 0 {
		t.Errorf("%d headers of forged tokens are remembered", n)
	}
	if got := b.present(b.mint(devissuer.Token{}), "192.0.2.1"); got != "" || b.validator.heads.Len() != 1 {
		t.Errorf("refused for %q; %d headers are remembered, want one", got, b.validator.heads.Len())
	}
}

// What has not the dots of a JWT costs neither a digest nor a look into a cache.
func TestWhatIsNoJWTIsNotLookedFor(t *testing.T) {
	b := newBounded(t, Options{})
	looked := 0
	b.validator.onLookup = func(bool) { looked++ }
	for _, raw := range []string{"x", strings.Repeat("x", 16<<10), "a.b", "a.b.c.d", "..."} {
		if got := b.present(raw, "192.0.2.1"); got != token.ReasonMalformed {
			t.Errorf("%.8s is refused for %q", raw, got)
		}
	}
	if looked != 0 {
		t.Errorf("the cache was asked %d times", looked)
	}
	cred := token.Credential{Scheme: token.Bearer, Raw: strings.Repeat("x", 16<<10)}
	if n := testing.AllocsPerRun(100, func() { _, _ = b.r.Validate(t.Context(), cred) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Vouching looks past what refuses a token early, and past what else is wrong with
// it, at the signature.
func TestVouchingForWhatIsWrongTwice(t *testing.T) {
	b := newBounded(t, Options{Vouch: true})
	for name, claims := range map[string]map[string]any{
		"expired":                 {"exp": 1, "iat": time.Now().Unix() - 60},
		"expired, and no subject": {"exp": 1, "iat": time.Now().Unix() - 60, "sub": 5},
	} {
		_, err := b.r.Validate(t.Context(), token.Credential{Scheme: token.Bearer, Raw: b.mint(devissuer.Token{Claims: claims}), Sender: sender("192.0.2.1")})
		if token.Voucher(err) != "as" {
			t.Errorf("%s: vouched for by %q: %v", name, token.Voucher(err), err)
		}
	}
}
