package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy"
)

// conformanceRow is one row of the conformance list.
type conformanceRow struct {
	id  string
	run func(*testing.T)
}

// frontRows are the rows about HTTP, credentials, challenges and operation.
var frontRows = []conformanceRow{
	{"HTTP-01", testHTTP01}, {"HTTP-02", testHTTP02}, {"HTTP-03", testHTTP03}, {"HTTP-04", testHTTP04}, {"HTTP-05", testHTTP05},
	{"HTTP-06", testHTTP06}, {"HTTP-08", testHTTP08}, {"HTTP-09", testHTTP09}, {"HTTP-10", testHTTP10}, {"HTTP-18", testHTTP18},
	{"HTTP-19", testHTTP19}, {"HTTP-20", testHTTP20}, {"HTTP-21", testHTTP21}, {"HTTP-22", testHTTP22}, {"HTTP-23", testHTTP23},
	{"HTTP-24", testHTTP24}, {"HTTP-25", testHTTP25}, {"HTTP-26", testHTTP26}, {"HTTP-30", testHTTP30},
	{"HDR-01", testHDR01}, {"HDR-02", testHDR02}, {"HDR-03", testHDR03}, {"HDR-04", testHDR04}, {"HDR-05", testHDR05}, {"HDR-06", testHDR06}, {"HDR-07", testHDR07},
	{"CRED-01", testCRED01}, {"CRED-02", testCRED02}, {"CRED-03", testCRED03}, {"CRED-04", testCRED04}, {"CRED-05", testCRED05},
	{"CRED-06", testCRED06}, {"CRED-07", testCRED07}, {"CRED-08", testCRED08}, {"CRED-09", testCRED09}, {"CRED-10", testCRED10},
	{"CRED-15", testCRED15}, {"CRED-16", testCRED16},
	{"CHAL-01", testCHAL01}, {"CHAL-02", testCHAL02}, {"CHAL-03", testCHAL03}, {"CHAL-04", testCHAL04}, {"CHAL-05", testCHAL05},
	{"CHAL-06", testCHAL06}, {"CHAL-07", testCHAL07}, {"CHAL-08", testCHAL08}, {"CHAL-09", testCHAL09}, {"CHAL-10", testCHAL10},
	{"CHAL-12", testCHAL12}, {"CHAL-13", rowCHAL13},
	{"AZ-01", testAZ01}, {"AZ-02", testAZ02}, {"AZ-03", testAZ03}, {"AZ-06", testAZ06}, {"AZ-07", testAZ07},
	{"OPS-02", testOPS02}, {"OPS-03", testOPS03}, {"OPS-06", testOPS06}, {"CORS-02", testCORS02},
}

// clientCall sends a request as fixture.do does.
type clientCall func(method, path string, header ...string) *reply

// onBoth runs a check over HTTP/1.1 and over HTTP/2 without TLS.
func onBoth(t *testing.T, f *fixture, check func(*testing.T, clientCall)) {
	t.Helper()
	t.Run("http1", func(t *testing.T) { check(t, f.do) })
	t.Run("h2c", func(t *testing.T) {
		transport := h2cTransport(t)
		check(t, func(method, path string, header ...string) *reply {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+1 < len(header); i += 2 {
				req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
			}
			return through(t, transport, req)
		})
	})
}

