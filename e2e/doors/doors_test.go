package doors

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// A proxy is a way to run one, and how it differs.
type proxy struct {
	name, form string
	start      func(t *testing.T, s *stage) string
	page       bool // it has pages of its own for refusals
	clears     bool // it takes X-Auth-* away before it asks
	drops      bool // it knows no header with an underscore
}

var proxies = []proxy{
	{"nginx", "x-original", startNginx, true, false, true},
	{"Caddy", "x-forwarded", startCaddy, false, true, false},
}

func TestProxies(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			s := newStage(t, p.form)
			at := p.start(t, s)
			t.Run("bearer", func(t *testing.T) { bearer(t, s, at, &p) })
			t.Run("DPoP", func(t *testing.T) { proofs(t, s, at) })
			t.Run("smuggled", func(t *testing.T) { smuggled(t, s, at, &p) })
			t.Run("hearsay", func(t *testing.T) { hearsay(t, s, at) })
			t.Run("astray", func(t *testing.T) { astray(t, s, at) })
			t.Run("metadata", func(t *testing.T) {
				if r, body := send(t, at, "GET", "/.well-known/oauth-protected-resource", ""); r.StatusCode != 200 || !strings.Contains(body, `"resource":"`+identifier+`"`) {
					t.Errorf("%d %s", r.StatusCode, body)
				}
			})
		})
	}
}

// hearsay: what a client says of other hops and of certificates goes on by none of the
// configurations that the manual shows.
func hearsay(t *testing.T, s *stage, at string) {
	const lie = "evil.example.com"
	var header []string
	for _, name := range []string{"Forwarded", "X-Real-IP", "X-Forwarded-Host", "Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert"} {
		header = append(header, name, lie)
	}
	r, body := send(t, at, "GET", "/open/x", "", header...)
	wantPassed(t, s, "", r, body)
	seen, _ := s.last()
	for name, values := range seen.Header {
		if strings.Contains(strings.Join(values, ""), lie) {
			t.Errorf("the API saw %s %q", name, values)
		}
	}
}

// wantRefused checks an answer, and that the API saw nothing of it.
func wantRefused(t *testing.T, s *stage, status int, challenge string, ask func() (*http.Response, string)) *http.Response {
	t.Helper()
	_, before := s.last()
	r, body := ask()
	_, after := s.last()
	if r.StatusCode != status || after != before || !strings.Contains(strings.Join(r.Header["Www-Authenticate"], ", "), challenge) {
		t.Errorf("%d %v %.200s, want %d with %q; the API saw %d", r.StatusCode, r.Header, body, status, challenge, after-before)
	}
	return r
}

// wantPassed checks an answer of the API, and whom it took the caller for.
func wantPassed(t *testing.T, s *stage, subject string, r *http.Response, body string) {
	t.Helper()
	seen, _ := s.last()
	if r.StatusCode != 200 || !strings.HasPrefix(body, "api ") {
		t.Errorf("%d %v %.200s", r.StatusCode, r.Header, body)
		return
	}
	if got := strings.Join(seen.Header["X-Auth-Subject"], "|"); got != subject {
		t.Errorf("the API saw subject %q, want %q", got, subject)
	}
	for name, values := range seen.Header {
		folded := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if folded == "authorization" || folded == "dpop" || strings.HasPrefix(folded, "x-auth-") && strings.Contains(strings.Join(values, ""), "root") {
			t.Errorf("the API saw %s %q", name, values)
		}
	}
}

