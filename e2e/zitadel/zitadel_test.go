package zitadel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// settingsOf are the ways a user would name such a server: by the profile
// alone, and by its product.
var settingsOf = map[string]string{"profile": "profile: jwt", "provider": "provider: zitadel"}

func TestTokens(t *testing.T) {
	for name, settings := range settingsOf {
		t.Run(name, func(t *testing.T) {
			g := startGate(t, settings, "")
			machine := map[string]string{"X-Auth-Issuer": g.as.issuer, "X-Auth-Scope": "orders.read", "X-Auth-Subject-Type": "client"}
			for _, id := range []string{"jwt", "opaque"} {
				raw := g.as.token(id)
				machine["X-Auth-Subject"], machine["X-Auth-Client-Id"] = id, id
				g.passes(raw, machine)
				if r := g.send("/write", raw); r.StatusCode != http.StatusForbidden {
					t.Errorf("%s without the scope: %d", id, r.StatusCode)
				}
				g.refuses(g.as.token(id + "-ended"))
			}
			if n := g.as.questions(); n != 2 {
				t.Errorf("asked %d times, want once about each opaque token", n)
			}
			g.refuses("unknown")
		})
	}
}

func TestUsers(t *testing.T) {
	for name, settings := range settingsOf {
		t.Run(name, func(t *testing.T) {
			g := startGate(t, settings, "")
			for _, id := range []string{"app-jwt", "app-opaque"} {
				first := g.as.user(id)
				second := g.as.again(id, first)
				for _, got := range []tokens{first, second} {
					g.passes(got.Access, map[string]string{
						"X-Auth-Subject": "alice", "X-Auth-Subject-Type": "user", "X-Auth-Client-Id": id, "X-Auth-Scope": "openid offline_access orders.read",
					})
					g.refuses(got.ID)
					g.refuses(got.Refresh)
				}
			}
		})
	}
}

// TestProfile: the strict profile refuses these JWTs, whose typ does not tell
// that they are access tokens.
func TestProfile(t *testing.T) {
	g := startGate(t, "profile: rfc9068", "")
	g.refuses(g.as.token("jwt"))
	g.passes(g.as.token("opaque"), nil)
}

func TestRevoked(t *testing.T) {
	g := startGate(t, "profile: jwt", ", mode: both")
	for _, id := range []string{"jwt", "opaque"} {
		raw := g.as.token(id)
		g.passes(raw, nil)
		before := g.as.questions()
		g.as.revoke(id, raw)
		g.settles(raw, http.StatusUnauthorized, http.StatusOK)
		g.refuses(raw)
		if g.as.questions() == before {
			t.Error("it was refused without a question")
		}
	}
	user := g.as.user("app-jwt")
	g.refuses(user.ID)
	g.refuses(user.Refresh)
}

// TestSecret: what is wrong with our own credentials is no fault of the
// client's, and a new secret needs no restart.
func TestSecret(t *testing.T) {
	g := startGate(t, "profile: jwt", "")
	g.as.setSecret("gate", "another")
	g.undecided(g.as.token("opaque"))
	g.passes(g.as.token("jwt"), nil)
	g.write(g.secretFile, "another\n")
	g.settles(g.as.token("opaque"), http.StatusOK, http.StatusServiceUnavailable)
}

// TestAssertion: the gate proves who it is by a signature (RFC 7523), each good
// for one question.
func TestAssertion(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKey{Key: private, KeyID: "gate-1", Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gate.jwk")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateBy(t, "profile: jwt", `auth: private_key_jwt, key_file: "`+file+`"`)
	g.undecided(g.as.token("opaque"))
	g.as.know("gate", &jose.JSONWebKey{Key: private.Public(), KeyID: "gate-1"})
	first, second := g.as.token("opaque"), g.as.token("opaque")
	g.settles(first, http.StatusOK, http.StatusServiceUnavailable)
	g.passes(second, nil)
}

// TestLive: what check --live says of such a server.
func TestLive(t *testing.T) {
	g := startGate(t, "provider: zitadel", "")
	for _, c := range []struct{ secret, said string }{{secret, "answers gate about tokens"}, {"another", "status 401"}} {
		g.write(g.secretFile, c.secret)
		out, _ := exec.Command(program, "check", "--live", "--config", g.config).CombinedOutput()
		if !strings.Contains(string(out), c.said) || strings.Contains(string(out), c.secret) {
			t.Errorf("%q is not in, or the secret is in:\n%s", c.said, out)
		}
	}
}

// TestRotation: a new key signs and the old is withdrawn, while opaque tokens
// go on as before. Of a token made in the second of the last look at the keys
// nobody can tell whether its key was withdrawn or is yet to be published.
func TestRotation(t *testing.T) {
	g := startGate(t, "profile: jwt", "")
	old, opaque := g.as.token("jwt"), g.as.token("opaque")
	g.passes(old, nil)
	for range 3 {
		g.as.rotate()
		raw := g.as.token("jwt")
		g.settles(raw, http.StatusOK, http.StatusServiceUnavailable)
		g.settles(old, http.StatusUnauthorized, http.StatusServiceUnavailable)
		g.passes(opaque, nil)
		old = raw
	}
}

// TestStopped: without the server JWTs go on, opaque tokens wait, and all is
// well once it is back.
func TestStopped(t *testing.T) {
	g := startGate(t, "profile: jwt", "")
	jwt, opaque, another := g.as.token("jwt"), g.as.token("opaque"), g.as.token("opaque")
	g.passes(jwt, nil)
	g.passes(opaque, nil)
	g.as.stop()
	g.undecided(another)
	g.settles(opaque, http.StatusServiceUnavailable, http.StatusOK)
	for range 25 {
		g.undecided(opaque)
		g.passes(jwt, nil)
	}
	g.refuses(strings.TrimSuffix(jwt, jwt[len(jwt)-4:]) + "AAAA")
	g.as.start()
	g.settles(another, http.StatusOK, http.StatusServiceUnavailable)
	g.settles(opaque, http.StatusOK, http.StatusServiceUnavailable)
	g.refuses("unknown")
}
