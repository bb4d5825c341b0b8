package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// anyValue stands for any value of a claim in required_claims and
// machine_claims.
const anyValue = "*"

// provider is what a preset knows of an issuer's access tokens. It fills in
// what the file leaves open and overrides nothing.
type provider struct {
	profile       string
	scopeClaim    string
	audienceClaim string
	clientIDClaim string
	algorithms    []string
	namesClient   bool                // its access tokens name their client, its ID tokens do not
	required      map[string][]string // beyond the client
	machine       map[string][]string
}

// providers is the table of presets, with the reason for each line.
func providers() map[string]provider {
	rs256 := []string{"RS256"}
	return map[string]provider{
		// typ is JWT, delegated scopes are in scp, and only access tokens name the application: azp in v2, appid in v1. idtyp is an optional claim.
		"entra": {
			profile: "jwt", scopeClaim: "scp", clientIDClaim: "azp", algorithms: rs256, namesClient: true,
			machine: map[string][]string{"idtyp": {"app"}},
		},
		// No typ, scopes in the list scp, the client in cid; a client that acts for itself is its own subject.
		"okta": {profile: "jwt", scopeClaim: "scp", clientIDClaim: "cid", algorithms: rs256, namesClient: true},
		// typ is JWT unless an API asks for RFC 9068; the client is in azp, and gty names the grant.
		"auth0": {
			profile: "jwt", clientIDClaim: "azp", algorithms: []string{"RS256", "PS256"}, namesClient: true,
			machine: map[string][]string{"gty": {"client-credentials"}},
		},
		// typ is JWT for every kind of token, so the payload's typ tells; service accounts carry where they logged in from.
		"keycloak": {
			profile: "jwt", clientIDClaim: "azp", required: map[string][]string{"typ": {"Bearer", "DPoP"}},
			machine: map[string][]string{"clientHost": {anyValue}, "clientAddress": {anyValue}},
		},
		// Access tokens have no aud: the app client stands in for it, and token_use tells them from ID tokens.
		"cognito": {profile: "jwt", audienceClaim: "client_id", algorithms: rs256, required: map[string][]string{"token_use": {"access"}}},
		// Access tokens are opaque; what can be proved here is the ID token of a service account, which is its own azp.
		"google": {profile: "jwt", clientIDClaim: "azp", algorithms: rs256, namesClient: true},
		// A profile of its own: no typ, no client, no scope. kube-apiserver signs with these.
		"kubernetes": {profile: "kubernetes", algorithms: []string{"RS256", "ES256", "ES384", "ES512"}},
		// typ is JWT, and the job is all there is: no client, no scope.
		"github-actions": {
			profile: "jwt", algorithms: rs256,
			required: map[string][]string{"repository": {anyValue}}, machine: map[string][]string{"repository": {anyValue}},
		},
		// The same issuer signs the ID tokens of users; only a job's token names a project.
		"gitlab": {
			profile: "jwt", algorithms: rs256,
			required: map[string][]string{"project_path": {anyValue}}, machine: map[string][]string{"project_path": {anyValue}},
		},
		// typ is JWT; access tokens have a jti, ID tokens have none.
		"zitadel": {profile: "jwt", namesClient: true, required: map[string][]string{"jti": {anyValue}}},
	}
}

// provider fills in what the preset of an issuer knows.
func (c *checker) provider(path string, i *Issuer) {
	p, known := providers()[i.Provider]
	if !known {
		return
	}
	if i.Provider == "entra" && !strings.HasSuffix(strings.TrimSuffix(i.Issuer, "/"), "/v2.0") {
		p.clientIDClaim = "appid"
	}
	for _, s := range []struct {
		key, value string
		to         *string
	}{
		{"profile", p.profile, &i.Profile}, {"scope_claim", p.scopeClaim, &i.ScopeClaim},
		{"audience_claim", p.audienceClaim, &i.AudienceClaim}, {"client_id_claim", p.clientIDClaim, &i.ClientIDClaim},
	} {
		if at := path + "." + s.key; s.value != "" && !c.has(at) {
			*s.to = s.value
			c.filled = append(c.filled, Filled{at, s.value, i.Provider})
		}
	}
	if at := path + ".algorithms"; p.algorithms != nil && !c.has(at) && !c.FAPI() { // preset: fapi has a list of its own
		i.Algorithms = p.algorithms
		c.filled = append(c.filled, Filled{at, "[" + strings.Join(p.algorithms, ", ") + "]", i.Provider})
	}
	if p.required = maps.Clone(p.required); p.namesClient {
		if p.required == nil {
			p.required = make(map[string][]string)
		}
		p.required[i.ClientIDClaim] = []string{anyValue}
	}
	c.fillClaims(path+".required_claims", p.required, &i.RequiredClaims, i.Provider)
	c.fillClaims(path+".machine_claims", p.machine, &i.MachineClaims, i.Provider)
}

