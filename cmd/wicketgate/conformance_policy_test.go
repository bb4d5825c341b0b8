package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// policyRows are the rows about what routes ask of a caller whose token is
// good.
var policyRows = []conformanceRow{
	{"JWT-06", rowJWT06}, {"JWT-16", rowJWT16}, {"JWT-18", rowJWT18}, {"JWT-19", rowJWT19},
	{"AZ-04", rowAZ04}, {"AZ-05", rowAZ05}, {"AZ-08", rowAZ08}, {"AZ-09", rowAZ09}, {"AZ-10", rowAZ10}, {"AZ-11", rowAZ11},
	{"STEP-01", rowSTEP01}, {"STEP-02", rowSTEP02}, {"STEP-03", rowSTEP03}, {"STEP-04", rowSTEP04}, {"STEP-05", rowSTEP05},
	{"STEP-06", rowSTEP06}, {"STEP-07", rowSTEP07}, {"STEP-08", rowSTEP08},
}

const policyRoutes = `    routes:
      - {name: stepup, path: /stepup, acr: [gold], max_age: 300s}
      - {name: order, path: /order, acr: [platinum, gold, silver]}
      - {name: fresh, path: /fresh, max_age: 300s}
      - {name: stepup-scope, path: /stepup-scope, acr: [gold], max_age: 300s, scopes: [read, pay]}
      - {name: methods, path: /methods, amr: [otp, pwd]}
      - {name: methods-class, path: /methods-class, amr: [otp], acr: [gold]}
      - {name: pay, path: /pay, methods: [POST], authorization_details: [{type: payment}]}
      - name: transfer
        path: /transfer
        authorization_details:
          - {type: payment, actions: [initiate], locations: ["https://rs.example.com/accounts"]}
          - {type: account, actions: [read, close], datatypes: [balance], privileges: [owner], identifier: account-1}
      - {name: shops, path: /shops, clients: [client-1, café]}
      - {name: subjects, path: /subjects, subjects: [user-1, café]}
      - {name: users, path: /users, subject_type: user}
      - {name: machines, path: /machines, subject_type: client}
      - {name: delegated, path: /delegated, actor: [svc77, café]}
      - {name: groups, path: /groups, claims: {groups: [ops, café]}}
      - {name: roles, path: /roles, claims: {realm_access.roles: [admin], level: ["3"], staff: ["true"]}}
      - {name: all, path: /all, scopes: [pay], acr: [gold], clients: [client-1], claims: {groups: [ops]}}
`

func newPolicyFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixture(t, func(text string) string { return instead(t, text, "    routes:\n", policyRoutes) })
}

// presenter sends a request with a token of these claims.
type presenter func(method, path string, claims changes) *reply

