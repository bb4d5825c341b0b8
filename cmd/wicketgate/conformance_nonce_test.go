package main

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// nonceRows are the rows about nonces of the resource. DPOP-47, where they are
// off, is among proofRows.
var nonceRows = []conformanceRow{
	{"DPOP-31", rowDPOP31}, {"DPOP-41", rowDPOP41}, {"DPOP-42", rowDPOP42}, {"DPOP-43", rowDPOP43}, {"DPOP-44", rowDPOP44}, {"DPOP-45", rowDPOP45}, {"DPOP-46", rowDPOP46},
}

// The age is the longest, so that no span of time ends while a test runs.
const nonceMaxAge = 24 * time.Hour

func withNonces(text string) string {
	return strings.Replace(text, "\nresources:", "\ndpop: {nonce: required, nonce_max_age: 24h}\nresources:", 1)
}

// withSecret makes a file with a secret, and a configuration that names it.
func withSecret(t *testing.T, secret string) (path string, edit func(string) string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nonce.key")
	writeSecret(t, path, secret)
	return path, func(text string) string {
		return strings.Replace(withNonces(text), "nonce_max_age: 24h}", "nonce_max_age: 24h, nonce_secret_file: "+path+"}", 1)
	}
}

func writeSecret(t *testing.T, path, secret string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	oneSecret   = "a secret of thirty-two octets...\n"
	otherSecret = "another of thirty-two octets.....\r\n"
)

// newTwin starts a gate of another process that stands for the same resource:
// it takes the tokens of f's issuers.
func newTwin(f *fixture, edit func(string) string) *fixture {
	f.t.Helper()
	return newFixture(f.t, func(text string) string {
		return strings.NewReplacer("%[3]s", f.a.Identifier(), "%[4]s", f.b.Identifier()).Replace(edit(text))
	})
}

// newNonced is newBound where nonces are required.
func newNonced(t *testing.T) (f *fixture, key *devissuer.ClientKey, raw string) {
	t.Helper()
	f, key = newFixture(t, withNonces), newClientKey(t, "ES256")
	return f, key, f.bound(key, nil)
}

// nonceAt is the nonce that a gate gave out, or will, some time from now.
func (f *fixture) nonceAt(from time.Duration) string {
	return f.gateway.stores.nonces.At(time.Now().Add(from))
}

// wantNonceAsked wants the answer that asks for a nonce, and returns that.
func (f *fixture) wantNonceAsked(t *testing.T, r *reply, before int) string {
	t.Helper()
	f.wantError(t, r, before, http.StatusUnauthorized, "DPoP", "use_dpop_nonce")
	if !strings.Contains(r.body, `"error":"use_dpop_nonce"`) {
		t.Errorf("body %s", r.body)
	}
	return f.wantOneNonce(t, r)
}

// wantOneNonce wants exactly one nonce that a cache will not keep, and returns
// it.
func (f *fixture) wantOneNonce(t *testing.T, r *reply) string {
	t.Helper()
	lines := r.Header["Dpop-Nonce"]
	if len(lines) != 1 || lines[0] != f.nonceAt(0) {
		t.Errorf("DPoP-Nonce %q, want the one of now", lines)
		return ""
	}
	if got := r.Header["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("Cache-Control %q beside a nonce", got)
	}
	return lines[0]
}

func wantNoNonce(t *testing.T, r *reply) {
	t.Helper()
	if lines, found := r.Header["Dpop-Nonce"]; found {
		t.Errorf("%d: a nonce nobody needs: %q", r.StatusCode, lines)
	}
}

// C20: the proof that one replica took is good at no other, and the client is
// told how to make one that is.
func rowDPOP31(t *testing.T) {
	t.Run("instance", func(t *testing.T) {
		one, key, raw := newNonced(t)
		two := newTwin(one, withNonces)
		p := one.proof(key, raw, "GET", "/any/x", devissuer.Proof{Nonce: one.nonceAt(0)})
		wantPassed(t, one.sendProof(raw, p))
		fresh := two.wantNonceAsked(t, two.sendProof(raw, p), 0)
		one.wantBadProof(t, one.sendProof(raw, p), 1)
		wantPassed(t, two.sendBound(key, raw, devissuer.Proof{Nonce: fresh}))
	})
	t.Run("shared", func(t *testing.T) {
		_, edit := withSecret(t, oneSecret)
		one, key := newFixture(t, edit), newClientKey(t, "ES256")
		raw := one.bound(key, nil)
		two := newTwin(one, edit)
		wantPassed(t, two.sendBound(key, raw, devissuer.Proof{Nonce: one.nonceAt(0)}))
		wantPassed(t, one.sendBound(key, raw, devissuer.Proof{Nonce: two.nonceAt(0)}))
	})
}

