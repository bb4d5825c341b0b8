package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// TestIntrospectionGuide: the files of the guide are good as they stand.
func TestIntrospectionGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/guide/introspection.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := newClientKey(t, "EdDSA")
	if err := key.Save(filepath.Join(dir, "gate.jwk")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "partner-secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "shared.key"), []byte(strings.Repeat("k", 44)), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	for _, block := range blocks {
		file, _, _ := strings.Cut(block, "```")
		path := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, "check", "--strict", "--config", path).want(t, 0, "no mistakes")
	}
	if len(blocks) != 3 {
		t.Errorf("%d files", len(blocks))
	}
}

// TestSeveralOpaqueIssuers: what begins like one issuer's is shown to that one,
// all else to the one without a prefix, and what one of them says is not asked
// again of the other.
func TestSeveralOpaqueIssuers(t *testing.T) {
	known := []devissuer.Client{{ID: "gate", Secret: gateSecret}}
	a := newAskingOf(t, devissuer.Options{Clients: known}, "prefix: a_, grace: 1m", func(text string) string {
		at := strings.Index(text, "client_secret_file:")
		file, _, _ := strings.Cut(text[at:], "}")
		return instead(t, text, "{name: b, ", "{name: b, introspection: {client_id: gate, "+file+"}, ")
	})
	a.b.Change(func(o *devissuer.Options) { o.Clients = known })
	opaque := func(issuer *devissuer.Running, prefix string) string {
		raw, err := issuer.Opaque(prefix, devissuer.Token{})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	want := func(ofA, ofB int) {
		t.Helper()
		if gotA, gotB := len(a.a.Questions()), len(a.b.Questions()); gotA != ofA || gotB != ofB {
			t.Errorf("asked %d and %d times, want %d and %d", gotA, gotB, ofA, ofB)
		}
	}
	a.passes(t, opaque(a.a, "a_"))
	wantSeen(t, a.fixture, "X-Auth-Issuer", a.a.Identifier())
	want(1, 0)
	a.passes(t, opaque(a.b, ""))
	wantSeen(t, a.fixture, "X-Auth-Issuer", a.b.Identifier())
	want(1, 1)
	a.repels(t, a.sendToken(opaque(a.b, "a_")), badToken, token.ReasonInactive)
	want(2, 1)
	a.repels(t, a.sendToken(opaque(a.a, "A_")), badToken, token.ReasonInactive)
	want(2, 2)
	a.a.Fail(devissuer.Fault{Path: "/introspect", Status: 500})
	a.undecided(t, opaque(a.a, "a_"))
	a.passes(t, opaque(a.b, ""))
	want(3, 3)
}
