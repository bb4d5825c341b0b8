package config

import (
	"slices"
	"strings"
	"testing"
)

const afterIssuer = "\nresources: [{identifier: https://b.example.com, upstream: \"http://127.0.0.1:1\", behind_tls: true}]\n"

// An issuer that its provider's tokens never name is warned about before any
// token is refused for it.
func TestMisspeltIssuers(t *testing.T) {
	const tenant = "7d1c3b52-0000-4000-8000-000000000001"
	for _, c := range []struct {
		provider, issuer string
		warned           bool
	}{
		{"entra", "https://login.microsoftonline.com/" + tenant + "/v2.0", false}, {"entra", "https://sts.windows.net/" + tenant + "/", false},
		{"entra", "https://login.microsoftonline.com/" + tenant + "/v2.0/", true}, {"entra", "https://login.microsoftonline.com/" + tenant + "/", true},
		{"entra", "https://login.microsoftonline.com/common/v2.0", true}, {"entra", "https://sts.windows.net/" + tenant, true}, {"entra", "https://sts.windows.net/" + tenant + "/v2.0", true},
		{"entra", "https://sts.windows.net/common/", true}, {"entra", "https://login.example.com/" + tenant, false},
		{"auth0", "https://example.eu.auth0.com/", false}, {"auth0", "https://example.eu.auth0.com", true},
		{"okta", "https://example.okta.com/oauth2/default", false}, {"okta", "https://example.okta.com", true},
		{"keycloak", "https://sso.example.com/auth/realms/demo", false}, {"keycloak", "https://sso.example.com/realms/demo/", true}, {"keycloak", "https://sso.example.com", true},
		{"cognito", "https://cognito-idp.eu-central-1.amazonaws.com/p", false}, {"cognito", "https://cognito-idp.eu-central-1.amazonaws.com/p/", true},
		{"google", "https://accounts.google.com", false}, {"zitadel", "https://example.zitadel.cloud", false},
	} {
		f := parse(t, "c.yaml", "version: 1\nissuers: [{issuer: "+c.issuer+", provider: "+c.provider+"}]"+afterIssuer)
		warned := slices.ContainsFunc(f.Warnings(), func(w Warning) bool { return w.Path == "issuers[0].issuer" })
		if warned != c.warned {
			t.Errorf("%s %s: warned %t, want %t", c.provider, c.issuer, warned, c.warned)
		}
	}
}

func TestPerTenant(t *testing.T) {
	f := parse(t, "c.yaml", "version: 1\nissuers:\n  - {issuer: \"https://{tenant}.example.com/{tenant}\", jwks_uri: \"https://keys.example.com/{tenant}\", tenants: [one, two]}\n  - {issuer: https://c.example.com}"+afterIssuer)
	if name := f.Issuers[0].Name; name != "tenant.example.com" {
		t.Errorf("called %s", name)
	}
	all := f.Issuers[0].PerTenant()
	if len(all) != 2 || all[1].Issuer != "https://two.example.com/two" || all[1].JWKSURI != "https://keys.example.com/two" || !slices.Equal(all[1].Tenants, []string{"two"}) || all[0].Name != all[1].Name {
		t.Errorf("%+v", all)
	}
	if alone := f.Issuers[1].PerTenant(); len(alone) != 1 || alone[0].Issuer != f.Issuers[1].Issuer || alone[0].Tenants != nil {
		t.Errorf("%+v", alone)
	}
	if !strings.Contains(f.Issuers[0].Issuer, tenantMark) {
		t.Error("the template was written over")
	}
}

// Names alone decide for several tenants as they do for several issuers.
func TestSameNameOfTenants(t *testing.T) {
	for text, want := range map[string]int{"tenants: [one]": 0, "tenants: [one, two]": 1} {
		f := parse(t, "c.yaml", "version: 1\nissuers: [{issuer: \"https://a.example.com/{tenant}\", "+text+"}]\n"+
			"resources: [{identifier: https://b.example.com, upstream: \"http://127.0.0.1:1\", behind_tls: true, routes: [{path: /a, subjects: [ada]}]}]\n")
		if got := len(f.Warnings()); got != want {
			t.Errorf("%s: %v", text, f.Warnings())
		}
	}
}

// preset: fapi has algorithms of its own, whoever the provider is.
func TestProviderUnderFAPI(t *testing.T) {
	f := parse(t, "c.yaml", "version: 1\npreset: fapi\nissuers: [{issuer: https://a.example.com/realms/x, provider: okta, max_lifetime: 10m}]"+afterIssuer)
	if got := f.Issuers[0].Algorithms; !slices.Equal(got, fapiAlgorithms) {
		t.Errorf("algorithms %v", got)
	}
	times := 0
	for _, one := range f.Filled() {
		if one.Path == "issuers[0].algorithms" {
			times++
		}
	}
	if times != 1 || f.Issuers[0].ScopeClaim != "scp" {
		t.Errorf("filled %v", f.Filled())
	}
}

func TestClaimPaths(t *testing.T) {
	for text, want := range map[string]bool{
		"a": true, "a.b": true, `a\.b.c`: true, `\.`: true, `\\`: true, "https://example.com/roles": true, "cognito:groups": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, `a\b`: false, `a\`: false, `a\\\`: false, strings.Repeat("a", 257): false,
	} {
		if got := isClaimPath(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