func rowDPOP41(t *testing.T) {
	f, key, raw := newNonced(t)
	other := newTwin(f, withNonces)
	for name, p := range map[string]devissuer.Proof{
		"missing": {}, "wrong": {Nonce: "wrong"}, "old": {Nonce: f.nonceAt(-2 * nonceMaxAge)}, "future": {Nonce: f.nonceAt(2 * nonceMaxAge)},
		"foreign": {Nonce: other.nonceAt(0)}, "forged": {Nonce: strings.Repeat("A", 32)}, "long": {Nonce: strings.Repeat("A", 3000)},
		"number": {Claims: changes{"nonce": 1}}, "list": {Claims: changes{"nonce": []string{f.nonceAt(0)}}}, "stale and old": {Nonce: f.nonceAt(-2 * nonceMaxAge), IssuedAt: time.Now().Add(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.upstream.count()
			nonce := f.wantNonceAsked(t, f.sendBound(key, raw, p), before)
			r := f.sendBound(key, raw, devissuer.Proof{Nonce: nonce})
			wantPassed(t, r)
			wantNoNonce(t, r)
		})
	}
	// Asking for a nonce uses nothing up: the same jti is good with one.
	f.wantNonceAsked(t, f.sendBound(key, raw, devissuer.Proof{ID: "same"}), f.upstream.count())
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{ID: "same", Nonce: f.nonceAt(0)}))
	// A good nonce makes up for nothing else.
	before := f.upstream.count()
	f.wantBadProof(t, f.sendBound(key, raw, devissuer.Proof{Nonce: f.nonceAt(0), IssuedAt: time.Now().Add(-2 * time.Minute)}), before)
	if got := f.metric(`wicketgate_refusals_total{reason="dpop_nonce"}`); got != "11" {
		t.Errorf("%s refusals are counted", got)
	}
}

func rowDPOP42(t *testing.T) {
	f, key, raw := newNonced(t)
	used := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{Nonce: f.nonceAt(0)})
	wantPassed(t, f.sendProof(raw, used))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		send := func(proof ...string) *reply {
			header := []string{"Authorization", "DPoP " + raw}
			for _, p := range proof {
				header = append(header, "Dpop", p)
			}
			return do("GET", "/any/x", header...)
		}
		f.wantNonceAsked(t, send(f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})), 1)
		// Any other fault of the proof brings a nonce too, for the next one.
		for name, proofs := range map[string][]string{
			"none": nil, "garbage": {"x"}, "two": {used, used}, "used": {used}, "other path": {f.proof(key, raw, "GET", "/any/y", devissuer.Proof{Nonce: f.nonceAt(0)})},
			"stale": {f.proof(key, raw, "GET", "/any/x", devissuer.Proof{Nonce: f.nonceAt(0), IssuedAt: time.Now().Add(-time.Hour)})},
		} {
			t.Run(name, func(t *testing.T) {
				r := send(proofs...)
				f.wantBadProof(t, r, 1)
				f.wantOneNonce(t, r)
			})
		}
	})
	// What is not about a proof has nothing to do with nonces.
	for _, r := range []*reply{f.do("GET", "/any/x"), f.sendToken(f.AT(nil)), f.sendToken(raw), f.do("GET", "/none"), f.sendProof("x", used)} {
		wantNoNonce(t, r)
	}
}

func rowDPOP43(t *testing.T) {
	f, key, raw := newNonced(t)
	send := func(path, nonce string) *reply {
		return f.do("GET", path, "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", path, devissuer.Proof{Nonce: nonce}))
	}
	status := http.StatusOK
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("DPoP-Nonce", "hint")
		w.WriteHeader(http.StatusEarlyHints)
		h["Dpop-Nonce"] = []string{"upstream", "twice"}
		for _, name := range []string{"Cache-Control", "CDN-Cache-Control", "Surrogate-Control"} {
			h.Set(name, "max-age=60")
		}
		h.Set("Trailer", "DPoP-Nonce")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "upstream")
		h.Set("DPoP-Nonce", "trailer")
		h.Set(http.TrailerPrefix+"X-More", "more")
	})
	late := f.nonceAt(-nonceMaxAge)
	r := send("/any/x", late)
	wantPassed(t, r)
	f.wantOneNonce(t, r)
	if r.Header["Cdn-Cache-Control"] != nil || r.Header["Surrogate-Control"] != nil {
		t.Errorf("a cache is told otherwise: %v", r.Header)
	}
	if len(r.Trailer["Dpop-Nonce"]) != 0 || r.Trailer.Get("X-More") != "more" {
		t.Errorf("trailers %v", r.Trailer)
	}
	// A nonce that is not about to end brings none, and the upstream's caching stays.
	for name, r := range map[string]*reply{"current": send("/any/x", f.nonceAt(0)), "public": f.do("GET", "/open/x"), "bearer": f.sendToken(f.AT(nil))} {
		if wantNoNonce(t, r); r.StatusCode != http.StatusOK || r.Header.Get("Cache-Control") != "max-age=60" {
			t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
		}
	}
	// Refused after the proof was found good: the answer is ours.
	before := f.upstream.count()
	r = f.do("GET", "/read", "Authorization", "DPoP "+f.bound(key, changes{"scope": "other"}))
	f.wantOneNonce(t, r)
	narrow := f.bound(key, changes{"scope": "other"})
	r = f.do("GET", "/read", "Authorization", "DPoP "+narrow, "DPoP", f.proof(key, narrow, "GET", "/read", devissuer.Proof{Nonce: late}))
	f.wantError(t, r, before, http.StatusForbidden, "DPoP", "insufficient_scope")
	f.wantOneNonce(t, r)
	// An answer that is no success is the upstream's own, less its nonce.
	for _, status = range []int{http.StatusNotFound, http.StatusUnauthorized, http.StatusInternalServerError} {
		r := send("/any/x", late)
		if wantNoNonce(t, r); r.StatusCode != status || r.Header.Get("Cache-Control") != "max-age=60" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	}
	f.wantNoNonceInHints(t)
}

