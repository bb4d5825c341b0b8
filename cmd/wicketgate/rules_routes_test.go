package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

const circumstances = `    hosts: [api.example.com, a.shop.example.com, b.shop.example.com]
    routes:
      - {name: everywhere, path: /orders/**}
      - {name: shops, path: /orders/**, hosts: ["*.shop.example.com"], clients: [partner]}
      - {name: b, path: "/orders/{id}", hosts: [B.shop.example.com], public: true}
      - {name: here, path: /here, networks: [127.0.0.0/8, "::1"]}
      - {name: there, path: /there, networks: [192.0.2.0/24]}
      - {name: fresh, path: /fresh, max_token_age: 5m}
      - {name: mail, path: /mail, claims: {email: {suffix: "@example.com"}, roles: {contains: [a, b]}, act: {absent: true}}}
      - {name: call, path: /shop.v1.Orders/List, methods: [POST]}
`

func newCircumstances(t *testing.T) *fixture {
	t.Helper()
	return newFixture(t, func(text string) string {
		text = instead(t, text, "    routes:\n", circumstances)
		return text + "trusted_proxies: [127.0.0.1]\n"
	})
}

// askedAt sends a request for a host.
func (f *fixture) askedAt(host, method, path string, header ...string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return f.send(req)
}

// TestCircumstances: hosts, networks, the age of tokens and the forms of claims
// through the front door.
func TestCircumstances(t *testing.T) {
	f := newCircumstances(t)
	const api = "api.example.com"
	now := time.Now().Unix()
	plain := f.AT(nil)
	for _, row := range []struct {
		name, host, path string
		header           []string
		claims           changes
		status           int
		answer           string // a part of the challenge or of the body
	}{
		{"any host", api, "/orders/1", nil, nil, 200, ""},
		{"a host's wildcard", "a.shop.example.com", "/orders/1", nil, nil, 403, "this client may not do this"},
		{"its client", "a.shop.example.com", "/orders/1", nil, changes{"client_id": "partner"}, 200, ""},
		{"in other letters", "A.Shop.EXAMPLE.com.", "/orders/1", nil, nil, 403, "this client may not do this"},
		{"its own route", "b.shop.example.com", "/orders/1", nil, nil, 200, ""},
		{"behind its own route", "b.shop.example.com", "/orders/1/2", nil, nil, 403, "this client may not do this"},
		{"a host the client claims", api, "/orders/1", []string{"X-Forwarded-Host", "b.shop.example.com"}, nil, 200, ""},
		{"another host", "other.example.com", "/orders/1", nil, nil, 421, ""},

		{"from here", api, "/here", nil, nil, 200, ""},
		{"not from there", api, "/there", nil, nil, 403, "requests from this network are not accepted"},
		{"told by a trusted proxy", api, "/there", []string{"X-Forwarded-For", "192.0.2.7"}, nil, 200, ""},
		{"told by a client", api, "/there", []string{"X-Forwarded-For", "192.0.2.7, 198.51.100.1"}, nil, 403, "requests from this network"},
		{"no longer from here", api, "/here", []string{"X-Forwarded-For", "198.51.100.1"}, nil, 403, "requests from this network"},
		{"from where the proxy cannot tell", api, "/there", []string{"X-Forwarded-For", "unknown"}, nil, 403, "requests from this network"},

		{"a new token", api, "/fresh", nil, changes{"iat": now - 60}, 200, ""},
		{"an old one", api, "/fresh", nil, changes{"iat": now - 301}, 401, `error="invalid_token", error_description="the access token was issued too long ago"`},

		{"its claims", api, "/mail", nil, changes{"email": "x@example.com", "roles": []string{"b", "c", "a"}}, 200, ""},
		{"another suffix", api, "/mail", nil, changes{"email": "x@example.com.evil.org", "roles": []string{"a", "b"}}, 403, "the access token's claims do not suffice"},
		{"one role of two", api, "/mail", nil, changes{"email": "x@example.com", "roles": []string{"a"}}, 403, "the access token's claims do not suffice"},
		{"somebody acts", api, "/mail", nil, changes{"email": "x@example.com", "roles": []string{"a", "b"}, "act": map[string]any{"sub": "y"}}, 403, "claims do not suffice"},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := plain
			if row.claims != nil {
				raw = f.AT(row.claims)
			}
			before := f.upstream.count()
			r := f.askedAt(row.host, "GET", row.path, append([]string{"Authorization", "Bearer " + raw}, row.header...)...)
			told := strings.Join(r.Header["Www-Authenticate"], " ") + r.body
			if r.StatusCode != row.status || !strings.Contains(told, row.answer) {
				t.Errorf("%d %s, want %d %s", r.StatusCode, told, row.status, row.answer)
			}
			if passed := f.upstream.count() > before; passed != (row.status == 200) {
				t.Errorf("the upstream was asked: %v", passed)
			}
		})
	}
	for told, want := range map[string]string{"b.shop.example.com": api, "a.shop.example.com": api, "www.example.org": "www.example.org"} {
		f.askedAt(api, "GET", "/orders/1", "Authorization", "Bearer "+plain, "X-Forwarded-Host", told)
		if got := f.upstream.last().Header["X-Forwarded-Host"]; !slices.Equal(got, []string{want}) {
			t.Errorf("told %s, the upstream goes by %q", told, got)
		}
	}
	if r := f.askedAt("b.shop.example.com", "GET", "/orders/1"); r.StatusCode != 200 {
		t.Errorf("a public route of one host: %d", r.StatusCode)
	}
	if r := f.askedAt(api, "GET", "/orders/1"); r.StatusCode != 401 {
		t.Errorf("that route at another host: %d", r.StatusCode)
	}
	if r := f.askedAt(api, "POST", "/shop.v1.Orders/List", "Authorization", "Bearer "+plain); r.StatusCode != 200 {
		t.Errorf("a call: %d", r.StatusCode)
	}
	for _, reason := range []string{"network", "token_age", "claim_rule", "client"} {
		if !strings.Contains(f.adminDo("/metrics").body, `reason="`+reason+`"`) {
			t.Errorf("no refusal is counted under %s", reason)
		}
	}
}

