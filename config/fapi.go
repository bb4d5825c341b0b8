package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What preset: fapi holds a file to.
const (
	longestLifetime = time.Hour        // without a way to learn of a revocation, a token must die soon
	leastLeeway     = 10 * time.Second // clocks may differ by that much, and tokens must be taken all the same
)

// fapiAlgorithms are those of FAPI 2.0 section 5.4.1, in both spellings of
// Ed25519, and fapiProofs those of them that proofs are taken with by default.
var (
	fapiAlgorithms = []string{"PS256", "ES256", "EdDSA", "Ed25519"}
	fapiProofs     = []string{"ES256", "EdDSA", "PS256"}
)

// FAPI reports whether the file is held to the FAPI 2.0 security profile.
func (f *File) FAPI() bool { return f.Preset == "fapi" }

// fapi fills in what the FAPI 2.0 security profile asks of a resource server
// (section 5.3.4) and refuses what is weaker.
func (c *checker) fapi() {
	for i := range c.Issuers {
		c.fapiIssuer(fmt.Sprintf("issuers[%d]", i), &c.Issuers[i])
	}
	c.DPoP.Algorithms = c.fapiAlgorithms("dpop.algorithms", c.DPoP.Algorithms, fapiProofs)
	if c.DPoP.Future < leastLeeway {
		c.bad("dpop.future", "must be at least 10s with preset: fapi", "FAPI 2.0 section 5.3.2.1")
	}
	for i, p := range c.TrustedProxies {
		if p.Bits() == 0 && c.MTLS.From == "header" {
			c.bad(fmt.Sprintf("trusted_proxies[%d]", i), "must not be everybody with preset: fapi and mtls.from: header", "whoever names a client's certificate could use its tokens; list the proxies that end TLS")
		}
	}
	for i := range c.Resources {
		c.fapiResource(fmt.Sprintf("resources[%d]", i), &c.Resources[i])
	}
}

func (c *checker) fapiIssuer(path string, i *Issuer) {
	i.Algorithms = c.fapiAlgorithms(path+".algorithms", i.Algorithms, fapiAlgorithms)
	switch at := path + ".max_lifetime"; {
	case c.faulty[at], i.Introspection.JWT(): // somebody is asked
	case i.MaxLifetime == 0:
		c.bad(at, "is missing", "with preset: fapi tokens must live shortly, up to 1h, since nobody is asked whether one was revoked (FAPI 2.0 section 5.3.4)")
	case i.MaxLifetime > longestLifetime:
		c.bad(at, "must be at most 1h with preset: fapi", "nobody is asked whether a token was revoked (FAPI 2.0 section 5.3.4)")
	}
	if i.Leeway < leastLeeway {
		c.bad(path+".leeway", "must be at least 10s with preset: fapi", "FAPI 2.0 section 5.3.2.1")
	}
	if i.InsecureHTTP {
		c.bad(path+".insecure_http", "is not for preset: fapi", "an issuer is reached over TLS (FAPI 2.0 section 5.2)")
	}
	if i.InsecureAllowAnyAudience {
		c.bad(path+".insecure_allow_any_audience", "is not for preset: fapi", "a token made for others proves nothing here")
	}
}

// fapiAlgorithms returns the list in force: the preset's where the file has
// none.
func (c *checker) fapiAlgorithms(path string, list, preset []string) []string {
	if !c.has(path) {
		c.preset(path, "["+strings.Join(preset, ", ")+"]")
		return slices.Clone(preset)
	}
	for i, algorithm := range list {
		if at := fmt.Sprintf("%s[%d]", path, i); algorithm != "" && !slices.Contains(fapiAlgorithms, algorithm) {
			c.bad(at, "is not for preset: fapi", "FAPI 2.0 section 5.4.1 knows PS256, ES256 and EdDSA with Ed25519")
		}
	}
	return list
}

func (c *checker) fapiResource(path string, r *Resource) {
	for _, key := range r.TokenSources.open() {
		c.bad(path+".token_sources."+key, "is not for preset: fapi", "tokens come in the Authorization header and nowhere else (FAPI 2.0 section 5.3.4)")
	}
	if !c.TLS.On() && !r.BehindTLS && !c.has("tls") {
		c.bad(path+".listen", "clients must reach it over TLS with preset: fapi", "set tls, or behind_tls: true if TLS ends in front (FAPI 2.0 section 5.2)")
	}
	if len(r.Routes) == 0 && !c.has(path+".routes") {
		r.Routes = []Route{{Name: "default", Path: "/**", Binding: "required", EndStreams: true, Forward: r.Forward}}
		c.preset(path+".routes", "[{path: /**, binding: required}]")
		return
	}
	if !slices.ContainsFunc(r.Routes, func(route Route) bool { return !route.Public }) {
		c.warn("fapi-all-public", path+".routes", "are all public: nobody is ever asked for a token, and preset: fapi holds nothing to its rules", "remove public where a token should be asked for")
	}
	for i := range r.Routes {
		route, at := &r.Routes[i], fmt.Sprintf("%s.routes[%d].binding", path, i)
		switch {
		case route.Public || route.Binding != "any":
		case c.has(at):
			c.bad(at, "must not be any with preset: fapi", "write required, dpop or mtls: tokens are bound to their sender (FAPI 2.0 section 5.3.4)")
		default:
			route.Binding = "required"
			c.preset(at, "required")
		}
	}
}

func (c *checker) preset(path, value string) {
	c.filled = append(c.filled, Filled{path, value, "fapi"})
}
