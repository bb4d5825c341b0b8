package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// TestWhen takes expressions through the front door.
func TestWhen(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "    routes:\n", `    routes:
      - {name: tenant, path: "/t/{tenant}/**", when: claims.tenant == path.tenant && request.method == 'GET'}
      - {name: field, path: /field, when: "request.headers['x-tenant'] == claims.tenant", scopes: [read]}
      - {name: perhaps, path: /perhaps, optional: true, when: claims.tenant == 'acme'}
`)
	})
	f.untilReady()
	acme := "Bearer " + f.AT(changes{"tenant": "acme", "scope": "read"})
	none := "Bearer " + f.AT(nil)
	for _, row := range []struct {
		path   string
		header []string
	}{
		{"/t/acme/orders", []string{"Authorization", acme}},
		{"/field", []string{"Authorization", acme, "X-Tenant", "acme"}},
		{"/perhaps", []string{"Authorization", acme}},
		{"/perhaps", nil},
	} {
		if r := f.do("GET", row.path, row.header...); r.StatusCode != 200 {
			t.Errorf("%s: %d %s", row.path, r.StatusCode, r.body)
		}
	}
	for _, row := range []struct {
		path   string
		header []string
	}{
		{"/t/initech/orders", []string{"Authorization", acme}},
		{"/t/acme/orders", []string{"Authorization", none}},
		{"/field", []string{"Authorization", acme}},
		{"/field", []string{"Authorization", acme, "X-Tenant", "acme", "X-Tenant", "acme"}},
		{"/perhaps", []string{"Authorization", none}},
	} {
		wantForbidden(t, f, func() *reply { return f.do("GET", row.path, row.header...) })
	}
	if text := f.log.String(); !strings.Contains(text, `"wicketgate.reason":"when"`) && !strings.Contains(text, `"when"`) || !strings.Contains(text, "something is absent at 1:7 of the expression") {
		t.Errorf("the log says\n%s", text)
	}
	r := f.do("GET", "/t/initech/orders", "Authorization", acme)
	if strings.Contains(r.body, "tenant") || !strings.Contains(r.body, "a condition of this route does not hold") {
		t.Errorf("the client is told %s", r.body)
	}
}

const conditions = `    routes:
      - {name: near, path: /near, when: "cidr('192.0.2.0/24').containsIP(request.source)"}
      - name: whole
        path: /whole
        when: |
          token.issuer_name == 'a' && token.issuer == claims.iss && token.subject == 'user-1' && token.subject_type == 'user' &&
            token.client_id == 'shop' && token.id != '' && 'read' in token.scopes && token.audience == ['https://rs.example.com'] &&
            token.binding == [] && token.acr == 'gold' && 'otp' in token.amr && !has(token.not_before)
      - {name: proved, path: /proved, when: "'dpop' in token.binding"}
      - {name: young, path: /young, when: "now - token.issued_at < duration('5m') && token.expires_at > now && now - token.auth_time <= duration('10m')"}
      - {name: passed, path: /passed, when: "now < timestamp('2020-01-01T00:00:00Z')"}
      - {name: folder, path: "/f/{folder}/**", allow: [encoded_slash], when: path.folder == claims.folder}
      - {name: target, path: "/target/**", when: "request.host == 'api.example.com' && request.path == '/target/caf\u00e9'"}
      - {name: dear, path: /dear, when: "!claims.a.exists(x, x in claims.b)"}
      - {name: many, path: /many, when: "claims.n.all(x, x != 2)"}
`

