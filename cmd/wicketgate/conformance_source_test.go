package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// sourceRows are the rows about tokens beside the Authorization field, with
// the places for them open. What holds while they are shut is in frontRows.
var sourceRows = []conformanceRow{
	{"HTTP-27", rowHTTP27}, {"CRED-09", testCRED09Open}, {"CRED-10", testCRED10Open}, {"CRED-11", testCRED11}, {"CRED-12", testCRED12}, {"CRED-13", testCRED13},
	{"CRED-14", testCRED14}, {"CRED-15", testCRED15Open}, {"CRED-17", testCRED17},
}

const allSources = "{cookie: session, header: X-Api-Token, query: true, body: true, websocket: true}"

// withSources opens places for a token in the fixture's resource. more are
// further lines of it.
func withSources(sources string, more ...string) func(string) string {
	lines := append([]string{"behind_tls: true", "token_sources: " + sources}, more...)
	return func(text string) string {
		return strings.Replace(text, "behind_tls: true", strings.Join(lines, "\n    "), 1)
	}
}

const formType = "application/x-www-form-urlencoded"

// submit sends a body. A length of -1 sends it in chunks.
func (f *fixture) submit(method, path, contentType, body string, length int64, header ...string) *reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		f.t.Fatal(err)
	}
	req.ContentLength = length
	req.Header["Content-Type"] = []string{contentType}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	return f.send(req)
}

func (f *fixture) form(path, body string, header ...string) *reply {
	f.t.Helper()
	return f.submit("POST", path, formType, body, int64(len(body)), header...)
}

func (u *recordingUpstream) lastBody() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bodies[len(u.bodies)-1]
}

func wantTarget(t *testing.T, f *fixture, want string) {
	t.Helper()
	if got := f.upstream.last().RequestURI; got != want {
		t.Errorf("the upstream was asked for %s, want %s", got, want)
	}
}

func wantBody(t *testing.T, f *fixture, want string, length int64) {
	t.Helper()
	if got := f.upstream.lastBody(); got != want {
		t.Errorf("the body was forwarded as %q, want %q", got, want)
	}
	if got := f.upstream.last().ContentLength; got != length {
		t.Errorf("the upstream was told %d octets, want %d", got, length)
	}
}

func testCRED09Open(t *testing.T) {
	f := newFixture(t, withSources("{query: true}"))
	at := f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, name := range []string{"access_token", "access%5Ftoken", "%61ccess_token"} {
			wantOK(t, do("GET", "/read?"+name+"="+at))
			for _, query := range []string{"?" + name + "=" + at, "?a=b;" + name + "=" + at, "?" + name, "?" + name + "="} {
				refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read"+query, "Authorization", "Bearer "+at) })
				refused(t, f, 400, "invalid_request", "invalid_request", func() *reply { return do("GET", "/read"+query, "Authorization", "DPoP "+at) })
				refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read"+query+"&access_token="+at) })
			}
		}
		for _, name := range []string{"Access_Token", "xaccess_token", "access_tokens", "access+token", "access%255Ftoken"} {
			refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read?"+name+"="+at) })
			wantOK(t, do("GET", "/read?"+name+"=x", "Authorization", "Bearer "+at))
			wantTarget(t, f, "/read?"+name+"=x")
		}
		for _, value := range []string{"", "=", "=a%20b", "=a+b", "=%zz", "=%", "=Bearer%20" + at, "=%00"} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read?access_token"+value) })
		}
		refused(t, f, 401, "invalid_token", bare, func() *reply { return do("GET", "/read?access_token=bad") })
		refused(t, f, 401, "invalid_token", bare, func() *reply { return do("GET", "/maybe?access_token=bad") })
		refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/maybe?access_token=") })
		refused(t, f, 403, "insufficient_scope", bare, func() *reply { return do("POST", "/write?access_token="+at) })
	})
	f = newFixture(t, withSources("{cookie: session}"))
	at = f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read?access_token="+at) })
		refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read?access_token="+at, "Cookie", "session="+at) })
	})
}

