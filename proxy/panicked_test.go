package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// TestPanics is R-48: a panic ends one request, is told by its place and not by
// what it says, and the next request is served.
func TestPanics(t *testing.T) {
	set, err := policy.Compile(nil, policy.Resource{})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "ey.said.nowhere"
	var none *token.Principal
	zero := -len(secret)
	for name, fault := range map[string]validatorFunc{
		"said": func() (*token.Principal, error) { panic(secret) },
		"pointer": func() (*token.Principal, error) {
			return nil, token.Refuse(token.Forbidden, token.Reason(none.Subject))
		},
		"in a library": func() (*token.Principal, error) { panic(strings.Repeat(secret, zero)) },
	} {
		for place, gate := range map[string]*Gate{
			"deciding":   {Validator: fault, Policy: set},
			"forwarding": {Validator: validatorFunc(func() (*token.Principal, error) { return &token.Principal{}, nil }), Policy: set},
		} {
			t.Run(name+", "+place, func(t *testing.T) {
				table := &Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: gate}}}
				r := httptest.NewRequest(http.MethodGet, "/x", nil)
				r.Header.Set("Authorization", "Bearer "+secret)
				w, out := served(table, r.WithContext(context.WithoutCancel(t.Context())))
				want, status := "proxy.TestPanics.func", http.StatusServiceUnavailable
				if place == "forwarding" { // nothing is told upstream, which no configuration can bring about
					want, status = "proxy.", http.StatusInternalServerError
				}
				if !strings.HasPrefix(out.Panic, want) || strings.Contains(out.Panic, secret) || w.Code != status || strings.Contains(w.Body.String(), secret) {
					t.Errorf("panic at %q, want %s…; answered %d %s, want %d", out.Panic, want, w.Code, w.Body, status)
				}
				if fault := out.Decision.Fault; fault != nil && strings.Contains(fault.Error(), secret) {
					t.Errorf("the fault says %q", fault)
				}
			})
		}
	}
	good := &Gate{Policy: set, Validator: validatorFunc(func() (*token.Principal, error) {
		return nil, token.Refuse(token.CredentialRequired, token.ReasonMissing)
	})}
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	if w, out := served(&Table{Limits: DefaultLimits, Sites: map[string]*Site{"": {Only: good}}}, r); out.Panic != "" || w.Code != http.StatusUnauthorized {
		t.Errorf("a good one: panic at %q, answered %d", out.Panic, w.Code)
	}
}
