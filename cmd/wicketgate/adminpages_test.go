package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// elsewhere asks as somebody on another machine, unless edit says otherwise.
func (f *fixture) elsewhere(method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr, req.Host = "192.0.2.1:4711", "10.0.0.7:8421"
	if edit != nil {
		edit(req)
	}
	w := httptest.NewRecorder()
	f.gateway.adminHandler().ServeHTTP(w, req)
	return w
}

// fromHere is a caller on this machine.
func fromHere(r *http.Request) { r.RemoteAddr, r.Host = "127.0.0.1:4711", "localhost:8421" }

func TestStatusPage(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "scopes: [write]}", "scopes: [write], acr: [gold], clients: ['<b>&'], binding: dpop, nonce: required}", 1)
	})
	f.untilReady()
	f.wantStatus("/read", http.StatusOK)
	for range 3 {
		f.do("GET", "/read")
	}
	page := f.ask("GET", "/")
	if page.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", page.StatusCode, page.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, part := range []string{
		"<h1>wicketgate " + version(), "Up for ", "<td>issuer a</td><td>ok (4 keys)</td>", "<td>" + f.a.Identifier() + "</td>", "<td>in ", "0 in flight",
		"<tr><td>missing</td><td>3</td><td>0s</td></tr>", "<tr><td>allowed</td><td>", "<h2>Resource rs</h2>", testIdentifier + " at upstream " + f.upstream.URL,
		"<td>write</td><td>POST</td><td>all</td><td>/write</td><td>a token: binding dpop, nonce, scopes write, client, acr</td>", "<td>nothing: public</td>", "<td>a good token, or none</td>", "1 put in force and 0 not",
	} {
		if !strings.Contains(page.body, part) {
			t.Errorf("%q is not on the page:\n%s", part, page.body)
		}
	}
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<form|<a |src=|href=|url\(|@import|<b>`).FindString(page.body); found != "" {
		t.Errorf("%s is on the page", found)
	}
	f.rewrite("scopes: [read]", "scpes: [read]")
	if r := f.ask("POST", "/-/reload"); r.StatusCode != http.StatusUnprocessableEntity {
		t.Fatalf("a bad file: %d", r.StatusCode)
	}
	if page := f.ask("GET", "/"); !strings.Contains(page.body, "The last attempt failed") || !strings.Contains(page.body, "1 put in force and 1 not") {
		t.Errorf("nothing is said of a bad file:\n%s", page.body)
	}
}

// TestStatusPageHash: the hash is that of what is in force, whatever is on disk when
// it comes into force.
func TestStatusPageHash(t *testing.T) {
	f := newFixture(t, nil)
	file, err := config.Load(f.config, nothing)
	if err != nil {
		t.Fatal(err)
	}
	read, err := config.Hash(f.config, file.Files())
	if err != nil {
		t.Fatal(err)
	}
	f.rewrite("version: 1", "version: 1 # newer")
	g, err := newGateway(f.gateway.app, f.config, file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.decisions.Close() }()
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	fromHere(r)
	if g.adminHandler().ServeHTTP(w, r); !strings.Contains(w.Body.String(), fmt.Sprintf("(SHA-256 %x)", read)) {
		t.Errorf("the page has not the hash of what was read:\n%s", w.Body)
	}
}

// TestStatusPageElsewhere: other machines are told no more than the metrics tell.
func TestStatusPageElsewhere(t *testing.T) {
	gone := startIssuer(t)
	_ = gone.Close()
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "issuer: \"%[4]s\"", fmt.Sprintf("issuer: %q, discovery_url: '%s/metadata?key=s3cr3t'", gone.Identifier(), gone.Identifier()), 1)
	})
	eventually(t, "both issuers tried", func() bool {
		said := f.ask("GET", "/readyz?verbose").body
		return strings.Contains(said, "issuer a: ok") && strings.Contains(said, "last error: ")
	})
	secret := []string{"/dpop/**", f.a.Identifier(), testIdentifier, f.upstream.URL, "scopes read", "SHA-256", "last error", gone.Identifier() + "/metadata?redacted"}
	for name, edit := range map[string]func(*http.Request){
		"another machine":   nil,
		"a page that links": func(r *http.Request) { fromHere(r); r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a rebound name":    func(r *http.Request) { fromHere(r); r.Host = "rebound.example.com:8421" },
	} {
		w := f.elsewhere("GET", "/", edit)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<td>issuer b</td><td class=no>not ready (0 keys)</td>") || !strings.Contains(w.Body.String(), "<td>dpop</td>") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		for _, part := range secret {
			if strings.Contains(w.Body.String(), part) {
				t.Errorf("%s is told %s", name, part)
			}
		}
	}
	here := f.elsewhere("GET", "/", fromHere).Body.String()
	for _, part := range secret {
		if !strings.Contains(here, part) {
			t.Errorf("this machine is not told %s", part)
		}
	}
	if all := here + f.ask("GET", "/readyz").body + f.log.String(); strings.Contains(all, "s3cr3t") {
		t.Error("the query of an address is told")
	}
}

// onlyHere is what only this machine may ask for.
var onlyHere = []struct{ method, path string }{
	{"POST", "/-/reload"}, {"GET", "/config"}, {"POST", "/explain"}, {"GET", "/debug/pprof/"}, {"GET", "/debug/pprof/heap"}, {"GET", "/debug/pprof/goroutine"},
}

// TestOnlyThisMachine also asks as pages in a browser on this machine do.
func TestOnlyThisMachine(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { fromHere(r); r.Header.Set(name, value) }
	}
	peer := func(address string) func(*http.Request) {
		return func(r *http.Request) { fromHere(r); r.RemoteAddr = address }
	}
	host := func(name string) func(*http.Request) {
		return func(r *http.Request) { fromHere(r); r.Host = name }
	}
	for name, edit := range map[string]func(*http.Request){
		"peer: another machine": peer("192.0.2.1:4711"), "peer: over IPv6": peer("[2001:db8::1]:4711"), "peer: nobody": peer(""), "peer: no address": peer("localhost:1"), "peer: the mesh": peer("127.0.0.6:4711"),
		"host: rebound": host("evil.example.com:8421"), "host: none": host(""), "host: ends alike": host("localhost.example.com"), "host: address": host("10.0.0.7:8421"),
		"origin: page": header("Origin", "https://evil.example.com"), "origin: another port": header("Origin", "http://localhost:3000"), "origin: none of its own": header("Origin", "null"),
		"fetch: cross-site": header("Sec-Fetch-Site", "cross-site"), "fetch: same-site": header("Sec-Fetch-Site", "same-site"),
		"proxy: X-Forwarded-For": header("X-Forwarded-For", "127.0.0.1"), "proxy: Forwarded": header("Forwarded", "for=127.0.0.1"), "proxy: Via": header("Via", "1.1 x"), "proxy: Envoy": header("X-Envoy-Attempt-Count", "1"),
		"proxy: X-Real-IP": header("X-Real-Ip", "127.0.0.1"), "proxy: X-Request-ID": header("X-Request-Id", "1"), "proxy: Linkerd": header("L5d-Client-Id", "x"),
		"proxy: HTTP/1.0": func(r *http.Request) { fromHere(r); r.Proto, r.ProtoMinor = "HTTP/1.0", 0 },
	} {
		for _, one := range onlyHere {
			w := f.elsewhere(one.method, one.path, edit)
			if w.Code != http.StatusForbidden || !strings.HasPrefix(w.Body.String(), "only from this machine") {
				t.Errorf("%s: %s %s: %d %s", name, one.method, one.path, w.Code, w.Body)
			}
		}
	}
	for name, edit := range map[string]func(*http.Request){
		"origin: page": header("Origin", "https://evil.example.com"), "origin: null": header("Origin", "null"), "origin: own": header("Origin", "http://localhost:8421"),
		"fetch: cross-site": header("Sec-Fetch-Site", "cross-site"), "fetch: typed": header("Sec-Fetch-Site", "none"), "fetch: own page": header("Sec-Fetch-Site", "same-origin"),
		"fetch: mode": header("Sec-Fetch-Mode", "no-cors"), "fetch: an image": header("Sec-Fetch-Dest", "image"), "fetch: empty": header("Sec-Fetch-User", ""),
		"a name that leads here": func(r *http.Request) { host("evil.example.com:8421")(r); r.Header.Set("Accept-Language", "en") },
		"another machine":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			if w := f.elsewhere(method, "/drain", edit); w.Code != http.StatusForbidden || w.Body.String() != "not for browsers\n" {
				t.Errorf("%s: %s /drain: %d %s", name, method, w.Code, w.Body)
			}
		}
	}
	if strings.Contains(f.log.String(), "asked by") || f.gateway.draining.Load() != nil {
		t.Error("somebody was obeyed")
	}
	for name, edit := range map[string]func(*http.Request){
		"localhost": fromHere, "IPv4": host("127.0.0.1:8421"), "IPv6": host("[::1]:8421"), "no port": host("[::1]"), "in capitals": host("LOCALHOST"),
		"peer over IPv6": peer("[::1]:4711"), "peer mapped": peer("[::ffff:127.0.0.1]:4711"), "another address of loopback": peer("127.0.0.2:4711"),
		"typed": header("Sec-Fetch-Site", "none"), "own page": header("Sec-Fetch-Site", "same-origin"), "own origin": header("Origin", "http://localhost:8421"),
	} {
		for _, one := range []struct{ method, path string }{{"POST", "/-/reload"}, {"GET", "/config"}, {"GET", "/debug/pprof/"}} {
			if w := f.elsewhere(one.method, one.path, edit); w.Code != http.StatusOK {
				t.Errorf("%s: %s %s: %d %s", name, one.method, one.path, w.Code, w.Body)
			}
		}
	}
}

func TestShowConfig(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return text + "# comment-s3cr3t\ntracing: {endpoint: 'http://127.0.0.1:9', headers: {x-key: header-s3cr3t}, service_name: '${NAME:-fallback-s3cr3t}'}\n"
	})
	r := f.ask("GET", "/config")
	if r.StatusCode != http.StatusOK || strings.Contains(r.body, "s3cr3t") || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v\n%s", r.StatusCode, r.Header, r.body)
	}
	for _, part := range []string{"issuer: \"" + f.a.Identifier(), "x-key: redacted", "${NAME:-redacted}", "path: /dpop/**"} {
		if !strings.Contains(strings.ReplaceAll(r.body, "'", `"`), part) {
			t.Errorf("%s is not shown:\n%s", part, r.body)
		}
	}
	f.rewrite("path: /dpop/**", "pth: /dpop/**")
	if f.ask("POST", "/-/reload"); !strings.Contains(f.ask("GET", "/config").body, "path: /dpop/**") {
		t.Error("a file is shown that is not in force")
	}
}

