package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

func testCRED01(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, scheme := range []string{"Bearer", "bearer", "BEARER", "bEaReR"} {
			wantOK(t, do("GET", "/read", "Authorization", scheme+" "+f.AT(nil)))
		}
	})
}

func testCRED02(t *testing.T) {
	f := newFixture(t, nil)
	at := f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		wantOK(t, do("GET", "/read", "Authorization", "Bearer   "+at))
		for _, gap := range []string{"\t", " \t", "\t "} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read", "Authorization", "Bearer"+gap+at) })
		}
	})
}

func testCRED03(t *testing.T) {
	f := newFixture(t, nil)
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
	asked := len(f.a.Requests())
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, rest := range []string{"", " ", " a b", ` "x"`, " a,b", " a=b", " =", ` {"payload":"e30"}`, " é", " a;b", " a%2e"} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read", "Authorization", "Bearer"+rest) })
		}
	})
	if now := len(f.a.Requests()); now != asked {
		t.Errorf("the issuer was asked %d times", now-asked)
	}
}

func testCRED04(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		if r := refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read") }); r.body != "" {
			t.Errorf("body %s", r.body)
		}
	})
}

func testCRED05(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, line := range []string{"Basic dTpw", "Negotiate x", "Digest a=b", "Bearerx y", "BearerToken", "Bear er"} {
			refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read", "Authorization", line) })
		}
	})
}

func testCRED06(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, line := range []string{"", "  "} {
			refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read", "Authorization", line) })
		}
	})
}

func testCRED07(t *testing.T) {
	f := newFixture(t, nil)
	one, two := "Bearer "+f.AT(nil), "Bearer "+f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, header := range [][]string{
			{"Authorization", one, "Authorization", one}, {"Authorization", one, "Authorization", two}, {"Authorization", one + ", " + one},
			{"Authorization", one, "Authorization", ""}, {"Authorization", "Basic dTpw", "Authorization", one}, {"Authorization", one + "," + two},
		} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read", header...) })
		}
	})
}

func testCRED08(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, order := range [][]string{{"Bearer ", "DPoP "}, {"DPoP ", "Bearer "}} {
			refused(t, f, 400, "invalid_request", "invalid_request", func() *reply {
				return do("GET", "/read", "Authorization", order[0]+raw, "Authorization", order[1]+raw,
					"DPoP", f.proof(key, raw, "GET", "/read", devissuer.Proof{}))
			})
		}
	})
}

func testCRED09(t *testing.T) {
	f := newFixture(t, nil)
	at := f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, name := range []string{"access_token", "access%5Ftoken", "%61ccess_token"} {
			refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read?"+name+"="+at) })
			refused(t, f, 400, "invalid_request", bare, func() *reply {
				return do("GET", "/read?a=b&"+name+"="+at, "Authorization", "Bearer "+at)
			})
		}
		for _, name := range []string{"Access_Token", "xaccess_token", "access_tokens"} {
			wantOK(t, do("GET", "/read?"+name+"=x", "Authorization", "Bearer "+at))
		}
	})
}

func testCRED10(t *testing.T) {
	f := newFixture(t, nil)
	at := f.AT(map[string]any{"scope": "write"})
	form := "a=%zz&access_token=" + at + "&b=1;c"
	post := func(authorization ...string) *reply {
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/write", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Content-Type"], req.Header["Authorization"] = []string{"application/x-www-form-urlencoded"}, authorization
		return f.send(req)
	}
	refused(t, f, 401, bare, bare, func() *reply { return post() })
	wantOK(t, post("Bearer "+at))
	f.upstream.mu.Lock()
	defer f.upstream.mu.Unlock()
	if got := f.upstream.bodies[len(f.upstream.bodies)-1]; got != form {
		t.Errorf("the body was forwarded as %q", got)
	}
}

