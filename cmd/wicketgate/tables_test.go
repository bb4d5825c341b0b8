package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/jwks"
)

// TestKeyTables has one client prove the same key over and over, more often than
// it takes until there is a table for it, and one signature in between that is
// not by it. Nothing but the metric may tell whether there are tables.
func TestKeyTables(t *testing.T) {
	f := newFixture(t, nil)
	const series = "wicketgate_key_tables_in_use"
	want := "0"
	if jwks.NewTables(nil).InUse() {
		want = "1"
	}
	for _, alg := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
		f.wantOwnProofsOnly(alg)
	}
	if got := seriesValue(t, f, series); got != want {
		t.Errorf("%s is %s, want %s", series, got, want)
	}
	f.rewrite("\nlog:", "\ncache: {key_tables: false}\nlog:")
	f.reloadedAs(true)
	f.wantOwnProofsOnly("ES256")
	if got := seriesValue(t, f, series); got != "0" {
		t.Errorf("%s is %s without tables", series, got)
	}
	f.rewrite("key_tables: false", "key_tables: true")
	f.reloadedAs(true)
	f.wantOwnProofsOnly("ES256")
	if got := seriesValue(t, f, series); got != want {
		t.Errorf("%s is %s again, want %s", series, got, want)
	}
	if got := seriesValue(t, f, `wicketgate_key_tables_wrong_total{alg="ES256"}`); got != "0" {
		t.Errorf("%s verdicts were wrong", got)
	}
}

func (f *fixture) wantOwnProofsOnly(alg string) {
	f.t.Helper()
	key := newClientKey(f.t, alg)
	raw := f.bound(key, nil)
	for i := range 6 {
		proof := f.proof(key, raw, "GET", "/dpop/a", devissuer.Proof{})
		if r := f.do("GET", "/dpop/a", "Authorization", "DPoP "+raw, "DPoP", proof); r.StatusCode != http.StatusOK {
			f.t.Errorf("%s proof %d: %d %s", alg, i, r.StatusCode, r.body)
		}
		other := f.proof(key, raw, "GET", "/dpop/a", devissuer.Proof{})
		mixed := other[:strings.LastIndexByte(other, '.')] + proof[strings.LastIndexByte(proof, '.'):]
		confided.add(mixed)
		if r := f.do("GET", "/dpop/a", "Authorization", "DPoP "+raw, "DPoP", mixed); r.StatusCode != http.StatusUnauthorized {
			f.t.Errorf("%s proof %d with the signature of another: %d", alg, i, r.StatusCode)
		}
	}
}
