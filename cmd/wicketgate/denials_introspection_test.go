package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// denyingAsked is a fixture with deny rules in a file, whose issuer A is asked
// about tokens as settings say.
func denyingAsked(t *testing.T, settings string, edit func(string) string) (*denying, *introspecting) {
	t.Helper()
	d := &denying{rules: t.TempDir() + "/denied.jsonl"}
	d.write(t, "# nobody yet\n")
	o := devissuer.Options{Clients: []devissuer.Client{{ID: "gate", Secret: gateSecret}}}
	a := newAskingOf(t, o, settings, func(text string) string {
		text += `revocation: {file: "` + d.rules + `"}` + "\n"
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	d.siege = a.siege
	return d, a
}

// TestRulesAndAnswersAboutJWTs: an answer that leaves out what the JWT says takes
// nothing of it away, and what only one of the two says counts together.
func TestRulesAndAnswersAboutJWTs(t *testing.T) {
	d, a := denyingAsked(t, "mode: jwt", nil)
	say := func(claims changes, body string) string {
		raw := a.AT(claims)
		a.a.Say(raw, []byte(body))
		return raw
	}
	now := time.Now()
	d.enforce(t, d.rule(`"sub":"alice","issued_before":"`+now.Add(-10*time.Second).UTC().Format(time.RFC3339)+`"`)+
		d.rule(`"sub":"bob","sid":"s-1"`)+d.rule(`"issued_before":"`+now.Add(-time.Hour).UTC().Format(time.RFC3339)+`"`))
	d.passes(t, d.sendToken(say(changes{"sub": "alice"}, `{"active":true,"sub":"alice"}`)))
	d.passes(t, d.sendToken(say(nil, `{"active":true}`)))
	d.denied(t, say(changes{"sub": "alice"}, `{"active":true,"iat":`+strconv.FormatInt(now.Unix()-60, 10)+`}`))
	d.denied(t, say(changes{"sub": "bob"}, `{"active":true,"sid":"s-1"}`))
	d.passes(t, d.sendToken(say(changes{"sub": "bob"}, `{"active":true,"sid":"s-2"}`)))
}

// TestRuleByClientOfOpaqueToken: an answer tells the client as client_id (RFC
// 7662 section 2.2), whatever the issuer's JWTs call it.
func TestRuleByClientOfOpaqueToken(t *testing.T) {
	d, a := denyingAsked(t, "", func(text string) string {
		return strings.Replace(text, "{name: a, ", "{name: a, client_id_claim: cid, ", 1)
	})
	bad, named := a.answering(changes{"client_id": "bad"}), a.answering(changes{"client_id": "good", "cid": "bad"})
	other := a.answering(changes{"client_id": "bad", "cid": "good"})
	d.passes(t, d.sendToken(bad))
	wantSeen(t, a.fixture, "X-Auth-Client-Id", "bad")
	d.enforce(t, d.rule(`"client":"bad"`))
	d.denied(t, bad)
	d.denied(t, named)
	d.passes(t, d.sendToken(other))
}

// TestRuleBySessionThatIsANumber: some issuers number their sessions.
func TestRuleBySessionThatIsANumber(t *testing.T) {
	d := newDenying(t, inFile, nil)
	raw, other := d.AT(changes{"sid": 4711}), d.AT(changes{"sid": 47110})
	d.passes(t, d.sendToken(raw))
	d.enforce(t, d.rule(`"sid":"4711"`))
	d.repels(t, d.sendToken(raw), badToken, token.ReasonRevoked)
	d.passes(t, d.sendToken(other))
}