// badTokens are tokens that fail one check of RFC 9068 section 4 each.
func badTokens(f *fixture) map[string]string {
	now := time.Now().Unix()
	claims := func(name string, value any) string { return f.AT(map[string]any{name: value}) }
	bad := map[string]string{
		"issuer": claims("iss", "https://elsewhere.example"), "audience": claims("aud", "https://other.example.com"),
		"no audience": claims("aud", nil), "expired": claims("exp", now-100), "no exp": claims("exp", nil), "exp text": claims("exp", "2000000000"),
		"not yet": claims("nbf", now+100), "issued ahead": claims("iat", now+100), "no sub": claims("sub", nil), "no jti": claims("jti", nil),
		"no client": claims("client_id", nil), "no iat": claims("iat", nil), "cnf": claims("cnf", map[string]any{"x": "y"}),
		"scope list": claims("scope", []string{"read"}), "not a token": "abc", "three parts": "a.b.c",
	}
	for name, token := range map[string]devissuer.Token{
		"typ": {Header: map[string]any{"typ": "JWT"}}, "no typ": {Header: map[string]any{"typ": nil}}, "none": {Alg: devissuer.None},
		"crit":        {Header: map[string]any{"crit": []string{"exp"}}},
		"unknown kid": {Header: map[string]any{"kid": "elsewhere"}, Claims: map[string]any{"iat": now - 60}},
	} {
		bad[name] = f.mint(f.a, token)
	}
	bad["signature"] = spoiled(f.AT(nil))
	return bad
}

// spoiled changes the signature of a token.
func spoiled(raw string) string {
	at := strings.LastIndexByte(raw, '.') + 10
	letter := "A"
	if raw[at] == 'A' {
		letter = "B"
	}
	return raw[:at] + letter + raw[at+1:]
}

func testCRED15(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	secrets := map[string]string{}
	var answers strings.Builder
	note := func(r *reply) {
		dump, err := httputil.DumpResponse(r.Response, false)
		if err != nil {
			t.Fatal(err)
		}
		answers.Write(dump)
		answers.WriteString(r.body)
	}
	present := func(name, raw string) {
		secrets[name] = raw
		for _, scheme := range []string{"Bearer ", "DPoP ", "", "Basic "} {
			proof := f.proof(key, raw, "GET", "/read", devissuer.Proof{Claims: map[string]any{"nonce": "proof-marker"}})
			secrets["proof for "+name+" as "+scheme] = proof
			for _, query := range []string{"", "?access_token=" + raw, "?dpop=" + proof + "#" + raw} {
				note(f.do("GET", "/read"+query, "Authorization", scheme+raw, "DPoP", proof))
			}
			note(f.do("GET", "/write;"+raw, "Authorization", scheme+raw, "DPoP", proof, "DPoP", raw))
			note(f.do(raw[:min(len(raw), 100)], "/any/x", "Authorization", scheme+raw+" "+raw))
		}
	}
	good := map[string]any{"sub": "sub-marker", "email": "email-marker"}
	present("good", f.AT(good))
	present("bound", f.bound(key, good))
	for name, raw := range badTokens(f) {
		if len(raw) > 10 {
			present(name, raw)
		}
	}
	secrets["marker"], secrets["claim"], secrets["unverified"] = "proof-marker", "email-marker", "elsewhere.example"
	f.upstream.setAnswer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	note(f.do("GET", "/token", "Authorization", "Bearer "+secrets["good"]))
	note(f.send(mustRequest(t, f.admin+"/metrics")))
	note(f.send(mustRequest(t, f.admin+"/readyz?verbose")))
	wantNowhere(t, secrets, map[string]string{"log": f.log.String(), "answers and metrics": answers.String()})
	if !strings.Contains(f.log.String(), "gate.reason") || !strings.Contains(answers.String(), "wicketgate_refusals_total") {
		t.Error("there was nothing to search")
	}
}

func mustRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// wantNowhere looks for each secret, and for each long part of one.
func wantNowhere(t *testing.T, secrets, outputs map[string]string) {
	t.Helper()
	for name, secret := range secrets {
		parts := append(strings.Split(secret, "."), secret)
		for where, output := range outputs {
			for _, part := range parts {
				if len(part) >= 12 && strings.Contains(output, part) {
					t.Errorf("%s: %s shows a part of it", name, where)
				}
			}
		}
	}
}

// seriesValue is the value of a series of the gate, written as it is exposed.
func seriesValue(t *testing.T, f *fixture, series string) string {
	t.Helper()
	for line := range strings.Lines(f.send(mustRequest(t, f.admin+"/metrics")).body) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	t.Errorf("no series %s", series)
	return ""
}

