package main

import (
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/validator"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

var profiles = map[string]validator.Profile{"rfc9068": validator.RFC9068, "jwt": validator.JWT, "kubernetes": validator.Kubernetes}

// keysOf names the key set of an issuer, or of the one tenant it stands for.
// No issuer can be called so, as names hold no spaces.
func keysOf(i config.Issuer) string {
	if len(i.Tenants) == 0 {
		return i.Name
	}
	return i.Name + " " + i.Tenants[0]
}

// askedFor is the server that is asked about the tokens of an issuer, or of the
// one tenant it stands for.
func askedFor(s introspect.Server, i config.Issuer) introspect.Server {
	s.Label, s.Endpoint = i.Name, i.Introspection.Endpoint
	return s
}