func h2cTransport(t *testing.T) *http.Transport {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func through(t *testing.T, transport *http.Transport, req *http.Request) *reply {
	t.Helper()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 {
		t.Errorf("answered over %s", resp.Proto)
	}
	return &reply{resp, string(body)}
}

// untouched runs do and checks that the upstream was neither asked nor dialled.
func untouched(t *testing.T, f *fixture, do func()) {
	t.Helper()
	counts := func() [2]int {
		f.upstream.mu.Lock()
		defer f.upstream.mu.Unlock()
		return [2]int{len(f.upstream.seen), f.upstream.connections}
	}
	before := counts()
	do()
	if after := counts(); after != before {
		t.Errorf("requests and connections of the upstream went from %v to %v", before, after)
	}
}

const (
	bare   = "-"    // a challenge without error attributes
	absent = "none" // no challenge of the scheme
)

// refused checks an answer of ours in full: its status, what each challenge
// says, and that the upstream knows nothing of it.
func refused(t *testing.T, f *fixture, status int, bearer, dpop string, do func() *reply) *reply {
	t.Helper()
	var r *reply
	untouched(t, f, func() { r = do() })
	if r.StatusCode != status {
		t.Errorf("status %d, want %d; body %s", r.StatusCode, status, r.body)
	}
	wantChallenges(t, r, bearer, dpop)
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	if len(r.body) > 500 {
		t.Errorf("body of %d octets", len(r.body))
	}
	return r
}

func wantChallenges(t *testing.T, r *reply, bearer, dpop string) {
	t.Helper()
	got := challengesOf(t, r)
	for scheme, want := range map[string]string{"Bearer": bearer, "DPoP": dpop} {
		attributes, found := got[scheme]
		switch {
		case !found && want != absent:
			t.Errorf("no %s challenge in %q", scheme, r.Header["Www-Authenticate"])
		case found && want == absent:
			t.Errorf("%s challenge in %q", scheme, r.Header["Www-Authenticate"])
		case want == bare:
			if attributes["error"]+attributes["error_description"]+attributes["error_uri"] != "" {
				t.Errorf("%s challenge tells an error: %v", scheme, attributes)
			}
		case want != absent && attributes["error"] != want:
			t.Errorf("%s error %q, want %q", scheme, attributes["error"], want)
		}
		if found && scheme == "DPoP" && attributes["algs"] == "" {
			t.Errorf("DPoP challenge without algs: %q", r.Header["Www-Authenticate"])
		}
	}
}

var (
	challengeLine      = regexp.MustCompile(`^(Bearer|DPoP)(?: ([a-z_]+="[^"\\]*"(?:, [a-z_]+="[^"\\]*")*))?$`)
	challengeAttribute = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
	descriptionText    = regexp.MustCompile(`^[\x20\x21\x23-\x5b\x5d-\x7e]*$`)
)

// challengesOf parses every challenge: one a line, no scheme and no attribute
// twice, nothing outside the characters of RFC 6749 appendix A.
func challengesOf(t *testing.T, r *reply) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for _, line := range r.Header["Www-Authenticate"] {
		parts := challengeLine.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("challenge does not parse: %q", line)
		}
		if all[parts[1]] != nil {
			t.Errorf("two challenges of scheme %s", parts[1])
		}
		attributes := map[string]string{}
		for _, a := range challengeAttribute.FindAllStringSubmatch(parts[2], -1) {
			if _, twice := attributes[a[1]]; twice {
				t.Errorf("%s twice in %q", a[1], line)
			}
			if !descriptionText.MatchString(a[2]) {
				t.Errorf("%s has characters it must not have: %q", a[1], a[2])
			}
			attributes[a[1]] = a[2]
		}
		all[parts[1]] = attributes
	}
	return all
}

// head writes the head of a raw request that asks to close.
func head(method, target string, lines ...string) string {
	lines = slices.Concat([]string{method + " " + target + " HTTP/1.1", "Host: rs.example.com", "Connection: close"}, lines)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// parsed reads the first answer out of raw bytes.
func parsed(t *testing.T, text string) *reply {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &reply{resp, string(body)}
}

func wantOK(t *testing.T, r *reply) {
	t.Helper()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %d; challenges %q; body %s", r.StatusCode, r.Header["Www-Authenticate"], r.body)
	}
}

// seenAs collects every value under any spelling of name that the upstream saw.
func seenAs(f *fixture, name string) []string {
	var all []string
	for other, values := range f.upstream.last().Header {
		if proxy.NormalName(other) == proxy.NormalName(name) {
			all = append(all, values...)
		}
	}
	return all
}

func wantSeen(t *testing.T, f *fixture, name string, want ...string) {
	t.Helper()
	if got := seenAs(f, name); !slices.Equal(got, want) {
		t.Errorf("upstream saw %s: %q, want %q", name, got, want)
	}
}