func testCRED16(t *testing.T) {
	f := newFixture(t, nil)
	lookups := func() string {
		return seriesValue(t, f, `wicketgate_token_cache_requests_total{result="hit"}`) + seriesValue(t, f, `wicketgate_token_cache_requests_total{result="miss"}`)
	}
	before := lookups()
	long := f.AT(map[string]any{"x": strings.Repeat("a", 17<<10)})
	for _, raw := range []string{long, strings.Repeat("a", 17<<10), strings.Repeat(".", 17<<10)} {
		refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", "/read", "Authorization", "Bearer "+raw) })
	}
	if after := lookups(); after != before {
		t.Errorf("the token was looked up: %s, before %s", after, before)
	}
	if got := seriesValue(t, f, `wicketgate_refusals_total{reason="limit"}`); got != "3" {
		t.Errorf("refused as too long: %s", got)
	}
}

func testCHAL01(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	raw, at := f.bound(key, nil), "Bearer "+f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, row := range []struct {
			method, path, authorization string
			status                      int
			bearer, dpop, code          string
		}{
			{"GET", "/read", "", 401, bare, bare, ""},
			{"GET", "/read", "Bearer a b", 400, "invalid_request", bare, "invalid_request"},
			{"GET", "/read", "Bearer abc", 401, "invalid_token", bare, "invalid_token"},
			{"GET", "/read", "Bearer " + raw, 401, "invalid_token", bare, "invalid_token"},
			{"GET", "/read", "DPoP " + raw, 401, bare, "invalid_dpop_proof", "invalid_dpop_proof"},
			{"POST", "/write", at, 403, "insufficient_scope", bare, "insufficient_scope"},
			{"GET", "/nope", at, 404, absent, absent, "not_found"},
			{"GET", "/nope", "", 404, absent, absent, "not_found"},
			{"POST", "/read", at, 404, absent, absent, "not_found"},
			{"TRACE", "/read", at, 405, absent, absent, "method_not_allowed"},
		} {
			r := refused(t, f, row.status, row.bearer, row.dpop, func() *reply {
				if row.authorization == "" {
					return do(row.method, row.path)
				}
				return do(row.method, row.path, "Authorization", row.authorization)
			})
			if got := bodyOf(t, r)["error"]; got != row.code {
				t.Errorf("%s %s: body error %q, want %q", row.method, row.path, got, row.code)
			}
		}
	})
	f.upstream.CloseClientConnections()
	f.upstream.Close()
	if r := f.do("GET", "/read", "Authorization", at); r.StatusCode != 502 || bodyOf(t, r)["error"] != "bad_gateway" || len(challengesOf(t, r)) != 0 {
		t.Errorf("upstream gone: %d %s", r.StatusCode, r.body)
	}
}

func bodyOf(t *testing.T, r *reply) map[string]string {
	t.Helper()
	members := map[string]string{}
	if r.body != "" {
		if err := json.Unmarshal([]byte(r.body), &members); err != nil {
			t.Errorf("%v in %s", err, r.body)
		}
	}
	return members
}

func testCHAL02(t *testing.T) {
	f := newFixture(t, nil)
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
	key := newClientKey(t, "ES256")
	for name, raw := range badTokens(f) {
		t.Run(name, func(t *testing.T) {
			refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", "/read", "Authorization", "Bearer "+raw) })
			refused(t, f, 401, bare, "invalid_token", func() *reply {
				return f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/read", devissuer.Proof{}))
			})
		})
	}
}

func testCHAL03(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	onBoth(t, f, func(t *testing.T, do clientCall) {
		refused(t, f, 401, "invalid_token", bare, func() *reply { return do("GET", "/read", "Authorization", "Bearer bad") })
		refused(t, f, 401, bare, "invalid_token", func() *reply {
			return do("GET", "/read", "Authorization", "DPoP bad", "DPoP", f.proof(key, "bad", "GET", "/read", devissuer.Proof{}))
		})
		refused(t, f, 400, bare, "invalid_request", func() *reply { return do("GET", "/read", "Authorization", "DPoP a b") })
	})
}

