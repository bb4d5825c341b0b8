package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/rehearsal"
	"github.com/wicketgate/wicketgate/token"
)

// TestClientsOfAnIssuer: an issuer with a list of clients speaks for those only,
// by the claim that the upstream is told as X-Auth-Client-Id.
func TestClientsOfAnIssuer(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string {
		text = instead(t, text, "{name: a, ", "{name: a, clients: [client-1, café], ")
		return instead(t, text, "{name: b, ", "{name: b, profile: jwt, client_id_claim: azp, clients: [shop], ")
	}))
	azp := func(claims changes) string { return s.mint(s.b, devissuer.Token{Claims: claims}) }
	for _, client := range []string{"client-1", "café"} {
		s.passes(t, s.sendToken(s.AT(changes{"client_id": client})))
	}
	s.passes(t, s.sendToken(azp(changes{"azp": "shop", "client_id": "other"})))
	wantSeen(t, s.fixture, "X-Auth-Client-Id", "shop")
	s.tokensFor(t, token.ReasonIssuerClient, map[string]string{
		"other": s.AT(changes{"client_id": "other"}), "capitals": s.AT(changes{"client_id": "Client-1"}), "longer": s.AT(changes{"client_id": "client-12"}),
		"shorter": s.AT(changes{"client_id": "client-"}), "space": s.AT(changes{"client_id": "client-1 "}), "letters composed otherwise": s.AT(changes{"client_id": "cafe\u0301"}),
		"both": s.AT(changes{"client_id": "client-1 café"}), "in azp where client_id counts": s.AT(changes{"client_id": "other", "azp": "client-1"}),
		"of the other issuer": azp(changes{"azp": "client-1"}), "in client_id where azp counts": azp(changes{"client_id": "shop"}),
		"a list": azp(changes{"azp": []string{"shop"}}), "a number": azp(changes{"azp": 1}), "empty": azp(changes{"azp": ""}), "null": azp(changes{"azp": nil}),
	})
	s.tokensFor(t, token.ReasonClaim, map[string]string{"none": s.AT(changes{"client_id": nil})})
}

// TestClientsAreJudgedEachTime: what is remembered of a token is its signature. Who
// it may be of is asked of each request, as the file says it by then.
func TestClientsAreJudgedEachTime(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, clients: [client-1, other], ")
	}))
	raw := s.AT(changes{"client_id": "other"})
	for range 3 {
		s.passes(t, s.sendToken(raw))
	}
	before, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.reloaded(strings.Replace(string(before), "clients: [client-1, other]", "clients: [client-1]", 1))
	for range 3 {
		s.repels(t, s.sendToken(raw), badToken, token.ReasonIssuerClient)
	}
	s.passes(t, s.sendToken(s.AT(nil)))
	s.reloaded(string(before))
	s.passes(t, s.sendToken(raw))
}

// TestClientsAtIntrospection: an opaque token is of the client that the answer names,
// and an answer about a JWT may name no other than the JWT.
func TestClientsAtIntrospection(t *testing.T) {
	a := newAskingOf(t, devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}, "mode: both", func(text string) string {
		return instead(t, text, "{name: a, ", "{name: a, client_id_claim: azp, profile: jwt, clients: [client-1], ")
	})
	say := func(body string) string {
		raw := a.AT(changes{"azp": "client-1", "client_id": nil})
		a.a.Say(raw, []byte(body))
		return raw
	}
	a.passes(t, a.answering(nil)) // client_id is what RFC 7662 calls it
	a.passes(t, a.answering(changes{"azp": "client-1", "client_id": "other"}))
	a.passes(t, say(`{"active":true}`))
	a.passes(t, say(`{"active":true,"azp":"client-1"}`))
	other := a.answering(changes{"client_id": "other"})
	a.refuses(t, token.ReasonIssuerClient, map[string]string{
		"other": other, "none": a.answering(changes{"client_id": nil}), "azp before client_id": a.answering(changes{"azp": "other"}),
		"JWT of another": a.AT(changes{"azp": "other", "client_id": nil}), "JWT of none": a.AT(changes{"client_id": nil}),
		"denied about a JWT": say(`{"active":true,"azp":"other"}`),
	})
	asked := a.questions()
	a.repels(t, a.sendToken(other), badToken, token.ReasonIssuerClient)
	a.wantQuestions(t, asked, 0) // the answer is remembered, and judged again
}

// A test of a policy makes tokens of a client that is listed, and shows the refusal.
func TestClientsInRehearsal(t *testing.T) {
	text := strings.Replace(rehearsedShop, "    max_lifetime: 2m\n", "    clients: [shop, other]\n", 1)
	for _, row := range []struct {
		text, claims string
		reason       token.Reason
	}{
		{text, `{"scope":"orders.read"}`, ""},
		{text, `{"scope":"orders.read","client_id":"other"}`, ""},
		{text, `{"scope":"orders.read","client_id":"somebody"}`, token.ReasonIssuerClient},
		{strings.Replace(text, "    clients:", "    profile: jwt\n    client_id_claim: azp\n    clients:", 1), `{"scope":"orders.read"}`, ""},
	} {
		told, err := rehearse(t, row.text).Decide(t.Context(), &rehearsal.Scene{URL: "/orders/1", Claims: claims(t, row.claims)})
		if err != nil {
			t.Fatal(err)
		}
		if got := told.Decision.Reason(); got != row.reason || row.reason != "" && told.Status != http.StatusUnauthorized {
			t.Errorf("%s: got %q and %d, want %q", row.claims, got, told.Status, row.reason)
		}
	}
}
