package config

import "fmt"

// nonces checks where proofs must carry a nonce. What hands nonces out demands
// them, route by route; a client that was given one at one route of a resource
// may still leave it out at a route that demands none, which RFC 9449 section
// 11.3 does not want.
func (c *checker) nonces() {
	demanded := false
	for i, r := range c.Resources {
		var lax []string
		strict := len(r.Routes) == 0 && c.DPoP.Nonce == "required"
		for j, route := range r.Routes {
			at := fmt.Sprintf("resources[%d].routes[%d]", i, j)
			switch required := route.Nonce == "required" || route.Nonce == "" && c.DPoP.Nonce == "required"; {
			case route.Public && c.has(at+".nonce"):
				c.bad(at+".nonce", "means nothing on a public route", "remove it, or public")
			case route.Public:
			case required:
				strict = true
			default:
				lax = append(lax, at)
			}
		}
		for _, at := range lax {
			if strict {
				c.warn("mixed-nonces", at, "takes proofs without a nonce, while other routes of the resource demand one; RFC 9449 section 11.3 wants all or none", "set dpop.nonce instead of each route's nonce")
			}
		}
		demanded = demanded || strict
	}
	if c.DPoP.NonceSecretFile != "" && !demanded {
		c.warn("unused-nonce-secret", "dpop.nonce_secret_file", "is not used: no route demands a nonce", "set dpop.nonce: required, or remove it")
	}
}
