package validator

import "testing"

// An issuer that is to be asked about tokens needs somebody who asks.
func TestNewWantsAnIntrospector(t *testing.T) {
	for name, how := range map[string]Introspection{"opaque tokens": {Opaque: true}, "JWTs": {JWT: true}, "both": {Opaque: true, JWT: true}} {
		if _, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName, Introspection: how}}}); err == nil {
			t.Errorf("%s: no complaint", name)
		}
	}
	if _, err := New(Parts{Issuers: []Options{{Name: "as", Issuer: issuerName}}}); err != nil {
		t.Error(err)
	}
}
