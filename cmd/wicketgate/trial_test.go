package main

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// tried runs the command on a configuration and a file of cases.
func tried(t *testing.T, configuration, cases string, args ...string) outcome {
	t.Helper()
	dir := t.TempDir()
	return command(t, append([]string{"test", "-c", writeFile(t, dir, "config.yaml", configuration), writeFile(t, dir, "cases.yaml", cases)}, args...)...)
}

// uncovered lists what the command says no case has shown.
func uncovered(o outcome) (list []string) {
	for line := range strings.Lines(o.stdout) {
		if said, found := strings.CutPrefix(strings.TrimSpace(line), "not covered: api "); found {
			list = append(list, said)
		}
	}
	return list
}

const covered = `version: 1
issuers: [{issuer: https://login.example.com/}]
resources:
  - identifier: https://api.example.com
    name: api
    upstream: http://127.0.0.1:3000
    behind_tls: true
    routes:
`

// Each requirement is to be seen to hold and to be missed, by itself.
func TestCoverage(t *testing.T) {
	for _, row := range []struct {
		name, route, cases string
		want               []string
	}{
		{"public", "{name: a, path: /a, public: true}", "{request: /a, expect: anonymous}", nil},
		{"unreached", "{name: a, path: /a, public: true}", "{request: /b, expect: deny}", []string{"a: no case reaches it"}},
		{"passes", "{name: a, path: /a}", "{request: /a, claims: {}, expect: allow}", []string{"a: no case is refused"}},
		{"refused", "{name: a, path: /a}", "{request: /a, expect: deny}", []string{"a: no case passes"}},
		{"optional", "{name: a, path: /a, optional: true}", "{request: /a, claims: {exp: -1h}, expect: deny}, {request: /a, claims: {}, expect: allow}", []string{"a: no case passes without a token"}},
		{"optional anonymous", "{name: a, path: /a, optional: true}", "{request: /a, expect: anonymous}", []string{"a: no case passes", "a: no case is refused"}},
		{"scope", "{name: a, path: /a, scopes: [r]}", "{request: /a, claims: {scope: r}, expect: allow}, {request: /a, expect: deny}", []string{"a: no case is short of scopes"}},
		{
			"scopes by themselves", "{name: a, path: /a, scopes: {all: [r, w], any: [x, y]}}",
			"{request: /a, claims: {scope: r w x}, expect: allow}, {request: /a, claims: {scope: w}, expect: deny}",
			[]string{"a: no case is short of scopes w"},
		},
		{
			"claims by themselves", "{name: a, path: /a, claims: {g: [x], t: [y]}}",
			"{request: /a, claims: {g: x, t: y}, expect: allow}, {request: /a, claims: {g: x, t: z}, expect: deny}",
			[]string{"a: no case is short of claims g"},
		},
		{
			"subjects", "{name: a, path: /a, subjects: [x], subject_type: user}",
			"{request: /a, claims: {sub: x}, expect: allow}, {request: /a, claims: {sub: y}, expect: deny}",
			[]string{"a: no case is short of subject_type"},
		},
		{
			"login", "{name: a, path: /a, amr: [otp, pwd], acr: [gold], max_age: 5m}",
			"{request: /a, claims: {amr: [otp, pwd], acr: gold, auth_time: -1m}, expect: allow}, {request: /a, claims: {amr: [otp], acr: gold, auth_time: -6m}, expect: deny}",
			[]string{"a: no case is short of acr", "a: no case is short of amr otp"},
		},
		{
			"binding", "{name: a, path: /a, binding: dpop}",
			"{request: /a, claims: {}, binding: dpop, expect: allow}, {request: /a, expect: deny}", []string{"a: no case is short of binding"},
		},
		{
			"binding missed", "{name: a, path: /a, binding: dpop}",
			"{request: /a, claims: {}, binding: dpop, expect: allow}, {request: /a, claims: {}, expect: deny}", nil,
		},
		{
			"either binding", "{name: a, path: /a, binding: required}",
			"{request: /a, claims: {}, binding: dpop, expect: allow}, {request: /a, claims: {}, expect: {reason: binding}}", nil,
		},
		{
			"the rest", "{name: a, path: /a, clients: [x], actor: [y], authorization_details: [{type: z}]}",
			"{request: /a, claims: {client_id: x, act: {sub: y}, authorization_details: [{type: z}]}, expect: allow}, {request: /a, claims: {}, expect: deny}", nil,
		},
		{
			"networks", "{name: a, path: /a, networks: [10.0.0.0/8]}",
			"{request: {path: /a, source: 10.1.2.3}, claims: {}, expect: allow}, {request: {path: /a, source: 10.1.2.3}, expect: deny}",
			[]string{"a: no case is short of networks"},
		},
		{
			"networks missed", "{name: a, path: /a, networks: [10.0.0.0/8]}",
			"{request: {path: /a, source: 10.1.2.3}, claims: {}, expect: allow}, {request: {path: /a, source: 192.0.2.1}, claims: {}, expect: {reason: network}}", nil,
		},
		{
			"age of the token", "{name: a, path: /a, max_token_age: 5m}",
			"{request: /a, claims: {iat: -4m}, expect: allow}, {request: /a, claims: {exp: -1h}, expect: deny}", []string{"a: no case is short of max_token_age"},
		},
		{
			"age of the token missed", "{name: a, path: /a, max_token_age: 5m}",
			"{request: /a, claims: {iat: -4m}, expect: allow}, {request: /a, claims: {iat: -6m}, expect: {reason: token_age, error: invalid_token}}", nil,
		},
		{
			"condition", "{name: a, path: '/t/{tenant}', when: claims.tenant == path.tenant}",
			"{request: /t/x, claims: {tenant: x}, expect: allow}, {request: /t/x, expect: deny}", []string{"a: no case is short of when"},
		},
		{
			"condition missed", "{name: a, path: '/t/{tenant}', when: claims.tenant == path.tenant}",
			"{request: /t/x, claims: {tenant: x}, expect: allow}, {request: /t/y, claims: {tenant: x}, expect: {reason: when}}", nil,
		},
		{
			"condition that fails", "{name: a, path: /a, when: claims.level > 2}",
			"{request: /a, claims: {level: 3}, expect: allow}, {request: /a, claims: {}, expect: {reason: when}}", nil,
		},
		{
			"hosts", "{name: a, path: /a, hosts: [x.example.com]}\n      - {name: b, path: /a}",
			"{request: {path: /a, host: x.example.com}, claims: {}, expect: {route: a}}, {request: {path: /a, host: x.example.com}, expect: deny}", []string{"b: no case reaches it"},
		},
		{
			"each host", "{name: a, path: /a, hosts: [x.example.com]}\n      - {name: b, path: /a, public: true}",
			"{request: {path: /a, host: x.example.com}, claims: {}, expect: {route: a}}, {request: {path: /a, host: x.example.com}, expect: deny}, {request: {path: /a, host: y.example.com}, expect: {route: b, decision: anonymous}}", nil,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			cases := "cases:\n"
			for i, one := range strings.Split(row.cases, "}, {") {
				cases += "  - {name: n" + strings.Repeat("n", i) + ", " + strings.Trim(one, "{") + "\n"
			}
			cases = closed(cases)
			o := tried(t, covered+"      - "+row.route+"\n", cases)
			if got := uncovered(o); o.code != 0 || !slices.Equal(got, row.want) {
				t.Errorf("exit %d, uncovered %q, want %q\n%s%s", o.code, got, row.want, o.stdout, o.stderr)
			}
		})
	}
}