// inBothSchemes runs a check with bearer tokens and with tokens bound to a key.
func inBothSchemes(t *testing.T, f *fixture, check func(t *testing.T, scheme string, present presenter)) {
	t.Helper()
	t.Run("Bearer", func(t *testing.T) {
		check(t, "Bearer", func(method, path string, claims changes) *reply {
			return f.do(method, path, "Authorization", "Bearer "+f.AT(claims))
		})
	})
	key := newClientKey(t, "ES256")
	t.Run("DPoP", func(t *testing.T) {
		check(t, "DPoP", func(method, path string, claims changes) *reply {
			raw := f.bound(key, claims)
			return f.do(method, path, "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, method, path, devissuer.Proof{}))
		})
	})
}

const algs = `algs="ES256 EdDSA RS256 PS256 Ed25519"`

// wantStepUp wants exactly the challenges of a 401 that asks for another
// login: description and attributes on the scheme used, the other one bare.
func wantStepUp(t *testing.T, f *fixture, scheme, description, attributes string, do func() *reply) {
	t.Helper()
	told := ` error="insufficient_user_authentication", error_description="` + description + `"` + attributes
	want := []string{"Bearer" + told, "DPoP " + algs}
	bearer, dpop := "insufficient_user_authentication", bare
	if scheme == "DPoP" {
		want = []string{"Bearer", "DPoP" + told + ", " + algs}
		bearer, dpop = dpop, bearer
	}
	r := refused(t, f, http.StatusUnauthorized, bearer, dpop, do)
	if got := r.Header["Www-Authenticate"]; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if body := bodyOf(t, r); body["error"] != "insufficient_user_authentication" || body["error_description"] != description {
		t.Errorf("body %s", r.body)
	}
}

// wantForbidden wants the 403 of a policy that no other token would satisfy.
func wantForbidden(t *testing.T, f *fixture, do func() *reply) {
	t.Helper()
	r := refused(t, f, http.StatusForbidden, absent, absent, do)
	if bodyOf(t, r)["error"] != "forbidden" || r.Header["Www-Authenticate"] != nil {
		t.Errorf("header %v, body %s", r.Header, r.body)
	}
}

const (
	tooWeak     = "a stronger authentication of the user is required"
	tooOld      = "a more recent authentication of the user is required"
	otherMethod = "another method of authentication is required"
)

// authenticated is the claims of a login of class acr, seconds ago.
func authenticated(acr string, ago int64) changes {
	return changes{"acr": acr, "auth_time": time.Now().Unix() - ago}
}

func with(base, more changes) changes {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

func rowSTEP01(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		wantOK(t, present("GET", "/stepup", authenticated("gold", 10)))
		wantStepUp(t, f, scheme, tooWeak, `, acr_values="gold"`, func() *reply { return present("GET", "/stepup", authenticated("silver", 10)) })
		for _, acr := range []string{"platinum", "gold", "silver"} {
			wantOK(t, present("GET", "/order", changes{"acr": acr}))
		}
		wantStepUp(t, f, scheme, tooWeak, `, acr_values="platinum gold silver"`, func() *reply { return present("GET", "/order", changes{"acr": "bronze"}) })
	})
}

// The edge is in package policy, where the clock stands still.
func rowSTEP02(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		wantOK(t, present("GET", "/stepup", authenticated("gold", 290)))
		wantOK(t, present("GET", "/fresh", changes{"auth_time": time.Now().Unix() - 290}))
		wantStepUp(t, f, scheme, tooOld, `, max_age="300"`, func() *reply { return present("GET", "/stepup", authenticated("gold", 301)) })
		wantStepUp(t, f, scheme, tooOld, `, max_age="300"`, func() *reply { return present("GET", "/fresh", authenticated("gold", 301)) })
	})
}

func rowSTEP03(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		wantStepUp(t, f, scheme, tooWeak, `, acr_values="gold", max_age="300"`, func() *reply { return present("GET", "/stepup", authenticated("silver", 301)) })
		wantStepUp(t, f, scheme, tooWeak, `, acr_values="gold", max_age="300"`, func() *reply { return present("GET", "/stepup", nil) })
	})
}

func rowSTEP04(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		scoped := func(scope, acr string, ago int64) changes {
			return with(authenticated(acr, ago), changes{"scope": scope})
		}
		wantOK(t, present("GET", "/stepup-scope", scoped("pay read", "gold", 10)))
		for _, row := range []struct {
			claims                  changes
			description, attributes string
		}{
			{scoped("read", "silver", 10), tooWeak, `, scope="read pay", acr_values="gold"`},
			{scoped("", "gold", 301), tooOld, `, scope="read pay", max_age="300"`},
			{scoped("other", "silver", 301), tooWeak, `, scope="read pay", acr_values="gold", max_age="300"`},
			{scoped("read pay", "silver", 10), tooWeak, `, acr_values="gold"`},
		} {
			wantStepUp(t, f, scheme, row.description, row.attributes, func() *reply { return present("GET", "/stepup-scope", row.claims) })
		}
		// With the login good, scope alone is 403 as ever.
		bearer, dpop := "insufficient_scope", bare
		if scheme == "DPoP" {
			bearer, dpop = dpop, bearer
		}
		r := refused(t, f, http.StatusForbidden, bearer, dpop, func() *reply { return present("GET", "/stepup-scope", scoped("read", "gold", 10)) })
		if got := challengesOf(t, r)[scheme]; got["scope"] != "read pay" || got["acr_values"]+got["max_age"] != "" {
			t.Errorf("challenge %v", got)
		}
	})
}