func (c *checker) fillClaims(path string, claims map[string][]string, to *map[string][]string, preset string) {
	if len(claims) == 0 || c.has(path) {
		return
	}
	*to = claims
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		parts = append(parts, fmt.Sprintf("%s: [%s]", name, strings.ReplaceAll(strings.Join(claims[name], ", "), anyValue, `"*"`)))
	}
	c.filled = append(c.filled, Filled{path, "{" + strings.Join(parts, ", ") + "}", preset})
}

// misspelt warns of the forms of an issuer that its provider's tokens never
// name, since the iss claim must equal it character for character.
func (c *checker) misspelt(path string, i *Issuer, u *url.URL) {
	host, bare := strings.ToLower(u.Hostname()), strings.TrimSuffix(u.Path, "/")
	slash := strings.HasSuffix(u.Path, "/")
	warn := func(text string) {
		c.warn("provider-issuer", path+".issuer", text, "write it as iss of its tokens has it")
	}
	switch {
	case i.Provider == "entra" && host == "login.microsoftonline.com" && (!strings.HasSuffix(bare, "/v2.0") || slash):
		warn("is no issuer of Entra ID: tokens of version 2 name https://login.microsoftonline.com/TENANT/v2.0, those of version 1 https://sts.windows.net/TENANT/")
	case i.Provider == "entra" && host == "sts.windows.net" && (!slash || strings.Count(bare, "/") != 1):
		warn("is no issuer of Entra ID: tokens of version 1 name https://sts.windows.net/TENANT/, with the slash")
	case i.Provider == "entra" && slices.Contains([]string{"common", "organizations", "consumers"}, strings.Split(strings.TrimPrefix(bare, "/"), "/")[0]):
		warn("no token names this tenant: write {tenant}, and list tenants")
	case i.Provider == "auth0" && !slash:
		warn("lacks the slash at its end, which the tokens of Auth0 have")
	case i.Provider == "okta" && !strings.Contains(bare, "/oauth2/"):
		warn("is Okta's org authorization server, whose access tokens are for Okta only: name a custom one, like …/oauth2/default")
	case i.Provider == "keycloak" && (slash || !strings.Contains(bare, "/realms/")):
		warn("names no realm of Keycloak: its tokens name …/realms/REALM, without a slash at the end")
	case i.Provider == "cognito" && slash:
		warn("ends in a slash, which the tokens of Cognito do not")
	}
}

// issuerClaims checks what tokens of an issuer must hold, and what marks those
// of machines.
func (c *checker) issuerClaims(path string, claims map[string][]string) {
	for name, values := range claims {
		at := join(path, name)
		if !isClaimPath(name) {
			c.badKey(at, "is no claim path", claimPathHint)
		}
		if len(values) > 1 && slices.Contains(values, anyValue) {
			c.bad(at, "lists values beside *, which stands for any", "keep one or the other")
		}
	}
}

const claimPathHint = `write names joined by dots, like email or realm_access.roles, and a dot within a name as \.`

// isClaimPath reports whether text is a path as package token follows it.
func isClaimPath(text string) bool {
	if len(text) > 256 {
		return false
	}
	length := 0 // of the segment
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '.':
			if length == 0 {
				return false
			}
			length = 0
			continue
		case '\\':
			if i++; i == len(text) || text[i] != '.' && text[i] != '\\' {
				return false
			}
		}
		length++
	}
	return length > 0
}
