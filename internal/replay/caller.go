package replay

import (
	"encoding/json"
	"strings"

	"github.com/wicketgate/wicketgate/internal/decisions"
	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
	"github.com/wicketgate/wicketgate/validator"
)

// lacks names what the route, or the issuer's settings, would look at and the
// record does not tell.
func (c *question) lacks(r *policy.Route) doubt {
	caller := c.line.Caller
	issuer, known := c.options.Issuers[caller.Iss]
	if !known {
		return "" // whatever its claims are, they are nobody's
	}
	reads, named := r.Reads()
	if !named {
		return "its condition may look at any claim"
	}
	reads = append(reads, issuer.Reads...)
	if r.SubjectType != "" {
		reads = append(reads, issuer.Machine...)
	}
	for _, path := range reads {
		if !caller.Knows(path) {
			return doubt("the claim " + path + " is not in the log")
		}
	}
	for _, name := range r.ReadsHeaders() {
		if _, told := c.line.Headers[name]; !told {
			return doubt("the header " + name + " is not in the log")
		}
	}
	for _, f := range [...]struct{ now, then, setting string }{
		{issuer.From.Scope, caller.From.Scope, "scope_claim"}, {issuer.From.Aud, caller.From.Aud, "audience_claim"},
		{issuer.From.ClientID, caller.From.ClientID, "client_id_claim"},
	} {
		if f.now != f.then {
			return doubt("the issuer has another " + f.setting + " than when it was recorded")
		}
	}
	if issuer.From.Aud != "" {
		return "its audience is in another claim than aud"
	}
	if r.Nonce && !caller.Nonce && strings.Contains(strings.Join(caller.Binding, " "), "dpop") {
		return noNonce
	}
	return ""
}

// recorded puts the claims together again, or returns nil where no token could
// hold them.
func (c *question) recorded() *validator.Record {
	caller := c.line.Caller
	object, err := token.ParseObject(claimsOf(caller))
	if err != nil {
		return nil
	}
	r := &validator.Record{
		Claims: object, ClientID: caller.ClientID, Audience: caller.Aud, Scope: caller.Scope, Told: caller.Introspected, At: c.line.Time,
	}
	for _, b := range caller.Binding {
		switch b {
		case "dpop":
			r.Binding |= token.BoundDPoP
		case "mtls":
			r.Binding |= token.BoundMTLS
		}
	}
	return r
}

// tree is an object under construction.
type tree map[string]any

// claimsOf writes the claims as the text of an object. What was asked for by a
// path with plain dots is a member of that name, which Lookup finds first.
func claimsOf(caller *decisions.Caller) string {
	all := make(tree, 16+len(caller.Claims))
	for path, v := range caller.Claims {
		all.put(path, v)
	}
	for name, text := range map[string]string{"iss": caller.Iss, "sub": caller.Sub, "client_id": caller.ClientID, "jti": caller.JTI} {
		if _, said := all[name]; text != "" && !said && (name != "client_id" || caller.From.ClientID == "") {
			all[name] = text
		}
	}
	if _, said := all["aud"]; !said && len(caller.Aud) > 0 {
		all["aud"] = caller.Aud
	}
	for name, v := range map[string]json.RawMessage{
		"exp": caller.Exp, "nbf": caller.Nbf, "iat": caller.Iat, "acr": caller.ACR, "amr": caller.AMR, "auth_time": caller.AuthTime,
	} {
		if len(v) > 0 {
			all[name] = v
		}
	}
	if _, said := all["act"]; !said && caller.Act != nil {
		act := tree{}
		for name, text := range map[string]string{"sub": caller.Act.Sub, "iss": caller.Act.Iss} {
			if text != "" {
				act[name] = text
			}
		}
		all["act"] = act
	}
	text, _ := json.Marshal(all) // what was read as JSON always marshals
	return string(text)
}

// put adds a claim under its path, step by step where the path is exact.
func (t tree) put(path string, v json.RawMessage) {
	if !strings.Contains(path, `\`) {
		t[path] = v
		return
	}
	steps := token.Steps(path)
	for _, name := range steps[:len(steps)-1] {
		below, is := t[name].(tree)
		if !is {
			below = tree{}
			t[name] = below
		}
		t = below
	}
	t[steps[len(steps)-1]] = v
}
