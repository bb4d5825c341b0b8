package main

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// hopRows are the rows about a request's way through more than one server.
var hopRows = []conformanceRow{
	{"HTTP-07", testHTTP07}, {"HTTP-16", testHTTP16}, {"HTTP-29", testHTTP29}, {"HTTP-31", testHTTP31},
}

func testHTTP07(t *testing.T) {
	f := newFixture(t, nil)
	at := []string{"Authorization", "Bearer " + f.AT(nil), "Max-Forwards"}
	onBoth(t, f, func(t *testing.T, do clientCall) {
		untouched(t, f, func() {
			r := do("OPTIONS", "/any/x", append(at, "0")...)
			if r.StatusCode != http.StatusNoContent || r.Header.Get("Allow") == "" || r.body != "" {
				t.Errorf("answered %d %v %q", r.StatusCode, r.Header, r.body)
			}
		})
		for sent, want := range map[string]string{"3": "2", "1": "0", "2147483647": "2147483646"} {
			wantOK(t, do("OPTIONS", "/any/x", append(at, sent)...))
			wantSeen(t, f, "Max-Forwards", want)
		}
		// On any other method it means nothing, and no number is none.
		wantOK(t, do("GET", "/any/x", append(at, "0")...))
		wantSeen(t, f, "Max-Forwards", "0")
		wantOK(t, do("OPTIONS", "/any/x", append(at, "-1")...))
		refused(t, f, 401, bare, bare, func() *reply { return do("OPTIONS", "/any/x", "Max-Forwards", "0") })
	})
}

// testHTTP16 has its pieces among the threats.
func testHTTP16(t *testing.T) {
	t.Run("connection-specific fields", threatH14)
	t.Run("pseudo-header fields", threatH15)
	t.Run("authority and Host", threatH19)
}

func testHTTP29(t *testing.T) {
	f := newFixture(t, nil)
	f.upstream.setAnswer(func(w http.ResponseWriter, r *http.Request) { // the upstream is the gate itself
		again, err := http.NewRequestWithContext(r.Context(), r.Method, f.url+"/open/x", nil)
		if err != nil {
			t.Error(err)
			return
		}
		again.Header = r.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
	if r := f.do("GET", "/open/x"); r.StatusCode != http.StatusLoopDetected || f.upstream.count() != 1 {
		t.Errorf("%d %s after %d hops", r.StatusCode, r.body, f.upstream.count())
	}
	f.upstream.setAnswer(nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		for _, via := range []string{"1.1 wicketgate", "1.0 a, HTTP/1.1 WICKETGATE (x), 2 b", "2\twicketgate"} {
			refused(t, f, 508, absent, absent, func() *reply { return do("GET", "/open/x", "Via", via) })
		}
		for _, via := range []string{"1.1 wicketgate2", "1.1 a (wicketgate)", "wicketgate", ""} {
			wantOK(t, do("GET", "/open/x", "Via", via))
		}
	})
	// A gate behind a gate needs a name of its own.
	named := newFixture(t, func(text string) string { return text + "via: inner\n" })
	wantOK(t, named.do("GET", "/open/x", "Via", "1.1 wicketgate"))
	wantSeen(t, named, "Via", "1.1 wicketgate, 1.1 inner")
}

func testHTTP31(t *testing.T) {
	trusting := newFixture(t, func(text string) string { return text + "trusted_proxies: [127.0.0.0/8]\n" })
	at := "Bearer " + trusting.AT(map[string]any{"scope": "read write"})
	onBoth(t, trusting, func(t *testing.T, do clientCall) {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "FOO"} {
			for _, value := range []string{"1", "0", "x"} {
				refused(t, trusting, 425, absent, absent, func() *reply { return do(method, "/any/x", "Authorization", at, "Early-Data", value) })
			}
			wantOK(t, do(method, "/any/x", "Authorization", at))
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			wantOK(t, do(method, "/any/x", "Authorization", at, "Early-Data", "1"))
			wantSeen(t, trusting, "Early-Data", "1")
		}
	})
	// A client cannot know, so what it says itself is for the upstream.
	f := newFixture(t, nil)
	wantOK(t, f.do("POST", "/any/x", "Authorization", "Bearer "+f.AT(nil), "Early-Data", "1"))
	if !slices.Equal(seenAs(f, "Early-Data"), []string{"1"}) || strings.Contains(f.log.String(), "panic") {
		t.Errorf("the upstream saw Early-Data %q", seenAs(f, "Early-Data"))
	}
}