func testHTTP01(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		header := []string{"Authorization", "Bearer " + f.AT(nil)}
		for _, part := range []string{"subject", "email", "scope", "binding", "issuer", "made-up"} {
			for _, form := range []string{"X-Auth-%", "x-auth-%", "X_Auth_%", "X-Auth_%", "x.auth.%", "X~AUTH~%"} {
				header = append(header, strings.ReplaceAll(form, "%", part), "evil")
			}
		}
		wantOK(t, do("GET", "/read", header...))
		wantSeen(t, f, "X-Auth-Subject", "user-1")
		wantSeen(t, f, "X-Auth-Scope", "read")
		wantSeen(t, f, "X-Auth-Issuer", f.a.Identifier())
		for _, name := range []string{"X-Auth-Email", "X-Auth-Binding", "X-Auth-Made-Up"} {
			wantSeen(t, f, name)
		}
	})
}

func testHTTP02(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, path := range []string{"/open/x", "/maybe"} {
			wantOK(t, do("GET", path, "X-Auth-Subject", "evil", "X_Auth_Subject", "evil", "x.auth.email", "evil", "X-Auth-Roles", "evil"))
			for name := range f.upstream.last().Header {
				if strings.HasPrefix(proxy.NormalName(name), "x-auth-") {
					t.Errorf("%s: upstream saw %s", path, name)
				}
			}
		}
	})
}

func testHTTP03(t *testing.T) {
	f := newFixture(t, nil)
	answer := f.raw(head("GET", "/read", "Connection: X-Auth-Subject, x-auth-issuer, via", "Authorization: Bearer "+f.AT(nil)))
	wantOK(t, parsed(t, answer))
	wantSeen(t, f, "X-Auth-Subject", "user-1")
	wantSeen(t, f, "X-Auth-Issuer", f.a.Identifier())
	wantSeen(t, f, "Via", "1.1 wicketgate")
}

func testHTTP04(t *testing.T) {
	f := newFixture(t, nil)
	answer := f.raw(head("GET", "/read", "Connection: X-Foo", "X-Foo: 1", "X-Bar: 2", "Keep-Alive: 5", "Proxy-Connection: keep-alive",
		"TE: trailers, gzip;q=0.5", "Authorization: Bearer "+f.AT(nil)))
	wantOK(t, parsed(t, answer))
	for _, name := range []string{"Connection", "X-Foo", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		wantSeen(t, f, name)
	}
	wantSeen(t, f, "X-Bar", "2")
	if got := f.upstream.last().Header.Get("Te"); got != "" && got != "trailers" {
		t.Errorf("upstream saw TE: %q", got)
	}
}

func testHTTP05(t *testing.T) {
	f := newFixture(t, nil)
	at := f.AT(map[string]any{"scope": "write"})
	body := "3\r\nabc\r\n0\r\n"
	refused(t, f, 401, bare, bare, func() *reply {
		return parsed(t, f.raw(head("POST", "/write", "Transfer-Encoding: chunked", "Trailer: Authorization")+body+"Authorization: Bearer "+at+"\r\n\r\n"))
	})
	key := newClientKey(t, "ES256")
	bound := f.bound(key, map[string]any{"scope": "write"})
	proof := f.proof(key, bound, "POST", "/write", devissuer.Proof{})
	refused(t, f, 401, bare, "invalid_dpop_proof", func() *reply {
		return parsed(t, f.raw(head("POST", "/write", "Transfer-Encoding: chunked", "Trailer: DPoP", "Authorization: DPoP "+bound)+body+"DPoP: "+proof+"\r\n\r\n"))
	})
	answer := f.raw(head("POST", "/write", "Transfer-Encoding: chunked", "Trailer: X-Auth-Subject, X_Auth_Email", "Authorization: Bearer "+at) +
		body + "X-Auth-Subject: evil\r\nX_Auth_Email: evil\r\n\r\n")
	wantOK(t, parsed(t, answer))
	wantSeen(t, f, "X-Auth-Subject", "user-1")
	wantSeen(t, f, "X-Auth-Email")
	wantSeen(t, f, "Trailer")
	if trailer := f.upstream.last().Trailer; len(trailer) > 0 {
		t.Errorf("upstream saw trailers %v", trailer)
	}
}

