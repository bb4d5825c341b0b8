package config

import (
	"fmt"
	"slices"
	"strings"
)

// ruleKeys are what a route asks of a caller beyond a good token and its scope.
var ruleKeys = []string{"acr", "amr", "max_age", "max_token_age", "networks", "clients", "subjects", "subject_type", "actor", "claims", "authorization_details"}

// rules checks what a route asks of its callers.
func (c *checker) rules(path string, r *Route) {
	for _, key := range ruleKeys {
		switch at := path + "." + key; {
		case !c.has(at):
		case r.Public:
			c.bad(at, "means nothing on a public route", "remove it, or public")
		case r.Optional:
			c.bad(at, "keeps nobody out of an optional route", "who does not satisfy it may leave the token away; remove it, or optional")
		}
	}
	c.when(path+".when", r)
	c.challenged(path+".acr", r.ACR)
	c.challenged(path+".amr", r.AMR)
	for claim, form := range r.Claims {
		if claim != "act" || !form.Absent {
			c.ruleClaim(join(path+".claims", claim), claim)
		}
		c.claimForm(join(path+".claims", claim), &form)
	}
	c.networks(path+".networks", r.Networks)
	c.sameName(path, r)
	c.vain(path, r)
}

// challenged holds values to the characters that fit into a challenge and its
// list (RFC 9470 section 3).
func (c *checker) challenged(path string, list []string) {
	for i, text := range list {
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			c.bad(fmt.Sprintf("%s[%d]", path, i), "wants printable ASCII without spaces, quotes and backslashes", "write each value as an item of its own")
		}
	}
}

// ruleClaim keeps rules from claims that give nobody a right: actors within
// the actor are history (RFC 8693 section 4.1), and may_act is for the issuer
// (section 4.4).
func (c *checker) ruleClaim(path, claim string) {
	switch first, rest, _ := strings.Cut(claim, "."); {
	case !isClaimPath(claim):
		c.badKey(path, "is no claim path", claimPathHint)
	case first == "act" && (rest == "act" || strings.HasPrefix(rest, "act.")):
		c.badKey(path, "is history and gives nobody a right", "RFC 8693 section 4.1: only the outermost act acts; write actor")
	case claim == "act" || claim == "act.sub":
		c.badKey(path, "is for actor, which also holds act.iss against the issuer", "write actor")
	case first == "may_act":
		c.badKey(path, "says who may ask the issuer, and gives nobody a right here", "RFC 8693 section 4.4")
	}
}

// sameName warns where a name alone decides though several issuers give names:
// who somebody is takes the issuer as well (RFC 9700 section 4.15).
func (c *checker) sameName(path string, r *Route) {
	speakers := 0
	for _, i := range c.Issuers {
		speakers += max(1, len(i.Tenants))
	}
	if _, told := r.Claims["iss"]; told || speakers < 2 {
		return
	}
	for _, key := range []string{"clients", "subjects", "actor"} {
		if at := path + "." + key; c.has(at) {
			c.warn("names-of-any-issuer", at, "takes these names from each of the issuers, and two issuers may give one name to two parties", "claims: {iss: [...]} says whose are meant")
		}
	}
}

// hierarchy checks which scopes stand for others.
func (c *checker) hierarchy(path string, implies map[string][]string) {
	for scope, list := range implies {
		at := join(path, scope)
		if !isScope(scope) {
			c.badKey(at, "is no scope", "RFC 6749 section 3.3: printable ASCII without spaces, quotes and backslashes")
		}
		c.scopes(at, list)
		if i := slices.Index(list, scope); i >= 0 {
			c.bad(fmt.Sprintf("%s[%d]", at, i), "stands for itself anyway", "remove it")
		}
	}
}

func isScope(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}