func bearer(t *testing.T, s *stage, at string, p *proxy) {
	good := "Bearer " + s.token(t, map[string]any{"scope": "orders.read"})
	r, body := send(t, at, "GET", "/orders/1?x=%2F", "", "Authorization", good)
	wantPassed(t, s, "user-1", r, body)
	if seen, _ := s.last(); seen.RequestURI != "/orders/1?x=%2F" || seen.Header.Get("X-Auth-Scope") != "orders.read" || seen.Host != "rs.example.com" {
		t.Errorf("the API saw %s %s %v", seen.Host, seen.RequestURI, seen.Header)
	}
	if r, body = send(t, at, "POST", "/orders/1", "some body", "Authorization", good); body != "api some body" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	r, body = send(t, at, "GET", "/open/x", "")
	wantPassed(t, s, "", r, body)
	for name, row := range map[string]struct {
		status         int
		challenge      string
		method, target string
		token          string
	}{
		"no token":         {401, "Bearer", "GET", "/orders/1", ""},
		"bad token":        {401, "invalid_token", "GET", "/orders/1", "Bearer x"},
		"another audience": {401, "invalid_token", "GET", "/orders/1", "Bearer " + s.token(t, map[string]any{"aud": "https://other.example.com"})},
		"wrong scope":      {403, "insufficient_scope", "GET", "/orders/1", "Bearer " + s.token(t, map[string]any{"scope": "x"})},
		"no route":         {404, "", "GET", "/nowhere", good},
		"dot segments":     {400, "", "GET", "/open/../orders/1", ""},
		"encoded dots":     {400, "", "GET", "/open/%2e%2e/orders/1", ""},
		"encoded slash":    {400, "", "GET", "/open/..%2forders/1", ""},
		"two slashes":      {400, "", "GET", "//orders/1", good},
		"the question":     {404, "", "GET", "/_wicketgate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, s, row.status, row.challenge, func() (*http.Response, string) {
				return send(t, at, row.method, row.target, "", "Authorization", row.token)
			})
		})
	}
	r = wantRefused(t, s, 401, "Bearer", func() (*http.Response, string) { return send(t, at, "GET", "/orders/1", "") })
	if !p.page && !strings.Contains(strings.Join(r.Header["Www-Authenticate"], ", "), "DPoP") {
		t.Errorf("challenges %q", r.Header["Www-Authenticate"])
	}
}

func proofs(t *testing.T, s *stage, at string) {
	key, err := devissuer.NewClientKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	raw := s.token(t, map[string]any{"scope": "orders.read", "cnf": map[string]any{"jkt": key.Thumbprint()}})
	prove := func(p devissuer.Proof) []string {
		p.AccessToken = raw
		proof, err := key.Proof(p)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"Authorization", "DPoP " + raw, "DPoP", proof}
	}
	once := prove(devissuer.Proof{Method: "GET", URL: identifier + "/orders/1"})
	r, body := send(t, at, "GET", "/orders/1?a=b", "", once...)
	wantPassed(t, s, "user-1", r, body)
	if seen, _ := s.last(); seen.Header.Get("X-Auth-Binding") != "dpop" {
		t.Errorf("the API saw %v", seen.Header)
	}
	for name, header := range map[string][]string{
		"the same again":  once,
		"another method":  prove(devissuer.Proof{Method: "POST", URL: identifier + "/orders/1"}),
		"another path":    prove(devissuer.Proof{Method: "GET", URL: identifier + "/orders/2"}),
		"the question's":  prove(devissuer.Proof{Method: "GET", URL: "http://" + s.asks + "/_wicketgate"}),
		"no proof":        {"Authorization", "DPoP " + raw},
		"token as bearer": {"Authorization", "Bearer " + raw},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, s, 401, "error=", func() (*http.Response, string) { return send(t, at, "GET", "/orders/1", "", header...) })
		})
	}
	first := wantRefused(t, s, 401, "use_dpop_nonce", func() (*http.Response, string) {
		return send(t, at, "GET", "/fresh", "", prove(devissuer.Proof{Method: "GET", URL: identifier + "/fresh"})...)
	})
	r, body = send(t, at, "GET", "/fresh", "", prove(devissuer.Proof{Method: "GET", URL: identifier + "/fresh", Nonce: first.Header.Get("DPoP-Nonce")})...)
	wantPassed(t, s, "user-1", r, body)
}

