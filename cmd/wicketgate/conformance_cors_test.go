package main

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	page     = "https://app.example.com"
	stranger = "https://app.example.com.evil.example"
)

// asking is a preflight for a method.
func asking(origin, method string) []string {
	return []string{"Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "authorization,dpop,x-request-id"}
}

func crossOriginKeys(cors string, more ...string) func(string) string {
	return resourceKeys(slices.Concat([]string{"cors: {" + cors + "}"}, more)...)
}

const answering = "preflight: answer, origins: [https://app.example.com, \"http://localhost:3000\"]"

// wantHeader checks a field of an answer, line by line.
func wantHeader(t *testing.T, r *reply, name string, want ...string) {
	t.Helper()
	if got := r.Header[http.CanonicalHeaderKey(name)]; !slices.Equal(got, want) {
		t.Errorf("%s %q, want %q", name, got, want)
	}
}

// wantNothingAllowed: no word of the CORS protocol is in the answer.
func wantNothingAllowed(t *testing.T, r *reply) {
	t.Helper()
	for name := range r.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %q", name, r.Header[name])
		}
	}
}

func testCORS01(t *testing.T) {
	f := newFixture(t, crossOriginKeys(answering+", max_age: 2m"))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, row := range []struct{ path, method, methods string }{
			{"/read", "GET", "GET, HEAD"}, {"/write", "POST", "POST"}, {"/read", "HEAD", "GET, HEAD"}, {"/ext/a", "GET", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
			{"/any/x", "DELETE", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}, {"/dpop/x", "PUT", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		} {
			untouched(t, f, func() {
				r := do("OPTIONS", row.path, asking(page, row.method)...)
				if r.StatusCode != 204 || r.body != "" {
					t.Errorf("%s %s: %d %s", row.method, row.path, r.StatusCode, r.body)
				}
				wantHeader(t, r, "Access-Control-Allow-Origin", page)
				wantHeader(t, r, "Access-Control-Allow-Methods", row.methods)
				wantHeader(t, r, "Access-Control-Allow-Headers", "Authorization, DPoP, Content-Type")
				wantHeader(t, r, "Access-Control-Max-Age", "120")
				wantHeader(t, r, "Access-Control-Allow-Credentials")
				wantHeader(t, r, "Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
			})
		}
		// What no route takes is no more than that for a preflight.
		for path, method := range map[string]string{"/nope": "GET", "/read": "POST"} {
			refused(t, f, 404, absent, absent, func() *reply { return do("OPTIONS", path, asking(page, method)...) })
		}
	})
}

// testCORS02On: with answer on, only a real preflight is exempt.
func testCORS02On(t *testing.T) {
	for _, preflight := range []string{"answer", "forward"} {
		f := newFixture(t, crossOriginKeys("preflight: "+preflight+", origins: [https://app.example.com]"))
		onBoth(t, f, func(t *testing.T, do clientCall) {
			for name, header := range map[string][]string{
				"plain": nil, "no method": {"Origin", page}, "empty method": {"Origin", page, "Access-Control-Request-Method", ""},
				"no origin":   {"Access-Control-Request-Method", "GET"},
				"two origins": {"Origin", page, "Origin", page, "Access-Control-Request-Method", "GET"},
				"two methods": {"Origin", page, "Access-Control-Request-Method", "GET", "Access-Control-Request-Method", "POST"},
				"cookie":      slices.Concat(asking(page, "GET"), []string{"Cookie", "a=b"}),
				"empty token": slices.Concat(asking(page, "GET"), []string{"Authorization", ""}),
				"proof":       slices.Concat(asking(page, "GET"), []string{"DPoP", "x"}),
			} {
				r := refused(t, f, 401, bare, bare, func() *reply { return do("OPTIONS", "/any/x", header...) })
				if r.StatusCode != 401 {
					t.Errorf("%s: %d", name, r.StatusCode)
				}
			}
			refused(t, f, 401, "invalid_token", bare, func() *reply {
				return do("OPTIONS", "/any/x", slices.Concat(asking(page, "GET"), []string{"Authorization", "Bearer bad"})...)
			})
			refused(t, f, 401, bare, bare, func() *reply { return do("OPTIONS", "/any/x?access_token=x", asking(page, "GET")...) })
			refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/any/x", asking(page, "GET")...) })
			wantOK(t, do("OPTIONS", "/any/x", slices.Concat(asking(page, "GET"), []string{"Authorization", "Bearer " + f.AT(nil)})...))
		})
	}
	strict := newFixture(t, crossOriginKeys("origins: [https://app.example.com]"))
	refused(t, strict, 401, bare, bare, func() *reply { return strict.do("OPTIONS", "/any/x", asking(page, "GET")...) })
}

func testCORS03(t *testing.T) {
	f := newFixture(t, crossOriginKeys("preflight: forward"))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://upstream.example")
			w.Header().Set("Access-Control-Allow-Methods", "LOCK")
			w.WriteHeader(http.StatusNoContent)
		})
		r := do("OPTIONS", "/ext/orders", slices.Concat(asking(page, "POST"), []string{
			"X-Auth-Subject", "admin", "x_auth_subject", "admin", "X-Auth-Email", "a@b", "Proxy-Authorization", "Bearer x",
			"X-Forwarded-For", "192.0.2.7", "X-HTTP-Method-Override", "DELETE",
		})...)
		if r.StatusCode != 204 {
			t.Fatalf("status %d", r.StatusCode)
		}
		// Without origins of its own the gate has no say in this.
		wantHeader(t, r, "Access-Control-Allow-Origin", "https://upstream.example")
		wantHeader(t, r, "Access-Control-Allow-Methods", "LOCK")
		seen := f.upstream.last()
		if seen.Method != "OPTIONS" || seen.URL.Path != "/orders" || seen.Header.Get("Access-Control-Request-Method") != "POST" || seen.Header.Get("Origin") != page {
			t.Errorf("the upstream saw %s %s %v", seen.Method, seen.URL, seen.Header)
		}
		for _, name := range []string{
			"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-Issuer", "X-Auth-Client-Id", "X-Auth-Scope", "X-Auth-Binding", "X-Auth-Email",
			"Authorization", "Proxy-Authorization", "DPoP", "X-HTTP-Method-Override",
		} {
			if got := seenAs(f, name); len(got) > 0 {
				t.Errorf("the upstream saw %s: %q", name, got)
			}
		}
		if got := seen.Header.Get("X-Forwarded-For"); got != "127.0.0.1" {
			t.Errorf("X-Forwarded-For %q", got)
		}
		for path, method := range map[string]string{"/nope": "GET", "/write": "GET", "/read": "PUT"} {
			refused(t, f, 404, absent, absent, func() *reply { return do("OPTIONS", path, asking(page, method)...) })
		}
		refused(t, f, 401, bare, bare, func() *reply { return do("OPTIONS", "/any/x") })
	})
}