// explained asks /explain.
func (f *fixture) explained(q map[string]any) *reply {
	f.t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.postExplain("application/json", string(body))
}

func (f *fixture) postExplain(kind, body string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "POST", f.admin+"/explain", strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	return f.send(req)
}

// TestExplainHere: what is explained leaves nothing behind.
func TestExplainHere(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	proof := f.proof(key, raw, "GET", "/dpop/x", devissuer.Proof{})
	lines := f.log.String()
	counters := regexp.MustCompile(`(?m)^wicketgate_(requests|refusals|validations|token_cache_requests)_total.*$`)
	before := counters.FindAllString(f.ask("GET", "/metrics").body, -1)
	q := map[string]any{"token": raw, "proof": proof, "url": testIdentifier + "/dpop/x"}
	for range 2 { // a proof is good here as often as somebody asks
		r := f.explained(q)
		if r.StatusCode != http.StatusOK || !strings.Contains(r.body, "answer    forwarded to "+f.upstream.URL+"/dpop/x") || !strings.Contains(r.body, "route     dpop\n") {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
		wantConcealed(t, "/explain", r.body)
	}
	expired := f.AT(map[string]any{"exp": 1})
	refused := f.explained(map[string]any{"token": expired, "method": "POST", "url": testIdentifier + "/write"})
	if refused.StatusCode != http.StatusOK || !strings.Contains(refused.body, "request   POST ") || !strings.Contains(refused.body, "answer    401 Unauthorized") || !strings.Contains(refused.body, "FAIL") {
		t.Errorf("an expired token: %d %s", refused.StatusCode, refused.body)
	}
	wantConcealed(t, "/explain", refused.body)
	if now := counters.FindAllString(f.ask("GET", "/metrics").body, -1); !slices.Equal(before, now) {
		t.Error("somebody counted what was only explained")
	}
	if f.log.String() != lines || f.upstream.count() != 0 {
		t.Errorf("somebody noted what was only explained: %s", f.log.String()[len(lines):])
	}
	if r := f.do("GET", "/dpop/x", "Authorization", "DPoP "+raw, "DPoP", proof); r.StatusCode != http.StatusOK {
		t.Errorf("the proof was used up: %d %s", r.StatusCode, r.body)
	}
}

// TestExplainHereApart: what is found while explaining is not noted in the file in
// force, which others read at the same time.
func TestExplainHereApart(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	name := filepath.Join(t.TempDir(), "gate.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(err, os.WriteFile(name, text, 0o600), os.Chmod(name, 0o644)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	f := newForwarding(t, "{assertion: {audience: up, key_file: \""+name+"\"}}")
	f.untilReady()
	before := slices.Clone(f.gateway.file.Warnings())
	if !slices.ContainsFunc(before, func(w config.Warning) bool { return w.Rule == "open-key-file" }) {
		t.Fatalf("nothing to note: %v", before)
	}
	for range 2 {
		if r := f.explained(map[string]any{"url": testIdentifier + "/read"}); r.StatusCode != http.StatusOK {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
	}
	if now := f.gateway.file.Warnings(); !slices.Equal(now, before) {
		t.Errorf("%d warnings, %d before", len(now), len(before))
	}
}

func TestExplainHereRefuses(t *testing.T) {
	f := newFixture(t, nil)
	raw := f.AT(nil)
	for name, c := range map[string]struct {
		kind, body string
		status     int
		part       string
	}{
		"a form":           {"application/x-www-form-urlencoded", "token=" + raw, 415, "application/json"},
		"no type":          {"", "{}", 415, "application/json"},
		"no JSON":          {"application/json", raw, 400, "wants an object"},
		"an unknown field": {"application/json", `{"tokn": "` + raw + `"}`, 400, "wants an object"},
		"too long":         {"application/json", `{"token": "` + strings.Repeat("a", maxStdin) + `"}`, 400, "wants an object"},
		"another origin":   {"application/json", `{"url": "https://other.example.com/"}`, 400, "no resource has this origin in public_origins; name one with resource\n"},
		"no URL":           {"application/json", `{"url": "://` + raw + `"}`, 400, "url: is none\n"},
		"no address":       {"application/json", `{"from": "` + raw + `"}`, 400, "from wants an IP address\n"},
		"no certificate":   {"application/json", `{"certificate": "` + raw + `"}`, 400, "certificate: holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := f.postExplain(c.kind, c.body); r.StatusCode != c.status || !strings.Contains(r.body, c.part) {
				t.Errorf("%d %q, want %d with %q", r.StatusCode, r.body, c.status, c.part)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	f := newFixture(t, nil)
	const gzipped = "\x1f\x8b"
	for path, want := range map[string]struct {
		status int
		part   string
	}{
		"/debug/pprof/":                  {200, "goroutine\nheap\n"},
		"/debug/pprof/heap":              {200, gzipped},
		"/debug/pprof/heap?gc=1&debug=1": {200, "heap profile: "},
		"/debug/pprof/goroutine?debug=2": {200, "goroutine 1 ["},
		"/debug/pprof/profile?seconds=1": {200, gzipped},
		"/debug/pprof/trace?seconds=1":   {200, "go 1."},
		"/debug/pprof/profile?seconds=0": {400, "1 to 60"}, "/debug/pprof/profile?seconds=61": {400, "1 to 60"}, "/debug/pprof/trace?seconds=-1": {400, "1 to 60"},
		"/debug/pprof/heap?debug=9": {400, "debug is"}, "/debug/pprof/heap?gc=x": {400, "debug is"},
		"/debug/pprof/cmdline": {404, ""}, "/debug/pprof/symbol": {404, ""}, "/debug/pprof/wicketgate": {404, ""}, "/debug/vars": {404, ""},
	} {
		if r := f.ask("GET", path); r.StatusCode != want.status || !strings.Contains(r.body, want.part) {
			t.Errorf("%s: %d %.80q", path, r.StatusCode, r.body)
		}
	}
	if err := pprof.StartCPUProfile(httptest.NewRecorder()); err != nil {
		t.Fatal(err)
	}
	if r := f.ask("GET", "/debug/pprof/profile"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second one: %d", r.StatusCode)
	}
	pprof.StopCPUProfile()
	if _, pattern := http.DefaultServeMux.Handler(httptest.NewRequest("GET", "/debug/pprof/", nil)); pattern != "" {
		t.Errorf("the default mux has %s", pattern)
	}
}

// TestAdminSocket has the admin listener on a Unix socket, where everybody who may
// connect is of this machine, and proxies and pages are told no as ever.
func TestAdminSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "wg") // shorter than t.TempDir: a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "admin.sock")
	issuer := startIssuer(t)
	file := written(t, fmt.Sprintf("version: 1\nlisten: 127.0.0.1:0\nadmin: {listen: 'unix://%s'}\nissuers: [{issuer: %q}]\nresources: [{identifier: https://rs.example.com, behind_tls: true, upstream: http://127.0.0.1:1}]\ndrain: {delay: 0s, timeout: 1s}\n", path, issuer.Identifier()))
	command(t, "healthcheck", "--config", file).want(t, exitFailed, "cannot ask")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	log := &lockedBuffer{}
	go func() {
		ended <- run(&app{ctx: ctx, stdin: strings.NewReader(""), stdout: io.Discard, stderr: log, env: nothing}, []string{"serve", "--config", file})
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	ask := func(method, target string, header ...string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://gate"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	eventually(t, "ready", func() bool { status, _ := ask("GET", "/readyz"); return status == http.StatusOK })
	for target, part := range map[string]string{"/config": "issuers:", "/": "asks for", "/debug/pprof/": "heap", "/metrics": "wicketgate_build_info"} {
		if status, body := ask("GET", target); status != http.StatusOK || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	for name, value := range map[string]string{
		"X-Forwarded-For": "192.0.2.1", "Via": "1.1 proxy", "Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site",
	} {
		for _, one := range onlyHere {
			if status, body := ask(one.method, one.path, name, value); status != http.StatusForbidden || !strings.HasPrefix(body, "only from this machine") {
				t.Errorf("%s %s with %s: %d %s", one.method, one.path, name, status, body)
			}
		}
	}
	if answer := askOld(t, path, "/config"); !strings.Contains(answer, " 403 ") || strings.Contains(answer, "issuers:") {
		t.Errorf("over HTTP/1.0: %s", answer)
	}
	if status, body := ask("POST", "/-/reload"); status != http.StatusOK {
		t.Errorf("reload: %d %s", status, body)
	}
	command(t, "healthcheck", "--config", file).want(t, exitOK)
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d: %s", code, log)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// askOld asks over HTTP/1.0, as some proxies do, at a Unix socket.
func askOld(t *testing.T, socket, target string) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", target); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // what came is what is looked at
	return string(answer)
}