func testCRED10Open(t *testing.T) {
	f := newFixture(t, withSources("{header: X-Api-Token, query: true}"))
	at := f.AT(map[string]any{"scope": "write"})
	body := "a=%zz&access_token=" + at + "&b=1;c"
	refused(t, f, 401, bare, bare, func() *reply { return f.form("/write", body) })
	wantOK(t, f.form("/write", body, "X-Api-Token", at))
	wantBody(t, f, body, int64(len(body)))
	wantOK(t, f.form("/write?access_token="+at, body))
	wantBody(t, f, body, int64(len(body)))
}

func testCRED11(t *testing.T) {
	f := newFixture(t, withSources("{body: true}"))
	at := f.AT(map[string]any{"scope": "write"})
	token := "access_token=" + at
	t.Run("taken", func(t *testing.T) { bodyTaken(t, f, token) })
	t.Run("conditions", func(t *testing.T) { bodyConditions(t, f, token, "Bearer "+at) })
	t.Run("two methods", func(t *testing.T) {
		refused(t, f, 400, "invalid_request", bare, func() *reply { return f.form("/write", token, "Authorization", "Bearer "+at) })
		refused(t, f, 400, "invalid_request", "invalid_request", func() *reply { return f.form("/write", token, "Authorization", "DPoP "+at) })
		refused(t, f, 400, "invalid_request", bare, func() *reply { return f.form("/write", token+"&"+token) })
		refused(t, f, 400, "invalid_request", bare, func() *reply { return f.form("/write", token+";access%5Ftoken=") })
		refused(t, f, 400, "invalid_request", bare, func() *reply { return f.form("/write?access_token=x", token) })
	})
	t.Run("bad", func(t *testing.T) {
		for _, body := range []string{"access_token", "access_token=", "access_token=a+b", "access_token=%zz", token + "\r\n"} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return f.form("/write", body) })
			refused(t, f, 400, "invalid_request", bare, func() *reply { return f.form("/maybe", body) })
		}
		refused(t, f, 401, "invalid_token", bare, func() *reply { return f.form("/maybe", "access_token=bad") })
		refused(t, f, 401, bare, bare, func() *reply { return f.form("/write", "") })
	})
	t.Run("other routes", func(t *testing.T) {
		wantOK(t, f.form("/open/x", token)) // a public route looks at no body
		wantBody(t, f, token, int64(len(token)))
		wantOK(t, f.form("/maybe", "a=1&b"))
		wantBody(t, f, "a=1&b", 5)
		refused(t, f, 404, absent, absent, func() *reply { return f.form("/nope", token) })
	})
	t.Run("broken", func(t *testing.T) { bodyBroken(t, f) })
}

func bodyTaken(t *testing.T, f *fixture, token string) {
	for body, rest := range map[string]string{
		token: "", "a=%zz&" + token + "&b=1;c": "a=%zz&b=1;c", token + ";x=1;;&y": "x=1;;&y", "a;" + token + "&+b=%": "a&+b=%",
		"a=1&" + strings.Replace(token, "_", "%5f", 1): "a=1", "&" + token + "&": "&", "Access_Token=1&" + token: "Access_Token=1",
		strings.Replace(token, ".", "%2E", 1): "",
	} {
		wantOK(t, f.form("/write", body))
		wantBody(t, f, rest, int64(len(rest)))
		wantOK(t, f.submit("POST", "/write", "Application/X-WWW-Form-Urlencoded; charset=utf-8", body, -1))
		wantBody(t, f, rest, int64(len(rest)))
		wantSeen(t, f, "Authorization")
	}
	for _, method := range []string{"PUT", "PATCH"} {
		wantOK(t, f.submit(method, "/any/x", formType, "a=1&"+token, -1))
		wantBody(t, f, "a=1", 3)
	}
	for range 500 { // each on the connection of the one before, which it must leave as it was
		wantOK(t, f.form("/write", token, "Expect", "100-continue"))
	}
	wantBody(t, f, "", 0)
	padding := strings.Repeat("a", 64<<10-len(token)-1)
	wantOK(t, f.form("/write", padding+"&"+token))
	wantBody(t, f, padding, int64(len(padding)))
	// A body that is no form by its head is not asked for (HTTP-24).
	for _, line := range []string{"Content-Type: " + formType + "\r\nContent-Length: 65537", "Content-Type: text/plain\r\nContent-Length: 10"} {
		refused(t, f, 401, bare, bare, func() *reply { return parsed(t, f.raw(head("POST", "/write", line, "Expect: 100-continue"))) })
	}
}

