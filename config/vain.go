package config

import "slices"

// vain finds rules that nobody could satisfy, and rules that keep nobody out
// though they look as if they did.
func (c *checker) vain(path string, r *Route) {
	for at, name := range namesOf(path+".claims.iss", r.Claims["iss"], c.source) {
		if name != "" && !slices.ContainsFunc(c.Issuers, func(issuer Issuer) bool { return issuer.Issuer == name }) {
			c.bad(at, "no token could satisfy it: no issuer has this identifier", "write it exactly as in issuers[].issuer")
		}
	}
	if c.has(path + ".claims.scope") {
		c.badKey(path+".claims.scope", "is one text with all scopes, so this would fit tokens with a single scope only", "write scopes")
	}
	if r.Optional && c.has(path+".scopes") {
		c.warn("optional-scopes", path+".scopes", "keeps nobody out of an optional route: who lacks a scope may leave the token away", "remove it, or optional")
	}
	if r.SubjectType != "client" {
		return
	}
	for _, key := range []string{"acr", "amr", "max_age"} {
		if at := path + "." + key; c.has(at) {
			c.warn("client-login", at, "asks how a user logged in, while subject_type: client takes tokens of clients that act for themselves, and those log nobody in", "remove one of them")
		}
	}
}

// unusedSources warns where a token from token_sources is a bearer token and no
// route takes one.
func (c *checker) unusedSources(path string, r *Resource) {
	for _, route := range r.Routes {
		if !route.Public && route.Binding != "dpop" {
			return
		}
	}
	if len(r.Routes) > 0 && r.TokenSources != (TokenSources{}) {
		c.warn("unused-token-sources", path, "is of no use: no route takes a token from there, which could not be DPoP-bound", "RFC 9449 section 7.1: remove it, or binding: dpop from a route")
	}
}