func rowSTEP05(t *testing.T) {
	f := newPolicyFixture(t)
	now := time.Now().Unix()
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		for _, acr := range []any{nil, 1, true, []string{"gold"}, changes{"value": "gold"}, "", "GOLD", " gold", "gold silver"} {
			claims := with(authenticated("gold", 10), changes{"acr": acr})
			wantStepUp(t, f, scheme, tooWeak, `, acr_values="gold"`, func() *reply { return present("GET", "/stepup", claims) })
		}
		for _, at := range []any{nil, "x", fmt.Sprint(now), true, []int64{now}, changes{"value": now}, -1, 0, now + 20, now + 3600, int64(99999999999999)} {
			claims := changes{"acr": "gold", "auth_time": at}
			wantStepUp(t, f, scheme, tooOld, `, max_age="300"`, func() *reply { return present("GET", "/stepup", claims) })
		}
	})
}

func rowSTEP06(t *testing.T) {
	f := newPolicyFixture(t)
	silent := func(authorization ...string) {
		t.Helper()
		code := "invalid_token"
		if len(authorization) == 0 {
			code = bare
		}
		r := refused(t, f, http.StatusUnauthorized, code, bare, func() *reply { return f.do("GET", "/stepup", authorization...) })
		if line := strings.Join(r.Header["Www-Authenticate"], "\n"); strings.Contains(line, "acr_values") || strings.Contains(line, "max_age") {
			t.Errorf("told to one whose token is not good: %s", line)
		}
	}
	silent()
	weak := authenticated("silver", 301)
	silent("Authorization", "Bearer "+tampered(t, f.AT(weak)))
	silent("Authorization", "Bearer "+f.mint(f.a, devissuer.Token{Key: newClientKey(t, "ES256").Signer, Claims: weak}))
	bad := changes{"exp": time.Now().Unix() - 100, "aud": "https://other.example.com", "jti": nil, "cnf": changes{"jkt": newClientKey(t, "ES256").Thumbprint()}}
	for name, value := range bad {
		silent("Authorization", "Bearer "+f.AT(with(weak, changes{name: value})))
	}
	key := newClientKey(t, "ES256")
	raw := f.bound(key, weak)
	r := refused(t, f, http.StatusUnauthorized, bare, "invalid_dpop_proof", func() *reply {
		return f.do("GET", "/stepup", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "POST", "/stepup", devissuer.Proof{}))
	})
	if line := r.challenge("DPoP"); strings.Contains(line, "acr_values") {
		t.Errorf("told to one whose proof is not good: %s", line)
	}
}

// Introspected tokens join with introspection.
func rowSTEP07(t *testing.T) {
	f := newPolicyFixture(t)
	key := newClientKey(t, "ES256")
	send := func(claims changes) *reply {
		raw := f.bound(key, claims)
		return f.do("GET", "/stepup", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/stepup", devissuer.Proof{}))
	}
	wantOK(t, send(authenticated("gold", 10)))
	wantStepUp(t, f, "DPoP", tooWeak, `, acr_values="gold", max_age="300"`, func() *reply { return send(authenticated("silver", 400)) })
}

func rowSTEP08(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		for _, acr := range []string{"gold+", "golden", "platinum", "gol"} {
			claims := with(authenticated("gold", 10), changes{"acr": acr})
			wantStepUp(t, f, scheme, tooWeak, `, acr_values="gold"`, func() *reply { return present("GET", "/stepup", claims) })
		}
		wantOK(t, present("GET", "/methods", changes{"amr": []string{"mfa", "pwd", "otp"}}))
		for _, amr := range []any{nil, []string{"otp"}, []string{"pwd"}, "otp pwd", []string{"OTP", "pwd"}, []any{"otp", "pwd", 1}, changes{"otp": true, "pwd": true}} {
			wantStepUp(t, f, scheme, otherMethod, "", func() *reply { return present("GET", "/methods", changes{"amr": amr}) })
		}
		// No parameter names methods: the classes are what a client can ask for.
		wantStepUp(t, f, scheme, otherMethod, `, acr_values="gold"`, func() *reply {
			return present("GET", "/methods-class", changes{"acr": "gold", "amr": []string{"pwd"}})
		})
	})
}

