package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/middleware"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/dpop"
	"github.com/wicketgate/wicketgate/validator/replay"
)

// newGate makes the gate of https://api.example.com, whose tokens issuer makes.
func newGate(issuer string) (*proxy.Gate, error) {
	const identifier = "https://api.example.com"
	keys := jwks.NewCache(jwks.Options{})
	keys.Configure([]jwks.Source{{Name: "corp", Issuer: issuer}})
	proofs, err := dpop.New(dpop.Options{Since: time.Now()}, replay.NewMemory(100_000)) // a memory that begins empty
	if err != nil {
		return nil, err
	}
	v, err := validator.New(validator.Parts{
		Issuers: []validator.Options{{Name: "corp", Issuer: issuer}}, Keys: keys, DPoP: proofs, CacheSize: 10_000,
	})
	if err != nil {
		return nil, err
	}
	routes, err := policy.Compile([]policy.Options{{Name: "orders", Path: "/orders/**", All: token.Scopes{"orders.read"}}}, policy.Resource{})
	if err != nil {
		return nil, err
	}
	return &proxy.Gate{
		Name: "api", Validator: v.For(validator.Audience{Any: []string{identifier}}), Policy: routes, Origins: []string{identifier},
		Realm: token.Realm{Algorithms: proofs.Algorithms()}, Forward: []*proxy.Forward{proxy.NewForward(proxy.ForwardOptions{})},
	}, nil
}

func Example() {
	issuer, err := devissuer.Start(devissuer.Options{Audience: "https://api.example.com"}) // stands in for a real one
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = issuer.Close() }()
	gate, err := newGate(issuer.Identifier())
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("orders of", middleware.Principal(r.Context()).Subject, r.Header.Get("X-Auth-Scope"))
	})
	handler := middleware.Handler(middleware.For(gate), orders)

	bearer, err := issuer.Mint(devissuer.Token{Claims: map[string]any{"sub": "alice", "scope": "orders.read"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, field := range []string{"", "Bearer " + bearer} {
		r := httptest.NewRequest(http.MethodGet, "/orders/1", nil)
		if field != "" {
			r.Header.Set("Authorization", field)
		}
		r.Header.Set("X-Auth-Scope", "admin")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 401 Bearer
	// orders of alice orders.read
	// 200
}
