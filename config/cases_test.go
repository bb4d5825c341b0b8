package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestCasesTake(t *testing.T) {
	c, err := ParseCases("a/cases.yaml", []byte(`defaults:
  claims: {sub: alice, scope: read, n: 1}
  headers: {accept: text/html, X-A: "1"}
  issuer: login
  now: 2026-01-31T12:00:00Z
cases:
  - name: short
    request: GET /orders/$1?x=${Y}
    claims: {scope: write, exp: -5m, groups: [ops, 2, true, null, 1.5], act: {sub: bob}, n: null, big: 12345678901234567890, at: 2026-01-01T00:00:00Z, hex: 0x10, yes: True}
    expect: allow
  - name: long
    request: {method: POST, url: "https://api.example.com/a", host: h, headers: {X-A: "2", x-b: "3"}, source: "203.0.113.9"}
    token_file: token
    resource: other
    now: 2026-02-01T00:00:00+02:00
    expect:
      decision: deny
      status: 401
      challenge: {scheme: Bearer, error: null, max_age: 300}
  - {name: bare, request: /x, expect: {headers: {X-Auth-Subject: null, X-Auth-Scope: "*"}}}
  - {name: none, request: {path: /x}, expect: {challenge: none}}
`))
	if err != nil {
		t.Fatal(err)
	}
	short, long, bare := c.Cases[0], c.Cases[1], c.Cases[2]
	if short.Request.Method != "GET" || short.Request.Target() != "/orders/$1?x=${Y}" || short.Expect.Decision != DecidedAllow || short.Line != 7 || short.Issuer != "login" {
		t.Errorf("got %+v", short)
	}
	for name, want := range map[string]string{
		"sub": `"alice"`, "scope": `"write"`, "exp": `"-5m"`, "groups": `["ops",2,true,null,1.5]`, "act": `{"sub":"bob"}`, "n": "null",
		"big": "12345678901234567890", "at": `"2026-01-01T00:00:00Z"`, "hex": "16", "yes": "true",
	} {
		if got := string(short.Claims[name]); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if h := long.Request.Headers; h["Accept"] != "text/html" || h["X-A"] != "2" || h["X-B"] != "3" || len(h) != 3 {
		t.Errorf("got %v", h)
	}
	if long.Claims != nil || long.TokenFile != "a/token" || !long.Now.Equal(time.Date(2026, 1, 31, 22, 0, 0, 0, time.UTC)) || long.Resource != "other" {
		t.Errorf("got %+v", long)
	}
	if p := long.Expect.Challenge.Parameters; !p["error"].Absent || p["max_age"].Text != "300" || p["scheme"].Text != "Bearer" {
		t.Errorf("got %v", p)
	}
	if bare.Request.Method != "GET" || !bare.Expect.Headers["X-Auth-Subject"].Absent || bare.Expect.Headers["X-Auth-Scope"].Text != "*" {
		t.Errorf("got %+v", bare)
	}
	if !c.Cases[3].Expect.Challenge.None || c.Cases[3].Request.Method != "GET" {
		t.Errorf("got %+v", c.Cases[3])
	}
}

// Each row is a case with one mistake in it.
func TestCasesMistakes(t *testing.T) {
	const ok = "request: /a, expect: allow"
	for _, row := range [][2]string{
		{"", "f.yaml: the file is empty"},
		{"cases: []", "f.yaml:1:1 cases: the list is empty (add to it, or leave the key out)"},
		{"cases: [{name: a, " + ok + "}]\n---\na: b", "f.yaml:2:1: a second document; the file is one document (remove what follows ---)"},
		{"defaults: {}", "f.yaml:1:1 cases: is missing"},
		{"case: [{name: a, " + ok + "}]", "f.yaml:1:1 case: unknown key (did you mean `cases`?)"},
		{"cases: [{" + ok + "}]", "f.yaml:1:9 cases[0].name: is missing"},
		{"cases: [{name: a, expect: allow}]", "f.yaml:1:9 cases[0].request: is missing"},
		{"cases: [{name: a, request: /a}]", "f.yaml:1:9 cases[0].expect: is missing"},
		{"cases: [{name: a, " + ok + ", clams: {}}]", "f.yaml:1:47 cases[0].clams: unknown key (did you mean `claims`?)"},
		{"cases: [{name: a, " + ok + "}, {name: a, " + ok + "}]", "f.yaml:1:55 cases[1].name: names another case too (the one in line 1)"},
		{"cases: [{name: a, name: b, " + ok + "}]", "f.yaml:1:19 cases[0].name: this key was given before (first in line 1)"},
		{"cases: [{name: a, request: [a], expect: allow}]", "f.yaml:1:19 cases[0].request: wants a request like GET /orders/1, or keys with values, got a list"},
		{"cases: [{name: a, request: GET orders, expect: allow}]", "f.yaml:1:28 cases[0].request.url: is no http or https URL and no path (a path begins with a slash)"},
		{"cases: [{name: a, request: {path: a}, expect: allow}]", "f.yaml:1:35 cases[0].request.path: must begin with a slash"},
		{"cases: [{name: a, request: {path: /a, url: 'https://a/'}, expect: allow}]", "f.yaml:1:35 cases[0].request.path: means nothing beside url (remove one of them)"},
		{"cases: [{name: a, request: {method: GET}, expect: allow}]", "f.yaml:1:19 cases[0].request: says no path (write it like GET /orders/1)"},
		{"cases: [{name: a, request: {path: /a, sorce: b}, expect: allow}]", "f.yaml:1:39 cases[0].request.sorce: unknown key (did you mean `source`?)"},
		{"cases: [{name: a, request: {path: /a, source: b}, expect: allow}]", "f.yaml:1:47 cases[0].request.source: is no IP address"},
		{"cases: [{name: a, request: {path: /a, headers: [b]}, expect: allow}]", "f.yaml:1:39 cases[0].request.headers: wants keys with values, got a list"},
		{"cases: [{name: a, request: null, expect: allow}]", "f.yaml:1:28 cases[0].request: no value (give one, or leave the key out for its default)"},
		{"cases: [{name: a, " + ok + ", claims: none}]", "f.yaml:1:55 cases[0].claims: wants claims by name, got text (write {} for a good token as it is; without claims the request has no token)"},
		{"cases: [{name: a, " + ok + ", claims: {a: .inf}}]", "f.yaml:1:59 cases[0].claims.a: is no number that JSON has"},
		{"cases: [{name: a, " + ok + ", claims: {a: 1, a: 2}}]", "f.yaml:1:62 cases[0].claims.a: this key was given before (first in line 1)"},
		{"cases: [{name: a, " + ok + ", claims: {a: &b [c]}}]", "f.yaml:1:59 cases[0].claims.a: anchors are not read here (remove &b)"},
		{"cases: [{name: a, " + ok + ", claims: {a: !!int 'b'}}]", "f.yaml:1:59 cases[0].claims.a: tags are not read here (remove !!int)"},
		{"cases: [{name: a, " + ok + ", claims: {}, token: b}]", "f.yaml:1:66 cases[0].token: is a second token (a request has claims, token or token_file)"},
		{"cases: [{name: a, " + ok + ", token: b, token_file: c}]", "f.yaml:1:69 cases[0].token_file: is a second token (a request has claims, token or token_file)"},
		{"cases: [{name: a, " + ok + ", binding: dpop}]", "f.yaml:1:56 cases[0].binding: means nothing without claims (it is about the token made of them; write claims: {} for a good one)"},
		{"cases: [{name: a, " + ok + ", revoked: true}]", "f.yaml:1:56 cases[0].revoked: means nothing without claims (it is about the token made of them; write claims: {} for a good one)"},
		{"cases: [{name: a, " + ok + ", issuer: b}]", "f.yaml:1:55 cases[0].issuer: means nothing without claims (it is about the token made of them; write claims: {} for a good one)"},
		{"cases: [{name: a, " + ok + ", claims: {}, binding: mlts}]", "f.yaml:1:68 cases[0].binding: \"mlts\" is not known here (did you mean `mtls`?)"},
		{"cases: [{name: a, " + ok + ", now: today}]", "f.yaml:1:52 cases[0].now: is no time (write it like 2026-01-31T12:00:00Z)"},
		{"cases: [{name: a, request: /a, expect: alow}]", "f.yaml:1:40 cases[0].expect: \"alow\" is not known here (did you mean `allow`?)"},
		{"cases: [{name: a, request: /a, expect: 403}]", "f.yaml:1:40 cases[0].expect: wants a decision like allow, or keys with values, got a number"},
		{"cases: [{name: a, request: /a, expect: {}}]", "f.yaml:1:32 cases[0].expect: expects nothing (name at least a decision)"},
		{"cases: [{name: a, request: /a, expect: {decision: no}}]", "f.yaml:1:51 cases[0].expect.decision: \"no\" is not known here (known here: allow, anonymous, deny, fail, answer)"},
		{"cases: [{name: a, request: /a, expect: {reason: scpe}}]", "f.yaml:1:49 cases[0].expect.reason: \"scpe\" is none that a check gives (did you mean `scope`?)"},
		{"cases: [{name: a, request: /a, expect: {reason: insufficient_scope}}]", "f.yaml:1:49 cases[0].expect.reason: \"insufficient_scope\" is none that a check gives (what the client is told is error)"},
		{"cases: [{name: a, request: /a, expect: {decision: allow, reason: scope}}]", "f.yaml:1:66 cases[0].expect.reason: means nothing with decision: allow (the gate refuses nothing then)"},
		{"cases: [{name: a, request: /a, expect: {decision: allow, status: 200}}]", "f.yaml:1:66 cases[0].expect.status: means nothing with decision: allow (the gate refuses nothing then)"},
		{"cases: [{name: a, request: /a, expect: {decision: anonymous, challenge: b}}]", "f.yaml:1:73 cases[0].expect.challenge: means nothing with decision: anonymous (the gate refuses nothing then)"},
		{"cases: [{name: a, request: /a, expect: {decision: allow, error: b}}]", "f.yaml:1:65 cases[0].expect.error: means nothing with decision: allow (the gate refuses nothing then)"},
		{"cases: [{name: a, request: /a, expect: {status: 99}}]", "f.yaml:1:49 cases[0].expect.status: must be at least 100"},
		{"cases: [{name: a, request: /a, expect: {status: '403'}}]", "f.yaml:1:49 cases[0].expect.status: wants a whole number, got text (write decimal digits only)"},
		{"cases: [{name: a, request: /a, expect: {decision: deny, headers: {A: b}}}]", "f.yaml:1:57 cases[0].expect.headers: means nothing where the request is not forwarded"},
		{"cases: [{name: a, request: /a, expect: {status: 403, upstream: /b}}]", "f.yaml:1:64 cases[0].expect.upstream: means nothing where the request is not forwarded"},
		{"cases: [{name: a, request: /a, expect: {headers: {A: [b]}}}]", "f.yaml:1:51 cases[0].expect.headers.A: wants text, * for any or null for none, got a list"},
		{"cases: [{name: a, request: /a, expect: {challenge: [b]}}]", "f.yaml:1:41 cases[0].expect.challenge: wants text, parameters or none, got a list"},
	} {
		_, err := ParseCases("f.yaml", []byte(row[0]))
		if err == nil {
			t.Errorf("%s: passes", row[0])
		} else if first, _, _ := strings.Cut(err.Error(), "\n"); first != row[1] {
			t.Errorf("%s:\n got %s\nwant %s", row[0], first, row[1])
		}
	}
}

// Names in cases are held against those of the configuration.
func TestCasesFit(t *testing.T) {
	one, err := Parse("config.yaml", []byte("version: 1\nissuers: [{name: login, issuer: 'https://login.example.com/'}]\nresources:\n"+
		"  - {name: shop, identifier: 'https://api.example.com', upstream: 'http://127.0.0.1:1', routes: [{name: orders, path: /orders}]}\n"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Parse("config.yaml", []byte("version: 1\nissuers: [{name: login, issuer: 'https://login.example.com/'}, {issuer: 'https://other.example.com/'}]\nresources:\n"+
		"  - {name: shop, identifier: 'https://api.example.com', upstream: 'http://127.0.0.1:1'}\n"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		file       *File
		text, want string
	}{
		{one, "cases: [{name: a, request: /a, expect: {route: orders}, resource: shop, issuer: login, claims: {}}, {name: b, request: /a, expect: {route: none}}]", ""},
		{two, "cases: [{name: a, request: /a, expect: {route: default}, claims: {}, issuer: other.example.com}]", ""},
		{one, "cases: [{name: a, request: /a, expect: {route: order}}]", "f.yaml:1:48 cases[0].expect.route: the configuration has no route \"order\" (did you mean `orders`?)"},
		{one, "cases: [{name: a, request: /a, expect: allow, resource: shp}]", "f.yaml:1:57 cases[0].resource: the configuration has no resource \"shp\" (did you mean `shop`?)"},
		{one, "cases: [{name: a, request: /a, expect: allow, claims: {}, issuer: logn}]", "f.yaml:1:67 cases[0].issuer: the configuration has no issuer \"logn\" (did you mean `login`?)"},
		{one, "defaults: {issuer: logn}\ncases: [{name: a, request: /a, expect: allow}]", "f.yaml:1:20 defaults.issuer: the configuration has no issuer \"logn\" (did you mean `login`?)"},
		{one, "defaults: {resource: b}\ncases: [{name: a, request: /a, expect: allow}]", "f.yaml:1:22 defaults.resource: the configuration has no resource \"b\" (known here: shop)"},
		{two, "cases: [{name: a, request: /a, expect: allow, claims: {}}]", "f.yaml:1:47 cases[0].claims: does not say whose token it is (name one of the issuers: login, other.example.com)"},
	} {
		c, err := ParseCases("f.yaml", []byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := c.Fits(row.file); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.text, got, row.want)
		}
	}
}

func noEnv(string) (string, bool) { return "", false }

// A copy for where a gate does not run names nothing that is only there.
func TestOfflineNamesNoFile(t *testing.T) {
	f, err := Parse("/etc/config.yaml", []byte(`version: 1
cache_dir: copies
dpop: {nonce_secret_file: nonce, replay: {store: redis, redis: {addresses: ["r:1"], password_file: pw}}}
revocation: {file: denied, redis: {addresses: ["r:1"], password_file: pw}}
issuers:
  - issuer: https://login.example.com/
    ca_file: ca
    jwks_file: keys
    introspection: {client_id: gate, client_secret_file: secret, shared: {key_file: k, redis: {addresses: ["r:1"]}}}
resources: [{identifier: 'https://api.example.com', upstream: 'http://127.0.0.1:1'}]
`), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	c := f.Offline()
	if c.Revocation.Redis.On() || c.Revocation.File != "/etc/denied" || c.DPoP.Replay.Redis.On() || c.CacheDir != "" || c.DPoP.NonceSecretFile != "" ||
		c.Issuers[0].CAFile != "" || c.Issuers[0].Introspection.Shared.On() || c.Issuers[0].JWKSFile == "" || f.Issuers[0].CAFile == "" {
		t.Errorf("got %+v", c)
	}
}

// Whatever is read, each mistake has its place, and what passes can be written as
// claims of a token.
func FuzzParseCases(f *testing.F) {
	for _, text := range []string{
		"cases: [{name: a, request: GET /a, claims: {a: [1, {b: null}], c: 0x10, d: 1e400}, expect: allow}]",
		"defaults: {claims: {a: b}, headers: {a: b}, now: 2026-01-31T12:00:00Z}\ncases:\n  - name: a\n    request: {url: 'https://a/', headers: {b: c}}\n    expect: {headers: {X: null}, challenge: {a: '*'}}\n",
		"cases: [{name: a, request: /a, token: b, binding: dpop, expect: {reason: scope, status: 403}}]", "cases: {}", "a: &b [*b]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCases("f.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Fatal(err)
			}
			return
		}
		for _, one := range c.Cases {
			for name, value := range one.Claims {
				if !json.Valid(value) {
					t.Fatalf("%s is %s", name, value)
				}
			}
			if one.Line < 1 || one.Name == "" || one.Request.Target() == "" {
				t.Fatalf("got %+v", one)
			}
		}
	})
}