func testHTTP06(t *testing.T) {
	f := newFixture(t, nil)
	at := "Bearer " + f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		version := map[bool]string{true: "1.1", false: "2"}[strings.HasSuffix(t.Name(), "http1")]
		wantOK(t, do("GET", "/read", "Authorization", at))
		wantSeen(t, f, "Via", version+" wicketgate")
		wantOK(t, do("GET", "/read", "Authorization", at, "Via", "1.1 foo"))
		wantSeen(t, f, "Via", "1.1 foo, "+version+" wicketgate")
	})
	answer := f.raw("GET /read HTTP/1.0\r\nHost: rs.example.com\r\nAuthorization: " + at + "\r\n\r\n")
	wantOK(t, parsed(t, answer))
	wantSeen(t, f, "Via", "1.0 wicketgate")
}

func testHTTP08(t *testing.T) {
	f := newFixture(t, nil)
	at := "Bearer " + f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, path := range []string{"/read", "/open/x", "/any/x"} {
			r := refused(t, f, 405, absent, absent, func() *reply { return do("TRACE", path, "Authorization", at) })
			if r.Header.Get("Allow") == "" || strings.Contains(r.Header.Get("Allow"), "TRACE") {
				t.Errorf("Allow: %q", r.Header.Get("Allow"))
			}
		}
	})
	for _, text := range []string{
		"CONNECT up:1 HTTP/1.1\r\nHost: up:1\r\nAuthorization: " + at + "\r\n\r\n",
		"CONNECT /read HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: " + at + "\r\n\r\n",
	} {
		r := refused(t, f, 405, absent, absent, func() *reply { return parsed(t, f.raw(text)) })
		if r.Header.Get("Allow") == "" || !strings.Contains(r.body, `"method_not_allowed"`) {
			t.Errorf("Allow: %q, body %s", r.Header.Get("Allow"), r.body)
		}
	}
}

func testHTTP09(t *testing.T) {
	f := newFixture(t, nil)
	at := "Authorization: Bearer " + f.AT(nil)
	for _, protocol := range []string{"h2c", "websocket", "TLS/1.2", "h2c, websocket"} {
		answer := f.raw(head("GET", "/read", "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+protocol, "HTTP2-Settings: AAMAAABkAAQAAP__", at))
		wantOK(t, parsed(t, answer))
		for _, name := range []string{"Upgrade", "HTTP2-Settings", "Connection"} {
			wantSeen(t, f, name)
		}
		refused(t, f, 401, bare, bare, func() *reply {
			return parsed(t, f.raw(head("GET", "/read", "Connection: Upgrade", "Upgrade: "+protocol)))
		})
	}
}

func testHTTP10(t *testing.T) {
	f := newFixture(t, nil)
	at := "Authorization: Bearer " + f.AT(map[string]any{"scope": "read write"})
	second := head("GET", "/read", at)
	for name, first := range map[string]string{
		"both":       "POST /write HTTP/1.1\r\nHost: rs.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n" + at + "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"other way":  "POST /write HTTP/1.1\r\nHost: rs.example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n" + at + "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"refused":    "POST /write HTTP/1.1\r\nHost: rs.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"version1.0": "POST /write HTTP/1.0\r\nHost: rs.example.com\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + at + "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := f.upstream.count()
			answer := f.raw(first + second)
			if n := strings.Count(answer, "HTTP/1."); n != 1 {
				t.Errorf("%d answers: %q", n, answer)
			}
			if f.upstream.count() == before {
				return
			}
			if n := f.upstream.count() - before; n != 1 {
				t.Errorf("upstream saw %d requests", n)
			}
			if seen := f.upstream.last(); len(seen.TransferEncoding) > 0 && seen.ContentLength >= 0 || seen.URL.Path != "/write" {
				t.Errorf("upstream saw %s with both framings", seen.URL.Path)
			}
		})
	}
}

