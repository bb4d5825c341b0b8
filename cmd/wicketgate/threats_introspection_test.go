package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// TestThreatsIntrospection runs the attacks on tokens that their issuer is
// asked about, each under its name in the list of threats. Where a row of the
// conformance list tries the same, it is that row; what takes time is tried
// again by the clock of package introspect.
func TestThreatsIntrospection(t *testing.T) {
	for _, threat := range []conformanceRow{
		{"I-01", threatI01}, {"I-02", threatI02}, {"I-03", threatI03}, {"I-04", threatI04}, {"I-05", threatI05}, {"I-06", threatI06}, {"I-07", threatI07},
		{"I-08", rowDPOP51}, {"I-09", threatI09}, {"I-10", threatI10}, {"I-11", threatI11}, {"I-12", threatI12}, {"I-13", threatI13}, {"I-14", threatI14},
		{"I-15", threatI15}, {"I-16", rowINTR11}, {"I-17", threatI17}, {"I-18", threatI18}, {"I-19", threatI19}, {"I-20", threatI20},
	} {
		t.Run(threat.id, threat.run)
	}
}

func threatI01(t *testing.T) {
	rowINTR03(t)
	a := newAsking(t, "")
	for _, body := range []string{`{"active":true,"active":true}`, `{"active":false,"active":true}`, `{"active":true,"\u0061ctive":false}`} {
		a.undecided(t, a.said(body))
	}
}

func threatI02(t *testing.T) {
	withoutAnswer(t, "HTML", "204", "301", "302", "307", "empty object", "oversize", "deep", "media type")
}

func threatI03(t *testing.T) {
	a := newAsking(t, "")
	a.write("secret", "wrong")
	a.gateway.tryReload("test")
	raw := a.opaque(nil)
	a.undecided(t, raw)
	a.undecided(t, raw)
	a.wantQuestions(t, 0, 1)
	if a.count(`introspection_requests_total{issuer="a",result="denied"}`) != "1" || a.count(`introspection_paused{issuer="a"}`) != "1" {
		t.Error("nobody is told that our credentials are refused")
	}
}

// threatI04 has the issuer ask for 7 s and for an hour.
func threatI04(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		for said, held := range map[string]string{"7": "7", "3600": "30"} {
			a := newAsking(t, "")
			a.a.Fail(devissuer.Fault{Path: "/introspect", Status: status, Header: http.Header{"Retry-After": {said}}})
			if r := a.undecided(t, a.opaque(nil)); r.Header.Get("Retry-After") != held {
				t.Errorf("%d, Retry-After %s: the client is told %s", status, said, r.Header.Get("Retry-After"))
			}
			a.a.Heal()
			a.undecided(t, a.opaque(nil)) // until then nobody asks
			a.wantQuestions(t, 0, 1)
			a.passes(t, a.AT(nil))
		}
	}
}

func threatI05(t *testing.T) {
	withoutAnswer(t, "500", "never", "reset", "drop by drop", "cut")
}

func threatI06(t *testing.T) {
	a := newAsking(t, "")
	a.refuses(t, token.ReasonExpired, map[string]string{"past": a.answering(changes{"exp": time.Now().Unix() - 31})})
	a.refuses(t, token.ReasonClaim, map[string]string{"text": a.answering(changes{"exp": "9999999999"})})
	raw, before := a.answering(nil), a.questions()
	a.passes(t, raw)
	a.a.Say(raw, []byte(`{"active":false}`))
	a.passes(t, raw)
	a.wantQuestions(t, before, 1)
	brief := newAsking(t, "cache: 1s")
	raw = brief.answering(nil)
	brief.passes(t, raw)
	brief.a.Say(raw, []byte(`{"active":false}`))
	brief.ends(t, raw)
}

// ends sends a token until it is refused; until then it may pass.
func (a *introspecting) ends(t *testing.T, raw string) {
	t.Helper()
	eventually(t, "a refusal", func() bool {
		r := a.sendToken(raw)
		if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusUnauthorized {
			t.Fatalf("status %d", r.StatusCode)
		}
		return r.StatusCode == http.StatusUnauthorized
	})
}

func threatI07(t *testing.T) {
	rowINTR04(t)
	a := newAsking(t, "")
	a.refuses(t, token.ReasonConfirmation, map[string]string{
		"text": a.answering(changes{"cnf": "x"}), "list": a.answering(changes{"cnf": []string{"x"}}), "empty": a.answering(changes{"cnf": changes{}}),
		"number": a.answering(changes{"cnf": changes{"jkt": 1}}), "unknown": a.answering(changes{"cnf": changes{"kid": "x"}}),
	})
	a.refuses(t, token.ReasonKind, map[string]string{"type": a.answering(changes{"token_type": 1}), "other type": a.answering(changes{"token_type": "mac"})})
}

