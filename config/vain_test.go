package config

import (
	"slices"
	"strings"
	"testing"
)

const vainHead = "version: 1\nissuers: [{issuer: https://a.example.com/, max_lifetime: 1h}]\n" +
	"resources:\n  - {identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1, "

// Rules that look stricter than they are, or that nobody could satisfy though
// each of them could hold.
func TestVainWarnings(t *testing.T) {
	for text, want := range map[string][]string{
		"routes: [{path: /a, optional: true, scopes: [x]}]}\n":                                         {"resources[0].routes[0].scopes"},
		"routes: [{path: /a, optional: true, scopes: {any: [x]}}]}\n":                                  {"resources[0].routes[0].scopes"},
		"routes: [{path: /a, optional: true, binding: dpop}]}\n":                                       nil,
		"routes: [{path: /a, subject_type: client, acr: [gold], amr: [otp], max_age: 5m}]}\n":          {"resources[0].routes[0].acr", "resources[0].routes[0].amr", "resources[0].routes[0].max_age"},
		"routes: [{path: /a, subject_type: user, acr: [gold]}]}\n":                                     nil,
		"token_sources: {cookie: t}, routes: [{path: /a, binding: dpop}, {path: /b, public: true}]}\n": {"resources[0].token_sources"},
		"token_sources: {cookie: t}, routes: [{path: /a, binding: dpop}, {path: /b}]}\n":               nil,
		"token_sources: {cookie: t}}\n":                                                                nil,
		"routes: [{path: /a, public: true}]}\n":                                                        nil,
		"routes: [{path: /a, public: true}]}\npreset: fapi\n":                                          {"resources[0].routes"},
		"routes: [{path: /a, public: true}, {path: /b}]}\npreset: fapi\n":                              nil,
		"routes: [{path: /a, claims: {iss: [https://a.example.com/], act.client_id: [x]}}]}\n":         nil,
		"routes: [{path: /a}]}\npreset: fapi\ntrusted_proxies: [10.0.0.0/8]\nmtls: {from: header}\n":   nil,
		"routes: [{path: /a}]}\npreset: fapi\ntrusted_proxies: [0.0.0.0/0]\n":                          {"trusted_proxies[0]"},
	} {
		var got []string
		for _, w := range parse(t, "c.yaml", vainHead+text).Warnings() {
			got = append(got, w.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: warnings at %q, want %q", text, got, want)
		}
	}
}

// What could never do what it says is refused.
func TestVainRules(t *testing.T) {
	for text, want := range map[string]string{
		"routes: [{path: /a, claims: {iss: [https://a.example.com]}}]}\n":                          "claims.iss[0]: no token could satisfy it",
		"routes: [{path: /a, claims: {scope: [x]}}]}\n":                                            "claims.scope: is one text with all scopes",
		"routes: [{path: /a, claims: {act: [x]}}]}\n":                                              "claims.act: is for actor",
		"routes: [{path: /a, claims: {act.sub: [x]}}]}\n":                                          `claims["act.sub"]: is for actor`,
		"routes: [{path: /a}]}\npreset: fapi\ntrusted_proxies: [\"::/0\"]\nmtls: {from: header}\n": "trusted_proxies[0]: must not be everybody",
	} {
		_, err := Parse("c.yaml", []byte(vainHead+text), func(string) (string, bool) { return "", false })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