// bodyConditions breaks each condition of RFC 6750 section 2.2 in turn: alone
// the token is not seen, and beside another credential the body is untouched.
func bodyConditions(t *testing.T, f *fixture, token, authorization string) {
	long := token + "&" + strings.Repeat("a", 64<<10-len(token))
	for name, row := range map[string]struct {
		method, contentType, body string
		length                    int64
		header                    []string
	}{
		"json":             {"POST", "application/json", token, 0, nil},
		"multipart":        {"POST", `multipart/form-data; boundary="x"`, "--x\r\nContent-Disposition: form-data; name=\"access_token\"\r\n\r\n" + token[13:] + "\r\n--x--\r\n", 0, nil},
		"no type":          {"POST", "", token, 0, nil},
		"broken type":      {"POST", formType + "; =", token, 0, nil},
		"two types":        {"POST", formType, token, 0, []string{"Content-Type", formType}},
		"encoded":          {"POST", formType, token, 0, []string{"Content-Encoding", "identity"}},
		"not ASCII":        {"POST", formType, token + "&a=é", 0, nil},
		"one octet more":   {"POST", formType, long, 0, nil},
		"... in chunks":    {"POST", formType, long, -1, nil},
		"a lot in chunks":  {"POST", formType, strings.Repeat(long, 9), -1, nil},
		"GET":              {"GET", formType, token, 0, nil},
		"HEAD":             {"HEAD", formType, token, 0, nil},
		"DELETE":           {"DELETE", formType, token, 0, nil},
		"OPTIONS":          {"OPTIONS", formType, token, 0, nil},
		"an unknown one":   {"FETCH", formType, token, 0, nil},
		"one in lowercase": {"post", formType, token, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if row.length == 0 {
				row.length = int64(len(row.body))
			}
			send := func(more ...string) *reply {
				return f.submit(row.method, "/any/x", row.contentType, row.body, row.length, slices.Concat(row.header, more)...)
			}
			refused(t, f, 401, bare, bare, func() *reply { return send() })
			wantOK(t, send("Authorization", authorization))
			wantBody(t, f, row.body, row.length)
		})
	}
}

func bodyBroken(t *testing.T, f *fixture) {
	start := []string{"Content-Type: " + formType}
	for name, request := range map[string]string{
		"chunk": head("POST", "/write", append(start, "Transfer-Encoding: chunked")...) + "zz\r\naccess_token=x\r\n0\r\n\r\n",
		"gone":  strings.Replace(head("POST", "/write", append(start, "Transfer-Encoding: chunked")...), "Connection: close\r\n", "", 1) + "5\r\nabc\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := seriesValue(t, f, `wicketgate_refusals_total{reason="body"}`)
			r := refused(t, f, 400, absent, absent, func() *reply { return parsed(t, f.raw(request)) })
			if got := bodyOf(t, r); got["error"] != "invalid_request" || got["error_description"] != "the request's body is malformed" || !r.Close {
				t.Errorf("body %v, close %v", got, r.Close)
			}
			if after := seriesValue(t, f, `wicketgate_refusals_total{reason="body"}`); after == before {
				t.Error("not counted")
			}
		})
	}
}

func testCRED12(t *testing.T) {
	f := newFixture(t, withSources("{query: true}"))
	at := f.AT(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for query, rest := range map[string]string{
			"?access_token=AT": "", "?a=1;b=2&access_token=AT&c=%zz": "?a=1;b=2&c=%zz", "?access_token=AT&a=1": "?a=1", "?a=1;access_token=AT": "?a=1",
			"?a=1;access_token=AT&b=2": "?a=1&b=2", "?x=1&access_token=AT;b=2": "?x=1&b=2", "?x=1;access%5ftoken=AT;b=+%2b": "?x=1;b=+%2b", "?%61ccess_token=AT&Access_Token=z": "?Access_Token=z",
			"?&access_token=AT&&": "?&&",
		} {
			query = strings.ReplaceAll(query, "AT", at)
			wantOK(t, do("GET", "/read"+query))
			wantTarget(t, f, "/read"+rest)
			wantSeen(t, f, "Authorization")
			wantSeen(t, f, "X-Auth-Subject", "user-1")
			wantOK(t, do("GET", "/open/x"+query)) // nobody proved it there
			wantTarget(t, f, "/open/x"+rest)
		}
		for _, query := range []string{"?", "?a=1;b=2&c=%zz&;", "?access_tokens"} {
			wantOK(t, do("GET", "/read"+query, "Authorization", "Bearer "+at))
			wantTarget(t, f, "/read"+query)
		}
		wantOK(t, do("GET", "/open/x?access_token=1&access_token;a&access%5ftoken=2"))
		wantTarget(t, f, "/open/x?a")
	})
	t.Run("private", func(t *testing.T) { queryPrivate(t, f, at) })
	wantNowhere(t, map[string]string{"token": at}, map[string]string{"log": f.log.String()})
	if !strings.Contains(f.log.String(), `"url.path":"/read"`) {
		t.Error("there was nothing to search")
	}
}

