package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// TestReportOnlyOfAnIssuer: what an issuer signed is let through, and its name in a
// token that somebody else made opens nothing.
func TestReportOnlyOfAnIssuer(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, `issuer: "%[3]s", refetch_interval: 1s}`, `issuer: "%[3]s", refetch_interval: 1s, report_only: true}`)
		return instead(t, text, "    routes:\n", "    routes:\n      - {name: strict, path: /strict, report_only: false}\n")
	})
	f.untilReady()
	forger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expired := map[string]any{"exp": 1000000000}
	const passes = http.StatusOK
	for name, c := range map[string]struct {
		path, raw string
		status    int
	}{
		"expired":                    {"/any/x", f.AT(expired), passes},
		"for another":                {"/any/x", f.AT(map[string]any{"aud": "https://other.example.com"}), passes},
		"of the wrong type":          {"/any/x", f.mint(f.a, devissuer.Token{Header: map[string]any{"typ": "JWT"}}), passes},
		"with a claim missing":       {"/any/x", f.AT(map[string]any{"jti": nil}), passes},
		"with a claim of no type":    {"/any/x", f.AT(map[string]any{"scope": 1}), passes},
		"without scope":              {"/read", f.AT(map[string]any{"scope": "profile"}), passes},
		"bound, without proof":       {"/any/x", f.bound(newClientKey(t, "ES256"), nil), passes},
		"too large to be told":       {"/read", f.AT(map[string]any{"email": strings.Repeat("a", 5<<10)}), passes},
		"expired, where it counts":   {"/strict", f.AT(expired), 401},
		"expired, no route":          {"/nowhere", f.AT(expired), 404},
		"of another issuer":          {"/any/x", f.mint(f.b, claiming(expired)), 401},
		"of nobody":                  {"/any/x", f.AT(map[string]any{"iss": "https://stranger.example.com"}), 401},
		"forged":                     {"/any/x", f.mint(f.a, devissuer.Token{Key: forger}), 401},
		"forged and expired":         {"/any/x", f.mint(f.a, devissuer.Token{Key: forger, Claims: expired}), 401},
		"forged for another":         {"/any/x", f.mint(f.a, devissuer.Token{Key: forger, Claims: map[string]any{"aud": "x"}}), 401},
		"forged, of the wrong type":  {"/any/x", f.mint(f.a, devissuer.Token{Key: forger, Header: map[string]any{"typ": "JWT"}}), 401},
		"of a key it never had":      {"/any/x", f.mint(f.a, devissuer.Token{Key: forger, Header: map[string]any{"kid": "other"}, Claims: expired}), 401},
		"signed with its public key": {"/any/x", f.mint(f.a, devissuer.Token{Alg: "HS256", Secret: []byte("public"), Claims: expired}), 401},
		"not signed":                 {"/any/x", f.mint(f.a, devissuer.Token{Alg: devissuer.None, Claims: expired}), 401},
		"no token":                   {"/any/x", "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			f, header := f.in(t), []string{}
			if c.raw != "" {
				header = []string{"Authorization", "Bearer " + c.raw}
			}
			before := f.upstream.count()
			r := f.do("GET", c.path, header...)
			if c.status != passes {
				f.wantRefusal(t, r, c.status, before)
				return
			}
			if r.StatusCode != passes || f.upstream.count() != before+1 || f.upstream.last().Header.Get("X-Auth-Issuer") != "" {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
	// Good tokens are told as ever.
	wantOK(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(nil)))
	wantSeen(t, f, "X-Auth-Issuer", f.a.Identifier())
}

// TestReportOnlyLeavesTheDoor: what is refused before a route is looked for, by an
// origin or by a bound is refused. Who needs no token is no report.
func TestReportOnlyLeavesTheDoor(t *testing.T) {
	f := newFixture(t, reporting(t, denied(t), everywhere))
	f.untilReady()
	wsUpstream(f)
	at := "Bearer " + f.AT(nil)
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
	}{
		"path":      {"GET", "/a//b", "", nil, 400},
		"method":    {"TRACE", "/any/x", "", nil, 405},
		"fields":    {"GET", "/any/x", "", []string{"X-Large", strings.Repeat("a", 65<<10)}, 431},
		"origin":    {"GET", "/any/x", "", []string{"Authorization", at, "Origin", "https://other.example.com"}, 403},
		"body":      {"POST", "/small", "two", []string{"Authorization", at}, 413},
		"handshake": {"GET", "/ws", "", []string{"Authorization", at, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "x"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, f.url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+1 < len(c.header); i += 2 {
				req.Header[c.header[i]] = []string{c.header[i+1]}
			}
			before := f.upstream.count()
			f.wantRefusal(t, f.in(t).send(req), c.status, before)
		})
	}
	for _, path := range []string{"/open/x", "/maybe"} {
		wantOK(t, f.do("GET", path))
	}
	metrics := f.metrics()
	for series, want := range map[string]int{"wicketgate_would_refuse_total": 0, "wicketgate_refusals_total": 6} {
		if n := sumOf(metrics, series, `reason="`); n != want {
			t.Errorf("%s: %d, want %d", series, n, want)
		}
	}
	if !strings.Contains(metrics, `wicketgate_insecure_options{option="report_only"} 1`) || !strings.Contains(f.log.String(), `insecure options are in force","options":["report_only"]`) {
		t.Error("nobody is warned")
	}

	// A client learns its nonce without a challenge.
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	r := f.do("GET", "/nonce", "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, "GET", "/nonce", devissuer.Proof{}))
	if nonce := r.Header.Get("DPoP-Nonce"); r.StatusCode != http.StatusOK || nonce == "" {
		t.Errorf("%d, nonce %q", r.StatusCode, nonce)
	} else {
		wantOK(t, f.do("GET", "/nonce", "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, "GET", "/nonce", devissuer.Proof{Nonce: nonce})))
		wantSeen(t, f, "X-Auth-Binding", "dpop")
	}

	// A handshake that would be refused becomes a tunnel all the same, of nobody.
	client := f.shake(t, "/ws")
	if client.answer.StatusCode != http.StatusSwitchingProtocols || f.upstream.last().Header.Get("X-Auth-Subject") != "" {
		t.Errorf("handshake: %d", client.answer.StatusCode)
	}
	_ = client.Close()
}

// TestReportOnlyOutlastsOutages: that nobody can tell is no reason either.
func TestReportOnlyOutlastsOutages(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return everywhere(instead(t, text, "resources:\n", "  - {name: gone, issuer: \"https://gone.example.com\", jwks_uri: \"http://127.0.0.1:1/\"}\nresources:\n"))
	})
	r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(map[string]any{"iss": "https://gone.example.com"}))
	if r.StatusCode != http.StatusOK || r.Header.Get("Retry-After") != "" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if n := sumOf(f.metrics(), "wicketgate_would_refuse_total", `reason="`+string(token.ReasonKeysUnavailable)+`"`); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// TestReportOnlyShare: a share of what would be refused passes, and each credential
// stays on its side, also through a reload.
func TestReportOnlyShare(t *testing.T) {
	f := newFixture(t, func(text string) string { return text + "report_only: 50%%\n" })
	f.untilReady()
	passed := func(i int) bool {
		return f.do("GET", "/any/x", "Authorization", fmt.Sprintf("Bearer stranger-%d", i)).StatusCode == http.StatusOK
	}
	var before [64]bool
	n := 0
	for i := range before {
		if before[i] = passed(i); before[i] {
			n++
		}
	}
	if n == 0 || n == len(before) {
		t.Fatalf("%d of %d pass", n, len(before))
	}
	f.rewrite("report_only: 50%", "report_only: 75%")
	f.gateway.tryReload("test")
	more := 0
	for i := range before {
		now := passed(i)
		if now {
			more++
		}
		if before[i] && !now {
			t.Errorf("%d passed before a larger share, and does not now", i)
		}
	}
	if more <= n {
		t.Errorf("of %d pass %d, and then %d", len(before), n, more)
	}
}

// TestReportOnlyEnds: once a reload that enforces is answered, every request after it
// is refused, under load as well. Streams that began before it go on.
func TestReportOnlyEnds(t *testing.T) {
	f := newFixture(t, everywhere)
	f.untilReady()
	next := make(chan struct{})
	f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/any/events" {
			_, _ = io.WriteString(w, "upstream")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = io.WriteString(w, "data: two\n\n")
	})
	stream := f.listen(t, "/any/events", f.AT(map[string]any{"exp": 1000000000}))
	var enforced, stop atomic.Bool
	var clients sync.WaitGroup
	var let, refused atomic.Int64
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				after := enforced.Load() // before the request is sent
				resp, err := http.Get(f.url + "/any/x")
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				switch {
				case resp.StatusCode == http.StatusUnauthorized:
					refused.Add(1)
				case resp.StatusCode != http.StatusOK:
					t.Errorf("status %d", resp.StatusCode)
				case after:
					t.Error("let through after the reload was answered")
				default:
					let.Add(1)
				}
			}
		})
	}
	eventually(t, "requests let through", func() bool { return let.Load() > 20 || t.Failed() })
	if n := refused.Load(); n > 0 {
		t.Errorf("%d refused before the reload", n)
	}
	f.rewrite("report_only: true", "report_only: false")
	if r := f.ask("POST", "/-/reload"); r.StatusCode != http.StatusOK {
		t.Fatalf("reload: %d %s", r.StatusCode, r.body)
	}
	enforced.Store(true)
	eventually(t, "requests refused", func() bool { return refused.Load() > 20 || t.Failed() })
	stop.Store(true)
	clients.Wait()
	close(next)
	if rest, err := io.ReadAll(stream); err != nil || string(rest) != "data: two\n\n" {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

// TestReportOnlyTakesFormsApart: a token in a form goes no further either, where no
// route matches as well.
func TestReportOnlyTakesFormsApart(t *testing.T) {
	f := newFixture(t, reporting(t, denied(t), everywhere))
	f.untilReady()
	for _, path := range []string{"/any/x", "/nowhere"} {
		raw := f.AT(map[string]any{"exp": 1000000000})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+path, strings.NewReader("a=1&access_token="+raw+"&b=2"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		wantOK(t, f.send(req))
		f.upstream.mu.Lock()
		body := f.upstream.bodies[len(f.upstream.bodies)-1]
		f.upstream.mu.Unlock()
		if body != "a=1&b=2" {
			t.Errorf("%s: the upstream got another body", path)
		}
	}
}

// TestReportOnlyRefusesFormsUnread: nor does a form go on that may hold a token and
// could not be read.
func TestReportOnlyRefusesFormsUnread(t *testing.T) {
	f := newFixture(t, reporting(t, denied(t), everywhere))
	f.untilReady()
	text := "a=1&access_token=" + f.AT(nil)
	for name, body := range map[string]string{"beyond ASCII": text + "&name=\u00e9", "long": text + "&fill=" + strings.Repeat("a", 70<<10), "compressed": text} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/any/x", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		if name == "compressed" {
			req.Header.Set("Content-Encoding", "gzip")
		}
		before := f.upstream.count()
		if r := f.send(req); r.StatusCode != http.StatusUnauthorized || f.upstream.count() != before {
			t.Errorf("%s: %d, and the upstream was asked %d times", name, r.StatusCode, f.upstream.count()-before)
		}
	}
}