func testCORS04(t *testing.T) {
	f := newFixture(t, crossOriginKeys(answering+", headers: [X-Request-Id, X-Trace], methods: [GET, REPORT]"))
	r := f.do("OPTIONS", "/read", asking(page, "GET")...)
	wantHeader(t, r, "Access-Control-Allow-Headers", "Authorization, DPoP, Content-Type, X-Request-Id, X-Trace")
	wantHeader(t, r, "Access-Control-Allow-Methods", "GET, REPORT")
	if strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "*") {
		t.Error("a star would not cover Authorization")
	}
}

// exposed lists what scripts may read.
func exposed(r *reply) []string {
	var all []string
	for _, line := range r.Header["Access-Control-Expose-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(name))
		}
	}
	return all
}

func testCORS05(t *testing.T) {
	f := newFixture(t, crossOriginKeys(answering))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Access-Control-Expose-Headers", "X-Total, X-Page")
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			w.Header().Set("Vary", "Accept")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		})
		r := do("GET", "/read", "Origin", page, "Authorization", "Bearer "+f.AT(nil))
		if r.StatusCode != 418 {
			t.Fatalf("status %d", r.StatusCode)
		}
		wantHeader(t, r, "Access-Control-Allow-Origin", page)
		wantHeader(t, r, "Access-Control-Allow-Credentials")
		wantHeader(t, r, "Vary", "Accept", "Origin")
		if got := exposed(r); !slices.Equal(got, []string{"WWW-Authenticate", "DPoP-Nonce", "X-Total", "X-Page"}) {
			t.Errorf("exposed %q", got)
		}
		f.upstream.setAnswer(nil)
		for path, status := range map[string]int{"/read": 200, "/both": 403} {
			r := do("GET", path, "Origin", page, "Authorization", "Bearer "+f.AT(nil))
			if got := exposed(r); r.StatusCode != status || !slices.Equal(got, []string{"WWW-Authenticate", "DPoP-Nonce"}) {
				t.Errorf("%s: %d exposes %q", path, r.StatusCode, got)
			}
		}
		if got := exposed(do("GET", "/read", "Origin", page)); !slices.Equal(got, []string{"WWW-Authenticate", "DPoP-Nonce"}) {
			t.Errorf("401 exposes %q", got)
		}
	})
	// A cookie is the only token that a browser sends by itself.
	cookie := newFixture(t, crossOriginKeys(answering, "token_sources: {cookie: session}"))
	for _, r := range []*reply{cookie.do("GET", "/read", "Origin", page), cookie.do("OPTIONS", "/read", asking(page, "GET")...)} {
		wantHeader(t, r, "Access-Control-Allow-Credentials", "true")
		wantHeader(t, r, "Access-Control-Allow-Origin", page)
	}
	wantNothingAllowed(t, cookie.do("GET", "/read", "Origin", stranger))
}

