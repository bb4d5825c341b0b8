package config

import (
	"fmt"
	"regexp"
	"strings"
)

// tenantMark is where a tenant stands in the URLs of an issuer.
const tenantMark = "{tenant}"

var tenantForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)

// PerTenant is the issuer itself, or, where its identifier has {tenant}, one
// issuer for each of its tenants, each with that one in Tenants.
func (i Issuer) PerTenant() []Issuer {
	if len(i.Tenants) == 0 {
		return []Issuer{i}
	}
	list := make([]Issuer, len(i.Tenants))
	for n, tenant := range i.Tenants {
		list[n] = i
		list[n].Tenants = []string{tenant}
		list[n].StatusList = i.StatusList.of(tenant)
		for _, text := range []*string{&list[n].Issuer, &list[n].DiscoveryURL, &list[n].JWKSURI, &list[n].Introspection.Endpoint} {
			*text = strings.ReplaceAll(*text, tenantMark, tenant)
		}
	}
	return list
}

// sampled is a URL with something for a tenant in it that every URL may have.
func sampled(text string) string { return strings.ReplaceAll(text, tenantMark, "tenant") }

// tenants holds the template against the list: neither means anything alone.
func (c *checker) tenants(path string, i *Issuer) {
	templated := strings.Contains(i.Issuer, tenantMark)
	switch {
	case templated && len(i.Tenants) == 0:
		c.bad(path+".tenants", "is missing", "issuer has {tenant}: list the tenants whose tokens are accepted")
	case !templated && len(i.Tenants) > 0:
		c.bad(path+".tenants", "means nothing without {tenant} in issuer", "like https://login.microsoftonline.com/{tenant}/v2.0")
	case !templated && strings.Contains(i.DiscoveryURL+i.JWKSURI+i.Introspection.Endpoint, tenantMark):
		c.bad(path+".issuer", "lacks the {tenant} that its other URLs have", "")
	case len(i.Tenants) > 1 && i.DiscoveryURL != "" && !strings.Contains(i.DiscoveryURL, tenantMark):
		c.bad(path+".discovery_url", "lacks {tenant}", "a metadata document names one issuer only")
	}
	for n, tenant := range i.Tenants {
		if at := fmt.Sprintf("%s.tenants[%d]", path, n); tenant != "" && !tenantForm.MatchString(tenant) {
			c.bad(at, "is no tenant", "letters, digits and . _ - as in the tid claim; there are no wildcards")
		} else if tenant == "common" || tenant == "organizations" || tenant == "consumers" {
			c.bad(at, "is no tenant", "it stands for many, and no token names it: list each by its own identifier")
		}
	}
}

// ownToken checks where the gate's own token goes.
func (c *checker) ownToken(path string, i *Issuer) {
	at := path + ".bearer_token_file"
	switch {
	case i.BearerTokenFile == "":
	case i.JWKSFile != "":
		c.bad(at, "means nothing with jwks_file", "nobody is asked; remove one of them")
	case i.InsecureHTTP:
		c.bad(at, "is not for insecure_http", "whoever is on the path could take the token")
	}
}