func queryPrivate(t *testing.T, f *fixture, at string) {
	for _, row := range []struct {
		status    int
		said, got []string
	}{
		{200, nil, []string{"private"}}, {204, nil, []string{"private"}}, {206, []string{"max-age=60"}, []string{"max-age=60", "private"}},
		{200, []string{"public"}, []string{"public", "private"}}, {200, []string{"no-store"}, []string{"no-store"}}, {201, []string{"a, No-Store"}, []string{"a, No-Store"}},
		{200, []string{"private"}, []string{"private"}}, {200, []string{`private="x"`}, []string{`private="x"`, "private"}}, {302, nil, nil}, {404, []string{"public"}, []string{"public"}},
	} {
		f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
			if row.said != nil {
				w.Header()["Cache-Control"] = row.said
			}
			w.WriteHeader(row.status)
		})
		for _, method := range []string{"GET", "HEAD"} {
			if got := f.do(method, "/read?access_token="+at).Header["Cache-Control"]; !slices.Equal(got, row.got) {
				t.Errorf("%d %q became %q", row.status, row.said, got)
			}
			if got := f.do(method, "/read?x", "Authorization", "Bearer "+at).Header["Cache-Control"]; !slices.Equal(got, row.said) {
				t.Errorf("no token in the query: %d %q became %q", row.status, row.said, got)
			}
		}
	}
	f.upstream.setAnswer(nil)
}

// rowHTTP27: a shared cache leaves alone what answers a request with
// Authorization, and would keep the rest for everybody (RFC 9111 section 3.5).
func rowHTTP27(t *testing.T) {
	f := newFixture(t, withSources(allSources))
	at := f.AT(nil)
	for name, ask := range map[string]func() *reply{
		"cookie": func() *reply { return f.do("GET", "/read", "Cookie", "session="+at) },
		"header": func() *reply { return f.do("GET", "/read", "X-Api-Token", at) },
		"query":  func() *reply { return f.do("GET", "/read?access_token="+at) },
		"body":   func() *reply { return f.form("/any/x", "access_token="+at) },
		"websocket": func() *reply {
			return f.do("GET", "/read", "Upgrade", "websocket", "Connection", "Upgrade", "Sec-Websocket-Protocol", "bearer, "+at)
		},
	} {
		for _, row := range []struct{ said, want []string }{
			{nil, []string{"private"}}, {[]string{"public, s-maxage=60"}, []string{"public, s-maxage=60", "private"}}, {[]string{"no-store"}, []string{"no-store"}},
		} {
			f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
				if row.said != nil {
					w.Header()["Cache-Control"] = row.said
				}
			})
			r := ask()
			wantOK(t, r)
			if got := r.Header["Cache-Control"]; !slices.Equal(got, row.want) {
				t.Errorf("%s: %q became %q, want %q", name, row.said, got, row.want)
			}
			r = f.do("GET", "/read", "Authorization", "Bearer "+at)
			if got := r.Header["Cache-Control"]; !slices.Equal(got, row.said) {
				t.Errorf("Authorization: %q became %q", row.said, got)
			}
		}
	}
}