// testCHAL04 parses every kind of challenge; challengesOf does the checks.
func testCHAL04(t *testing.T) {
	f := newFixture(t, func(text string) string { return strings.Replace(text, "behind_tls", "realm: api\n    behind_tls", 1) })
	tokens := slices.Collect(maps.Values(badTokens(f)))
	tokens = append(tokens, f.AT(nil), f.AT(map[string]any{"scope": "other"}), "a b", "")
	parsedLines := 0
	for _, raw := range tokens {
		for _, scheme := range []string{"Bearer ", "DPoP ", "Basic "} {
			for _, path := range []string{"/read", "/both", "/dpop/x", "/any/x", "/maybe"} {
				parsedLines += len(challengesOf(t, f.do("GET", path, "Authorization", scheme+raw)))
			}
		}
	}
	if parsedLines < 100 {
		t.Errorf("only %d challenges", parsedLines)
	}
}

func testCHAL05(t *testing.T) {
	f := newFixture(t, nil)
	nasty := "a\"b\\c\r\nX-Admin: 1 é\x7f"
	for _, name := range []string{"iss", "sub", "aud", "scope", "client_id", "jti", "cnf", "exp"} {
		for _, claims := range []map[string]any{{name: nasty}, {name: map[string]any{nasty: nasty}}, {nasty: 1, name: []string{nasty}}} {
			r := f.do("GET", "/both", "Authorization", "Bearer "+f.AT(claims))
			if len(challengesOf(t, r)) == 0 || r.Header.Get("X-Admin") != "" {
				t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
			}
		}
	}
	for _, name := range []string{"kid", "alg", "typ", "x"} {
		r := f.do("GET", "/both", "Authorization", "Bearer "+f.mint(f.a, devissuer.Token{Header: map[string]any{name: nasty}}))
		challengesOf(t, r)
	}
	for _, line := range []string{`Bearer "\`, "Bearer é\"", `DPoP "`, "Bearer \\", `Bearer realm="x", error="y"`} {
		refused(t, f, 400, map[bool]string{true: "invalid_request", false: bare}[line[0] == 'B'],
			map[bool]string{true: "invalid_request", false: bare}[line[0] == 'D'], func() *reply { return f.do("GET", "/read", "Authorization", line) })
	}
}

func testCHAL06(t *testing.T) {
	f := newFixture(t, nil)
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
	bad := badTokens(f)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		answers := map[string]string{}
		for _, name := range []string{"issuer", "unknown kid", "signature"} {
			r := refused(t, f, 401, "invalid_token", bare, func() *reply { return do("GET", "/read", "Authorization", "Bearer "+bad[name]) })
			r.Header.Del("Date")
			answers[fmt.Sprint(r.Status, r.Header, r.body)] = name
		}
		if len(answers) != 1 {
			t.Errorf("answers differ: %v", answers)
		}
	})
}

func testCHAL07(t *testing.T) {
	f := newFixture(t, func(text string) string { return strings.Replace(text, "behind_tls", "realm: api\n    behind_tls", 1) })
	for scheme, attributes := range challengesOf(t, refused(t, f, 401, bare, bare, func() *reply { return f.do("GET", "/read") })) {
		if attributes["realm"] != "api" {
			t.Errorf("%s: %v", scheme, attributes)
		}
	}
}

func testCHAL08(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		r := refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read") })
		if lines := r.Header["Www-Authenticate"]; len(lines) != 2 || !strings.HasPrefix(lines[0], "Bearer") || !strings.HasPrefix(lines[1], "DPoP") {
			t.Errorf("challenges %q", lines)
		}
		refused(t, f, 401, absent, bare, func() *reply { return do("GET", "/dpop/x") })
		refused(t, f, 401, absent, bare, func() *reply { return do("GET", "/dpop/x", "Authorization", "Bearer "+f.AT(nil)) })
	})
}

