package main

import (
	"strings"
	"testing"
)

const claimForms = `    routes:
      - {name: equals, path: /equals, claims: {tenant: {equals: acme}}}
      - {name: number, path: /number, claims: {level: {equals: "7"}}}
      - {name: present, path: /present, claims: {realm_access.verified: {present: true}}}
      - {name: prefix, path: /prefix, claims: {groups: {prefix: "ops-"}}}
      - {name: affixes, path: /affixes, claims: {groups: {prefix: "ops-", suffix: "-eu", any_of: [ops-a-eu, ops-a-us, dev-a-eu]}}}
      - {name: contains, path: /contains, claims: {roles: {contains: [clerk, eu]}}}
      - {name: absent, path: /absent, claims: {act: {absent: true}, 'a\.b.c': {absent: true}}}
`

// TestClaimForms takes each form of a rule about a claim through the front door.
func TestClaimForms(t *testing.T) {
	f := newFixture(t, func(text string) string { return instead(t, text, "    routes:\n", claimForms) })
	f.untilReady()
	type list = []any
	type object = map[string]any
	for _, row := range []struct {
		path   string
		claims changes
		holds  bool
	}{
		{"/equals", changes{"tenant": "acme"}, true},
		{"/equals", changes{"tenant": list{"acme"}}, false},
		{"/equals", changes{"tenant": "acme2"}, false},
		{"/equals", changes{"tenant": "Acme"}, false},
		{"/equals", changes{"tenant": object{"value": "acme"}}, false},
		{"/equals", nil, false},
		{"/number", changes{"level": 7}, true},
		{"/number", changes{"level": "7"}, true},
		{"/number", changes{"level": 70}, false},
		{"/number", changes{"level": 7.5}, false},

		{"/present", changes{"realm_access": object{"verified": true}}, true},
		{"/present", changes{"realm_access": object{"verified": false}}, true},
		{"/present", changes{"realm_access": object{"verified": list{}}}, true},
		{"/present", changes{"realm_access.verified": ""}, true},
		{"/present", changes{"realm_access": object{"verified": object(nil)}}, false},
		{"/present", changes{"realm_access": list{"verified"}}, false},
		{"/present", nil, false},

		{"/prefix", changes{"groups": "ops-a"}, true},
		{"/prefix", changes{"groups": list{"dev", "ops-a"}}, true},
		{"/prefix", changes{"groups": list{object{"value": "ops-a", "display": "A"}}}, true},
		{"/prefix", changes{"groups": "ops-"}, true},
		{"/prefix", changes{"groups": "dev,ops-a"}, false},
		{"/prefix", changes{"groups": list{"ops", 7, true}}, false},
		{"/prefix", changes{"groups": list{list{"ops-a"}}}, false},
		{"/prefix", changes{"groups": object{"ops-a": true}}, false},

		{"/affixes", changes{"groups": list{"dev-a-eu", "ops-a-us", "ops-a-eu"}}, true},
		{"/affixes", changes{"groups": list{"dev-a-eu", "ops-a-us"}}, false},
		{"/affixes", changes{"groups": "ops-b-eu"}, false},

		{"/contains", changes{"roles": list{"eu", "x", "clerk"}}, true},
		{"/contains", changes{"roles": list{object{"value": "eu"}, object{"value": "clerk"}}}, true},
		{"/contains", changes{"roles": list{"eu"}}, false},
		{"/contains", changes{"roles": "clerk eu"}, false},
		{"/contains", changes{"roles": "clerk"}, false},
		{"/contains", changes{"roles": list{list{"eu", "clerk"}}}, false},
		{"/contains", nil, false},

		{"/absent", nil, true},
		{"/absent", changes{"a": object{"b": object{"c": 1}}, "a.b": object{"d": 1}}, true},
		{"/absent", changes{"act": object{"sub": "x"}}, false},
		{"/absent", changes{"act": object{}}, false},
		{"/absent", changes{"act": object(nil)}, false},
		{"/absent", changes{"act": ""}, false},
		{"/absent", changes{"a.b": object{"c": ""}}, false},
	} {
		raw := f.AT(row.claims)
		ask := func() *reply { return f.do("GET", row.path, "Authorization", "Bearer "+raw) }
		if !row.holds {
			t.Run(row.path, func(t *testing.T) { wantForbidden(t, f.in(t), ask) })
		}
		if r := ask(); (r.StatusCode == 200) != row.holds || !row.holds && !strings.Contains(r.body, "claims do not suffice") {
			t.Errorf("%s with %v: %d %s", row.path, row.claims, r.StatusCode, r.body)
		}
	}
}