// wantNoNonceInHints looks at the answers of kind 1xx on a public route.
func (f *fixture) wantNoNonceInHints(t *testing.T) {
	t.Helper()
	hints := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		if hints++; h["Dpop-Nonce"] != nil {
			t.Errorf("a hint with %v", h)
		}
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, "GET", f.url+"/open/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantNoNonce(t, f.send(req))
	if hints != 1 {
		t.Errorf("%d hints", hints)
	}
}

func rowDPOP44(t *testing.T) {
	f, key, raw := newNonced(t)
	current, previous := f.nonceAt(0), f.nonceAt(-nonceMaxAge)
	for range 50 {
		wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Nonce: current}))
	}
	other := newClientKey(t, "EdDSA")
	wantPassed(t, f.sendBound(other, f.bound(other, nil), devissuer.Proof{Nonce: current}))
	r := f.sendBound(key, raw, devissuer.Proof{Nonce: previous})
	wantPassed(t, r)
	f.wantOneNonce(t, r)
}

func rowDPOP45(t *testing.T) {
	f, key, raw := newNonced(t)
	for _, path := range []string{"/any/x", "/read", "/dpop/x", "/maybe", "/both", "/ext/x"} {
		t.Run(path, func(t *testing.T) {
			send := func(p devissuer.Proof) *reply {
				return f.do("GET", path, "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", path, p))
			}
			before := f.upstream.count()
			r := send(devissuer.Proof{})
			if f.wantRefusal(t, r, http.StatusUnauthorized, before); !strings.Contains(r.challenge("DPoP"), `error="use_dpop_nonce"`) {
				t.Errorf("challenge %q", r.challenge("DPoP"))
			}
			f.wantOneNonce(t, r)
			send(devissuer.Proof{Nonce: f.nonceAt(-nonceMaxAge)}) // sends one ahead
			before = f.upstream.count()
			f.wantRefusal(t, send(devissuer.Proof{}), http.StatusUnauthorized, before)
		})
	}
	t.Run("no routes", func(t *testing.T) {
		f := newFixture(t, func(text string) string {
			head, rest, _ := strings.Cut(withNonces(text), "    routes:")
			_, tail, _ := strings.Cut(rest, "\nlog:")
			return head + "log:" + tail
		})
		key := newClientKey(t, "ES256")
		raw := f.bound(key, nil)
		nonce := f.wantNonceAsked(t, f.sendBound(key, raw, devissuer.Proof{}), 0)
		wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Nonce: nonce}))
	})
	t.Run("route by route", func(t *testing.T) {
		f := newFixture(t, func(text string) string {
			return strings.Replace(withNonces(text), "path: /any/**}", `path: /any/**, nonce: "off"}`, 1)
		})
		key := newClientKey(t, "ES256")
		raw := f.bound(key, nil)
		for _, nonce := range []string{"", "x", f.nonceAt(0), f.nonceAt(-nonceMaxAge)} {
			r := f.sendBound(key, raw, devissuer.Proof{Nonce: nonce})
			wantPassed(t, r)
			wantNoNonce(t, r) // a route that demands none hands none out
		}
		before := f.upstream.count()
		r := f.do("GET", "/ext/x", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/ext/x", devissuer.Proof{}))
		f.wantNonceAsked(t, r, before)
	})
}

func rowDPOP46(t *testing.T) {
	f, key, raw := newNonced(t)
	nonce := f.wantNonceAsked(t, f.sendBound(key, raw, devissuer.Proof{}), 0)
	if strings.Trim(nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(nonce) > 43 {
		t.Errorf("nonce %q", nonce)
	}
	for i := range nonce {
		flipped := []byte(nonce)
		flipped[i] ^= 1
		f.wantNonceAsked(t, f.sendBound(key, raw, devissuer.Proof{Claims: changes{"nonce": string(flipped)}}), 0)
	}
	nonces, now := f.gateway.stores.nonces, time.Now()
	if per := testing.AllocsPerRun(1_000_000, func() { _ = nonces.At(now) }); per > 1 {
		t.Errorf("%v allocations a nonce", per)
	}
	if held := f.gateway.stores.replays.Len(); held != 0 {
		t.Errorf("%d proofs are remembered that only asked for a nonce", held)
	}
	wantPassed(t, f.sendBound(key, raw, devissuer.Proof{Nonce: nonce}))
}