func testCHAL09(t *testing.T) {
	for want, edit := range map[string]func(string) string{
		"ES256 EdDSA Ed25519 RS256 PS256": edits(),
		"ES256":                           func(text string) string { return text + "dpop: {algorithms: [ES256]}\n" },
	} {
		f := newFixture(t, edits(resourceKeys("metadata: true"), edit))
		wantSameAlgorithms(t, f)
		for _, line := range []string{"", "Bearer abc", "DPoP a b", "DPoP " + f.AT(nil)} {
			got := strings.Fields(challengesOf(t, f.do("GET", "/read", "Authorization", line))["DPoP"]["algs"])
			if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(strings.Fields(want)))) {
				t.Errorf("algs %q, want %q", got, want)
			}
		}
		for _, alg := range []string{"ES256", "EdDSA", "Ed25519", "RS256", "PS256", "ES384", "RS384"} {
			key := newClientKey(t, alg)
			raw := f.bound(key, nil)
			send := func() *reply {
				return f.do("GET", "/read", "Authorization", "DPoP "+raw, "DPoP", f.proof(key, raw, "GET", "/read", devissuer.Proof{}))
			}
			if slices.Contains(strings.Fields(want), alg) {
				wantOK(t, send())
			} else {
				refused(t, f, 401, bare, "invalid_dpop_proof", send)
			}
		}
	}
}

func testCHAL10(t *testing.T) {
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, row := range []struct{ method, path, want string }{{"POST", "/write", "write"}, {"GET", "/both", "read write"}} {
			r := refused(t, f, 403, "insufficient_scope", bare, func() *reply { return do(row.method, row.path, "Authorization", "Bearer "+f.AT(nil)) })
			if got := challengesOf(t, r)["Bearer"]["scope"]; got != row.want {
				t.Errorf("%s: scope %q, want %q", row.path, got, row.want)
			}
			raw := f.bound(key, nil)
			proof := f.proof(key, raw, row.method, row.path, devissuer.Proof{})
			r = refused(t, f, 403, bare, "insufficient_scope", func() *reply { return do(row.method, row.path, "Authorization", "DPoP "+raw, "DPoP", proof) })
			if got := challengesOf(t, r)["DPoP"]["scope"]; got != row.want {
				t.Errorf("%s: scope %q, want %q", row.path, got, row.want)
			}
		}
	})
}

func testCHAL12(t *testing.T) {
	gone := listenLoopback(t)
	nowhere := "http://" + gone.Addr().String()
	_ = gone.Close() // nobody listens there any more
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "issuers:\n", "issuers:\n  - {name: gone, issuer: \""+nowhere+"\"}\n", 1)
	})
	onBoth(t, f, func(t *testing.T, do clientCall) {
		r := refused(t, f, 503, absent, absent, func() *reply {
			return do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"iss": nowhere}))
		})
		if r.Header.Get("Retry-After") == "" || bodyOf(t, r)["error"] != "temporarily_unavailable" {
			t.Errorf("Retry-After %q, body %s", r.Header.Get("Retry-After"), r.body)
		}
		wantOK(t, do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
	})
}

func testCHAL13(t *testing.T) {
	f := newFixture(t, nil)
	for _, accept := range []string{"*/*", "application/json", "text/html"} {
		for line, status := range map[string]int{"Bearer abc": 401, "Bearer a b": 400, "Bearer " + f.AT(map[string]any{"scope": "x"}): 403} {
			r := f.do("GET", "/read", "Authorization", line, "Accept", accept)
			challenge, body := challengesOf(t, r)["Bearer"], bodyOf(t, r)
			if r.StatusCode != status || body["error"] != challenge["error"] || body["error_description"] != challenge["error_description"] || body["error"] == "" {
				t.Errorf("%d: body %v, challenge %v", r.StatusCode, body, challenge)
			}
			for name, want := range map[string]string{"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
		}
	}
}

func testAZ01(t *testing.T) {
	f := newFixture(t, nil)
	for _, scope := range []string{"readonly", "READ", "read:all", "thread", "", "rea d"} {
		refused(t, f, 403, "insufficient_scope", bare, func() *reply {
			return f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"scope": scope}))
		})
	}
	for _, scope := range []string{"read", "a read b", "read read"} {
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"scope": scope})))
	}
}

