package fieldvalue

import (
	"testing"

	"github.com/wicketgate/wicketgate/token"
)

func TestProjection(t *testing.T) {
	const payload = `{"email":"zo\u00eb@example.com","n":1.50,"groups":["a", "b"],"nothing":null,
		"realm_access":{"roles":["x"],"more":{"deep":1,"deeper":2},"secret":"s"},
		"https://example.com/tenant":"acme","a.b":"whole","a":{"b":"step","c":{"d.e":"late"}},"sp  ace":1}`
	o, err := token.ParseObject(payload)
	if err != nil {
		t.Fatal(err)
	}
	c, err := token.ReadClaims(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		paths []string
		want  string
	}{
		{[]string{"email"}, `{"email":"zo\u00eb@example.com"}`},
		{[]string{"n", "groups"}, `{"n":1.50,"groups":["a","b"]}`},
		{[]string{"absent", "n"}, `{"n":1.50}`},
		{[]string{"absent"}, ``},
		{nil, ``},
		{[]string{"nothing"}, ``},
		{[]string{"realm_access.roles"}, `{"realm_access":{"roles":["x"]}}`},
		{[]string{"realm_access.roles", "email", "realm_access.more.deep"}, `{"realm_access":{"roles":["x"],"more":{"deep":1}},"email":"zo\u00eb@example.com"}`},
		{[]string{"realm_access.roles.x", "realm_access.absent"}, ``},
		{[]string{"https://example.com/tenant"}, `{"https://example.com/tenant":"acme"}`},
		{[]string{`https://example\.com/tenant`}, `{"https://example.com/tenant":"acme"}`},
		{[]string{"a.b"}, `{"a.b":"whole"}`},
		{[]string{`a\.b`}, `{"a.b":"whole"}`},
		{[]string{"a.c.d.e"}, `{"a":{"c":{"d.e":"late"}}}`},
		{[]string{`a.c.d\.e`, "n"}, `{"a":{"c":{"d.e":"late"}},"n":1.50}`},
		{[]string{"a.c", "a.c.d.e"}, `{"a":{"c":{"d.e":"late"}}}`},
		{[]string{"a.c.d.e", "a.c"}, `{"a":{"c":{"d.e":"late"}}}`},
		{[]string{"sp  ace"}, `{"sp \u0020ace":1}`},
	} {
		got, ok := NewProjection(row.paths).Append(nil, c)
		if string(got) != row.want || ok != (row.want != "") {
			t.Errorf("%q: got %s %v, want %s", row.paths, got, ok, row.want)
		}
		checkFieldValue(t, string(got))
	}
}