// threatI09 shows one token to two issuers, one after the other: each answer
// counts where it was given.
func threatI09(t *testing.T) {
	a := newAsking(t, "")
	a.b.Change(func(o *devissuer.Options) { o.Clients = []devissuer.Client{{ID: "gate", Secret: gateSecret}} })
	raw := a.opaque(nil)
	a.passes(t, raw)
	text, err := os.ReadFile(a.gateway.path)
	if err != nil {
		t.Fatal(err)
	}
	a.overwrite(strings.NewReplacer("{name: a, ", "{name: b, ", "{name: b, ", "{name: a, ").Replace(
		strings.NewReplacer(a.a.Identifier(), a.b.Identifier(), a.b.Identifier(), a.a.Identifier()).Replace(string(text))))
	a.gateway.tryReload("test")
	a.wantReload("1")
	a.repels(t, a.sendToken(raw), badToken, token.ReasonInactive)
	if n := a.b.Hits("/introspect"); n != 1 {
		t.Errorf("the other issuer was asked %d times", n)
	}
	a.overwrite(string(text))
	a.gateway.tryReload("test")
	a.wantReload("1")
	a.passes(t, raw)
	a.wantQuestions(t, 0, 1)
}

func threatI10(t *testing.T) {
	a := newAsking(t, "")
	raw := a.opaque(nil)
	wantPassed(t, a.do("GET", "/read", "Authorization", "Bearer "+raw))
	before := a.upstream.count()
	a.wantError(t, a.do("GET", "/both", "Authorization", "Bearer "+raw), before, http.StatusForbidden, "Bearer", "insufficient_scope")
	a.wantQuestions(t, 0, 1)
}

func threatI11(t *testing.T) {
	a := newAsking(t, "cache: 1s")
	raw := a.opaque(nil)
	a.passes(t, raw)
	a.a.Revoke(raw)
	a.ends(t, raw)
	text := "version: 1\nissuers: [{issuer: https://as.example.com, introspection: {client_id: gate, client_secret_file: s, cache: 301s}}]\n" +
		"resources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\n"
	if _, err := config.Parse("c.yaml", []byte(text), func(string) (string, bool) { return "", false }); err == nil || !strings.Contains(err.Error(), "at most 5m") {
		t.Errorf("a longer cache: %v", err)
	}
	rowINTR08(t)
}

func threatI12(t *testing.T) {
	a := newAsking(t, "timeout: 5s") // a busy machine takes long to send them all
	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	raw := a.opaque(nil)
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() { wantPassed(t, a.sendToken(raw)) })
	}
	misses := `introspection_cache_requests_total{issuer="a",result="miss"}`
	eventually(t, "all wait for one answer", func() bool { return a.count(misses) == "1000" })
	close(release)
	group.Wait()
	a.wantQuestions(t, 0, 1)
}

func threatI13(t *testing.T) {
	a := newAsking(t, "")
	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	var group sync.WaitGroup
	for i := range 150 {
		group.Go(func() {
			if r := a.sendToken("garbage-" + string(rune('a'+i%26)) + string(rune('a'+i/26))); r.StatusCode != 503 && r.StatusCode != 401 {
				t.Errorf("status %d", r.StatusCode)
			}
		})
	}
	busy := `introspection_requests_total{issuer="a",result="busy"}`
	eventually(t, "the others are told to come again", func() bool { return a.count(busy) == "86" })
	if n := a.questions(); n > 64 {
		t.Errorf("%d questions at once", n)
	}
	close(release)
	group.Wait()
}

func threatI14(t *testing.T) {
	a := newAsking(t, "")
	release := make(chan struct{})
	a.a.Fail(devissuer.Fault{Path: "/introspect", Until: release})
	raw := a.opaque(nil)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/any/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+raw)
	var first, group sync.WaitGroup
	first.Go(func() {
		if r, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = r.Body.Close()
			t.Error("who left was answered")
		}
	})
	eventually(t, "a question", func() bool { return a.questions() > 0 })
	group.Go(func() { wantPassed(t, a.sendToken(raw)) })
	leave()
	first.Wait()
	close(release)
	group.Wait()
	a.wantQuestions(t, 0, 1)
}