func testAZ02(t *testing.T) {
	f := newFixture(t, nil)
	for _, scope := range []any{[]string{"read"}, 1, map[string]any{"read": true}, true} {
		refused(t, f, 401, "invalid_token", bare, func() *reply {
			return f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"scope": scope}))
		})
	}
	f = newFixture(t, func(text string) string { return strings.Replace(text, "name: a,", "name: a, scope_claim: scp,", 1) })
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"scope": nil, "scp": []string{"other", "read"}})))
	refused(t, f, 403, "insufficient_scope", bare, func() *reply {
		return f.do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"scp": []string{"readonly"}}))
	})
}

func testAZ03(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, scope := range []any{nil, "other"} {
			refused(t, f, 403, "insufficient_scope", bare, func() *reply {
				return do("GET", "/read", "Authorization", "Bearer "+f.AT(map[string]any{"scope": scope}))
			})
		}
	})
}

func testAZ06(t *testing.T) {
	f := newFixture(t, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, path := range []string{"/nope", "/", "/read/", "/READ", "/readx", "/token/x"} {
			r := refused(t, f, 404, absent, absent, func() *reply { return do("POST", path, "Authorization", "Bearer "+f.AT(nil)) })
			if bodyOf(t, r)["error"] != "not_found" {
				t.Errorf("body %s", r.body)
			}
		}
	})
}

func testAZ07(t *testing.T) {
	f := newFixture(t, nil)
	refused(t, f, 401, bare, bare, func() *reply { return f.do("GET", "/any/x") })
	refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", "/any/x", "Authorization", "Bearer bad") })
	wantOK(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(map[string]any{"scope": nil})))
	wantOK(t, f.do("GET", "/open/x"))
}

var nativeSeries = regexp.MustCompile(`(?m)^(wicketgate_[^ ]+) `)

func testOPS02(t *testing.T) {
	f := newFixture(t, nil)
	flood := func(from, to int) int {
		for i := from; i < to; i++ {
			name := fmt.Sprintf("made-up-%d", i)
			for _, token := range []devissuer.Token{
				{Claims: map[string]any{"iss": "https://" + name + ".example"}}, {Header: map[string]any{"alg": name}}, {Header: map[string]any{"typ": name}},
				{Header: map[string]any{"kid": name}, Claims: map[string]any{"iat": time.Now().Unix() - 60}},
				{Claims: map[string]any{"client_id": name, "sub": name, "jti": name}},
			} {
				f.do("GET", "/read", "Authorization", "Bearer "+f.mint(f.a, token))
			}
			f.do("M"+strings.ToUpper(name), "/any/"+name, "Authorization", name+" x")
			f.do("GET", "/"+name, "X-"+name, name)
		}
		body := f.send(mustRequest(t, f.admin+"/metrics")).body
		if strings.Contains(body, "made-up") || strings.Contains(strings.ToLower(body), "made_up") {
			t.Error("a label is the caller's choice")
		}
		return len(nativeSeries.FindAllString(body, -1))
	}
	before := flood(0, 2)
	if after := flood(2, 60); after != before || before == 0 {
		t.Errorf("%d series became %d", before, after)
	}
}

