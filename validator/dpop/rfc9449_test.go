package dpop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/token"
)

// example is the running example of RFC 9449.
type example struct {
	Now      int64
	Token    string `json:"access_token"` // Figure 13
	ATH      string
	JKT      string // Figure 9
	JWK      json.RawMessage
	Figure2  string
	Figure7  string
	Figure8  string
	Figure13 string
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func readExample(t testing.TB) (e example) {
	t.Helper()
	readJSON(t, "rfc9449.json", &e)
	return e
}

func (e example) now() time.Time { return time.Unix(e.Now, 0) }

func (e example) credential() token.Credential {
	return token.Credential{
		Scheme: token.DPoP, Raw: e.Token, Proofs: []string{e.Figure13},
		Method: "GET", Origins: []string{"https://resource.example.org"}, Path: "/protectedresource",
	}
}

func TestRFC9449Figure13(t *testing.T) {
	e := readExample(t)
	v := newVerifier(t, Options{})
	cred := e.credential()
	if _, err := v.Confirm(context.Background(), cred, cred.Digest(), e.JKT, e.now()); err != nil {
		t.Fatal(err)
	}
	want(t, confirmed(v, context.Background(), cred, cred.Digest(), e.JKT, e.now()), token.InvalidDPoPProof, token.ReasonDPoPReplay)
}

// Section 4.2: ath is the hash of the token's text, whatever that holds.
func TestRFC9449AccessTokenHash(t *testing.T) {
	e := readExample(t)
	digest := token.Credential{Raw: e.Token}.Digest()
	if got := base64.RawURLEncoding.EncodeToString(digest[:]); got != e.ATH {
		t.Errorf("got %s", got)
	}
}

// Section 6.1 and Figure 9: the thumbprint is that of the key in the proofs.
func TestRFC9449Thumbprint(t *testing.T) {
	e := readExample(t)
	v := newVerifier(t, Options{})
	for name, proof := range map[string]string{"Figure 2": e.Figure2, "Figure 7": e.Figure7, "Figure 13": e.Figure13} {
		_, key, err := v.read([]string{proof}, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if key.Thumbprint() != e.JKT {
			t.Errorf("%s: got %s", name, key.Thumbprint())
		}
	}
	key, err := jwks.ParseProofKey(string(e.JWK))
	if err != nil || key.Thumbprint() != e.JKT {
		t.Errorf("got %v, %v", key, err)
	}
	u, err := token.ParseJWT(e.Figure8, token.MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	cnf, _ := u.Untrusted("cnf")
	o, ok := cnf.Object()
	if !ok {
		t.Fatalf("cnf of Figure 8 is %s", cnf)
	}
	if jkt, _ := o.Get("jkt"); string(jkt) != `"`+e.JKT+`"` {
		t.Errorf("jkt of Figure 8 is %s", jkt)
	}
}

// Figures 2 and 7 were made for a token endpoint, hours apart and with one
// jti: their signatures hold, and they are proofs of nothing here.
func TestRFC9449TokenRequestProofs(t *testing.T) {
	e := readExample(t)
	for name, proof := range map[string]string{"Figure 2": e.Figure2, "Figure 7": e.Figure7} {
		v := newVerifier(t, Options{})
		u, key, err := v.read([]string{proof}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Signature(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cred := e.credential()
		cred.Proofs = []string{proof}
		want(t, confirmed(v, context.Background(), cred, cred.Digest(), e.JKT, e.now()), token.InvalidDPoPProof, token.ReasonDPoPMethod)
		cred.Method, cred.Origins, cred.Path = "POST", []string{"https://server.example.com"}, "/token"
		want(t, confirmed(v, context.Background(), cred, cred.Digest(), e.JKT, e.now()), token.InvalidDPoPProof, token.ReasonDPoPToken)
	}
}

// Each part of the example changed in turn.
func TestRFC9449Figure13Elsewhere(t *testing.T) {
	e := readExample(t)
	for _, row := range []struct {
		name   string
		change func(*token.Credential, *string, *time.Time)
		code   token.Code
		reason token.Reason
	}{
		{"other token", func(c *token.Credential, _ *string, _ *time.Time) { c.Raw += "x" }, token.InvalidDPoPProof, token.ReasonDPoPToken},
		{"other method", func(c *token.Credential, _ *string, _ *time.Time) { c.Method = "POST" }, token.InvalidDPoPProof, token.ReasonDPoPMethod},
		{"method in lower case", func(c *token.Credential, _ *string, _ *time.Time) { c.Method = "get" }, token.InvalidDPoPProof, token.ReasonDPoPMethod},
		{"other path", func(c *token.Credential, _ *string, _ *time.Time) { c.Path = "/other" }, token.InvalidDPoPProof, token.ReasonDPoPTarget},
		{"other origin", func(c *token.Credential, _ *string, _ *time.Time) { c.Origins = []string{"https://evil.example"} }, token.InvalidDPoPProof, token.ReasonDPoPTarget},
		{"no origin", func(c *token.Credential, _ *string, _ *time.Time) { c.Origins = nil }, token.InvalidDPoPProof, token.ReasonDPoPTarget},
		{"second origin", func(c *token.Credential, _ *string, _ *time.Time) {
			c.Origins = []string{"https://a.example", "https://resource.example.org"}
		}, "", ""},
		{"other key", func(_ *token.Credential, jkt *string, _ *time.Time) {
			*jkt = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
		}, token.InvalidToken, token.ReasonDPoPBinding},
		{"no key", func(_ *token.Credential, jkt *string, _ *time.Time) { *jkt = "" }, token.InvalidToken, token.ReasonDPoPBinding},
		{"a minute later", func(_ *token.Credential, _ *string, now *time.Time) { *now = now.Add(58 * time.Second) }, "", ""},
		{"more than a minute later", func(_ *token.Credential, _ *string, now *time.Time) { *now = now.Add(59 * time.Second) }, token.InvalidDPoPProof, token.ReasonDPoPTime},
		{"too early", func(_ *token.Credential, _ *string, now *time.Time) { *now = now.Add(-33 * time.Second) }, token.InvalidDPoPProof, token.ReasonDPoPTime},
	} {
		t.Run(row.name, func(t *testing.T) {
			cred, jkt, now := e.credential(), e.JKT, e.now()
			row.change(&cred, &jkt, &now)
			want(t, confirmed(newVerifier(t, Options{}), context.Background(), cred, sha256.Sum256([]byte(cred.Raw)), jkt, now), row.code, row.reason)
		})
	}
}