// TestConflictsNameBothPlaces: of two routes that would govern one request both
// places in the file are told.
func TestConflictsNameBothPlaces(t *testing.T) {
	const routes = "    routes:\n      - {path: /x}\n      - path: '/a/{x}'\n      - {path: '/a/{y}'}\n      - {path: /b/**, allow: [empty_segments], methods: [GET]}\n" +
		"      - {path: /b/**, methods: [PUT]}\n      - {path: /X, case_insensitive: true}\n"
	file := written(t, config.Smallest()+routes)
	command(t, "check", "--config", file).want(t, exitConfig,
		file+":10:16 resources[0].routes[2].path: governs the same requests as routes[1] (see "+file+":9:15; list different methods in each, or remove one)\n   10 |       - {path: '/a/{y}'}\n      |                ^",
		file+":12:9 resources[0].routes[4].allow: must be the same as that of routes[3], which has the same path (see "+file+":11:16)",
		file+":8:9 resources[0].routes[0].case_insensitive: must be true here too: routes[5] takes other spellings of the same paths (see "+file+":13:16; add case_insensitive: true)",
	)
}

// TestRulesGuide: the file of the guide is good as it stands.
func TestRulesGuide(t *testing.T) {
	text := contents(t, filepath.Join(repository, "docs", "guide", "rules.md"))
	_, block, _ := strings.Cut(text, "```yaml\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("the guide has no file")
	}
	command(t, "check", "--config", written(t, block)).want(t, exitOK, "no mistakes")
	if _, err := os.Stat(filepath.Join(repository, "docs", "guide", "proxies.md")); err != nil {
		t.Error(err)
	}
}

// TestExplainCircumstances: what explain shows of them, and where a request is
// said to come from.
func TestExplainCircumstances(t *testing.T) {
	const settings = "    routes:\n      - {path: /there, networks: [192.0.2.0/24], max_token_age: 1h, claims: {email: {prefix: a, suffix: z}}}\n"
	issuer := explainIssuer(t)
	raw, err := issuer.Mint(devissuer.Token{Claims: map[string]any{"email": "by"}})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string][]string{
		"198.51.100.1": {"FAIL  network                 198.51.100.1\n", "wanted: 192.0.2.0/24\n", "routes[].networks, trusted_proxies\n", "403 Forbidden"},
		"192.0.2.77": {"ok    network                 192.0.2.77\n", "ok    age of the token        ", "RFC 7519 section 4.1.6; routes[].max_token_age\n",
			"FAIL  claims                  email \"by\"\n", "wanted: with prefix a with suffix z\n"},
		"there": {"--from wants an IP address"},
		"":      {"FAIL  network                 127.0.0.1\n"},
	} {
		code, out := explainedLine(t, settings, raw, issuer, "--url", "https://api.example.com/there", "--from", from)
		for _, part := range want {
			if code == exitOK || !strings.Contains(out, part) {
				t.Errorf("%s: exit %d, no %q in\n%s", from, code, part, out)
			}
		}
	}
}