// threatI15 sends every character a token can have; others are in the secret of
// INTR-02, which goes through the same form.
func threatI15(t *testing.T) {
	a := newAsking(t, "auth: post")
	raw, err := a.a.Opaque("a+b/c~d.e_f-%26token=", devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	a.wantRefusal(t, a.sendToken(raw), http.StatusBadRequest, 0) // a percent sign is in no token
	if raw, err = a.a.Opaque("a+b/c~d.e_f-", devissuer.Token{}); err != nil {
		t.Fatal(err)
	}
	wantPassed(t, a.sendToken(raw))
	if q := a.a.Questions(); len(q) != 1 || len(q[0].Form["token"]) != 1 || q[0].Form.Get("token") != raw {
		t.Errorf("asked %v", q)
	}
}

func threatI17(t *testing.T) {
	a := newAsking(t, "")
	a.passes(t, a.answering(changes{"sub": "x\r\nX-Auth-Scope: admin"}))
	wantSeen(t, a.fixture, "X-Auth-Subject", "x%0D%0AX-Auth-Scope: admin")
	wantSeen(t, a.fixture, "X-Auth-Scope", "read")
	a.undecided(t, a.answering(changes{"sub": strings.Repeat("x", 1<<20)}))
	if r := a.sendToken(a.answering(changes{"sub": strings.Repeat("x", 5000)})); r.StatusCode != http.StatusRequestHeaderFieldsTooLarge || a.upstream.count() != a.reached {
		t.Errorf("a long subject: status %d", r.StatusCode)
	}
	a.moved(t, token.ReasonClaims)
	a.passes(t, a.answering(changes{"email": changes{"a": []any{"x\r\nX-Auth-Scope: admin", 1}}}))
	wantSeen(t, a.fixture, "X-Auth-Scope", "read")
	for name, values := range a.upstream.last().Header {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
			t.Errorf("%s has a line end", name)
		}
	}
	a.undecided(t, a.answering(changes{"x": json.RawMessage(strings.Repeat("[", 40) + strings.Repeat("]", 40))}))
}

// threatI18 opens the breaker by twenty failures. The first question after the
// pause finds the issuer back.
func threatI18(t *testing.T) {
	t.Parallel()
	a := newAsking(t, "")
	a.a.Fail(devissuer.Fault{Path: "/introspect", Status: 500})
	raw := a.opaque(nil)
	for range 25 {
		a.undecided(t, raw)
	}
	a.wantQuestions(t, 0, 20)
	a.a.Heal()
	eventually(t, "recovery", func() bool {
		r := a.sendToken(raw)
		if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d", r.StatusCode)
		}
		return r.StatusCode == http.StatusOK
	})
	a.wantQuestions(t, 0, 21)
	if a.count(`introspection_paused{issuer="a"}`) != "0" {
		t.Error("the breaker is still open")
	}
}

func threatI19(t *testing.T) {
	t.Run("wrong authority", func(t *testing.T) {
		a := newAskingByCertificate(t)
		raw := a.opaque(nil)
		a.rewrite(a.dir+"/issuer-ca.pem", caOfAnother(t))
		a.gateway.tryReload("test")
		a.wantReload("1")
		a.undecided(t, raw)
		a.wantQuestions(t, 0, 0)
	})
	hour := func(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Hour) }
	for name, test := range map[string]struct {
		from, to time.Time
		address  net.IP
		good     bool
	}{
		"good": {hour(-1), hour(1), net.IPv4(127, 0, 0, 1), true}, "expired": {hour(-2), hour(-1), net.IPv4(127, 0, 0, 1), false},
		"another's": {hour(-1), hour(1), net.IPv4(127, 0, 0, 2), false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			url, authority := startEndpoint(t, &x509.Certificate{NotBefore: test.from, NotAfter: test.to, IPAddresses: []net.IP{test.address}}, &asked)
			a := newAsking(t, `endpoint: "`+url+`"`)
			a.rewrite("{name: a, ", `{name: a, ca_file: "`+authority+`", `)
			a.gateway.tryReload("test")
			a.wantReload("1")
			if test.good {
				a.passes(t, a.opaque(nil))
			} else {
				a.undecided(t, a.opaque(nil))
			}
			if got := asked.Load() > 0; got != test.good {
				t.Errorf("asked %d times", asked.Load())
			}
			a.wantQuestions(t, 0, 0)
		})
	}
}

// startEndpoint says of every token that it is active, over TLS with a
// certificate that is its own authority, and returns where, and the file of that.
func startEndpoint(t *testing.T, template *x509.Certificate, asked *atomic.Int64) (url, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.IsCA, template.BasicConstraintsValid = big.NewInt(1), true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"active":true,"aud":"` + testIdentifier + `"}`))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, authority
}

// caOfAnother writes the certificate of somebody else and names the file.
func caOfAnother(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writePair(t, dir+"/ca.pem", dir+"/key.pem", 9)
	return dir + "/ca.pem"
}

func threatI20(t *testing.T) {
	a := newAsking(t, "")
	raw := a.opaque(nil)
	a.a.Change(func(o *devissuer.Options) { o.Clients = []devissuer.Client{{ID: "gate", Secret: "second"}} })
	a.undecided(t, raw)
	a.write("secret", "second")
	a.gateway.tryReload("test")
	a.passes(t, raw)
	a.repels(t, a.sendToken("unknown"), badToken, token.ReasonInactive)
}