func testCRED13(t *testing.T) {
	f := newFixture(t, withSources("{cookie: __Host-t, header: x-API-token}", "public_origins: [https://rs.example.com]",
		"cors: {origins: [https://app.example.com, https://odd.example.com:8443, 'null']}"))
	at := f.AT(map[string]any{"scope": "read write"})
	t.Run("cookie", func(t *testing.T) {
		onBoth(t, f, func(t *testing.T, do clientCall) { cookieRead(t, f, at, do) })
	})
	t.Run("other sites", func(t *testing.T) {
		onBoth(t, f, func(t *testing.T, do clientCall) { cookieGuard(t, f, at, do) })
		if got := seriesValue(t, f, `wicketgate_refusals_total{reason="cross_site"}`); got == "0" || got == "" {
			t.Error("not counted")
		}
	})
	t.Run("header", func(t *testing.T) {
		onBoth(t, f, func(t *testing.T, do clientCall) { tokenHeader(t, f, at, do) })
	})
	t.Run("one source", func(t *testing.T) {
		for _, header := range [][]string{
			{"Cookie", "__Host-t=" + at, "Authorization", "Bearer " + at}, {"Cookie", "__Host-t=" + at, "X-Api-Token", at},
			{"X-Api-Token", at, "Authorization", "Bearer " + at}, {"Cookie", "__Host-t=" + at + "; __Host-t=" + at}, {"Cookie", "__Host-t=; __Host-t=" + at},
			{"Cookie", "__Host-t=" + at, "Cookie", "__Host-t=" + at}, {"X-Api-Token", at, "X-Api-Token", at}, {"X-Api-Token", "", "X-Api-Token", at},
		} {
			refused(t, f, 400, "invalid_request", bare, func() *reply { return f.do("GET", "/read", header...) })
			refused(t, f, 400, "invalid_request", bare, func() *reply { return f.do("GET", "/maybe", header...) })
		}
		refused(t, f, 400, "invalid_request", "invalid_request", func() *reply {
			return f.do("GET", "/read", "Cookie", "__Host-t="+at, "Authorization", "DPoP "+at)
		})
		// A scheme that carries no token is no second one.
		wantOK(t, f.do("GET", "/read", "Cookie", "__Host-t="+at, "Authorization", "Basic dTpw"))
		wantSeen(t, f, "Authorization", "Basic dTpw")
	})
	t.Run("forwarded", func(t *testing.T) { sourceForwarded(t, f, at) })
}

func cookieRead(t *testing.T, f *fixture, at string, do clientCall) {
	for line, rest := range map[string]string{
		"__Host-t=AT": "", "a=1; __Host-t=AT; b=\"2,3\"": "a=1; b=\"2,3\"", "__Host-t=AT; a=1": "a=1", "a=1;__Host-t=AT": "a=1",
		"a=1; __Host-t=AT; __Host%2Dt=y; z": "a=1; z", "a=1; __Host-t=AT; \u2003__Host-t=y": "a=1", "a=1,__Host-t=y; __Host-t=AT": "a=1",
		"a=1; __Host-t =y; __Host-t=AT": "a=1", "__HOST-T=y; x__Host-t=z; __Host-t=AT": "__HOST-T=y; x__Host-t=z",
	} {
		var want []string
		if rest != "" {
			want = []string{rest}
		}
		wantOK(t, do("GET", "/read", "Cookie", strings.ReplaceAll(line, "AT", at)))
		wantSeen(t, f, "Cookie", want...)
		wantSeen(t, f, "Authorization")
		wantSeen(t, f, "X-Auth-Subject", "user-1")
		wantOK(t, do("GET", "/open/x", "Cookie", strings.ReplaceAll(line, "AT", "not a token")))
		wantSeen(t, f, "Cookie", want...)
	}
	for _, line := range []string{"__Host%2Dt=AT", "a=1,__Host-t=AT", "\u2003__Host-t=AT", "__Host-t =AT", "__Host-T=AT", "x=AT", "__Host-t=", "__Host-t"} {
		refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read", "Cookie", strings.ReplaceAll(line, "AT", at)) })
	}
	wantOK(t, do("GET", "/maybe", "Cookie", "a=1; __Host-t="))
	wantSeen(t, f, "Cookie", "a=1")
	for _, value := range []string{"a b", `"` + at + `"`, at + ",x", "Bearer " + at, "a%2e"} {
		refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/maybe", "Cookie", "__Host-t="+value) })
	}
	for _, path := range []string{"/read", "/maybe"} {
		refused(t, f, 401, "invalid_token", bare, func() *reply { return do("GET", path, "Cookie", "__Host-t=bad") })
	}
	refused(t, f, 401, absent, bare, func() *reply { return do("GET", "/dpop/x", "Cookie", "__Host-t="+at) })
	wantOK(t, do("GET", "/read", "Cookie", "a=1,2; c", "Authorization", "Bearer "+at))
	wantSeen(t, f, "Cookie", "a=1,2; c")
}