func rowJWT16(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		wantOK(t, present("GET", "/shops", nil))
		for _, id := range []string{"client-2", "CLIENT-1", "client-1 ", "client-10"} {
			wantForbidden(t, f, func() *reply { return present("GET", "/shops", changes{"client_id": id, "azp": "client-1"}) })
		}
	})
	f = newFixture(t, func(text string) string {
		return instead(t, instead(t, text, "    routes:\n", policyRoutes), "{name: a,", "{name: a, client_id_claim: azp, profile: jwt,")
	})
	wantOK(t, f.do("GET", "/shops", "Authorization", "Bearer "+f.AT(changes{"client_id": nil, "azp": "client-1"})))
	for _, azp := range []any{"client-2", nil, []string{"client-1"}} {
		wantForbidden(t, f, func() *reply {
			return f.do("GET", "/shops", "Authorization", "Bearer "+f.AT(changes{"client_id": "client-1", "azp": azp}))
		})
	}
}

// policySubjects is the part of JWT-17 that is a rule.
func policySubjects(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		wantOK(t, present("GET", "/users", nil))
		wantForbidden(t, f, func() *reply { return present("GET", "/users", changes{"sub": "client-1"}) })
		wantForbidden(t, f, func() *reply { return present("GET", "/users", changes{"sub": "user-1", "client_id": "user-1"}) })
		wantOK(t, present("GET", "/machines", changes{"sub": "client-1"}))
		wantForbidden(t, f, func() *reply { return present("GET", "/machines", nil) })
		wantOK(t, present("GET", "/subjects", nil))
		wantForbidden(t, f, func() *reply { return present("GET", "/subjects", changes{"sub": "user-2"}) })
	})
}

func rowJWT18(t *testing.T) {
	f := newPolicyFixture(t)
	act := func(sub any, inner ...changes) changes {
		a := changes{"sub": sub}
		if len(inner) > 0 {
			a["act"] = inner[0]
		}
		return changes{"act": a}
	}
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		for _, claims := range []changes{act("svc77"), act("svc77", changes{"sub": "svc16"}), {"act": changes{"sub": "svc77", "iss": f.a.Identifier()}}} {
			wantOK(t, present("GET", "/delegated", claims))
		}
		for _, claims := range []changes{
			nil, act("svc16"), act("svc16", changes{"sub": "svc77"}), act("svc16", changes{"sub": "svc16", "act": changes{"sub": "svc77"}}),
			{"act": changes{"act": changes{"sub": "svc77"}}}, {"sub": "svc77", "client_id": "svc77"}, act([]string{"svc77"}), act(77),
			{"act": "svc77"}, {"act": []string{"svc77"}}, {"act": nil}, {"act": changes{}}, {"act": changes{"sub": "svc77", "iss": f.b.Identifier()}},
		} {
			wantForbidden(t, f, func() *reply { return present("GET", "/delegated", claims) })
		}
		// A claim within act is no claim of the token.
		wantForbidden(t, f, func() *reply {
			return present("GET", "/groups", changes{"act": changes{"sub": "svc77", "groups": []string{"ops"}}})
		})
		wantForbidden(t, f, func() *reply { return present("GET", "/subjects", with(act("user-1"), changes{"sub": "user-2"})) })
	})
}

