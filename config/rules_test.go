package config

import (
	"slices"
	"testing"
)

// Names that decide alone are warned about where several issuers give them.
func TestSameNameAtTwoIssuers(t *testing.T) {
	const one = "version: 1\nissuers: [{name: a, issuer: https://a.example.com/}]\n"
	const two = "version: 1\nissuers: [{name: a, issuer: https://a.example.com/}, {name: b, issuer: https://b.example.com/}]\n"
	const rest = "resources:\n  - {identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1, routes: [{path: /a, "
	for text, want := range map[string][]string{
		one + rest + "clients: [x], subjects: [y], actor: [z]}]}\n":                nil,
		two + rest + "clients: [x]}]}\n":                                           {"resources[0].routes[0].clients"},
		two + rest + "clients: [x], subjects: [y], actor: [z]}]}\n":                {"resources[0].routes[0].clients", "resources[0].routes[0].subjects", "resources[0].routes[0].actor"},
		two + rest + "subjects: [y], claims: {iss: [https://a.example.com/]}}]}\n": nil,
		two + rest + "subjects: [y], claims: {tenant: [t]}}]}\n":                   {"resources[0].routes[0].subjects"},
		two + rest + "subject_type: user, acr: [gold], claims: {groups: [g]}}]}\n": nil,
	} {
		var got []string
		for _, w := range parse(t, "c.yaml", text).Warnings() {
			got = append(got, w.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: warnings at %q, want %q", text, got, want)
		}
	}
}

// Scopes may stand for each other, and for scopes no route asks for.
func TestScopeHierarchy(t *testing.T) {
	f := parse(t, "c.yaml", Smallest()+"    scope_hierarchy: {admin: [write], write: [read], x: [y], y: [x], \"urn:a/b\": [other]}\n")
	if got := f.Resources[0].ScopeHierarchy["urn:a/b"]; !slices.Equal(got, []string{"other"}) {
		t.Errorf("got %q", got)
	}
}