func testOPS03(t *testing.T) {
	f := newFixture(t, nil)
	wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
	key, other := newClientKey(t, "ES256"), newClientKey(t, "ES256")
	raw, at, bad := f.bound(key, nil), f.AT(nil), badTokens(f)
	proved := func(p devissuer.Proof) []string {
		return []string{"GET", "/read", "Authorization", "DPoP " + raw, "DPoP", f.proof(key, raw, "GET", "/read", p)}
	}
	bearer := func(raw string) []string { return []string{"GET", "/read", "Authorization", "Bearer " + raw} }
	used := proved(devissuer.Proof{})
	wantOK(t, f.do(used[0], used[1], used[2:]...))
	for _, row := range []struct {
		reason string
		call   []string
	}{
		{"method", []string{"TRACE", "/read"}}, {"path", []string{"GET", "/open//x"}}, {"no_route", []string{"GET", "/nope"}},
		{"missing", []string{"GET", "/read"}}, {"two_methods", append(bearer(at), "Authorization", "x y")},
		{"malformed", bearer("a b")}, {"malformed", bearer(bad["three parts"])}, {"limit", bearer(strings.Repeat("a", 17<<10))},
		{"crit", bearer(bad["crit"])}, {"alg", bearer(f.mint(f.a, devissuer.Token{Header: map[string]any{"alg": "HS256"}}))}, {"typ", bearer(bad["typ"])}, {"issuer", bearer(bad["issuer"])},
		{"unknown_key", bearer(bad["unknown kid"])}, {"signature", bearer(bad["signature"])}, {"claim", bearer(bad["no sub"])},
		{"expired", bearer(bad["expired"])}, {"not_yet", bearer(bad["not yet"])}, {"issued_at", bearer(bad["issued ahead"])},
		{"audience", bearer(bad["audience"])}, {"confirmation", bearer(bad["cnf"])}, {"dpop_binding", bearer(raw)},
		{"scope", append([]string{"POST", "/write"}, bearer(at)[2:]...)}, {"claims_too_large", bearer(f.AT(map[string]any{"email": strings.Repeat("a", 5000)}))},
		{"dpop_missing", []string{"GET", "/read", "Authorization", "DPoP " + raw}}, {"dpop_replay", used},
		{"dpop_malformed", []string{"GET", "/read", "Authorization", "DPoP " + raw, "DPoP", "a.b"}},
		{"dpop_typ", proved(devissuer.Proof{Header: map[string]any{"typ": "JWT"}})}, {"dpop_alg", proved(devissuer.Proof{Header: map[string]any{"alg": "HS256"}})},
		{"dpop_htm", proved(devissuer.Proof{Claims: map[string]any{"htm": "POST"}})}, {"dpop_htu", proved(devissuer.Proof{Claims: map[string]any{"htu": testIdentifier + "/x"}})},
		{"dpop_iat", proved(devissuer.Proof{IssuedAt: time.Now().Add(-time.Hour)})}, {"dpop_ath", proved(devissuer.Proof{Claims: map[string]any{"ath": "x"}})},
		{"dpop_binding", []string{"GET", "/read", "Authorization", "DPoP " + raw, "DPoP", f.proof(other, raw, "GET", "/read", devissuer.Proof{})}},
	} {
		series := `wicketgate_refusals_total{reason="` + row.reason + `"}`
		before, logged := seriesValue(t, f, series), len(f.log.String())
		untouched(t, f, func() { f.do(row.call[0], row.call[1], row.call[2:]...) })
		if lines := f.log.String()[logged:]; !strings.Contains(lines, `"gate.reason":"`+row.reason+`"`) {
			t.Errorf("%s: log says %s", row.reason, lines)
		}
		if after := seriesValue(t, f, series); after == before {
			t.Errorf("%s was not counted", row.reason)
		}
	}
}

func testOPS06(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "    routes:\n", "    routes:\n      - {name: metrics, path: /metrics}\n", 1)
	})
	refused(t, f, 401, bare, bare, func() *reply { return f.do("GET", "/metrics") })
	r := f.do("GET", "/metrics", "Authorization", "Bearer "+f.AT(nil))
	if r.StatusCode != 200 || r.body != "upstream" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	for _, path := range []string{"/livez", "/readyz", "/version", "/drain", "/-/reload"} {
		refused(t, f, 404, absent, absent, func() *reply { return f.do("GET", path) })
	}
	untouched(t, f, func() {
		if r := f.send(mustRequest(t, f.admin+"/open/x")); r.StatusCode != 404 {
			t.Errorf("the admin listener serves the API: %d", r.StatusCode)
		}
		if r := f.send(mustRequest(t, f.admin+"/metrics")); r.StatusCode != 200 || !strings.Contains(r.body, "wicketgate_requests_total") {
			t.Errorf("admin: %d %s", r.StatusCode, r.body)
		}
	})
}

func testCORS02(t *testing.T) {
	f := newFixture(t, nil)
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "options") })
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, header := range [][]string{
			nil, {"Origin", "https://a.example"}, {"Access-Control-Request-Method", "GET"},
			{"Origin", "https://a.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"},
		} {
			refused(t, f, 401, bare, bare, func() *reply { return do("OPTIONS", "/any/x", header...) })
		}
		wantOK(t, do("OPTIONS", "/any/x", "Authorization", "Bearer "+f.AT(nil)))
	})
	testCORS02On(t)
}