func rowJWT19(t *testing.T) {
	f := newPolicyFixture(t)
	past := time.Now().Unix() - 1000
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		for _, act := range []changes{
			{"exp": past}, {"nbf": past + 10000}, {"aud": "https://other.example.com"}, {"exp": "x", "nbf": "y", "aud": 1}, {"may_act": changes{"sub": "x"}},
		} {
			wantOK(t, present("GET", "/delegated", changes{"act": with(act, changes{"sub": "svc77"})}))
			wantOK(t, present("GET", "/shops", changes{"act": with(act, changes{"sub": "anybody"})}))
		}
		may := changes{"may_act": changes{"sub": "svc77"}}
		wantForbidden(t, f, func() *reply { return present("GET", "/delegated", may) })
		wantForbidden(t, f, func() *reply { return present("GET", "/delegated", with(may, changes{"act": changes{"sub": "svc16"}})) })
		wantForbidden(t, f, func() *reply {
			return present("GET", "/delegated", changes{"act": changes{"sub": "svc16", "may_act": changes{"sub": "svc77"}}})
		})
	})
}

// policyCompares is the part of JWT-20 that is about rules.
func policyCompares(t *testing.T) {
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	f := newPolicyFixture(t)
	for path, claims := range map[string]func(string) changes{
		"/shops":     func(v string) changes { return changes{"client_id": v} },
		"/subjects":  func(v string) changes { return changes{"sub": v} },
		"/delegated": func(v string) changes { return changes{"act": changes{"sub": v}} },
		"/groups":    func(v string) changes { return changes{"groups": []string{v}} },
	} {
		send := func(value string) *reply { return f.do("GET", path, "Authorization", "Bearer "+f.AT(claims(value))) }
		wantOK(t, send(composed))
		for _, value := range []string{decomposed, "Caf\u00e9", composed + " ", "\uff43af\u00e9", "cafe", composed + "\u200b"} {
			wantForbidden(t, f, func() *reply { return send(value) })
		}
	}
}

func rowAZ04(t *testing.T) {
	hierarchy := "    scope_hierarchy: {admin: [write], write: [read], audit: [log], log: [audit]}\n    routes:\n      - {name: log, path: /log, scopes: [log]}\n"
	f := newFixture(t, func(text string) string { return instead(t, text, "    routes:\n", hierarchy) })
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		for _, row := range [][2]string{
			{"/read", "write"}, {"/read", "admin"}, {"/read", "read"}, {"/both", "write"}, {"/both", "admin"}, {"/log", "audit"}, {"/log", "x log"},
		} {
			wantOK(t, present("GET", row[0], changes{"scope": row[1]}))
		}
		wantSeen(t, f, "X-Auth-Scope", "x log") // what the token says, not what it stands for
		wantOK(t, present("POST", "/write", changes{"scope": "admin"}))
		bearer, dpop := "insufficient_scope", bare
		if scheme == "DPoP" {
			bearer, dpop = dpop, bearer
		}
		for _, row := range [][4]string{
			{"POST", "/write", "read", "write"}, {"GET", "/read", "audit", "read"}, {"GET", "/both", "read", "read write"},
			{"GET", "/read", "Write", "read"}, {"GET", "/read", "writer", "read"}, {"GET", "/log", "admin", "log"},
		} {
			r := refused(t, f, http.StatusForbidden, bearer, dpop, func() *reply { return present(row[0], row[1], changes{"scope": row[2]}) })
			if got := challengesOf(t, r)[scheme]["scope"]; got != row[3] {
				t.Errorf("%s with %s: scope %q, want %q", row[1], row[2], got, row[3])
			}
		}
	})
	f = newFixture(t, nil) // nothing declared, nothing implied
	refused(t, f, http.StatusForbidden, "insufficient_scope", bare, func() *reply {
		return f.do("GET", "/read", "Authorization", "Bearer "+f.AT(changes{"scope": "write admin"}))
	})
}

