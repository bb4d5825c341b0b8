package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The tests here are about what only shows where two features meet.

// TestPreflightWithAToken: what a browser would not send with a preflight makes
// it none, wherever the token is, so no token passes unproven with one.
func TestPreflightWithAToken(t *testing.T) {
	for _, preflight := range []string{"answer", "forward"} {
		f := newFixture(t, withSources(allSources, "cors: {preflight: "+preflight+", origins: [https://app.example.com]}"))
		at := f.AT(nil)
		ask := asking(page, "GET")
		refused(t, f, 401, bare, bare, func() *reply {
			return f.submit("OPTIONS", "/any/x", formType, "access_token="+at, -1, ask...)
		})
		refused(t, f, 401, bare, bare, func() *reply { return f.submit("OPTIONS", "/any/x", "text/plain", "x", 1, ask...) })
		refused(t, f, 401, "invalid_token", bare, func() *reply {
			return f.do("OPTIONS", "/any/x", slices.Concat(ask, []string{"X-Api-Token", "bad"})...)
		})
		onBoth(t, f, func(t *testing.T, do clientCall) {
			if r := do("OPTIONS", "/any/x", ask...); r.StatusCode/100 != 2 {
				t.Errorf("%s: a preflight with nothing got %d", preflight, r.StatusCode)
			}
		})
	}
}

// TestScriptReadsTheStatusOfACall: a gRPC-Web client in a browser learns why it
// was refused from fields that scripts of other origins see only when told so.
func TestScriptReadsTheStatusOfACall(t *testing.T) {
	f := newFixture(t, crossOriginKeys(answering))
	for name, path := range map[string]string{"refused": "/any/x", "at the door": "/any//x"} {
		r := f.do("POST", path, "Origin", page, "Content-Type", "application/grpc-web+proto")
		if r.Header.Get("Grpc-Status") == "" {
			t.Fatalf("%s: no status in %v", name, r.Header)
		}
		if got := exposed(r); !slices.Equal(got, []string{"WWW-Authenticate", "DPoP-Nonce", "Grpc-Status", "Grpc-Message"}) {
			t.Errorf("%s: exposed %q", name, got)
		}
	}
}

// TestNoSharedCacheKeepsWhatATokenBought: a cache knows that what an
// Authorization field asked for is not for all (RFC 9111 section 3.5). Of the
// other places for a token it knows nothing.
func TestNoSharedCacheKeepsWhatATokenBought(t *testing.T) {
	f := newFixture(t, withSources(allSources))
	at := f.AT(nil)
	cookie, field, query := []string{"Cookie", "session=" + at}, []string{"X-Api-Token", at}, []string(nil)
	for _, row := range []struct {
		name, path string
		header     []string
		said, want []string
		targeted   bool
	}{
		{"cookie", "/read", cookie, []string{"max-age=60"}, []string{"max-age=60", "private"}, false},
		{"cookie, nothing said", "/read", cookie, nil, []string{"private"}, false},
		{"cookie, for all", "/read", cookie, []string{"public, max-age=60"}, []string{"public, max-age=60", "private"}, false},
		{"cookie, for shared caches", "/read", cookie, []string{"S-Maxage=60"}, []string{"S-Maxage=60", "private"}, false},
		{"header", "/read", field, []string{"max-age=60"}, []string{"max-age=60", "private"}, false},
		{"query", "/read?access_token=" + at, query, []string{"public"}, []string{"public", "private"}, false},
		{"query, never", "/read?access_token=" + at, query, []string{"no-store"}, []string{"no-store"}, false},
		{"authorization", "/read", []string{"Authorization", "Bearer " + at}, []string{"max-age=60"}, []string{"max-age=60"}, true},
		{"anonymous", "/maybe", nil, nil, nil, true},
		{"cookie nobody looks at", "/open/x", cookie, nil, nil, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
				if row.said != nil {
					w.Header()["Cache-Control"] = row.said
				}
				w.Header().Set("CDN-Cache-Control", "max-age=600")
				w.Header().Set("Surrogate-Control", "max-age=600")
			})
			r := f.do("GET", row.path, row.header...)
			wantHeader(t, r, "Cache-Control", row.want...)
			for _, name := range []string{"Cdn-Cache-Control", "Surrogate-Control"} {
				if _, there := r.Header[name]; there != row.targeted {
					t.Errorf("%s: %q", name, r.Header[name])
				}
			}
		})
	}
}

// TestExplainHidesATokenInTheAddress: what explain prints ends up in tickets.
func TestExplainHidesATokenInTheAddress(t *testing.T) {
	f := newFixture(t, withSources("{query: true}"))
	for _, path := range []string{"/read?a=1&access_token=SECRET&b=2", "/re//ad?access%5Ftoken=SECRET"} {
		var out, errs bytes.Buffer
		run(&app{ctx: t.Context(), stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: nothing},
			[]string{"explain", "--config", f.config, "--url", testIdentifier + path})
		if !strings.Contains(out.String(), "request   GET "+testIdentifier) || strings.Contains(out.String()+errs.String(), "SECRET") {
			t.Errorf("%s %s", out.String(), errs.String())
		}
	}
}
