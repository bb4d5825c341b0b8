package rivals

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

const origin = "https://rs.example.com"

// stage is an issuer and an upstream, between which peers are put.
type stage struct {
	minter *Minter
	place  Place

	mu   sync.Mutex // guards seen
	seen http.Header
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{}
	issuer, err := devissuer.Start(devissuer.Options{Audience: origin, Clients: []devissuer.Client{{ID: "rs", Secret: "secret-of-rs"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = r.Header
	}))
	t.Cleanup(upstream.Close)
	client, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	s.minter = &Minter{Issuer: issuer.Issuer, Client: client, Origin: origin}
	s.place = Place{
		Upstream: upstream.Listener.Addr().String(), Issuer: issuer.Identifier(), Audience: origin, Open: "/open",
		KeySet: issuer.JWKS(), JWKS: issuer.URL + "/jwks", Processors: 2, Clients: 8,
		Introspection: issuer.URL + "/introspect", ClientID: "rs", ClientSecret: "secret-of-rs",
	}
	return s
}

func (s *stage) start(t *testing.T, p Peer) *Running {
	t.Helper()
	in := s.place
	in.Dir = t.TempDir()
	r, err := p.Start(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.Log())
		}
	})
	return r
}

// TestPeers starts each peer, and holds what it must refuse: a damaged, an
// expired and a wrong-audience token, no token and no proof. What else it lets
// through is printed.
func TestPeers(t *testing.T) {
	s := newStage(t)
	for _, p := range Peers() {
		t.Run(p.Name, func(t *testing.T) {
			r := s.start(t, p)
			found, err := Try(t.Context(), r.Doors, s.minter)
			if err != nil {
				t.Error(err)
			}
			if len(found) != len(p.Kinds)-1 {
				t.Errorf("findings of %d doors, want of %d", len(found), len(p.Kinds)-1)
			}
			for _, f := range found {
				t.Log(f)
			}
			for _, kind := range p.Kinds {
				s.forwards(t, kind, r.Doors[kind])
			}
		})
	}
}

// forwards wants the upstream to get the subject and no token, and a request
// for what needs no token as it was sent.
func (s *stage) forwards(t *testing.T, kind Kind, address string) {
	t.Helper()
	var header http.Header
	for _, trial := range Trials() {
		if trial.Kind == kind && trial.Good && trial.Essential {
			header, _ = trial.make(s.minter)
		}
	}
	if kind != Unchecked {
		if passed, err := ask(t.Context(), http.DefaultClient, address, origin, header); err != nil || !passed {
			t.Fatalf("%s: a good request: let through is %t, %v", kind, passed, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.seen.Get("Authorization") != "" || s.seen.Get("DPoP") != "" {
			t.Errorf("%s: the upstream got the token or the proof", kind)
		}
		if !slices.ContainsFunc([]string{"X-Auth-Subject", "OAUTH2_CLAIM_sub", "OIDC_CLAIM_sub"}, func(name string) bool { return s.seen.Get(name) == "user-1" }) {
			t.Errorf("%s: the upstream got no subject: %v", kind, s.seen)
		}
		return
	}
	resp, err := http.Get("http://" + address + s.place.Open)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %v", kind, resp.StatusCode, err)
	}
}

// TestTryNotices sends the trials of each kind to a door that checks nothing.
func TestTryNotices(t *testing.T) {
	s := newStage(t)
	for _, p := range Peers() {
		if p.Name != "nginx" {
			continue
		}
		r := s.start(t, p)
		for _, kind := range []Kind{JWT, DPoP, Opaque} {
			if found, err := Try(t.Context(), map[Kind]string{kind: r.Doors[Unchecked]}, s.minter); err == nil {
				t.Errorf("%s: nothing is checked, and that was not noticed: %v", kind, found)
			}
		}
	}
}

func TestFindings(t *testing.T) {
	found := Findings{Kind: JWT}
	if got := found.String(); got != "jwt: every trial ends as it should" {
		t.Errorf("got %q", got)
	}
	found.note(Trial{Name: "no exp"}, true)
	found.note(Trial{Name: "nbf"}, false)
	found.note(Trial{Name: "aud as an array", Good: true}, false)
	found.note(Trial{Name: "a good token", Good: true}, true)
	if got, want := found.String(), "jwt: does not refuse: no exp; refuses though it is good: aud as an array"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMissing(t *testing.T) {
	p := Peer{Name: "none", Packages: []string{"no-such-package"}, program: "no-such-program", modules: []string{"no_such_module"}}
	_, err := p.Start(t.Context(), Place{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "apt-get install no-such-package") || !strings.Contains(err.Error(), "no_such_module") {
		t.Errorf("got %v, want what to install", err)
	}
}

func TestVersions(t *testing.T) {
	for _, p := range Peers() {
		if got, err := p.Versions(t.Context()); err != nil || strings.Count(got, ", ")+1 != len(p.Packages) {
			t.Errorf("%s: got %q, %v", p.Name, got, err)
		}
	}
}

// TestStartSaysWhy has a peer end at once: what it wrote is in the error, and no
// process stays.
func TestStartSaysWhy(t *testing.T) {
	p := Peers()[0]
	p.args = func(_, dir string) []string { return []string{"-f", dir + "/no-such-file"} }
	s := newStage(t)
	s.place.Dir = t.TempDir()
	if _, err := p.Start(t.Context(), s.place); err == nil || !strings.Contains(err.Error(), "no-such-file") {
		t.Errorf("got %v, want what haproxy says", err)
	}
}