func rowAZ05(t *testing.T) {
	f := newPolicyFixture(t)
	role := func(roles any, level, staff any) changes {
		return changes{"realm_access": changes{"roles": roles}, "level": level, "staff": staff}
	}
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		for _, groups := range []any{"ops", []string{"dev", "ops"}, []changes{{"value": "ops"}}, []changes{{"value": "dev"}, {"value": "ops", "$ref": "x", "display": "y"}}} {
			wantOK(t, present("GET", "/groups", changes{"groups": groups}))
		}
		for _, groups := range []any{
			nil, "dev", "OPS", "ops,dev", "dev ops", []string{}, []string{"operations"}, changes{"ops": true}, changes{"value": "ops"}, []changes{{"display": "ops"}},
			[]changes{{"value": []string{"ops"}}}, [][]string{{"ops"}},
		} {
			wantForbidden(t, f, func() *reply { return present("GET", "/groups", changes{"groups": groups, "roles": "ops"}) })
		}
		wantOK(t, present("GET", "/roles", role([]string{"user", "admin"}, 3, true)))
		wantOK(t, present("GET", "/roles", role("admin", []any{"1", 3}, "true")))
		for _, claims := range []changes{
			role("user", 3, true), role("admin", 4, true), role("admin", 3, false), role("admin", 3, nil), {"realm_access": "admin", "level": 3, "staff": true},
		} {
			wantForbidden(t, f, func() *reply { return present("GET", "/roles", claims) })
		}
	})
}

// detail is the claim authorization_details.
func detail(elements ...any) changes { return changes{"authorization_details": elements} }

func rowAZ08(t *testing.T) {
	f := newPolicyFixture(t)
	payment := changes{"type": "payment"}
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		wantOK(t, present("POST", "/pay", detail(payment)))
		wantOK(t, present("POST", "/pay", detail(changes{"type": "other"}, payment)))
		bearer, dpop := "invalid_token", bare
		if scheme == "DPoP" {
			bearer, dpop = dpop, bearer
		}
		for _, value := range []any{
			"payment", payment, 1, true, `[{"type":"payment"}]`, []string{"payment"}, []any{payment, "x"}, []any{payment, nil}, []any{changes{}},
			[]any{payment, changes{"actions": []string{"a"}}}, []any{changes{"type": 1}}, []any{changes{"type": nil}}, []any{changes{"type": []string{"payment"}}},
			[]any{[]any{payment}}, []any{changes{"Type": "payment"}},
		} {
			refused(t, f, http.StatusUnauthorized, bearer, dpop, func() *reply { return present("POST", "/pay", changes{"authorization_details": value}) })
		}
		// Where no rule looks at it, it is a claim like any other.
		wantOK(t, present("GET", "/shops", changes{"authorization_details": "payment"}))
	})
	raw := f.texts("", strings.Replace(payloadOf(t, f), `"scope":`, `"authorization_details":null,"scope":`, 1))
	refused(t, f, http.StatusUnauthorized, "invalid_token", bare, func() *reply { return f.do("POST", "/pay", "Authorization", "Bearer "+raw) })
}

func payloadOf(t *testing.T, f *fixture) string {
	t.Helper()
	_, payload := halves(t, f.AT(nil))
	return payload
}

func rowAZ09(t *testing.T) {
	f := newPolicyFixture(t)
	const here = testIdentifier + "/accounts"
	account := changes{"type": "account", "actions": []string{"close", "read"}, "datatypes": []string{"balance"}, "privileges": []string{"owner"}, "identifier": "account-1"}
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		wantOK(t, present("GET", "/transfer", detail(changes{"type": "payment", "actions": []string{"initiate", "x"}, "locations": []string{here}})))
		wantOK(t, present("GET", "/transfer", detail(changes{"type": "unknown"}, account)))
		for _, claims := range []changes{
			detail(changes{"type": "payment", "actions": []string{"initiate"}}, changes{"type": "payment", "locations": []string{here}}),
			detail(changes{"type": "payment", "actions": []string{"initiate"}}, changes{"type": "unknown", "locations": []string{here}}),
			detail(changes{"type": "unknown", "actions": []string{"initiate"}, "locations": []string{here}}),
			detail(changes{"type": "Payment", "actions": []string{"initiate"}, "locations": []string{here}}),
			detail(changes{"type": "payment", "actions": []string{"Initiate"}, "locations": []string{here}}),
			detail(changes{"type": "payment", "actions": "initiate", "locations": []string{here}}),
			detail(changes{"type": "payment", "actions": []any{"initiate", 1}, "locations": []string{here}}),
			detail(with(account, changes{"actions": []string{"read"}}), with(account, changes{"actions": []string{"close"}})),
			detail(with(account, changes{"datatypes": []string{"Balance"}})), detail(with(account, changes{"privileges": nil})),
			detail(with(account, changes{"identifier": "account-10"})), detail(with(account, changes{"identifier": []string{"account-1"}})),
			{"authorization_details": []any{}}, nil,
		} {
			wantForbidden(t, f, func() *reply { return present("GET", "/transfer", claims) })
		}
	})
}

