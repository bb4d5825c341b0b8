package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// replayCircumstances are routes that ask where, when and how a request comes.
const replayCircumstances = `    routes:
      - {name: near, path: /near, networks: [192.0.2.0/24, "2001:db8::/32"]}
      - {name: fresh, path: /fresh, max_token_age: 1h}
      - {name: tenant, path: "/t/{tenant}/**", when: claims.tenant == path.tenant || claims.level > 2}
      - {name: asked, path: /asked, when: "request.method == 'GET' && request.headers['x-zone'] == 'eu'"}
      - {name: whole, path: "/hosted/**"}
      - {name: part, path: "/hosted/**", hosts: ["*.shop.example.com"], scopes: [admin]}
      - {name: one, path: "/hosted/{id}", hosts: [b.shop.example.com], methods: [GET], clients: [partner]}
      - {name: free, path: /free, public: true}
`

// circumstancesToReplay sends one of each kind of request, and returns how many.
func (f *fixture) circumstancesToReplay() (sent int) {
	f.t.Helper()
	now := time.Now().Unix()
	for _, raw := range []string{
		"", f.AT(nil), f.AT(changes{"exp": 1000}), f.AT(changes{"iat": now - 7200}), f.AT(changes{"tenant": "acme", "iat": now - 600, "scope": "admin"}),
		f.AT(changes{"tenant": 7, "level": 3, "client_id": "partner"}), f.AT(changes{"level": "high", "department": "x"}),
	} {
		for _, at := range []struct {
			method, host, path, from, zone string
		}{
			{"GET", "api.example.com", "/near", "192.0.2.7", ""}, {"GET", "api.example.com", "/near", "198.51.100.7", ""},
			{"GET", "api.example.com", "/near", "2001:db8::7", ""}, {"GET", "api.example.com", "/near", "unknown", ""},
			{"GET", "api.example.com", "/fresh", "192.0.2.7", ""},
			{"GET", "api.example.com", "/t/acme/x", "192.0.2.7", ""}, {"GET", "api.example.com", "/t/initech/x", "198.51.100.7", ""},
			{"GET", "api.example.com", "/asked", "192.0.2.7", "eu"}, {"GET", "api.example.com", "/asked", "192.0.2.7", "us"},
			{"POST", "api.example.com", "/asked", "192.0.2.7", "eu"},
			{"GET", "api.example.com", "/hosted/1", "192.0.2.7", ""}, {"GET", "a.shop.example.com", "/hosted/1", "192.0.2.7", ""},
			{"GET", "B.shop.example.com", "/hosted/1", "192.0.2.7", ""}, {"POST", "b.shop.example.com", "/hosted/1", "192.0.2.7", ""},
			{"GET", "b.shop.example.com", "/hosted/1/2", "192.0.2.7", ""}, {"GET", "api.example.com", "/free", "192.0.2.7", ""},
		} {
			header := []string{"X-Forwarded-For", at.from}
			if raw != "" {
				header = append(header, "Authorization", "Bearer "+raw)
			}
			if at.zone != "" {
				header = append(header, "X-Zone", at.zone)
			}
			f.askedAt(at.host, at.method, at.path, header...)
			sent++
		}
	}
	return sent
}

// TestReplayForetellsCircumstances: as TestReplayForetellsTheGate, of networks,
// the age of tokens, conditions and hosts.
func TestReplayForetellsCircumstances(t *testing.T) {
	t.Parallel() // with other tests that wait for their gate
	f := newFixture(t, func(text string) string {
		text, _, _ = strings.Cut(instead(t, text, "    routes:\n", replayCircumstances), "      - {name: read, ")
		return text + "trusted_proxies: [127.0.0.1]\ndecision_log: {file: decisions.jsonl, headers: [x-zone]}\nlog: {level: debug, access: all}\ndrain: {delay: 0s, timeout: 1s}\n"
	})
	f.untilReady()
	before, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	n := f.circumstancesToReplay()
	f.decided(n)
	log := filepath.Join(t.TempDir(), "old.jsonl")
	if err := os.Rename(f.decisions(), log); err != nil {
		t.Fatal(err)
	}
	same := replayed(t, f.config, log)
	if same.Changed+same.Unread > 0 || same.Judged+same.Kept+same.Unjudged != n || same.Judged < n/2 {
		t.Errorf("under the same configuration: %+v, %d requests", same, n)
	}
	for _, c := range []policyChange{
		{"other networks", "networks: [192.0.2.0/24, \"2001:db8::/32\"]", "networks: [198.51.100.0/24]", 0},
		{"all networks", ", networks: [192.0.2.0/24, \"2001:db8::/32\"]", "", 0},
		{"new networks", "path: \"/hosted/**\"}", "path: \"/hosted/**\", networks: [198.51.100.0/24]}", 0},
		{"a longer age", "max_token_age: 1h", "max_token_age: 3h", 0},
		{"a shorter age", "max_token_age: 1h", "max_token_age: 5m", 0},
		{"a new age", "path: \"/hosted/**\"}", "path: \"/hosted/**\", max_token_age: 5m}", 0},
		{"another condition", "claims.level > 2", "claims.level > 3", 0},
		{"no condition", ", when: claims.tenant == path.tenant || claims.level > 2", "", 0},
		{"a condition about the rest", "claims.level > 2", "token.client_id == 'partner' || now - token.issued_at > duration('1h')", 0},
		{"a condition about the source", "claims.level > 2", "request.source.startsWith('198.') && request.path == '/t/initech/x'", 0},
		{"a condition about the field", "request.headers['x-zone'] == 'eu'", "request.headers['x-zone'] != 'eu'", 0},
		{"a condition about another claim", "claims.level > 2", "claims.department == 'x'", 4},
		{"a condition about another field", "request.headers['x-zone'] == 'eu'", "request.headers['x-other'] != 'eu'", 5},
		{"another host", "hosts: [b.shop.example.com]", "hosts: [a.shop.example.com]", 7},
		{"fewer hosts", "hosts: [\"*.shop.example.com\"]", "hosts: [a.shop.example.com]", 0},
		{"a host is public", "methods: [GET], clients: [partner]", "public: true", 0},
		{"public no more", ", public: true}", "}", 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := f.in(t)
			f.changed(string(before), c)
			f.circumstancesToReplay()
			f.wantForetold(log, f.decided(n), c.blind)
		})
	}
}