// closed ends each flow mapping that was cut off.
func closed(cases string) string {
	lines := strings.Split(strings.TrimSuffix(cases, "\n"), "\n")
	for i, line := range lines {
		lines[i] += strings.Repeat("}", strings.Count(line, "{")-strings.Count(line, "}"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// What a case says of everything around its token.
func TestTrial(t *testing.T) {
	const gates = `version: 1
tls: {cert_file: a.pem, key_file: a.key, client_auth: request_any}
trusted_proxies: [10.0.0.0/8]
issuers:
  - {name: a, issuer: https://a.example.com/}
  - {name: b, issuer: https://b.example.com/, introspection: {client_id: gate, client_secret_file: s}}
dpop: {nonce: required}
resources:
  - {identifier: https://one.example.com, name: one, hosts: [one.example.com, other.example.com], upstream: "http://127.0.0.1:1", metadata: true}
  - identifier: https://two.example.com
    name: two
    hosts: [two.example.com]
    upstream: http://127.0.0.1:2/base
    forward: {headers: {X-Auth-Email: email}}
    routes: [{name: sealed, path: /sealed, binding: mtls}, {name: open, path: "/**"}]
`
	cases := `cases:
  - {name: by URL, request: "GET https://two.example.com/x", claims: {email: a@b}, issuer: a, expect: {route: open, headers: {X-Auth-Email: a@b, X-Auth-Issuer: "https://a.example.com/"}, upstream: "http://127.0.0.1:2/base/x"}}
  - {name: by name, resource: two, request: /x, claims: {}, issuer: a, expect: allow}
  - {name: first, request: /x, claims: {}, issuer: b, expect: {decision: allow, route: default}}
  - {name: for another, request: /x, claims: {aud: "https://two.example.com"}, issuer: a, expect: {reason: audience, error: invalid_token}}
  - {name: misdirected, request: {path: /x, host: three.example.com}, expect: {status: 421, reason: host, error: misdirected_request, challenge: none}}
  - {name: other host, request: {path: /x, host: other.example.com}, claims: {}, issuer: a, expect: allow}
  - {name: nonce, request: POST /x, claims: {}, issuer: a, binding: dpop, expect: {decision: allow, headers: {X-Auth-Binding: dpop}}}
  - {name: certificate, resource: two, request: /sealed, claims: {}, issuer: a, binding: mtls, expect: {decision: allow, headers: {X-Auth-Binding: mtls}}}
  - {name: no certificate, resource: two, request: /sealed, claims: {}, issuer: a, expect: {reason: binding}}
  - {name: inactive, request: /x, claims: {}, issuer: b, revoked: true, expect: {decision: deny, reason: inactive}}
  - {name: nobody to ask, request: /x, token: opaque, expect: {decision: fail, status: 503, error: temporarily_unavailable, reason: introspection_unavailable}}
  - {name: metadata, request: /.well-known/oauth-protected-resource, expect: {decision: answer, status: 200}}
  - {name: method, request: TRACE /x, expect: {decision: deny, status: 405}}
  - {name: early data, request: {method: POST, path: /x, source: 10.1.2.3, headers: {early-data: "1"}}, expect: {status: 425}}
  - {name: early data of a stranger, request: {method: POST, path: /x, source: 192.0.2.1, headers: {early-data: "1"}}, claims: {}, issuer: a, expect: allow}
  - {name: then, request: /x, claims: {exp: 2001-01-01T00:05:00Z, iat: 978307200}, issuer: a, now: 2001-01-01T00:01:00Z, expect: allow}
`
	tried(t, gates, cases).want(t, 0, "16 of 16 cases passed")
}

// A roll-out that only reports does not change what cases are held against.
func TestTrialWithReportOnly(t *testing.T) {
	routes := "      - {name: a, path: /a, scopes: [r], binding: dpop, nonce: required, report_only: 1%}\n      - {name: b, path: /b, scopes: [r]}\n"
	cases := `cases:
  - {name: good, request: /a, claims: {scope: r}, binding: dpop, expect: allow}
  - {name: short, request: /a, claims: {scope: w}, binding: dpop, expect: {decision: deny, error: insufficient_scope, status: 403, challenge: {scope: r}}}
  - {name: bearer, request: /a, claims: {scope: r}, expect: {decision: deny, reason: missing}}
  - {name: no token, request: /b, expect: {decision: deny, status: 401}}
  - {name: wrong, request: /b, claims: {scope: r}, expect: allow}
  - {name: wrong scope, request: /b, claims: {}, expect: deny}
`
	o := tried(t, "report_only: true\n"+covered+routes, cases, "--strict")
	o.want(t, 0, "6 of 6 cases passed; coverage 100.0%", "note: report_only lets ")
	tried(t, "report_only: true\n"+covered+routes, "cases: [{name: n, request: /b, expect: anonymous}]").want(t, 1, "+ decision: deny")
}

// Each expectation of a case can fail.
func TestTrialFails(t *testing.T) {
	for _, row := range [][2]string{
		{"request: /a, expect: allow", "+ decision: deny"},
		{"request: /a, claims: {}, expect: anonymous", "+ decision: allow"},
		{"request: /a, claims: {}, expect: deny", "+ decision: allow"},
		{"request: /a, expect: fail", "+ decision: deny"},
		{"request: /a, expect: answer", "+ reason: missing"},
		{"request: /a, expect: {reason: scope}", "+ reason: missing"},
		{"request: /a, expect: {status: 403}", "+ status: 401"},
		{"request: /a, claims: {}, expect: {status: 403}", "+ status: none"},
		{"request: /a, expect: {error: invalid_token}", "+ error: none"},
		{"request: /a, expect: {route: none}", "+ route: a"},
		{"request: /a, expect: {challenge: none}", "+ challenge: Bearer"},
		{"request: /a, expect: {challenge: {error: a}}", "+ challenge.error: none"},
		{"request: /a, claims: {}, expect: {headers: {X-Auth-Subject: a}}", "+ headers.X-Auth-Subject: somebody"},
		{"request: /a, claims: {}, expect: {headers: {X-Auth-Scope: '*'}}", "+ headers.X-Auth-Scope: none"},
		{"request: /a, expect: {headers: {X-Auth-Subject: a}}", "+ headers.X-Auth-Subject: the request is not forwarded"},
		{"request: /a, claims: {}, expect: {upstream: /b}", "+ upstream: /a"},
	} {
		o := tried(t, covered+"      - {name: a, path: /a}\n", "cases:\n  - {name: n, "+row[0]+"}\n")
		o.want(t, 1, row[1], "0 of 1 cases passed")
	}
}

// However many cases have a token that nobody signed, each is judged by itself: what
// the cases before it cost in vain is nothing to it.
func TestForgedTokensInCases(t *testing.T) {
	encoded := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	claims := fmt.Sprintf(`{"iss":"https://login.example.com/","aud":"https://api.example.com","sub":"u","client_id":"c","jti":"j","iat":%d,"exp":%d}`, now-60, now+600)
	forged := encoded([]byte(`{"typ":"at+jwt","alg":"ES256"}`)) + "." + encoded([]byte(claims)) + "." + encoded(make([]byte, 64))
	var cases strings.Builder
	cases.WriteString("cases:\n")
	for n := range 30 {
		fmt.Fprintf(&cases, "  - {name: '%d', request: {path: /a, source: 203.0.113.7}, token: %s, expect: {status: 401, reason: signature}}\n", n, forged)
	}
	if o := tried(t, covered+"      - {name: a, path: /a}\n", cases.String()); o.code != 0 {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// A case expects of a hidden route what the client is told, and why.
func TestTrialOfHiddenRoutes(t *testing.T) {
	tried(t, covered+"      - {name: a, path: /a, scopes: [r], hide: true}\n",
		"cases: [{name: no, request: /a, claims: {scope: x}, expect: {decision: deny, status: 404, error: not_found, reason: scope, route: a, challenge: none}}, {name: yes it may, request: /a, claims: {scope: r}, expect: allow}]\n").want(t, 0)
}