func testHTTP18(t *testing.T) {
	f := newFixture(t, nil)
	at := "Bearer " + f.AT(nil)
	transport := h2cTransport(t)
	for _, path := range []string{
		"/open/../read", "/open/%2e%2e/read", "/open/%2E./read", "/open//..//read", "/open%2f..%2fread", "/open/%2Fx", "/open;/../read",
		"/read%00", "/open/x%5c..%5cread", `/open/..\read`, "/open//x", "//open/x", "/open/x;y", "/open/x%3by/../read", "/open/%zz", "/open/%2",
		"/open/.", "/open/..", "/read/./x", "/open/%0d%0a", "/open/%ff",
	} {
		t.Run(path, func(t *testing.T) {
			for _, header := range []http.Header{{}, {"Authorization": {at}}} {
				line := ""
				if len(header) > 0 {
					line = "Authorization: " + at
				}
				untouched(t, f, func() {
					lines := slices.DeleteFunc([]string{line}, func(s string) bool { return s == "" })
					if r := parsed(t, f.raw(head("GET", path, lines...))); r.StatusCode != 400 {
						t.Errorf("http1: %d", r.StatusCode)
					}
					if _, err := url.Parse(path); err != nil || strings.HasPrefix(path, "//") {
						return // no HTTP/2 client of ours can send it
					}
					req := (&http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: f.address, Opaque: "//" + f.address + path}, Header: header}).WithContext(t.Context())
					if r := through(t, transport, req); r.StatusCode != 400 {
						t.Errorf("h2c: %d", r.StatusCode)
					}
				})
			}
		})
	}
	for _, path := range []string{"/any/a%20b", "/any/%C3%A9/x", "/any/~a", "/any/%41"} {
		wantOK(t, parsed(t, f.raw(head("GET", path, "Authorization: "+at))))
		if got := f.upstream.last().RequestURI; got != path {
			t.Errorf("%s was forwarded as %s", path, got)
		}
	}
}

func testHTTP19(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		names := []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}
		header := []string{"Authorization", "Bearer " + f.AT(nil)}
		for _, name := range names {
			header = append(header, name, "DELETE", strings.ReplaceAll(name, "-", "_"), "DELETE")
		}
		wantOK(t, do("GET", "/read", header...))
		for _, name := range names {
			wantSeen(t, f, name)
		}
		if got := f.upstream.last().Method; got != "GET" {
			t.Errorf("upstream saw %s", got)
		}
	})
}

func testHTTP20(t *testing.T) {
	f := newFixture(t, nil)
	at := "Bearer " + f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, target := range []string{"/any/x?a=1;b=2&c=%zz", "/any/x?", "/any/x?a=%2f%2F+%20&&=;", "/any/x??a"} {
			wantOK(t, do("GET", target, "Authorization", at))
			if got := f.upstream.last().RequestURI; got != target {
				t.Errorf("%s was forwarded as %s", target, got)
			}
		}
		for _, target := range []string{"/any/x?x=1;access_token=T", "/any/x?x=1&access_token=T"} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", target, "Authorization", at) })
		}
	})
}

func testHTTP21(t *testing.T) {
	sent := []string{
		"X-Forwarded-For", "6.6.6.6", "Forwarded", "for=6.6.6.6;proto=https", "X-Real-IP", "6.6.6.6", "X-Original-URL", "/write",
		"X-Rewrite-URL", "/write", "X-Forwarded-Prefix", "/evil", "X_Forwarded_For", "6.6.6.6", "X-Forwarded-Proto", "gopher", "X-Forwarded-Host", "evil",
	}
	t.Run("untrusted", func(t *testing.T) {
		f := newFixture(t, nil)
		onBoth(t, f, func(t *testing.T, do clientCall) {
			wantOK(t, do("GET", "/read", append(sent, "Authorization", "Bearer "+f.AT(nil))...))
			wantSeen(t, f, "X-Forwarded-For", "127.0.0.1")
			wantSeen(t, f, "Forwarded", `for=127.0.0.1;host="`+f.address+`";proto=https`)
			wantSeen(t, f, "X-Forwarded-Proto", "https")
			wantSeen(t, f, "X-Forwarded-Host", f.address)
			for _, name := range []string{"X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"} {
				wantSeen(t, f, name)
			}
		})
	})
	t.Run("trusted", func(t *testing.T) {
		f := newFixture(t, func(text string) string { return text + "trusted_proxies: [127.0.0.0/8]\n" })
		wantOK(t, f.do("GET", "/read", append(sent, "Authorization", "Bearer "+f.AT(nil))...))
		wantSeen(t, f, "X-Forwarded-For", "6.6.6.6, 127.0.0.1")
		wantSeen(t, f, "Forwarded", `for=6.6.6.6;host="evil", for=127.0.0.1;host="`+f.address+`";proto=https`)
		wantSeen(t, f, "X-Forwarded-Host", "evil")
		wantSeen(t, f, "X-Forwarded-Proto", "https")
		wantSeen(t, f, "X-Real-IP", "6.6.6.6")
		wantSeen(t, f, "X-Forwarded-Prefix", "/evil")
		for _, name := range []string{"X-Original-URL", "X-Rewrite-URL"} { // the proxy may have let them through
			wantSeen(t, f, name)
		}
	})
}