func cookieGuard(t *testing.T, f *fixture, at string, do clientCall) {
	send := func(method, path string, header ...string) func() *reply {
		return func() *reply {
			return do(method, path, append([]string{"Cookie", "a=1; __Host-t=" + at}, header...)...)
		}
	}
	for _, header := range [][]string{
		nil, {"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "https://rs.example.com.evil.example"}, {"Origin", "http://rs.example.com"},
		{"Origin", "https://rs.example.com:8443"}, {"Origin", ""}, {"Origin", "https://app.example.com", "Origin", "https://evil.example"},
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", ""},
		{"Sec-Fetch-Site", "same-site", "Origin", "https://sibling.example.com"}, {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"},
		{"Referer", "https://rs.example.com/"}, {"X-Requested-With", "XMLHttpRequest"},
	} {
		for _, call := range [][2]string{{"POST", "/write"}, {"PUT", "/any/x"}, {"DELETE", "/any/x"}, {"PATCH", "/any/x"}, {"FETCH", "/any/x"}, {"get", "/any/x"}, {"POST", "/maybe"}} {
			r := refused(t, f, 403, absent, absent, send(call[0], call[1], header...))
			if got := bodyOf(t, r); got["error"] != "forbidden" || got["error_description"] != "a request from another site cannot use this credential" {
				t.Errorf("body %v", got)
			}
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			wantOK(t, send(method, "/any/x", header...)())
		}
		wantOK(t, do("POST", "/open/x", append([]string{"Cookie", "__Host-t=" + at}, header...)...)) // no credential is used
		wantSeen(t, f, "Cookie")
		wantOK(t, do("POST", "/write", append([]string{"Cookie", "__Host-t=", "Authorization", "Bearer " + at}, header...)...))
	}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}, {"Origin", "https://rs.example.com"}, {"Origin", "https://app.example.com"},
		{"Origin", "https://odd.example.com:8443"}, {"Sec-Fetch-Site", "cross-site", "Origin", "https://app.example.com"}, {"Sec-Fetch-Site", "same-site", "Origin", "https://app.example.com"},
	} {
		wantOK(t, send("POST", "/write", header...)())
		wantSeen(t, f, "Cookie", "a=1")
		wantOK(t, send("DELETE", "/any/x", header...)())
	}
}

func tokenHeader(t *testing.T, f *fixture, at string, do clientCall) {
	wantOK(t, do("POST", "/write", "X-Api-Token", at, "Origin", "https://evil.example"))
	wantSeen(t, f, "X-Api-Token")
	wantSeen(t, f, "Authorization")
	for _, name := range []string{"X-Api-Token", "x_api_token", "X.Api.Token", "X-API_Token", "X~Api~Token"} {
		wantOK(t, do("GET", "/open/x", name, at))
		wantSeen(t, f, "X-Api-Token")
		if name != "X-Api-Token" {
			refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read", name, at) })
			wantOK(t, do("GET", "/read", name, "x", "X-Api-Token", at))
			wantSeen(t, f, "X-Api-Token")
		}
	}
	for _, value := range []string{"Bearer " + at, at + "," + at, "a b", "="} {
		refused(t, f, 400, "invalid_request", bare, func() *reply { return do("GET", "/read", "X-Api-Token", value) })
	}
	refused(t, f, 401, bare, bare, func() *reply { return do("GET", "/read", "X-Api-Token", "") })
	refused(t, f, 401, "invalid_token", bare, func() *reply { return do("GET", "/maybe", "X-Api-Token", "bad") })
	wantOK(t, do("GET", "/maybe", "X-Api-Token", ""))
	wantSeen(t, f, "X-Auth-Subject")
}

