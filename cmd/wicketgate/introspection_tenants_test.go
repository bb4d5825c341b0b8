package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// TestTenantsAsked: about a JWT its own tenant is asked and no other; one that
// fails stops the questions to itself alone, and metrics tell of the issuer.
func TestTenantsAsked(t *testing.T) {
	h := newHouse(t)
	for _, issuer := range h.issuers[1:] {
		issuer.Change(func(o *devissuer.Options) { o.Clients = []devissuer.Client{{ID: "gate", Secret: gateSecret}} })
	}
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte(gateSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("{name: a, provider: entra, algorithms: [ES256], issuer: %q, tenants: [%q, %q], introspection: {client_id: gate, client_secret_file: %q, mode: jwt, cache: 0s}, ",
		h.URL+"/{tenant}/v2.0", threeTenants+"1", threeTenants+"2", secret)
	s := besiege(newFixture(t, func(text string) string { return instead(t, text, `{name: a, issuer: "%[3]s", `, settings) }))
	s.untilReady()
	asked := func(tenant int) int { return len(h.issuers[tenant].Questions()) }
	revoked := h.token(t, 1, nil)
	h.issuers[1].Revoke(revoked)
	s.passes(t, s.sendToken(h.token(t, 1, nil)))
	s.passes(t, s.sendToken(h.token(t, 2, nil)))
	s.repels(t, s.sendToken(revoked), badToken, token.ReasonInactive)
	if asked(1) != 2 || asked(2) != 1 || asked(3) != 0 {
		t.Errorf("asked %d, %d, %d times", asked(1), asked(2), asked(3))
	}
	// An answer need not name the tenant, but must not name another one.
	minimal, other := h.token(t, 1, nil), h.token(t, 1, nil)
	h.issuers[1].Say(minimal, []byte(`{"active":true}`))
	h.issuers[1].Say(other, []byte(`{"active":true,"tid":"`+threeTenants+`2"}`))
	s.passes(t, s.sendToken(minimal))
	s.repels(t, s.sendToken(other), badToken, token.ReasonIssuer)

	command(t, "check", "--live", "--config", s.config).want(t, 0)
	h.issuers[1].Fail(devissuer.Fault{Status: 401})
	s.undecided(t, s.sendToken(h.token(t, 1, nil)), token.ReasonIntrospectionUnavailable)
	s.passes(t, s.sendToken(h.token(t, 2, nil)))
	if text := s.metrics(); strings.Contains(text, threeTenants) || !strings.Contains(text, `wicketgate_introspection_paused{issuer="a"} 1`) {
		t.Error("the metrics name tenants, or do not tell that one is left alone")
	}
}

// TestMinimalAnswer: what a JWT had to say is not asked of the answer about it
// again (RFC 7662 section 2.2 makes it all optional), but may not be denied.
func TestMinimalAnswer(t *testing.T) {
	a := newAskingOf(t, devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}, "mode: both", func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, required_claims: {plan: [gold]}, ")
	})
	say := func(body string) string {
		raw := a.AT(changes{"plan": "gold"})
		a.a.Say(raw, []byte(body))
		return raw
	}
	a.passes(t, say(`{"active":true}`))
	a.passes(t, say(`{"active":true,"plan":"gold"}`))
	a.refuses(t, token.ReasonClaim, map[string]string{"denied": say(`{"active":true,"plan":"free"}`), "null": say(`{"active":true,"plan":null}`)})
	a.refuses(t, token.ReasonClaim, map[string]string{"JWT without": a.AT(nil), "opaque without": a.answering(nil)})
	a.passes(t, a.answering(changes{"plan": "gold"}))
}

// TestFAPIAsks: who asks about each JWT needs no bound on how long it lives.
func TestFAPIAsks(t *testing.T) {
	for mode, good := range map[string]bool{"jwt": true, "both": true, "opaque": false} {
		text := "version: 1\npreset: fapi\nissuers: [{issuer: https://as.example.com, introspection: {client_id: gate, client_secret_file: s, mode: " + mode + "}}]\n" +
			"resources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\n"
		_, err := config.Parse("c.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "issuers[0].max_lifetime: is missing") {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
}
