package main

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/jwks"
	"github.com/wicketgate/wicketgate/validator/introspect"
)

const (
	reviewPath  = "/apis/authentication.k8s.io/v1/tokenreviews"
	reviewCache = 30 * time.Second
)

// reviewOf compiles how the API server behind the issuer at index is asked about
// tokens: where its keys come from, with the token shown there.
func reviewOf(c *config.File, index int, keys jwks.Source) (introspect.Server, error) {
	s := introspect.Server{
		Name: keys.Name, Issuer: keys.Issuer, Method: introspect.TokenReview, Cache: reviewCache,
		BearerName: keys.BearerTokenFile, Bearer: func() (string, error) { return readSecret(keys.BearerTokenFile) },
		RootCAs: keys.RootCAs, InsecureHTTP: keys.InsecureHTTP, CipherSuites: keys.CipherSuites,
	}
	home, err := url.Parse(cmp.Or(keys.DiscoveryURL, keys.JWKSURI, keys.Issuer))
	if err != nil {
		return s, c.ErrorAt(fmt.Sprintf("issuers[%d].token_review", index), "has no API server: "+err.Error())
	}
	s.Endpoint = home.Scheme + "://" + home.Host + reviewPath
	for _, r := range c.Resources {
		wanted := r.Audiences
		if own, found := r.AudiencesByIssuer[c.Issuers[index].Name]; found {
			wanted = own
		}
		s.Audiences = append(s.Audiences, wanted...)
	}
	slices.Sort(s.Audiences)
	s.Audiences = slices.Compact(s.Audiences)
	return s, nil
}
