package telemetry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// lines decodes the access log lines in text.
func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("no JSON: %s", line)
		}
		if msg, _ := fields["msg"].(string); strings.HasPrefix(msg, "request") {
			list = append(list, fields)
		}
	}
	return list
}

// TestNothingSecretIsLogged puts a token, proofs and other texts everywhere a
// client can put them, and looks for any part of them in all that was logged.
func TestNothingSecretIsLogged(t *testing.T) {
	for _, access := range []Access{Denied, All, Off} {
		r := newRig(t, access, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/orders/cut" {
				w.Header().Set("Content-Length", "100")
				_, _ = w.Write([]byte("short"))
				return
			}
			if r.URL.Path == "/orders/echo" { // an upstream that is no HTTP server, and repeats what it was told
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(conn, "OOPS %s\r\n\r\n", r.URL.RawQuery)
				_ = conn.Close()
			}
		})
		key, err := devissuer.NewClientKey("ES256")
		if err != nil {
			t.Fatal(err)
		}
		bound := r.mint(t, devissuer.Token{Claims: map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}, "sub": "secret-subject"}})
		plain := r.mint(t, devissuer.Token{Claims: map[string]any{"sub": "secret-subject", "client_id": "secret-client"}})
		expired := r.mint(t, devissuer.Token{Claims: map[string]any{"exp": 1000, "sub": "secret-subject"}})
		stranger := r.mint(t, devissuer.Token{Claims: map[string]any{"iss": "https://secret-issuer.example"}, Header: map[string]any{"kid": "secret-kid"}})
		proof, err := key.Proof(devissuer.Proof{Method: "GET", URL: origin + "/orders/1", AccessToken: bound})
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{"secret-", "access_token", key.Thumbprint()}
		for _, jwt := range []string{bound, plain, expired, stranger, proof} {
			secrets = append(secrets, strings.Split(jwt, ".")...)
		}
		for _, authorization := range []string{
			"", "Bearer " + plain, "Bearer " + expired, "Bearer " + stranger, "Bearer " + bound, "DPoP " + bound, "DPoP " + bound,
			"DPoP " + plain, "Bearer " + plain[:len(plain)-9], "Bearer secret-opaque", "Bearer secret-a secret-b", "Basic secret-password",
		} {
			for _, path := range []string{
				"/orders/1", "/admin", "/open", "/maybe", "/nowhere", "/orders/cut", "/orders/echo", "/a//b", "/orders;access_token=" + plain,
				"/orders%3Faccess_token=" + plain, "/orders%23access_token=" + plain, "/orders%3baccess_token=" + plain,
			} {
				for _, query := range []string{"?access_token=" + plain, "?t=" + plain + "&x=secret-query"} { // the first is refused for itself
					r.attempt(t, path+query, "Authorization", authorization, "DPoP", proof, "X-Secret", "secret-header", "Cookie", "c=secret-cookie")
				}
			}
		}
		r.attempt(t, "/orders/1", "Authorization", "Bearer "+plain, "Authorization", "Bearer "+bound)
		text := r.log.String()
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("access %d: %q is in the log: …%s", access, secret, text[max(0, at-200):min(len(text), at+100)])
			}
		}
		if n := len(lines(t, text)); access == Off && n > 0 || access != Off && n < 50 {
			t.Errorf("access %d: %d lines", access, n)
		}
	}
}

