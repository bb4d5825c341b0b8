package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// newCounting is a gate behind a proxy that tells who asks. A failure comes back in
// a second.
func newCounting(t *testing.T, verification string) *hostileLab {
	l := &hostileLab{key: newClientKey(t, "ES256"), fixture: newFixture(t, func(text string) string {
		return instead(t, text, "admin:", "trusted_proxies: [127.0.0.1]\nverification: {"+verification+"}\nadmin:")
	})}
	l.untilReady()
	good := l.AT(nil)
	l.header, l.claims = strings.Split(good, ".")[0], strings.Split(good, ".")[1]
	l.bound = l.fixture.bound(l.key, nil)
	return l
}

// from sends a token, or a token and a proof, as a client at address.
func (l *hostileLab) from(address, raw string) *reply {
	header := []string{"Authorization", "Bearer " + raw}
	if address != "" {
		header = append(header, "X-Forwarded-For", address)
	}
	return l.do("GET", "/any/x", header...)
}

// spend sends forged tokens from address until it is told that these were too many.
func (l *hostileLab) spend(t *testing.T, address string) *reply {
	t.Helper()
	for n := range 500 {
		r := l.from(address, l.forged("", ""))
		if r.StatusCode == 429 {
			if n < 20 {
				t.Errorf("too many after %d", n)
			}
			return r
		}
		if r.StatusCode != 401 {
			t.Fatalf("a forged token: %d %s", r.StatusCode, r.body)
		}
	}
	t.Fatal("500 forged tokens are not too many")
	return nil
}

// TestFailedVerifications: an address that sends tokens nobody signed is told so, and
// nobody else is.
func TestFailedVerifications(t *testing.T) {
	l := newCounting(t, "per_second: 1")
	const hostile = "203.0.113.66"
	known := l.AT(nil)
	if r := l.from(hostile, known); r.StatusCode != 200 {
		t.Fatalf("a good token: %d", r.StatusCode)
	}
	began := time.Now()
	r := l.spend(t, hostile)
	if got := r.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q", got)
	}
	if !strings.Contains(r.body, `"error":"too_many_requests"`) || r.Header["Www-Authenticate"] != nil || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", r.Header, r.body)
	}
	before := l.upstream.count()
	for range 3 { // one may have come back meanwhile, and be taken
		if r = l.from(hostile, l.forged("", "")); r.StatusCode == 429 {
			r = l.from(hostile, l.AT(map[string]any{"jti": time.Now().String()}))
		}
		if r.StatusCode == 429 {
			break
		}
	}
	if r.StatusCode != 429 {
		t.Errorf("a good token that nobody knows, among forged ones: %d", r.StatusCode)
	}
	if failed := l.sum("wicketgate_signature_checks_total", `result="fail"`); failed > 21+int(time.Since(began)/time.Second) {
		t.Errorf("%d forged signatures were checked", failed)
	}
	if l.upstream.count() > before+2 {
		t.Error("the upstream saw what was refused")
	}
	for what, c := range map[string]struct {
		address, raw string
		want         int
	}{
		"a known token":                {hostile, known, 200},
		"an expired one":               {hostile, l.AT(map[string]any{"exp": 1}), 401},
		"from another address":         {"203.0.113.67", l.AT(map[string]any{"jti": "b"}), 200},
		"with a foot in front":         {"203.0.113.66, 203.0.113.68", l.AT(map[string]any{"jti": "c"}), 200},
		"from where nobody was told":   {"", l.AT(map[string]any{"jti": "d"}), 200},
		"from a proxy, and no further": {"127.0.0.1", l.AT(map[string]any{"jti": "e"}), 200},
		"from who is not to be named":  {"unknown", l.AT(map[string]any{"jti": "f"}), 200},
	} {
		if r := l.from(c.address, c.raw); r.StatusCode != c.want {
			t.Errorf("%s: %d %s", what, r.StatusCode, r.body)
		}
	}
	eventually(t, "the budget comes back", func() bool { return l.from(hostile, l.AT(map[string]any{"jti": "g"})).StatusCode == 200 })
	if l.sum("wicketgate_refusals_total", `reason="failed_verifications"`) == 0 {
		t.Error("nothing is counted")
	}
}

// Where it is not known who asks, nobody pays for anybody.
func TestFailuresOfNobody(t *testing.T) {
	l := newCounting(t, "failures: 1, per_second: 1")
	for _, address := range []string{"", "127.0.0.1", "unknown", "_hidden"} {
		for range 5 {
			if r := l.from(address, l.forged("", "")); r.StatusCode != 401 {
				t.Errorf("from %q: %d", address, r.StatusCode)
			}
		}
	}
}

// Failures can be allowed without end.
func TestFailuresUnbounded(t *testing.T) {
	l := newCounting(t, "failures: 0")
	for range 30 {
		if r := l.from("203.0.113.66", l.forged("", "")); r.StatusCode != 401 {
			t.Fatalf("status %d", r.StatusCode)
		}
	}
}

// An IPv6 host has 64 bits of addresses to itself.
func TestFailuresOfANetwork(t *testing.T) {
	l := newCounting(t, "per_second: 1")
	l.spend(t, "2001:db8:0:1::1")
	denied := 0
	for range 3 {
		if l.from("2001:db8:0:1:ffff::2", l.forged("", "")).StatusCode == 429 {
			denied++
		}
	}
	if denied == 0 {
		t.Error("the same network starts anew")
	}
	if r := l.from("2001:db8:0:2::1", l.forged("", "")); r.StatusCode != 401 {
		t.Errorf("another network: %d", r.StatusCode)
	}
}

// Forged proofs count against their sender and the key they claim to be of, so that
// nobody can use up what another client of the same network has.
func TestFailedProofs(t *testing.T) {
	l := newCounting(t, "per_second: 1")
	w := l.dial()
	defer func() { _ = w.Close() }()
	const from = "X-Forwarded-For: 203.0.113.66"
	refused := 0
	for range 200 {
		if w.ask(t, l.signedAmiss(from)) == "429" {
			refused++
			break
		}
	}
	if refused == 0 {
		t.Fatal("200 forged proofs are not too many")
	}
	other := newClientKey(t, "ES256")
	raw := l.fixture.bound(other, nil)
	proof := l.proof(other, raw, "GET", "/dpop/x", devissuer.Proof{})
	if r := l.do("GET", "/dpop/x", "Authorization", "DPoP "+raw, "Dpop", proof, "X-Forwarded-For", "203.0.113.66"); r.StatusCode != 200 {
		t.Errorf("another client of the network: %d %s", r.StatusCode, r.body)
	}
	if got := w.ask(t, l.dpop(l.key, devissuer.Proof{}, "X-Forwarded-For: 203.0.113.67")); got != "200" {
		t.Errorf("the key from another address: %s", got)
	}
}
