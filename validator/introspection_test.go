package validator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

// TestRFC9449IntrospectedToken pairs the answer of RFC 9449 figure 11 with the
// request of figure 13, at their time (INTR-06).
func TestRFC9449IntrospectedToken(t *testing.T) {
	text, err := os.ReadFile("testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Vectors struct {
			Token string `json:"rfc9449_access_token"`
			JKT   string `json:"rfc9449_jkt"`
			Proof string `json:"rfc9449_fig13_proof_GET_protectedresource_iat_1562262618"`
		} `json:"rfc_vectors"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	v := all.Vectors
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"active":true,"sub":"someone@example.com","iss":"`+issuerName+`","nbf":1562262611,"exp":1562266216,"cnf":{"jkt":"`+v.JKT+`"}}`)
	}))
	t.Cleanup(server.Close)
	client := introspect.New(introspect.Options{})
	t.Cleanup(client.Close)
	client.Configure([]introspect.Server{{Name: "as", Issuer: issuerName, Endpoint: server.URL, ClientID: "gate", Secret: "secret"}})

	w := newWorld(t, Options{}, 0)
	judge, err := New(Parts{
		Issuers: []Options{{Name: "as", Issuer: issuerName, Introspection: Introspection{Opaque: true, TrustAudience: true}}},
		Keys:    w.keys, DPoP: w.validator.dpop, Introspector: client,
	})
	if err != nil {
		t.Fatal(err)
	}
	judge.now = func() time.Time { return time.Unix(1562262620, 0) }
	p, err := judge.For(Audience{}).Validate(context.Background(), token.Credential{
		Scheme: token.DPoP, Raw: v.Token, Proofs: []string{v.Proof},
		Method: "GET", Origins: []string{"https://resource.example.org"}, Path: "/protectedresource",
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "someone@example.com" || p.Binding != token.BoundDPoP {
		t.Errorf("got %+v", p.Claims)
	}
}

func TestResemblesJWT(t *testing.T) {
	is, err := devissuer.New(devissuer.Options{Identifier: issuerName})
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := is.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		jwt: true, "e30.x.y": true, "e30.": true, "eyJhbGciOiJub25lIn0.e30.": true, "eyJhbGciOiJkaXIifQ..a.b.c": true, "IHt9.a.b": true,
		"e30=.a.b": true, "e30!.a.b": false, "eyJhIjoxMjN9!.a.b": false, "eyJhIjoxMjN9.a.b": true, "eH0.a.b": false, "e3g.a.b": false, "": false, "opaque": false, "a.b.c": false, "e30": false, "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU": false, ".a.b": false,
	} {
		if got := token.ResemblesJWT(raw); got != want {
			t.Errorf("%q: %t", raw, got)
		}
	}
}
