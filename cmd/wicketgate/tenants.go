package main

import (
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/validator"
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