// smuggled: nothing a client writes is taken for what a proxy or the gate says.
func smuggled(t *testing.T, s *stage, at string, p *proxy) {
	good := "Bearer " + s.token(t, map[string]any{"scope": "orders.read"})
	for name, row := range map[string]struct {
		passes  bool // else 400
		subject string
		header  []string
	}{
		"identity":               {p.clears, "user-1", []string{"Authorization", good, "X-Auth-Subject", "root"}},
		"identity, another case": {p.clears, "user-1", []string{"Authorization", good, "x-AUTH-subject", "root"}},
		"identity, not told":     {p.clears, "user-1", []string{"Authorization", good, "X-Auth-Binding", "root"}},
		"identity, underscores":  {p.drops, "user-1", []string{"Authorization", good, "X_Auth_Subject", "root"}},
		"method override":        {false, "", []string{"Authorization", good, "X-HTTP-Method-Override", "DELETE"}},
		"taken away again":       {true, "user-1", []string{"Authorization", good, "Connection", "close"}},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func() (*http.Response, string) { return send(t, at, "GET", "/orders/1", "", row.header...) }
			if !row.passes {
				wantRefused(t, s, 400, "", ask)
				return
			}
			r, body := ask()
			wantPassed(t, s, row.subject, r, body)
		})
	}
	for name, header := range map[string][]string{
		"another target":     {"X-Forwarded-Uri", "/open/x"},
		"another URL":        {"X-Original-URL", identifier + "/open/x"},
		"another URI":        {"X-Original-URI", "/open/x"},
		"both":               {"X-Forwarded-Uri", "/open/x", "X-Forwarded-Method", "GET", "X-Original-URL", identifier + "/open/x", "X-Original-Method", "GET"},
		"rewritten":          {"X-Rewrite-URL", "/open/x"},
		"gRPC-Web, told 200": {"Content-Type", "application/grpc-web"},
	} {
		t.Run(name, func(t *testing.T) {
			_, before := s.last()
			r, _ := send(t, at, "GET", "/orders/1", "", header...)
			if _, after := s.last(); after != before || r.StatusCode/100 != 4 {
				t.Errorf("%d, and the API saw %d", r.StatusCode, after-before)
			}
		})
	}
	wantRefused(t, s, 403, "", func() (*http.Response, string) {
		return send(t, at, "GET", "/lan", "", "Authorization", good, "X-Forwarded-For", "192.0.2.7")
	})
	r, body := send(t, at, "GET", "/orders/1", "", "Authorization", good, "Connection", "close, X-Auth-Subject")
	if seen, _ := s.last(); r.StatusCode == 200 && (!strings.HasPrefix(body, "api") || seen.Header.Get("X-Auth-Subject") == "root") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

// astray: a request is judged as the one that the API gets, whatever else its client
// says of host and connection.
func astray(t *testing.T, s *stage, at string) {
	good := "Bearer " + s.token(t, map[string]any{"scope": "orders.read"})
	for name, row := range map[string]struct {
		target string
		header []string
	}{
		"another resource's host":           {"/orders/1", []string{"Host", "pub.example.com"}},
		"another resource's host, absolute": {"http://rs.example.com/orders/1", []string{"Host", "pub.example.com"}},
		"another resource's host, told":     {"/orders/1", []string{"X-Forwarded-Host", "pub.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, before := s.last()
			r, _ := send(t, at, "GET", row.target, "", row.header...)
			if _, after := s.last(); after != before {
				t.Errorf("%d, and the API saw %d", r.StatusCode, after-before)
			}
		})
	}
	for name, header := range map[string][]string{
		"identity taken away": {"Connection", "close, X-Auth-Subject"},
		"h2c":                 {"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			_, before := s.last()
			r, _ := send(t, at, "GET", "/orders/1", "", append(header, "Authorization", good)...)
			seen, after := s.last()
			if after != before && (seen.Header.Get("X-Auth-Subject") != "user-1" || seen.Header["Upgrade"] != nil) {
				t.Errorf("%d, and the API saw %v", r.StatusCode, seen.Header)
			}
		})
	}
	// The way to the metadata is none to ask by.
	for _, fields := range [][]string{
		{"X-Original-Method", "GET", "X-Original-URL", identifier + "/orders/1"},
		{"X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/orders/1"},
	} {
		r, _ := send(t, at, "GET", "/.well-known/oauth-protected-resource/x", "", append(fields, "Authorization", good)...)
		if r.StatusCode/100 == 2 || r.Header.Get("X-Auth-Subject") != "" {
			t.Errorf("a client may ask by %s: %d %v", fields[0], r.StatusCode, r.Header)
		}
	}
}
