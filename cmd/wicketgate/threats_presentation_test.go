package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// presentationThreats are attacks with the way a credential is presented.
var presentationThreats = []conformanceRow{
	{"P-01", threatP01}, {"P-02", threatP02}, {"P-03", threatP03}, {"P-04", threatP04}, {"P-05", threatP05}, {"P-06", threatP06},
	{"P-07", threatP07}, {"P-08", threatP08}, {"P-09", threatP09}, {"P-10", threatP10}, {"P-11", threatP11}, {"P-12", threatP12},
}

func threatP01(t *testing.T) {
	s := newSiege(t)
	s.repels(t, s.do("GET", "/any/x"), nothingPresented, token.ReasonMissing)
	for _, line := range []string{"", " ", "Basic x", "Basic dTpw", "Negotiate x", "Bearerx y", "Bear er", "=", ","} {
		t.Run(line, func(t *testing.T) {
			s.repels(t, s.do("GET", "/any/x", "Authorization", line), nothingPresented, token.ReasonMissing)
		})
	}
}

func threatP02(t *testing.T) {
	s := newSiege(t)
	at := s.AT(nil)
	for _, line := range []string{"Bearer", "Bearer  ", "Bearer a b", "Bearer a,Bearer b", "Bearer\t" + at, "Bearer \t" + at, "Bearer " + at + ",", `Bearer "` + at + `"`, "Bearer token=" + at, "Bearer=" + at, "Bearer/" + at, "Bearer " + at + " " + at} {
		t.Run(line[:min(len(line), 20)], func(t *testing.T) {
			s.repels(t, s.do("GET", "/any/x", "Authorization", line), badRequest, token.ReasonMalformed)
		})
	}
}

func threatP03(t *testing.T) {
	s, key := newSiege(t), newClientKey(t, "ES256")
	bearer, bound := "Bearer "+s.AT(nil), s.bound(key, nil)
	both := verdict{http.StatusBadRequest, "invalid_request", "invalid_request"}
	dpop := verdict{http.StatusBadRequest, bare, "invalid_request"}
	for name, row := range map[string]struct {
		first, second string
		want          verdict
	}{
		"equal": {bearer, bearer, badRequest}, "different": {bearer, "Bearer x", badRequest}, "empty last": {bearer, "", badRequest}, "empty first": {"", bearer, badRequest},
		"Basic first": {"Basic dTpw", bearer, badRequest}, "DPoP last": {bearer, "DPoP " + bound, both}, "DPoP first": {"DPoP " + bound, bearer, both}, "two DPoP": {"DPoP " + bound, "DPoP " + bound, dpop},
	} {
		t.Run(name, func(t *testing.T) {
			proof := s.proof(key, bound, "GET", "/any/x", devissuer.Proof{})
			s.repels(t, s.do("GET", "/any/x", "Authorization", row.first, "Authorization", row.second, "DPoP", proof), row.want, token.ReasonTwoMethods)
		})
	}
	s.repels(t, s.do("GET", "/any/x", "Authorization", "Basic dTpw", "Authorization", "Basic dTpw"), both, token.ReasonTwoMethods)
}

// threatP04 is about sources that are off, as they are unless asked for.
func threatP04(t *testing.T) {
	s := newSiege(t)
	at := s.AT(nil)
	for _, query := range []string{"access_token=" + at, "access%5Ftoken=" + at, "a=b&access_token=" + at, "a=b;access_token=" + at, "access_token"} {
		t.Run(query[:12], func(t *testing.T) {
			s.repels(t, s.do("GET", "/any/x?"+query), nothingPresented, token.ReasonMissing)
			s.repels(t, s.do("GET", "/any/x?"+query, "Authorization", "Bearer "+at), badRequest, token.ReasonTwoMethods)
		})
	}
	for _, header := range []string{"Cookie", "X-Api-Token", "X-Access-Token", "Sec-WebSocket-Protocol", "X-Forwarded-Access-Token"} {
		t.Run(header, func(t *testing.T) {
			for _, value := range []string{at, "access_token=" + at, "session=" + at, "Bearer " + at} {
				s.repels(t, s.do("GET", "/any/x", header, value), nothingPresented, token.ReasonMissing)
			}
		})
	}
	form := func(authorization ...string) *reply {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/any/x", strings.NewReader("access_token="+at))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Content-Type"], req.Header["Authorization"] = []string{"application/x-www-form-urlencoded"}, authorization
		return s.send(req)
	}
	s.repels(t, form(), nothingPresented, token.ReasonMissing)
	s.passes(t, form("Bearer "+at))
	s.passes(t, s.do("GET", "/any/x", "Authorization", "Bearer "+at, "Cookie", "access_token="+at))
}

