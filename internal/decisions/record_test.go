package decisions

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// caller passes everybody for one principal.
type caller struct{ principal *token.Principal }

func (c caller) Validate(context.Context, token.Credential) (*token.Principal, error) {
	return c.principal, nil
}

// outcome is that of a good request by a principal with these claims.
func outcome(t testing.TB, claims string) (*http.Request, *proxy.Outcome) {
	t.Helper()
	object, err := token.ParseObject(claims)
	if err != nil {
		t.Fatal(err)
	}
	read, err := token.ReadClaims(object)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile([]policy.Options{{Name: "orders", Path: "/orders/**", Nonce: true}}, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	p := &token.Principal{Claims: read, Scope: token.Scopes{"orders.read", "orders.write"}, Binding: token.BoundDPoP, Issuer: "corp"}
	g := &proxy.Gate{Name: "api", Policy: set, Validator: caller{p}}
	r := httptest.NewRequest("GET", "https://api.example.com/orders/1?x=y", nil)
	r.Header.Set("User-Agent", "browser")
	r.Header.Set("X-Odd", strings.Repeat("a", 100))
	d := g.Decide(context.Background(), &proxy.Request{
		Request: policy.Request{Method: "GET", Path: "/orders/1"}, RawPath: "/orders/1", Authorization: []string{"Bearer x"},
	})
	return r, &proxy.Outcome{Gate: g, Decision: &d, Status: 200, Client: netip.MustParseAddr("2001:db8::1"), Duration: time.Millisecond}
}

const claims = `{"iss":"https://login.example.com/","sub":"alice","client_id":"shop","aud":["https://api.example.com"],"jti":"4711","exp":1772366700,"iat":1772366100.5,` +
	`"acr":"gold","amr":["pwd", "otp"],"auth_time":1772366000,"act":{"sub":"service","secret":"hunter2"},"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},"email":"hunter2",` + "\n" +
	`"groups":["a",` + "\n\t" + `"b\n"],"realm_access":{"roles":["admin"]}}`

func TestLineOfACaller(t *testing.T) {
	long := strings.Repeat("x", maxValue)
	text := strings.TrimSuffix(claims, "}") + `,"long":"` + long + `"}`
	var out strings.Builder
	recorder := NewRecorder(Options{
		Share: 100, Claims: []string{"groups", "sub", "realm_access.roles", "gone", "groups", "long", `a\.b`}, Headers: []string{"User-Agent", "X-Odd", "X-None", "User-Agent"},
		From: map[string]From{"corp": {Scope: "scp"}},
	}, &out)
	r, o := outcome(t, text)
	recorder.Decided(":8420", r, o)
	line := out.String()
	for _, secret := range []string{"hunter2", "0ZcOCORZ", `"4711"`, "x=y", "Bearer", long} {
		if strings.Contains(line, secret) {
			t.Errorf("%s is in %s", secret, line)
		}
	}
	_, rest, _ := strings.Cut(line, `"listener"`)
	const want = `:":8420","resource":"api","route":"orders","verdict":"allowed","status":200,"method":"GET","host":"api.example.com","path":"/orders/1",` +
		`"source":"2001:db8::1","credential":"verified","caller":{"issuer":"corp","iss":"https://login.example.com/","sub":"alice","client_id":"shop",` +
		`"subject_type":"user","scope":["orders.read","orders.write"],"aud":["https://api.example.com"],"binding":["dpop"],"nonce":true,` +
		`"jti":"de650d61f5bd166a91f8ccec3158297db18b9d50eaedca238cd29dc3a214a916","exp":1772366700,"iat":1772366100.5,"acr":"gold","amr":["pwd", "otp"],"auth_time":1772366000,` +
		`"act":{"sub":"service"},"from":{"scope":"scp"},"claims":{"groups":["a",  "b\n"],"realm_access.roles":["admin"]},"absent":["a\\.b","gone"],` +
		`"left_out":["long"]},"headers":{"User-Agent":["browser"],"X-None":[]}}` + "\n"
	if rest != want {
		t.Errorf("%s\nwant %s", rest, want)
	}
	if _, err := Parse([]byte(line)); err != nil {
		t.Error(err)
	}
}

// discard counts nothing and keeps nothing.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkDecided(b *testing.B) {
	recorder := NewRecorder(Options{Share: 100, Claims: []string{"groups", "realm_access.roles", "gone"}}, discard{})
	r, o := outcome(b, claims)
	b.ReportAllocs()
	for b.Loop() {
		recorder.Decided(":8420", r, o)
	}
}

func BenchmarkParse(b *testing.B) {
	var out strings.Builder
	r, o := outcome(b, claims)
	NewRecorder(Options{Share: 100, Claims: []string{"groups", "realm_access.roles", "gone"}}, &out).Decided(":8420", r, o)
	text := []byte(out.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