func rowAZ10(t *testing.T) {
	f := newPolicyFixture(t)
	at := func(locations any) changes { return detail(changes{"type": "payment", "locations": locations}) }
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		wantOK(t, present("POST", "/pay", at([]string{testIdentifier})))
		wantOK(t, present("POST", "/pay", at([]string{"https://other.example.com", testIdentifier})))
		for _, locations := range []any{
			[]string{"https://other.example.com"}, []string{}, testIdentifier, []any{testIdentifier, 1}, []string{testIdentifier + "/"}, []string{"https://RS.example.com"}, changes{},
		} {
			wantForbidden(t, f, func() *reply { return present("POST", "/pay", at(locations)) })
		}
	})
	named := instead(t, policyRoutes, "    routes:\n", "    audiences: [\"urn:api\"]\n    routes:\n")
	f = newFixture(t, func(text string) string { return instead(t, text, "    routes:\n", named) })
	for _, location := range []string{testIdentifier, "urn:api"} {
		wantOK(t, f.do("POST", "/pay", "Authorization", "Bearer "+f.AT(with(at([]string{location}), changes{"aud": "urn:api"}))))
	}
}

func rowAZ11(t *testing.T) {
	f := newPolicyFixture(t)
	inBothSchemes(t, f, func(t *testing.T, _ string, present presenter) {
		wantForbidden(t, f, func() *reply { return present("POST", "/pay", nil) })
		wantForbidden(t, f, func() *reply { return present("POST", "/pay", detail(changes{"type": "account"})) })
	})
}

// Where several things are amiss, the answer is the one that spares a vain
// attempt, and its reason is counted.
func TestPolicyAnswers(t *testing.T) {
	f := newPolicyFixture(t)
	good := changes{"scope": "pay", "acr": "gold", "groups": "ops"}
	inBothSchemes(t, f, func(t *testing.T, scheme string, present presenter) {
		wantOK(t, present("GET", "/all", good))
		for _, more := range []changes{
			{"client_id": "other"}, {"client_id": "other", "scope": "read"}, {"client_id": "other", "acr": nil, "scope": nil}, {"groups": nil, "acr": nil, "scope": nil},
		} {
			wantForbidden(t, f, func() *reply { return present("GET", "/all", with(good, more)) })
		}
		wantStepUp(t, f, scheme, tooWeak, `, scope="pay", acr_values="gold"`, func() *reply { return present("GET", "/all", with(good, changes{"acr": nil, "scope": nil})) })
	})
	for path, reason := range map[string]string{
		"/shops": "client", "/machines": "subject", "/delegated": "actor", "/groups": "claim_rule", "/transfer": "authorization_details",
		"/order": "acr", "/methods": "amr", "/fresh": "auth_time",
	} {
		series := `wicketgate_refusals_total{reason="` + reason + `"}`
		before := seriesValue(t, f, series)
		f.do("GET", path, "Authorization", "Bearer "+f.AT(changes{"client_id": "other"}))
		if after := seriesValue(t, f, series); after == before {
			t.Errorf("%s: %s stays %s", path, series, before)
		}
	}
}