func threatP05(t *testing.T) {
	s := newSiege(t)
	for _, scheme := range []string{"bearer", "BEARER", "bEARER"} {
		s.passes(t, s.do("GET", "/any/x", "Authorization", scheme+" "+s.AT(nil)))
	}
}

// threatP06: what net/http refuses by itself keeps its form and is not counted;
// what it lets through is a credential that is none.
func threatP06(t *testing.T) {
	s := newSiege(t)
	at := s.AT(nil)
	for name, octet := range map[string]string{"CR": "\r", "NUL": "\x00", "DEL": "\x7f", "LF": "\n", "escape": "\x1b"} {
		t.Run(name, func(t *testing.T) {
			if answer := s.raw(head("GET", "/any/x", "Authorization: Bearer "+at[:9]+octet+at[9:])); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
				t.Errorf("answer %.60q, want 400", answer)
			}
			s.moved(t, token.ReasonNone)
		})
	}
	for name, octet := range map[string]string{"0x80": "\x80", "0xff": "\xff", "e acute": "\u00e9", "full width": "\uff41", "zero width": "\u200b"} {
		t.Run(name, func(t *testing.T) {
			s.repels(t, parsed(t, s.raw(head("GET", "/any/x", "Authorization: Bearer "+at[:9]+octet+at[9:]))), badRequest, token.ReasonMalformed)
		})
	}
}

func threatP07(t *testing.T) {
	s := newSiege(t)
	at := "Bearer " + s.AT(nil)
	for _, name := range []string{"Authorization_", "X_Authorization", "X-Authorization", "_Authorization", "Authorization.", "Authorisation", "X-Forwarded-Authorization", "X-Original-Authorization"} {
		t.Run(name, func(t *testing.T) {
			s.repels(t, parsed(t, s.raw(head("GET", "/any/x", name+": "+at))), nothingPresented, token.ReasonMissing)
		})
	}
	trailer := "POST /any/x HTTP/1.1\r\nHost: rs.example.com\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\nAuthorization: " + at + "\r\n\r\n"
	s.repels(t, parsed(t, s.raw(trailer)), nothingPresented, token.ReasonMissing)
	for name, folded := range map[string]string{"inside the token": at[:40] + "\r\n " + at[40:], "with a tab": at[:40] + "\r\n\t" + at[40:]} {
		t.Run(name, func(t *testing.T) {
			s.repels(t, parsed(t, s.raw(head("GET", "/any/x", "Authorization: "+folded))), badRequest, token.ReasonMalformed)
		})
	}
}

func threatP08(t *testing.T) {
	s := newSiege(t)
	for name, raw := range map[string]string{"signature": tampered(t, s.AT(nil)), "no token": "x"} {
		t.Run(name, func(t *testing.T) {
			reason := token.ReasonSignature
			if raw == "x" {
				reason = token.ReasonMalformed
			}
			s.repels(t, s.do("GET", "/maybe", "Authorization", "Bearer "+raw), badToken, reason)
			s.passes(t, s.do("GET", "/open/x", "Authorization", "Bearer "+raw, "X-Auth-Subject", "evil", "X_auth_email", "evil"))
			for name := range s.upstream.last().Header {
				if strings.Contains(strings.ToLower(name), "auth") {
					t.Errorf("the upstream of a public route saw %s", name)
				}
			}
		})
	}
	s.repels(t, s.do("GET", "/maybe", "Authorization", "Bearer a b"), badRequest, token.ReasonMalformed)
	s.passes(t, s.do("GET", "/maybe", "X-Auth-Subject", "evil"))
	if seen := s.upstream.last().Header["X-Auth-Subject"]; seen != nil {
		t.Errorf("an anonymous caller is %q", seen)
	}
}