// attempt sends a request whose answer may be cut short, or is of no interest.
func (r *rig) attempt(t *testing.T, target string, headers ...string) {
	t.Helper()
	req, err := http.NewRequest("GET", r.gate.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := r.gate.Client().Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

func TestLineOfARequest(t *testing.T) {
	r := newRig(t, Denied, ok)
	raw := r.mint(t, devissuer.Token{})
	r.send(t, "GET", "/orders/1", "Authorization", "Bearer "+raw)
	r.send(t, "GET", "/open")
	r.send(t, "BREW", "/admin?x=1", "Authorization", "Bearer "+raw)
	list := lines(t, r.log.String())
	if len(list) != 1 {
		t.Fatalf("%d lines, want that of the refused request only: %s", len(list), r.log)
	}
	want := map[string]any{
		"level": "info", "msg": "request denied", "http.request.method": "other", "url.path": "/admin",
		"http.response.status_code": 403.0, "client.address": "127.0.0.1", "gate.listener": listener,
		"gate.resource": "api", "gate.route": "admin", "gate.decision": "denied", "gate.reason": "scope", "gate.issuer": "corp",
	}
	for name, v := range want {
		if list[0][name] != v {
			t.Errorf("%s = %v, want %v", name, list[0][name], v)
		}
	}
	for _, name := range []string{"time", "duration_ms", "overhead_us"} {
		if list[0][name] == nil {
			t.Errorf("no %s", name)
		}
		delete(list[0], name)
	}
	if len(list[0]) != len(want) {
		t.Errorf("more fields than wanted: %v", list[0])
	}
}

func TestWhichRequestsAreLogged(t *testing.T) {
	gone := errors.New("gone")
	for _, c := range []struct {
		name        string
		outcome     proxy.Outcome
		denied, all bool
	}{
		{"allowed", proxy.Outcome{Status: 200, Decision: &proxy.Decision{Verdict: proxy.Allowed, Principal: &token.Principal{}}}, false, true},
		{"public", proxy.Outcome{Status: 200, Decision: &proxy.Decision{Verdict: proxy.Allowed}}, false, true},
		{"refused", proxy.Outcome{Status: 401, Decision: &proxy.Decision{Refusal: token.Refuse(token.InvalidToken, token.ReasonExpired)}}, true, true},
		{"door", proxy.Outcome{Status: 400, Door: token.Refuse(token.InvalidRequest, token.ReasonPath)}, true, true},
		{"fault", proxy.Outcome{Status: 503, Decision: &proxy.Decision{Verdict: proxy.Failed, Fault: gone}}, true, true},
		{"upstream", proxy.Outcome{Status: 502, Err: gone, Decision: &proxy.Decision{Verdict: proxy.Allowed}}, true, true},
		{"client gone", proxy.Outcome{Status: 499, Err: gone, Decision: &proxy.Decision{Verdict: proxy.Allowed}}, false, true},
		{"panic", proxy.Outcome{Status: 500, Panic: "proxy.f:1", Decision: &proxy.Decision{Verdict: proxy.Allowed}}, true, true},
	} {
		for access, want := range map[Access]bool{Denied: c.denied, All: c.all, Off: false} {
			log, out := logger(t)
			New(Options{Log: log, Access: access}).Decided(listener)(httptest.NewRequest("GET", "/", nil), &c.outcome)
			if got := out.String() != ""; got != want {
				t.Errorf("%s, access %d: logged %t, want %t", c.name, access, got, want)
			}
		}
	}
}

func TestParseAccess(t *testing.T) {
	for name, want := range map[string]Access{"denied": Denied, "all": All, "off": Off, "": Denied, "nonsense": Denied} {
		if got := ParseAccess(name); got != want {
			t.Errorf("ParseAccess(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestCauses(t *testing.T) {
	refusal := token.Refuse(token.InvalidToken, token.ReasonType)
	decided := func(d proxy.Decision) proxy.Outcome { return proxy.Outcome{Decision: &d} }
	failed := func(err error) proxy.Outcome {
		return proxy.Outcome{Err: err, Decision: &proxy.Decision{Verdict: proxy.Allowed}}
	}
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		outcome proxy.Outcome
		want    string
	}{
		{proxy.Outcome{}, "no configuration is in force"},
		{proxy.Outcome{Panic: "proxy.f:1"}, "panic at proxy.f:1"},
		{proxy.Outcome{Door: refusal}, ""},
		{decided(proxy.Decision{Refusal: refusal}), ""},
		{decided(proxy.Decision{Refusal: refusal.Because(errors.New("why"))}), "why"},
		{decided(proxy.Decision{Verdict: proxy.Failed, Fault: &token.Fault{Cause: errors.New("no answer")}}), "no answer"},
		{decided(proxy.Decision{Verdict: proxy.Failed, Fault: errors.New("panic while deciding")}), "panic while deciding"},
		{decided(proxy.Decision{Verdict: proxy.Allowed}), ""},
		{failed(fmt.Errorf("wrapped: %w", dial)), "dial tcp: connection refused"},
		{failed(&tls.CertificateVerificationError{Err: errors.New("unknown authority")}), "tls: failed to verify certificate: unknown authority"},
		{failed(context.DeadlineExceeded), "timeout"},
		{failed(io.ErrUnexpectedEOF), "connection closed before the answer"},
		{failed(errors.New(`malformed HTTP response "eyJhbGciOi"`)), "no usable answer"},
	} {
		if got := causeOf(&c.outcome); got != c.want {
			t.Errorf("causeOf(%+v) = %q, want %q", c.outcome, got, c.want)
		}
	}
}

func TestPathInTheLog(t *testing.T) {
	for target, want := range map[string]string{
		"/a/b?x=1":                     "/a/b",
		"/a%2Fb":                       "/a%2Fb",
		"/a%0d%0ab":                    "/a%0d%0ab",
		"/a;token=x/b":                 "/a",
		"/a%3ftoken=x":                 "/a",
		"/a%3Btoken=x":                 "/a",
		"/a%23token=x":                 "/a",
		"/a#token=x":                   "/a",
		"http://h.example/p?q":         "/p",
		"*":                            "*",
		"/" + strings.Repeat("a", 999): "/{masked}",
		strings.Repeat("/a", 999):      strings.Repeat("/a", 128),
		"/a/secret-of-theirs/b":        "/a/{masked}/b",
	} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := pathOf(&http.Request{URL: u, Header: http.Header{"Authorization": {"Bearer secret-of-theirs"}}}); got != want {
			t.Errorf("path of %s is %s, want %s", target, got, want)
		}
	}
	if got := pathOf(&http.Request{}); got != "" {
		t.Errorf("path without a URL is %q", got)
	}
}

func TestAddressInTheLog(t *testing.T) {
	for client, want := range map[netip.Addr]string{
		netip.MustParseAddr("192.0.2.1"): "192.0.2.1", netip.MustParseAddr("2001:db8::1"): "2001:db8::1",
		netip.MustParseAddr("fe80::1%eth0\n"): "fe80::1", {}: "",
	} {
		if got := addressOf(client); got != want {
			t.Errorf("address of %v is %q, want %q", client, got, want)
		}
	}
}

func TestNothingBreaksOutOfALine(t *testing.T) {
	log, out := logger(t)
	m := New(Options{Log: log, Access: All})
	m.Decided(listener)(&http.Request{
		Method: "GET\n{\"level\":\"error\"}", RemoteAddr: "\"\n", URL: &url.URL{Path: "/\n\"},{\x00\xff\u2028"},
	}, &proxy.Outcome{Door: token.Refuse(token.InvalidRequest, token.ReasonPath), Status: 400})
	if text := out.String(); strings.Count(text, "\n") != 1 || len(lines(t, text)) != 1 {
		t.Errorf("not one line: %q", text)
	}
}

func TestFloodIsSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logger(t)
		m := New(Options{Log: log})
		report, r := m.Decided(listener), httptest.NewRequest("GET", "/", nil)
		flood := &proxy.Outcome{Status: 401, Decision: &proxy.Decision{Refusal: token.Refuse(token.InvalidToken, token.ReasonExpired)}}
		fault := &proxy.Outcome{Status: 503, Decision: &proxy.Decision{Verdict: proxy.Failed}}
		for range 1000 {
			report(r, flood)
		}
		report(r, fault)
		if n := len(lines(t, out.String())); n != 100+9+1 {
			t.Errorf("%d lines, want the first 100, 9 of the next 900, and that of the fault", n)
		}
		wantValue(t, m, "wicketgate_access_log_dropped_total", "891")
		time.Sleep(time.Second)
		report(r, flood)
		if n := len(lines(t, out.String())); n != 111 {
			t.Errorf("%d lines, want one more in the next second", n)
		}
		wantValue(t, m, `wicketgate_refusals_total{reason="expired"}`, "1001")
	})
}