// sourceForwarded is about forward.token: a proven token is in Authorization,
// wherever the client had it.
func sourceForwarded(t *testing.T, f *fixture, at string) {
	for _, header := range [][]string{{"X-Api-Token", at}, {"Cookie", "a=1; __Host-t=" + at}, {"X-Api-Token", at, "Authorization", "Basic x, Bearer evil"}} {
		wantOK(t, f.do("GET", "/token", header...))
		wantSeen(t, f, "Authorization", "Bearer "+at)
		wantSeen(t, f, "X-Api-Token")
		if got := strings.Join(seenAs(f, "Cookie"), ""); strings.Contains(got, "__Host-t") {
			t.Errorf("the upstream saw Cookie: %s", got)
		}
	}
	wantOK(t, f.do("GET", "/token", "Authorization", "Bearer "+at))
	wantSeen(t, f, "Authorization", "Bearer "+at)
}

// eachSource calls do for every place with a request that carries raw there.
func eachSource(f *fixture, raw string, do func(name string, send func(header ...string) *reply)) {
	for name, call := range map[string][]string{
		"cookie": {"/any/x", "Cookie", "a=1; session=" + raw}, "header": {"/any/x", "X-Api-Token", raw}, "query": {"/any/x?access_token=" + raw},
		"pair":    {"/any/x", "Upgrade", "websocket", "Connection", "Upgrade", "Sec-Websocket-Protocol", "bearer, " + raw},
		"encoded": {"/any/x", "Upgrade", "websocket", "Connection", "Upgrade", "Sec-Websocket-Protocol", kubernetesBearer(raw)},
	} {
		do(name, func(header ...string) *reply { return f.do("GET", call[0], slices.Concat(call[1:], header)...) })
	}
	do("body", func(header ...string) *reply { return f.form("/any/x", "a=1&access_token="+raw, header...) })
}

func kubernetesBearer(raw string) string {
	return "base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(raw))
}

func testCRED14(t *testing.T) {
	f := newFixture(t, withSources(allSources))
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	eachSource(f, raw, func(name string, send func(...string) *reply) {
		t.Run(name, func(t *testing.T) {
			method := "GET"
			if name == "body" {
				method = "POST"
			}
			refused(t, f, 401, "invalid_token", bare, func() *reply { return send() })
			refused(t, f, 401, "invalid_token", bare, func() *reply {
				return send("DPoP", f.proof(key, raw, method, "/any/x", devissuer.Proof{}))
			})
		})
	})
	eachSource(f, f.AT(nil), func(name string, send func(...string) *reply) {
		t.Run("unbound "+name, func(t *testing.T) { wantOK(t, send()) })
	})
	proof := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	wantOK(t, f.do("GET", "/any/x?a=1", "Authorization", "DPoP "+raw, "DPoP", proof))
}

func testCRED15Open(t *testing.T) {
	f := newFixture(t, withSources(allSources))
	secrets := map[string]string{}
	var answers strings.Builder
	for name, raw := range map[string]string{
		"good": f.AT(map[string]any{"sub": "sub-marker"}), "bound": f.bound(newClientKey(t, "ES256"), nil), "expired": f.AT(map[string]any{"exp": time.Now().Unix() - 100}),
		"signature": spoiled(f.AT(nil)), "shape": "made-up-marker", "malformed": "made-up-marker,two",
	} {
		secrets[name], secrets["encoded "+name] = raw, kubernetesBearer(raw)[38:]
		eachSource(f, raw, func(place string, send func(...string) *reply) {
			for _, header := range [][]string{nil, {"Authorization", "Bearer " + raw}, {"Origin", "https://" + raw[:10]}} {
				r := send(header...)
				dump, err := httputil.DumpResponse(r.Response, false)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&answers, "%s %s: %s%s\n", name, place, dump, r.body)
			}
		})
	}
	answers.WriteString(f.send(mustRequest(t, f.admin+"/metrics")).body)
	wantNowhere(t, secrets, map[string]string{"log": f.log.String(), "answers and metrics": answers.String()})
	if !strings.Contains(f.log.String(), "gate.reason") || !strings.Contains(answers.String(), "wicketgate_refusals_total") {
		t.Error("there was nothing to search")
	}
}