func threatP09(t *testing.T) {
	s := newSiege(t)
	at := "Bearer " + s.AT(nil)
	s.repels(t, s.do("GET", "/any/x", "Proxy-Authorization", at), nothingPresented, token.ReasonMissing)
	for _, header := range [][]string{{"/any/x", "Authorization", at}, {"/maybe"}, {"/open/x"}} {
		s.passes(t, s.do("GET", header[0], append(header[1:], "Proxy-Authorization", at)...))
		if seen := s.upstream.last().Header["Proxy-Authorization"]; seen != nil {
			t.Errorf("%s: the upstream saw %q", header[0], seen)
		}
	}
}

// threatP10 is about a resource that says nothing of CORS: a preflight is a
// request like any other.
func threatP10(t *testing.T) {
	s := newSiege(t)
	for _, path := range []string{"/any/x", "/read", "/dpop/x"} {
		want, reason := nothingPresented, token.ReasonMissing
		switch path {
		case "/read": // has a list of methods
			want, reason = noSuchRoute, token.ReasonNoRoute
		case "/dpop/x":
			want = verdict{http.StatusUnauthorized, absent, bare}
		}
		r := s.do("OPTIONS", path, "Origin", "https://app.example.com", "Access-Control-Request-Method", "GET")
		s.repels(t, r, want, reason)
		for name := range r.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: answers with %s", path, name)
			}
		}
	}
}

func threatP11(t *testing.T) {
	s := newSiege(t)
	at := "Bearer " + s.AT(nil)
	for _, method := range []string{"OPTIONS", "get", "Get", "M-SEARCH", "PROPFIND", "QUERY", "FOO", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			s.repels(t, s.do(method, "/any/x"), nothingPresented, token.ReasonMissing)
			s.passes(t, s.do(method, "/any/x", "Authorization", at))
			s.repels(t, s.do(method, "/read", "Authorization", at), noSuchRoute, token.ReasonNoRoute)
			s.repels(t, s.do(method, "/write", "Authorization", at), noSuchRoute, token.ReasonNoRoute)
		})
	}
	head := s.do("HEAD", "/any/x")
	s.repels(t, head, nothingPresented, token.ReasonMissing)
	if r := s.do("HEAD", "/read", "Authorization", at); r.StatusCode != http.StatusOK {
		t.Errorf("HEAD where GET is allowed: %d", r.StatusCode)
	}
	s.reached++
	for _, authorization := range []string{"", at} {
		s.repels(t, s.do("TRACE", "/any/x", "Authorization", authorization), verdict{http.StatusMethodNotAllowed, absent, absent}, token.ReasonMethod)
	}
}

func threatP12(t *testing.T) {
	s := newSiege(t)
	at := "Bearer " + s.AT(changes{"scope": "read write"})
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override", "X-Http-Method_Override"} {
		t.Run(name, func(t *testing.T) {
			s.passes(t, s.do("GET", "/read", "Authorization", at, name, "DELETE"))
			seen := s.upstream.last()
			if found := seenAs(s.fixture, name); seen.Method != "GET" || len(found) > 0 {
				t.Errorf("the upstream saw %s and %q", seen.Method, found)
			}
			s.repels(t, s.do("POST", "/read", "Authorization", at, name, "GET"), noSuchRoute, token.ReasonNoRoute)
		})
	}
}
