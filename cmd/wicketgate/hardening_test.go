package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// A resource that sets no header of its own must not let a client speak in
// those of its neighbour: they share the upstream.
func TestNamesOfOtherResourcesAreStripped(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = strings.Replace(text, "    upstream:", "    hosts: [rs.example.com]\n    upstream:", 1)
		return strings.Replace(text, "log:", `  - {identifier: "https://b.example", hosts: [b.example], behind_tls: true, upstream: "%[5]s", routes: [{path: /**, public: true}]}
log:`, 1)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "b.example"
	req.Header = http.Header{"X-Auth-Email": {"evil"}, "X_auth_roles": {"admin"}}
	if r := f.send(req); r.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", r.StatusCode, r.body)
	}
	for name := range f.upstream.last().Header {
		if strings.Contains(strings.ToLower(name), "auth") {
			t.Errorf("the upstream saw %s", name)
		}
	}
}

// Nobody has looked at what comes with a public route, so nobody may take it
// for a token that was looked at.
func TestNoUnverifiedTokenReachesTheUpstream(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return strings.Replace(text, "path: /open/**, public: true}", "path: /open/**, public: true, forward: {token: true}}", 1)
	})
	for _, line := range []string{
		"Bearer secret", "bearer\tsecret", "Basic eDp5, Bearer secret", "X a,DPoP secret", "Bearer", "DPoP=secret",
	} {
		for _, path := range []string{"/open/x", "/maybe"} {
			r := f.do("GET", path, "Authorization", line)
			if r.StatusCode != http.StatusOK {
				continue // refused: nothing reached anybody
			}
			if seen := f.upstream.last().Header["Authorization"]; seen != nil {
				t.Errorf("%s with %q: the upstream saw %q", path, line, seen)
			}
		}
	}
	f.do("GET", "/open/x", "Authorization", "Basic eDp5")
	if got := f.upstream.last().Header.Get("Authorization"); got != "Basic eDp5" {
		t.Errorf("another scheme on a public route arrived as %q", got)
	}
}

func TestBrokenBodyIsTheClientsFault(t *testing.T) {
	f := newFixture(t, nil)
	answer := f.raw("POST /any/x HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: Bearer " + f.AT(nil) +
		"\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
		t.Errorf("got %.80q, want 400", answer)
	}
}

// H-100: the field goes, the request stays, whatever the field says.
func TestUpgradeIsRemoved(t *testing.T) {
	f := newFixture(t, nil)
	for _, value := range []string{"h2c", "websocket", "w\xffs", "websocket, h2c", ""} {
		answer := f.raw("GET /read HTTP/1.1\r\nHost: rs.example.com\r\nAuthorization: Bearer " + f.AT(nil) +
			"\r\nConnection: Upgrade, close\r\nUpgrade: " + value + "\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("%q: got %.80q, want 200", value, answer)
			continue
		}
		if seen := f.upstream.last().Header; seen["Upgrade"] != nil || strings.Contains(seen.Get("Connection"), "pgrade") {
			t.Errorf("%q: the upstream saw %v", value, seen)
		}
	}
}

// HTTP-10: what follows a chunked request on its connection is never answered,
// also when informational answers come first.
func TestChunkedRequestIsTheLast(t *testing.T) {
	f := newFixture(t, nil)
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	token := "\r\nAuthorization: Bearer " + f.AT(nil) + "\r\n"
	answer := f.raw("POST /any/1 HTTP/1.1\r\nHost: rs.example.com" + token + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
		"GET /any/2 HTTP/1.1\r\nHost: rs.example.com" + token + "\r\n")
	if n := strings.Count(answer, "HTTP/1.1 200 "); n != 1 {
		t.Errorf("%d answers, want 1:\n%s", n, answer)
	}
}

// A proof is forgotten when it can be accepted no more. A reload that accepts
// older ones would make forgotten proofs good again.
func TestReloadDoesNotReviveProofs(t *testing.T) {
	f := newFixture(t, nil)
	text, err := os.ReadFile(f.gateway.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ add, want string }{
		{"dpop: {max_age: 5m}\n", "dpop.max_age grew"},
		{"dpop: {replay: {max_entries: 10}}\n", "dpop.replay changed"},
		{"limits: {header_section: 32KiB}\n", "limits.header_section"},
	} {
		if err := os.WriteFile(f.gateway.path, append([]byte(row.add), text...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.gateway.tryBuild(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want a refusal that says %q", row.add, err, row.want)
		}
	}
	swapped := strings.NewReplacer("name: a,", "name: b,", "name: b,", "name: a,").Replace(string(text))
	if err := os.WriteFile(f.gateway.path, []byte(swapped), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.gateway.tryBuild(); err == nil || !strings.Contains(err.Error(), "means another issuer") {
		t.Errorf("issuers that change names: got %v", err)
	}
}