// TestWhenNames: what an expression can name is what the request and the token
// say, and what is not there is no.
func TestWhenNames(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, text, "    routes:\n", conditions) + "trusted_proxies: [127.0.0.1]\n"
	})
	f.untilReady()
	now := time.Now().Unix()
	login := changes{"acr": "gold", "amr": []string{"pwd", "otp"}, "scope": "write read", "client_id": "shop", "sub": "user-1"}
	young := changes{"iat": now - 60, "auth_time": now - 300, "exp": now + 300}
	acme := changes{"folder": "acme"}
	const api = "api.example.com"
	for _, row := range []struct {
		name, host, path string
		header           []string
		claims           changes
		holds            bool
		logged           string
	}{
		{"told by a trusted proxy", api, "/near", []string{"X-Forwarded-For", "192.0.2.7"}, nil, true, ""},
		{"from elsewhere", api, "/near", []string{"X-Forwarded-For", "198.51.100.1"}, nil, false, ""},
		{"told by a client", api, "/near", []string{"X-Forwarded-For", "192.0.2.7, 198.51.100.1"}, nil, false, ""},
		{"from where the proxy cannot tell", api, "/near", []string{"X-Forwarded-For", "unknown"}, nil, false, ""},

		{"all of the token", api, "/whole", nil, login, true, ""},
		{"another subject", api, "/whole", nil, with(login, changes{"sub": "user-2"}), false, ""},
		{"a client for itself", api, "/whole", nil, with(login, changes{"sub": "shop"}), false, ""},
		{"another client", api, "/whole", nil, with(login, changes{"client_id": "other"}), false, ""},
		{"another scope", api, "/whole", nil, with(login, changes{"scope": "reader"}), false, ""},
		{"another audience beside", api, "/whole", nil, with(login, changes{"aud": []string{testIdentifier, "https://other.example.com"}}), false, ""},
		{"no class", api, "/whole", nil, with(login, changes{"acr": nil}), false, "something is absent"},
		{"a class that is no text", api, "/whole", nil, with(login, changes{"acr": 1}), false, "something is absent"},
		{"another method", api, "/whole", nil, with(login, changes{"amr": []string{"pwd"}}), false, ""},
		{"a beginning", api, "/whole", nil, with(login, changes{"nbf": now - 60}), false, ""},
		{"a bearer token", api, "/proved", nil, login, false, ""},

		{"young", api, "/young", nil, young, true, ""},
		{"old", api, "/young", nil, with(young, changes{"iat": now - 301}), false, ""},
		{"a login of before", api, "/young", nil, with(young, changes{"auth_time": now - 601}), false, ""},
		{"no login", api, "/young", nil, with(young, changes{"auth_time": nil}), false, "something is absent"},
		{"too late", api, "/passed", nil, young, false, ""},

		{"its segment", api, "/f/acme/x", nil, acme, true, ""},
		{"its segment encoded", api, "/f/%61cme/x", nil, acme, true, ""},
		{"a slash behind it", api, "/f/acme/x%2fy", nil, acme, true, ""},
		{"another segment", api, "/f/initech/x", nil, acme, false, ""},
		{"a segment or two", api, "/f/acme%2fx/y", nil, acme, false, "something is absent"},
		{"whichever is meant", api, "/f/acme%2fx/y", nil, changes{"folder": "acme/x"}, false, "something is absent"},

		{"a path decoded", api, "/target/caf%C3%A9", nil, nil, true, ""},
		{"another host", "other.example.com", "/target/caf%C3%A9", nil, nil, false, ""},
		{"another path", api, "/target/cafe", nil, nil, false, ""},

		{"a few", api, "/dear", nil, changes{"a": []string{"x"}, "b": []string{"y"}}, true, ""},
		{"a few alike", api, "/dear", nil, changes{"a": []string{"x"}, "b": []string{"y", "x"}}, false, ""},
		{"hundreds", api, "/dear", nil, changes{"a": numbers(0, 400), "b": numbers(500, 900)}, false, "costs too much"},
		{"some more", api, "/many", nil, changes{"n": slices.Repeat([]int{1}, 500)}, true, ""},
		{"thousands", api, "/many", nil, changes{"n": slices.Repeat([]int{1}, 5000)}, false, "costs too much"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, raw := f.in(t), f.AT(row.claims)
			before := len(f.log.String())
			ask := func() *reply {
				return f.askedAt(row.host, "GET", row.path, append([]string{"Authorization", "Bearer " + raw}, row.header...)...)
			}
			if !row.holds {
				wantForbidden(t, f, ask)
			} else if r := ask(); r.StatusCode != 200 {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
			eventually(t, "the request is in the log: "+row.logged, func() bool {
				log := f.log.String()[before:]
				return strings.Contains(log, `"url.path"`) && row.holds != strings.Contains(log, `"when"`) && strings.Contains(log, row.logged)
			})
		})
	}
	wantForbidden(t, f, func() *reply {
		return f.do("GET", "/whole", "Authorization", "Bearer "+f.mint(f.b, devissuer.Token{Claims: login}))
	})
	key := newClientKey(t, "ES256")
	bound := f.bound(key, nil)
	if r := f.do("GET", "/proved", "Authorization", "DPoP "+bound, "DPoP", f.proof(key, bound, "GET", "/proved", devissuer.Proof{})); r.StatusCode != 200 {
		t.Errorf("with a proof: %d %s", r.StatusCode, r.body)
	}
}

// numbers are the texts of those from a to b.
func numbers(a, b int) (list []string) {
	for i := a; i < b; i++ {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

// TestWhenGuide: the file of the guide is good, and its mistake is told as shown.
func TestWhenGuide(t *testing.T) {
	text := contents(t, filepath.Join(repository, "docs", "guide", "when.md"))
	files := blocks(text, "yaml")
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	command(t, "check", "--strict", "--config", written(t, files[0])).want(t, exitOK, "no mistakes")
	bad := written(t, instead(t, files[0], "path.tenant}", "path.tenat}"))
	_, shown, _ := strings.Cut(text, "```\nconfig.yaml")
	shown, _, _ = strings.Cut(shown, "```")
	command(t, "check", "--config", bad).want(t, exitConfig, shown)
}
