package config

import "testing"

// TestTenantEndpoint: each tenant is asked at its own endpoint.
func TestTenantEndpoint(t *testing.T) {
	f := parse(t, "c.yaml", "version: 1\nissuers: [{issuer: 'https://a.example.com/{tenant}', tenants: [one, two], "+
		"introspection: {client_id: gate, client_secret_file: s, mode: jwt, endpoint: 'https://a.example.com/{tenant}/ask'}}]\n"+
		"resources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\n")
	for i, tenant := range f.Issuers[0].PerTenant() {
		if want := "https://a.example.com/" + f.Issuers[0].Tenants[i] + "/ask"; tenant.Introspection.Endpoint != want {
			t.Errorf("%s, want %s", tenant.Introspection.Endpoint, want)
		}
	}
}