func testCRED17(t *testing.T) {
	f := newFixture(t, withSources("{websocket: true, cookie: session}", "cors: {origins: [https://app.example.com]}"))
	at := f.AT(nil)
	shake := func(header ...string) *reply {
		return f.do("GET", "/read", append([]string{
			"Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
		}, header...)...)
	}
	refused(t, f, 401, bare, bare, func() *reply { return shake() })
	refused(t, f, 401, bare, bare, func() *reply { return shake("Sec-Websocket-Protocol", "chat, superchat") })
	wantOK(t, shake("Authorization", "Bearer "+at, "Sec-Websocket-Protocol", "chat,superchat"))
	wantSeen(t, f, "Sec-Websocket-Protocol", "chat,superchat")
	wantSeen(t, f, "Upgrade") // upgrades are not let through yet
	t.Run("carriers", func(t *testing.T) { protocolCarriers(t, f, at, shake) })
	t.Run("no handshake", func(t *testing.T) {
		carrier := []string{"Sec-Websocket-Protocol", "bearer, " + at}
		for _, header := range [][]string{
			nil, {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Connection", "Upgrade", "Upgrade", "h2c"}, {"Connection", "close", "Upgrade", "websocket"},
		} {
			refused(t, f, 401, bare, bare, func() *reply { return f.do("GET", "/read", append(header, carrier...)...) })
		}
		refused(t, f, 401, bare, bare, func() *reply {
			return f.do("POST", "/any/x", append(carrier, "Connection", "Upgrade", "Upgrade", "websocket")...)
		})
	})
	t.Run("cookie", func(t *testing.T) { // cross-site WebSocket hijacking
		for _, header := range [][]string{nil, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}} {
			refused(t, f, 403, absent, absent, func() *reply { return shake(append(header, "Cookie", "session="+at)...) })
		}
		for _, header := range [][]string{{"Origin", "https://rs.example.com"}, {"Origin", "https://app.example.com"}, {"Sec-Fetch-Site", "same-origin"}} {
			wantOK(t, shake(append(header, "Cookie", "session="+at)...))
		}
	})
	shut := newFixture(t, nil)
	at = shut.AT(nil)
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Protocol", "bearer, " + at}
	refused(t, shut, 401, bare, bare, func() *reply { return shut.do("GET", "/read", upgrade...) })
	wantOK(t, shut.do("GET", "/open/x", upgrade...))
	wantSeen(t, shut, "Sec-Websocket-Protocol", "bearer, "+at)
}

func protocolCarriers(t *testing.T, f *fixture, at string, shake func(...string) *reply) {
	for _, carrier := range []string{"bearer, " + at, "access_token," + at, "Bearer ,\t" + at, kubernetesBearer(at)} {
		for form, rest := range map[string][]string{"%": nil, "chat, %": {"chat"}, "%,v2.chat , v1": {"v2.chat, v1"}, "a,%,b": {"a, b"}} {
			line := strings.Replace(form, "%", carrier, 1)
			wantOK(t, shake("Sec-Websocket-Protocol", line))
			wantSeen(t, f, "Sec-Websocket-Protocol", rest...)
			wantSeen(t, f, "X-Auth-Subject", "user-1")
			wantOK(t, f.do("GET", "/open/x", "Sec-Websocket-Protocol", line)) // nobody proved it there
			wantSeen(t, f, "Sec-Websocket-Protocol", rest...)
			wantOK(t, f.do("GET", "/open/x", "Sec_websocket_protocol", line))
			wantSeen(t, f, "Sec-Websocket-Protocol")
			refused(t, f, 400, "invalid_request", bare, func() *reply { return shake("Sec-Websocket-Protocol", line, "Authorization", "Bearer "+at) })
			refused(t, f, 400, "invalid_request", bare, func() *reply { return shake("Sec-Websocket-Protocol", line, "Cookie", "session="+at) })
			refused(t, f, 400, "invalid_request", bare, func() *reply { return shake("Sec-Websocket-Protocol", line+","+line) })
		}
		wantOK(t, shake("Sec-Websocket-Protocol", "chat", "Sec-Websocket-Protocol", carrier, "Sec-Websocket-Protocol", "b"))
		wantSeen(t, f, "Sec-Websocket-Protocol", "chat, b")
	}
	for _, line := range []string{"bearer", "chat, bearer", "bearer, a:b", "base64url.bearer.authorization.k8s.io.", kubernetesBearer(at) + "=", "base64url.bearer.authorization.k8s.io.YWJjZB", kubernetesBearer("a b"), "access_token, ,"} {
		refused(t, f, 400, "invalid_request", bare, func() *reply { return shake("Sec-Websocket-Protocol", line) })
	}
	refused(t, f, 401, "invalid_token", bare, func() *reply { return shake("Sec-Websocket-Protocol", "bearer, bad") })
}