func testHTTP22(t *testing.T) {
	f := newFixture(t, nil)
	names := []string{
		"Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "X-SSL-Client-Verify", "ssl-client-cert",
		"X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "Client_Cert", "x.ssl.client.s.dn",
		"X-SSL-Client-DER", "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf", "x_amzn_mtls_clientcert",
	}
	onBoth(t, f, func(t *testing.T, do clientCall) {
		header := []string{"Authorization", "Bearer " + f.AT(nil)}
		for _, name := range names {
			header = append(header, name, "evil")
		}
		r := do("GET", "/read", header...)
		if r.StatusCode == http.StatusBadRequest {
			return
		}
		wantOK(t, r)
		for _, name := range names {
			wantSeen(t, f, name)
		}
	})
}

func testHTTP23(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, path := range []string{"/read", "/open/x", "/token"} {
			proof := f.proof(key, raw, "GET", path, devissuer.Proof{})
			wantOK(t, do("GET", path, "Authorization", "dpop  "+raw, "DPoP", proof, "Proxy-Authorization", "Basic dTpw"))
			wantSeen(t, f, "DPoP")
			wantSeen(t, f, "Proxy-Authorization")
			if path == "/token" {
				wantSeen(t, f, "Authorization", "dpop  "+raw)
			} else {
				wantSeen(t, f, "Authorization")
			}
		}
		wantOK(t, do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
		wantSeen(t, f, "Authorization")
	})
}

func testHTTP24(t *testing.T) {
	f := newFixture(t, nil)
	for _, lines := range [][]string{{"Content-Length: 1073741824"}, {"Content-Length: 1073741824", "Expect: 100-continue"}, {"Transfer-Encoding: chunked", "Expect: 100-continue"}} {
		refused(t, f, 401, bare, bare, func() *reply {
			return firstAnswer(t, f, head("POST", "/write", lines...))
		})
	}
	transport := h2cTransport(t)
	refused(t, f, 401, bare, bare, func() *reply {
		endless, end := io.Pipe()
		defer func() { _ = end.Close() }()
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/write", endless)
		if err != nil {
			t.Fatal(err)
		}
		return through(t, transport, req)
	})
}

// firstAnswer reads one answer and leaves, without a body sent; a 100 counts.
func firstAnswer(t *testing.T, f *fixture, text string) *reply {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &reply{resp, string(body)}
}

func testHTTP25(t *testing.T) {
	f := newFixture(t, nil)
	for _, status := range []int{401, 403} {
		f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.Header().Set("Authentication-Info", `nextnonce="n"`)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "its own words")
		})
		onBoth(t, f, func(t *testing.T, do clientCall) {
			r := do("GET", "/read", "Authorization", "Bearer "+f.AT(nil))
			if got := r.Header["Www-Authenticate"]; r.StatusCode != status || !slices.Equal(got, []string{`Basic realm="x"`}) {
				t.Errorf("%d with challenges %q", r.StatusCode, got)
			}
			if r.Header.Get("Authentication-Info") != `nextnonce="n"` || r.body != "its own words" || r.Header.Get("Cache-Control") != "" {
				t.Errorf("header %v, body %s", r.Header, r.body)
			}
		})
	}
}

