package devissuer

import (
	"net/http"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	const page, form = "http://127.0.0.1:8420", "application/x-www-form-urlencoded"
	grant := "grant_type=client_credentials&client_id=c"
	open := made(t, Options{Identifier: "http://127.0.0.1:8422", Algorithms: []string{"ES256"}, Origins: []string{page}})
	closed := made(t, Options{Identifier: "http://127.0.0.1:8422", Algorithms: []string{"ES256"}})
	for _, test := range []struct {
		name           string
		is             *Issuer
		method, origin string
		asks           string // the method a preflight asks for
		status         int
		allowed        bool
	}{
		{"a token", open, "POST", page, "", 200, true},
		{"a preflight", open, "OPTIONS", page, "POST", 204, true},
		{"no preflight", open, "OPTIONS", page, "", 405, true},
		{"a token for another page", open, "POST", "http://127.0.0.1:8421", "", 200, false},
		{"a preflight of another page", open, "OPTIONS", "http://127.0.0.1:8421", "POST", 405, false},
		{"no page", open, "POST", "", "", 200, false},
		{"without the option, a token", closed, "POST", page, "", 200, false},
		{"without the option, a preflight", closed, "OPTIONS", page, "POST", 405, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ask(t, test.is, test.method, "http://127.0.0.1:8422/token", strings.NewReader(grant), "Content-Type", form, "Origin", test.origin, "Access-Control-Request-Method", test.asks)
			if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != test.status || (got == page) != test.allowed || !test.allowed && got != "" {
				t.Errorf("%d for %q, want %d, allowed %t", w.Code, got, test.status, test.allowed)
			}
			if varies := w.Header().Get("Vary") == "Origin"; varies != (test.is == open) {
				t.Errorf("varies by origin: %t", varies)
			}
		})
	}
	if w := ask(t, open, "GET", "http://evil.example/jwks", nil); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("by another name: %d", w.Code)
	}
	if w := ask(t, closed, "GET", "http://evil.example/jwks", nil); w.Code != http.StatusOK {
		t.Errorf("without the option, by another name: %d", w.Code)
	}
}

func TestLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:80": true, "127.9.9.9:8420": true, "localhost": true, "LOCALHOST:8420": true, "[::1]": true, "[::1]:8420": true,
		"[::ffff:127.0.0.1]:80": true, "": false, ":8420": false, "localhost.example:8420": false, "127.0.0.1.example": false, "192.0.2.1:8420": false,
		"[::]:8420": false, "0.0.0.0": false, "0x7f.1": false,
	} {
		if got := LoopbackHost(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}
