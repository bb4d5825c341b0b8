package main

import (
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// threatJ38 takes a token back by each thing it says of itself, before it is
// shown for the first time.
func threatJ38(t *testing.T) {
	d := newDenying(t, inFile, nil)
	raw := d.AT(changes{"jti": "stolen", "sub": "mallory"})
	kid, _ := headerOf(t, raw)["kid"].(string)
	for _, members := range []string{`"jti":"stolen"`, `"sub":"mallory"`, `"kid":"` + kid + `"`} {
		d.enforce(t, d.rule(members))
		d.denied(t, raw)
	}
	d.enforce(t, d.rule(`"sub":"mallory"`))
	key := newClientKey(t, "ES256")
	bound := d.bound(key, changes{"sub": "mallory"})
	d.repels(t, d.sendBound(key, bound, devissuer.Proof{}), badBoundToken, token.ReasonRevoked)
	d.passes(t, d.sendToken(d.AT(nil)))
	for _, refused := range []string{"x.y.z", raw + "x", d.mint(d.b, devissuer.Token{Claims: changes{"iss": d.a.Identifier(), "sub": "mallory"}})} {
		if r := d.sendToken(refused); r.StatusCode != 401 && r.StatusCode != 400 || strings.Contains(r.body, "revoked") {
			t.Errorf("a forged token is told of the rule: %d %s", r.StatusCode, r.body)
		}
	}
}

// threatJ39Denied takes a token back that is remembered as good.
func threatJ39Denied(t *testing.T) {
	d := newDenying(t, inFile, nil)
	raw := d.AT(changes{"sub": "mallory"})
	d.passes(t, d.sendToken(raw))
	d.passes(t, d.sendToken(raw))
	const hits = `token_cache_requests_total{result="hit"}`
	if d.series(hits) != "1" {
		t.Errorf("%s hits: it is not remembered", d.series(hits))
	}
	d.enforce(t, d.rule(`"sub":"mallory"`))
	d.denied(t, raw)
	if d.series(hits) != "2" {
		t.Errorf("%s hits: the rule was tried on a token that is not remembered", d.series(hits))
	}
	if said := explainText(t, d.config, raw); !strings.Contains(said, "FAIL  deny rules              denied by a rule with sub\n") {
		t.Errorf("explain says %s", said)
	}
}
