package redis

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"

	"github.com/wicketgate/wicketgate/internal/process"
)

const threefold = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
issuers:
  - name: a
    issuer: "%[3]s"
    introspection: {client_id: gate, client_secret_file: "%[4]s/secret", timeout: 5s, shared: {key_file: "%[4]s/shared.key", redis: %[5]s}}
resources:
  - {identifier: ` + identifier + `, name: rs, behind_tls: true, upstream: "%[6]s"}
dpop: {replay: {store: redis, redis: %[5]s}}
revocation: {redis: %[5]s}
drain: {delay: 0s, timeout: 1s}
log: {access: "off"}
`

// documented are the rights for all three uses, as the guide has them.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "replicas.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`ACL SETUSER wicketgate on >PASSWORD (.*)`).FindAllSubmatch(text, -1)
	if len(lines) != 2 || string(lines[0][1]) != rights {
		t.Fatalf("the guide has %d lines, %q", len(lines), lines)
	}
	return strings.Fields(string(lines[1][1]))
}

// TestRights: one Redis for used proofs, answers and deny rules, with the rights
// that the guide lists for that, and no refusal by it.
func TestRights(t *testing.T) {
	s, path := newThreefold(t)
	s.redis.do(append([]string{"ACL", "SETUSER", user}, documented(t)...)...)
	s.useAll(t, path)
	if log := s.redis.do("ACL", "LOG"); log != "" {
		t.Errorf("refused by Redis:\n%s", log)
	}
}

// TestRightsAreNeeded: without any one of them Redis refuses something. One is
// for a connection that outlives the listening on it, which none does for sure.
func TestRightsAreNeeded(t *testing.T) {
	s, path := newThreefold(t)
	all := documented(t)
	ended := fmt.Sprintf(`{"iss":%q,"sub":"nobody","until":1}`, s.issuer.Identifier())
	for i, right := range all {
		if !strings.ContainsAny(right[:1], "+~&") || right == "+unsubscribe" {
			continue
		}
		s.redis.do(append([]string{"ACL", "SETUSER", user}, slices.Delete(slices.Clone(all), i, i+1)...)...)
		s.redis.do("CLIENT", "KILL", "USER", user)
		s.redis.do("ACL", "LOG", "RESET")
		until(t, "Redis refuses what needs "+right, func() bool {
			s.send(s.gates[0], s.proof())
			_ = s.get(s.gates[0].url+"/x", "Bearer "+s.opaque(), "")
			s.redis.do("HSET", "wicketgate:denied", "ended", ended) // a gate removes it
			if right == "+hsetnx" {
				s.redis.do("DEL", "wicketgate:denied") // a gate begins another one
			}
			s.redis.do("PUBLISH", "wicketgate:denied", "changed")
			if right == "+hset" || right == "+publish" {
				_ = exec.Command(program, "revoke", "--config", path, "--sub", "nobody", "--until", "1s").Run()
			}
			return s.redis.do("ACL", "LOG") != ""
		})
	}
}

// newThreefold is two gates that use one Redis for all there is.
func newThreefold(t *testing.T) (s *stand, path string) {
	t.Helper()
	s = &stand{t: t, redis: startServer(t), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(s.client.CloseIdleConnections)
	s.redis.do(append([]string{"ACL", "SETUSER", user}, documented(t)...)...)
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	var err error
	if s.issuer, err = devissuer.Start(devissuer.Options{Audience: identifier, Clients: []devissuer.Client{{ID: "gate", Secret: "s"}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.issuer.Close() })
	if s.key, err = devissuer.NewClientKey("ES256"); err != nil {
		t.Fatal(err)
	}
	s.bound = s.mint(map[string]any{"cnf": map[string]any{"jkt": s.key.Thumbprint()}})
	dir := t.TempDir()
	for name, text := range map[string]string{"password": secret, "secret": "s", "shared.key": strings.Repeat("k", 32)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block := fmt.Sprintf(`{addresses: ["%s"], username: %s, password_file: "%s/password", timeout: 1s}`, s.redis.address(), user, dir)
	for range 2 {
		listen, admin := process.Free(t), process.Free(t)
		text := fmt.Sprintf(threefold, listen, admin, s.issuer.Identifier(), dir, block, upstream.URL)
		path = process.Run(t, process.Options{Program: program, Dir: t.TempDir(), Config: text}).Config
		s.gates = append(s.gates, gate{"http://" + listen, "http://" + admin})
	}
	for _, g := range s.gates {
		until(t, "the gate is ready", func() bool { return s.get(g.admin+"/readyz", "", "") == http.StatusOK })
		until(t, "the gate takes proofs", func() bool { return s.send(g, s.proof()) == http.StatusOK })
	}
	return s, path
}

func (s *stand) opaque() string {
	raw, err := s.issuer.Opaque("", devissuer.Token{Claims: map[string]any{"sub": "alice"}})
	if err != nil {
		s.t.Error(err)
	}
	return raw
}

// useAll has both gates use Redis for everything, and sees that it serves.
func (s *stand) useAll(t *testing.T, path string) {
	t.Helper()
	one, other := s.gates[0], s.gates[1]
	proof := s.proof()
	if a, b := s.send(one, proof), s.send(other, proof); a != http.StatusOK || b != http.StatusUnauthorized {
		t.Errorf("one proof at both gates: %d and %d", a, b)
	}
	raw := s.opaque()
	if got := s.get(one.url+"/x", "Bearer "+raw, ""); got != http.StatusOK {
		t.Errorf("an opaque token: %d", got)
	}
	until(t, "the answer is in Redis", func() bool { return s.redis.do("KEYS", "wicketgate:introspection:*") != "" })
	if got, asked := s.get(other.url+"/x", "Bearer "+raw, ""), s.issuer.Hits("/introspect"); got != http.StatusOK || asked != 1 {
		t.Errorf("the same at the other gate: %d; the issuer was asked %d times", got, asked)
	}
	for _, arguments := range [][]string{
		{"check", "--live", "--config", path}, {"revoke", "--config", path, "--sub", "alice"}, {"revoke", "--config", path, "--list"},
	} {
		if out, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", arguments, err, out)
		}
	}
	for _, g := range s.gates {
		until(t, "the rule is in force", func() bool { return s.get(g.url+"/x", "Bearer "+raw, "") == http.StatusUnauthorized })
	}
	id := slices.DeleteFunc(strings.Fields(s.redis.do("HKEYS", "wicketgate:denied")), func(name string) bool { return name == "epoch" })[0]
	if out, err := exec.Command(program, "revoke", "--config", path, "--remove", id).CombinedOutput(); err != nil {
		t.Errorf("remove: %v\n%s", err, out)
	}
	for _, g := range s.gates {
		until(t, "the rule is gone", func() bool { return s.get(g.url+"/x", "Bearer "+raw, "") == http.StatusOK })
	}
}

// TestEvictionFails: check --live does not pass a server that may forget deny
// rules.
func TestEvictionFails(t *testing.T) {
	server := startServer(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	path := filepath.Join(t.TempDir(), "config.yaml")
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	text := fmt.Sprintf("version: 1\nissuers: [{issuer: %q}]\nresources: [{identifier: %s, behind_tls: true, upstream: %q}]\nrevocation: {redis: {addresses: [%q], timeout: 1s}}\n",
		issuer.Identifier(), identifier, upstream.URL, server.address())
	for policy, good := range map[string]bool{"allkeys-lru": false, "noeviction": true} {
		server.do("CONFIG", "SET", "maxmemory-policy", policy)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, "check", "--live", "--config", path).CombinedOutput()
		if (err == nil) != good || !good && !strings.Contains(string(out), "deny rules could be forgotten") {
			t.Errorf("%s: %v\n%s", policy, err, out)
		}
	}
}
