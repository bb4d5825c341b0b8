package validator

import (
	"crypto/ed25519"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// accessToken is the claims of the n-th token of an issuer with many users, some
// clients and a few roles: 640 octets in the form of RFC 9068.
func accessToken(n int, now time.Time) string {
	claims := fmt.Sprintf(`{"iss":%q,"aud":["https://rs.example.com","https://files.example.com"],"sub":"5f0c1a52-7e0b-4c55-9d1e-%012d","client_id":"client-%d",`+
		`"scope":"openid orders.read orders.write profile.%d","jti":"0b6d7b1e-52f5-4d5e-8a0a-%012d","iat":%d,"exp":%d,"nbf":%d,"auth_time":%d,`+
		`"acr":"urn:example:acr:gold","amr":["pwd","otp"],"sid":"c1f0a6f4-9f0a-4a0e-b1b5-%012d","tenant":"north-%d","groups":["dev","ops","team-%d"],"roles":["reader","writer"],"note":"`,
		issuerName, n, n%50, n%10, n, now.Unix()-int64(n%300), now.Unix()+3600-int64(n%300), now.Unix()-int64(n%300), now.Unix()-int64(n%4000), n/2, n%7, n%20)
	return claims + strings.Repeat("x", max(0, 640-2-len(claims))) + `"}`
}

// TestMemoryOfTokens holds what a remembered token may cost with the index, after
// it came once, and after it came again. A hundred thousand times the first is what
// the memory of a process with so many tokens is held by.
func TestMemoryOfTokens(t *testing.T) {
	const tokens, once, again = 7_000, 500, 1000 // octets a token
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := devissuer.JWK(public, "k", "EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	r := benchResource(t, []byte(`{"keys":[`+string(jwk)+`]}`), 100_000)
	now := time.Now()
	credentials := make([]token.Credential, tokens)
	for n := range credentials {
		raw, err := devissuer.Sign("EdDSA", private, []byte(`{"alg":"EdDSA","kid":"k","typ":"at+jwt"}`), []byte(accessToken(n, now)))
		if err != nil {
			t.Fatal(err)
		}
		credentials[n] = token.Credential{Scheme: token.Bearer, Raw: raw}
	}
	before := liveHeap()
	for _, limit := range []uint64{once, again} {
		for _, cred := range credentials {
			if p, err := r.Validate(t.Context(), cred); err != nil || !p.Scope.Has("orders.read") {
				t.Fatal(p, err)
			}
		}
		each := (liveHeap() - before) / tokens
		t.Logf("%d octets a token", each)
		if r.Remembered() != tokens || each > limit {
			t.Errorf("%d octets for each of %d tokens, at most %d are allowed", each, r.Remembered(), limit)
		}
	}
	runtime.KeepAlive(credentials)
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