func testCORS06(t *testing.T) {
	gone := listenLoopback(t)
	nowhere := "http://" + gone.Addr().String()
	_ = gone.Close() // nobody listens there any more
	f := newFixture(t, edits(crossOriginKeys(answering), replacing("issuers:\n", "issuers:\n  - {name: gone, issuer: \""+nowhere+"\"}\n")))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for name, row := range map[string]struct {
			status       int
			method, path string
			header       []string
		}{
			"no token":    {401, "GET", "/read", nil},
			"bad token":   {401, "GET", "/read", []string{"Authorization", "Bearer bad"}},
			"malformed":   {400, "GET", "/read", []string{"Authorization", "Bearer a b"}},
			"scope":       {403, "GET", "/both", []string{"Authorization", "Bearer " + f.AT(nil)}},
			"no route":    {404, "GET", "/nope", nil},
			"bad path":    {400, "GET", "/a;b/..", nil},
			"undecided":   {503, "GET", "/read", []string{"Authorization", "Bearer " + f.AT(map[string]any{"iss": nowhere})}},
			"claims":      {431, "GET", "/read", []string{"Authorization", "Bearer " + f.AT(map[string]any{"email": strings.Repeat("a", 5000)})}},
			"preflighted": {404, "OPTIONS", "/nope", []string{"Access-Control-Request-Method", "GET"}},
		} {
			var r *reply
			untouched(t, f, func() { r = do(row.method, row.path, slices.Concat([]string{"Origin", page}, row.header)...) })
			if r.StatusCode != row.status {
				t.Errorf("%s: status %d, want %d", name, r.StatusCode, row.status)
			}
			wantHeader(t, r, "Access-Control-Allow-Origin", page)
			wantHeader(t, r, "Vary", "Origin")
		}
	})
	broken := newFixture(t, edits(crossOriginKeys(answering), replacing(`upstream: "%[5]s"`, `upstream: "`+nowhere+`"`)))
	r := broken.do("GET", "/read", "Origin", page, "Authorization", "Bearer "+broken.AT(nil))
	if r.StatusCode != 502 {
		t.Errorf("status %d", r.StatusCode)
	}
	wantHeader(t, r, "Access-Control-Allow-Origin", page)
}

