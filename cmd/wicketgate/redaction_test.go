package main

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// glimpse is how much of a secret may not be seen. Shorter secrets are looked
// for whole.
const glimpse = 16

// confided is everything that the tests of this process sent or set as a
// secret. Each fixture looks at its end for all of it in all that its gate
// said, whoever the secret was made for.
var confided secrets

// secrets finds any of many texts in another, in one walk over it.
type secrets struct {
	mu       sync.Mutex // guards all below
	windows  map[[glimpse]byte]bool
	literals map[string]bool
}

// add notes a token, proof, cookie, password or assertion: the beginning, the
// middle and the end of each part of it, as dots and spaces part it.
func (s *secrets) add(list ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.windows == nil {
		s.windows, s.literals = map[[glimpse]byte]bool{}, map[string]bool{}
	}
	for _, secret := range list {
		parts := strings.FieldsFunc(secret, func(r rune) bool { return !isSecretOctet(r) })
		if len(parts) == 1 && len(secret) < glimpse || len(parts) > 1 && len(secret) < 2*glimpse {
			if len(secret) >= glimpse/2 {
				s.literals[secret] = true
			}
			continue
		}
		for _, part := range parts {
			last := len(part) - glimpse
			if last < 0 || strings.Count(part, part[:1]) == len(part) { // one letter over and over is padding
				continue
			}
			for _, at := range [...]int{0, last / 2, last} {
				s.windows[[glimpse]byte([]byte(part[at:]))] = true
			}
		}
	}
}

// isSecretOctet knows base64, base64url and what is written with their letters.
func isSecretOctet(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '+' || r == '/'
}

// find returns the place of the first secret in a text, or -1. What looks like
// a JWT is one, also where nobody noted it.
func (s *secrets) find(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for literal := range s.literals {
		if at := strings.Index(text, literal); at >= 0 {
			return at
		}
	}
	run := 0 // how many octets that a secret may have end here
	for i := range len(text) {
		if run++; !isSecretOctet(rune(text[i])) {
			run = 0
		}
		if run < glimpse {
			continue
		}
		window := text[i+1-glimpse : i+1]
		if s.windows[[glimpse]byte([]byte(window))] || strings.HasPrefix(window, "eyJ") {
			return i + 1 - glimpse
		}
	}
	return -1
}

// wantConcealed fails the test when a secret of any test is in a text.
func wantConcealed(t testing.TB, where, text string) {
	t.Helper()
	if at := confided.find(text); at >= 0 {
		t.Errorf("a secret is in %s: …%s…", where, text[max(0, at-200):min(len(text), at+2*glimpse)])
	}
}

// wantConcealed looks at all that the gate wrote, and at what it shows on its
// admin listener.
func (f *fixture) wantConcealed() {
	f.t.Helper()
	for _, issuer := range []*devissuer.Running{f.a, f.b} {
		for _, question := range issuer.Questions() { // what the gate itself made
			confided.add(question.Header.Get("Authorization"), question.Form.Get("client_assertion"), question.Form.Get("client_secret"))
		}
	}
	wantConcealed(f.t, "the log", f.log.String())
	wantConcealed(f.t, "standard output", f.stdout.String())
	if _, err := os.Stat(f.decisions()); err == nil {
		wantDecisions(f.t, f.decisions())
	}
	for _, page := range []string{"/metrics", "/readyz?verbose", "/version", "/", "/debug/pprof/goroutine?debug=2"} {
		wantConcealed(f.t, page, f.elsewhere(http.MethodGet, page, fromHere).Body.String())
	}
}

// wantConcealed looks at what a client was answered by the gate itself, which
// must repeat nothing of the request.
func (r *reply) wantConcealed(t testing.TB, sent http.Header) {
	t.Helper()
	confided.add(sent.Get("Authorization"), sent.Get("DPoP"), sent.Get("Cookie"))
	if r.StatusCode < http.StatusBadRequest {
		return
	}
	wantConcealed(t, "an answer", r.body)
	for name, values := range r.Header {
		if name != "Dpop-Nonce" {
			wantConcealed(t, name+" of an answer", strings.Join(values, "\n"))
		}
	}
}

func TestSecretsAreFound(t *testing.T) {
	var s secrets
	if s.find("nothing is noted yet, eyJ is too short") >= 0 {
		t.Error("found what is not there")
	}
	signature := strings.Repeat("Sg", 20) + "0_9-" + strings.Repeat("Zz", 20)
	s.add("Cookie a="+strings.Repeat("a", 99), "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0AAAA."+signature, "p:w%d é1", "correct-horse-battery-staple", "x")
	for text, want := range map[string]bool{
		"level=debug token=" + signature:                  true,
		"cut short: " + signature[:glimpse+2] + "…":       true,
		"its middle: " + signature[34:52]:                 true,
		"its end: " + signature[len(signature)-glimpse:]:  true,
		"its end, cut: " + signature[len(signature)-8:]:   false,
		"password p:w%d é1 is wrong":                      true,
		"passphrase correct-horse-battery":                true,
		"/any/" + strings.Repeat("a", 99):                 false,
		"x marks the spot":                                false,
		"some JWT eyJ0eXAiOiJhdCtqd3Qi of another":        true,
		"a hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b": false,
	} {
		if got := s.find(text) >= 0; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