func testHTTP26(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE", "FOO"} {
			r := refused(t, f, 401, bare, bare, func() *reply { return do(method, "/any/x") })
			if method == "HEAD" && r.body != "" {
				t.Errorf("HEAD was answered with %q", r.body)
			}
		}
	})
	if answer := f.raw(head("HEAD", "/any/x")); !strings.HasSuffix(answer, "\r\n\r\n") || strings.Count(answer, "\r\n\r\n") != 1 {
		t.Errorf("HEAD was answered with a body: %q", answer)
	}
}

func testHTTP30(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "behind_tls: true", "behind_tls: true\n    hosts: [rs.example.com]", 1)
	})
	at := "Authorization: Bearer " + f.AT(nil)
	for _, host := range []string{"evil", "rs.example.com.evil", "rs.example.com:8080", "127.0.0.1"} {
		r := refused(t, f, 421, absent, absent, func() *reply {
			return parsed(t, f.raw("GET /read HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n"+at+"\r\n\r\n"))
		})
		if strings.Contains(r.body, host) {
			t.Errorf("the host is echoed: %s", r.body)
		}
	}
	for _, host := range []string{"rs.example.com", "RS.example.com", "rs.example.com.", "rs.example.com:443"} {
		wantOK(t, parsed(t, f.raw("GET /read HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n"+at+"\r\n\r\n")))
	}
}

func testHDR01(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, text := range []string{"a\r\nX-Admin: 1", "a\u0000", "Zoë", " a  b ", "100%41", "a\tb\x7f", "a\n b", "日本"} {
			wantOK(t, do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"sub": text, "email": text})))
			for _, name := range []string{"X-Auth-Subject", "X-Auth-Email"} {
				got := seenAs(f, name)
				if len(got) != 1 || strings.ContainsFunc(got[0], func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Fatalf("upstream saw %s: %q", name, got)
				}
				if back, err := url.PathUnescape(got[0]); err != nil || back != text {
					t.Errorf("%s %q reads back as %q, want %q", name, got[0], back, text)
				}
			}
			wantSeen(t, f, "X-Admin")
		}
	})
}

func testHDR02(t *testing.T) {
	f := newFixture(t, nil)
	for want, roles := range map[string][]string{"a%2Cb,c": {"a,b", "c"}, "a,b,c": {"a", "b", "c"}, "a%252Cb": {"a%2Cb"}} {
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"roles": roles})))
		wantSeen(t, f, "X-Auth-Roles", want)
	}
}

func testHDR03(t *testing.T) {
	f := newFixture(t, nil)
	for _, value := range []any{nil, json.RawMessage("null"), "", []string{}} {
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"email": value}), "X-Auth-Email", "evil"))
		wantSeen(t, f, "X-Auth-Email")
	}
}

func testHDR04(t *testing.T) {
	f := newFixture(t, nil)
	for _, text := range []string{"1800000000", "9007199254740993", "1.50", "-0", "true", "false", "123456789012345678901234567890"} {
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"number": json.RawMessage(text)})))
		wantSeen(t, f, "X-Auth-Number", text)
	}
}

func testHDR05(t *testing.T) {
	f := newFixture(t, nil)
	long := func(n int) string { return strings.Repeat("a", n) }
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, claims := range []map[string]any{
			{"email": long(4097)}, {"roles": []string{long(3000), long(3000)}}, {"email": strings.Repeat("é", 1000)},
			{"email": long(4000), "roles": long(3000), "number": long(2000)}, {"sub": long(5000)},
		} {
			refused(t, f, 431, absent, absent, func() *reply { return do("GET", "/read", "Authorization", "Bearer "+f.AT(claims)) })
		}
	})
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"email": long(4096)})))
	wantSeen(t, f, "X-Auth-Email", long(4096))
}

func testHDR06(t *testing.T) {
	f := newFixture(t, nil)
	for _, issuer := range []*devissuer.Running{f.a, f.b} {
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.mint(issuer, devissuer.Token{})))
		wantSeen(t, f, "X-Auth-Subject", "user-1")
		wantSeen(t, f, "X-Auth-Issuer", issuer.Identifier())
		wantSeen(t, f, "X-Auth-Subject-Type", "user")
	}
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"sub": "client-1"})))
	wantSeen(t, f, "X-Auth-Subject-Type", "client")
}