func testCORS07(t *testing.T) {
	f := newFixture(t, crossOriginKeys(`preflight: answer, origins: [https://app.example.com, "http://localhost:3000", capacitor://localhost]`))
	strangers := []string{
		stranger, "https://a.example.evil", "https://app.example.com.", "https://app.example.com:8443", "http://app.example.com", "https://APP.example.com",
		"https://evil.example/https://app.example.com", "https://app.example.com/", "null", "*", "", "https://app.example.com, https://app.example.com", "http://localhost", testIdentifier,
	}
	onBoth(t, f, func(t *testing.T, do clientCall) {
		f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			_, _ = io.WriteString(w, "upstream")
		})
		for _, origin := range strangers {
			untouched(t, f, func() {
				r := do("OPTIONS", "/read", asking(origin, "GET")...)
				if r.StatusCode != 204 {
					t.Errorf("%q: preflight %d", origin, r.StatusCode)
				}
				wantNothingAllowed(t, r)
				if !strings.HasPrefix(r.Header.Get("Vary"), "Origin") {
					t.Errorf("Vary %q", r.Header["Vary"])
				}
				wantNothingAllowed(t, do("GET", "/read", "Origin", origin))
			})
			r := do("GET", "/read", "Origin", origin, "Authorization", "Bearer "+f.AT(nil))
			wantOK(t, r)
			wantNothingAllowed(t, r)
			wantHeader(t, r, "Vary", "Origin")
		}
		wantHeader(t, do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)), "Vary", "Origin")
		for _, origin := range []string{page, "http://localhost:3000", "capacitor://localhost"} {
			wantHeader(t, do("GET", "/read", "Origin", origin, "Authorization", "Bearer "+f.AT(nil)), "Access-Control-Allow-Origin", origin)
			wantHeader(t, do("OPTIONS", "/read", asking(origin, "GET")...), "Access-Control-Allow-Origin", origin)
		}
	})
	null := newFixture(t, crossOriginKeys(`origins: ["null"]`))
	wantHeader(t, null.do("GET", "/read", "Origin", "null"), "Access-Control-Allow-Origin", "null")
	wantNothingAllowed(t, null.do("GET", "/read", "Origin", page))
	// Without origins the upstream speaks for itself.
	off := newFixture(t, nil)
	off.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Access-Control-Allow-Origin", "*") })
	r := off.do("GET", "/read", "Origin", page, "Authorization", "Bearer "+off.AT(nil))
	wantHeader(t, r, "Access-Control-Allow-Origin", "*")
	wantHeader(t, r, "Vary")
}

func testCORS08(t *testing.T) {
	f := newFixture(t, crossOriginKeys("strict: true, "+answering, "metadata: true"))
	onBoth(t, f, func(t *testing.T, do clientCall) {
		raw := "Bearer " + f.AT(nil)
		for _, origin := range []string{stranger, "null", "", "http://rs.example.com", "https://rs.example.com.evil.example"} {
			for _, header := range [][]string{nil, {"Authorization", raw}, {"Authorization", "Bearer bad"}, {"Authorization", "Bearer a b"}} {
				for _, path := range []string{"/read", "/open/x", "/nope"} {
					r := refused(t, f, 403, absent, absent, func() *reply { return do("GET", path, slices.Concat([]string{"Origin", origin}, header)...) })
					if body := bodyOf(t, r); !maps.Equal(body, map[string]string{"error": "forbidden", "error_description": "requests from this origin are not accepted"}) {
						t.Errorf("%q: %v", origin, body)
					}
					wantNothingAllowed(t, r)
				}
			}
			refused(t, f, 403, absent, absent, func() *reply { return do("OPTIONS", "/read", asking(origin, "GET")...) })
		}
		refused(t, f, 403, absent, absent, func() *reply {
			return do("GET", "/read", "Origin", page, "Origin", stranger, "Authorization", raw)
		})
		for _, origin := range []string{page, testIdentifier} { // a page of the API's own is no stranger
			wantOK(t, do("GET", "/read", "Origin", origin, "Authorization", raw))
		}
		wantOK(t, do("GET", "/read", "Authorization", raw))
		if r := do("OPTIONS", "/read", asking(page, "GET")...); r.StatusCode != 204 {
			t.Errorf("preflight %d", r.StatusCode)
		}
		wantOK(t, do("GET", rootDocument, "Origin", stranger))
	})
	if log := f.log.String(); !strings.Contains(log, `"gate.reason":"origin"`) {
		t.Error("the log does not say why")
	}
}
