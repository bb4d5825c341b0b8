package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/forwardauth"
	"github.com/wicketgate/wicketgate/proxy/middleware"
)

// doorsConfig is the fixture behind every door: what the table asks for beside the
// routes there are. %[6]s and %[7]s are where proxies ask.
func doorsConfig(t testing.TB, form, rest string) func(string) string {
	t.Helper()
	return func(text string) string {
		text = instead(t, text, "admin:", "trusted_proxies: [127.0.0.1]\nmtls: {from: header, header: xfcc}\nforward_auth: {listen: \"%[6]s\", peers: [127.0.0.1], form: "+form+"}\n"+rest+"admin:")
		text = instead(t, text, "resources:", "  - {name: away, issuer: \"http://127.0.0.1:1/\"}\nresources:")
		text = instead(t, text, "    routes:", "    cors: {origins: [\"https://app.example.com\"], preflight: forward}\n    routes:")
		return instead(t, text, "log:", `      - {name: fresh, path: /fresh, binding: dpop, nonce: required}
      - {name: office, path: /office, public: false, networks: [192.0.2.0/24]}
      - {name: tenant, path: /tenant, when: claims.tenant == "acme"}
      - {name: trial, path: /trial, report_only: true}
log:`)
	}
}

// A visit is a request as its client sent it.
type visit struct {
	method, target string
	header         []string // name, value, name, value
}

func (v *visit) fields() http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(v.header); i += 2 {
		name := http.CanonicalHeaderKey(v.header[i])
		h[name] = append(h[name], v.header[i+1])
	}
	return h
}

// A seen is what became of a visit.
type seen struct {
	status int         // what the client is told; what the refusal means where the door cannot say it
	header http.Header // of the answer
	body   string      // of a refusal
	onward http.Header // of the request as it went on; nil when it did not
}

// A frontDoor takes a visit to the gate of a fixture. Those of Copies refuse what they
// cannot take away.
type frontDoor struct {
	copies bool
	take   func(t *testing.T, f *fixture, v *visit) *seen
}

// frontDoors are the doors that every decision is the same at, by name.
func frontDoors(f *fixture, form string) map[string]frontDoor {
	return map[string]frontDoor{
		"reverse":     {false, throughReverse},
		"middleware":  {false, throughMiddleware},
		"forwardauth": {true, map[string]func(*testing.T, *fixture, *visit) *seen{"x-forwarded": askForwarded, "x-original": askOriginal}[form]},
	}
}

// throughReverse sends the octets.
func throughReverse(t *testing.T, f *fixture, v *visit) *seen {
	t.Helper()
	before := f.upstream.count()
	s := exchangeAt(t, f.address, v)
	if f.upstream.count() > before {
		s.onward = f.upstream.last().Header
	}
	return s
}

// exchangeAt makes a visit at an address.
func exchangeAt(t *testing.T, address string, v *visit) *seen {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	text := v.method + " " + v.target + " HTTP/1.1\r\nHost: rs.example.com\r\n"
	closes := "Connection: close\r\n"
	for i := 0; i+1 < len(v.header); i += 2 {
		if v.header[i] == "Connection" {
			closes = ""
		}
		text += v.header[i] + ": " + v.header[i+1] + "\r\n"
	}
	if _, err := io.WriteString(conn, text+closes+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: v.method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &seen{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// throughMiddleware serves the table of the gate in front of a handler.
func throughMiddleware(t *testing.T, f *fixture, v *visit) *seen {
	t.Helper()
	var onward http.Header
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := middleware.Principal(r.Context()); (p == nil) != (r.Header.Get("X-Auth-Issuer") == "") {
			t.Errorf("principal %v with %v", p, r.Header)
		}
		onward = r.Header
		w.WriteHeader(http.StatusOK)
	})
	server := httptest.NewUnstartedServer(middleware.Handler(proxy.NewChecker(proxy.CheckerOptions{Door: f.address, Switch: f.gateway.gates}), next))
	server.Config.MaxHeaderBytes = 1 << 20
	server.Start()
	defer server.Close()
	s := exchangeAt(t, strings.TrimPrefix(server.URL, "http://"), v)
	s.onward = onward
	return s
}

// copied are the fields that the stand-in of a proxy is configured to copy, and
// cleared those it takes away.
var (
	copied  = []string{"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-Issuer", "X-Auth-Client-Id", "X-Auth-Scope", "X-Auth-Binding", "X-Auth-Email", "X-Auth-Roles", "X-Auth-Number"}
	cleared = []string{"Authorization", "Dpop", "X-Forwarded-Client-Cert"}
)

// askForwarded asks as Traefik does.
func askForwarded(t *testing.T, f *fixture, v *visit) *seen {
	t.Helper()
	return askAt(t, f, v, map[string]string{
		"X-Forwarded-Method": v.method, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "rs.example.com", "X-Forwarded-Uri": v.target,
	})
}

// askOriginal asks as nginx does.
func askOriginal(t *testing.T, f *fixture, v *visit) *seen {
	t.Helper()
	return askAt(t, f, v, map[string]string{"X-Original-Method": v.method, "X-Original-URL": "https://rs.example.com" + v.target})
}

func askAt(t *testing.T, f *fixture, v *visit, question map[string]string) *seen {
	t.Helper()
	q := &visit{method: "GET", target: "/auth", header: slices.Clone(v.header)}
	for name, value := range question {
		q.header = append(q.header, name, value)
	}
	s := exchangeAt(t, f.asks, q)
	if s.status/100 != 2 {
		means, err := strconv.Atoi(s.header.Get(forwardauth.HeaderStatus))
		if err != nil || means != s.status && s.status != http.StatusForbidden {
			t.Errorf("status %d with %q", s.status, s.header.Get(forwardauth.HeaderStatus))
		}
		s.status = means
		return s
	}
	s.onward = v.fields()
	for _, name := range cleared {
		delete(s.onward, name)
	}
	for _, name := range copied {
		if delete(s.onward, name); s.header.Get(name) != "" {
			s.onward[name] = s.header[name]
		}
	}
	return s
}

// anonymous is the identity of nobody.
var anonymous = map[string]string{}

// A doorRow is a visit, and what becomes of it at every door.
type doorRow struct {
	name   string
	visit  func(t *testing.T, f *fixture, take func(*visit) *seen) *visit // made anew for each door; take is for what comes before
	status int
	want   map[string]string // X-Auth-*, some of them; exactly none for anonymous
	copies int               // the status at doors that copy, where it is another
	checks int               // the status at all but the reverse proxy, where it is another
}

func plainVisit(method, target string, header ...string) func(*testing.T, *fixture, func(*visit) *seen) *visit {
	return func(*testing.T, *fixture, func(*visit) *seen) *visit { return &visit{method, target, header} }
}

// bearing presents a token with some claims changed.
func bearing(method, target string, claims map[string]any, header ...string) func(*testing.T, *fixture, func(*visit) *seen) *visit {
	return func(_ *testing.T, f *fixture, _ func(*visit) *seen) *visit {
		return &visit{method, target, append([]string{"Authorization", "Bearer " + f.AT(claims)}, header...)}
	}
}

// provenBy presents a token bound to a key, and a proof changed by edit.
func provenBy(target string, edit func(p *devissuer.Proof, v *visit)) func(*testing.T, *fixture, func(*visit) *seen) *visit {
	return func(t *testing.T, f *fixture, take func(*visit) *seen) *visit {
		key := newClientKey(t, "ES256")
		raw := f.bound(key, nil)
		v, p := &visit{"GET", target, []string{"Authorization", "DPoP " + raw}}, devissuer.Proof{Method: "GET", URL: testIdentifier + target, AccessToken: raw}
		if edit != nil {
			edit(&p, v)
		}
		if p.Nonce == "ask" {
			p.Nonce = ""
			first := &visit{v.method, v.target, append(slices.Clone(v.header), "DPoP", prove(t, key, p))}
			p.Nonce = take(first).header.Get("Dpop-Nonce")
		}
		proof := prove(t, key, p)
		v.header = append(v.header, "DPoP", proof)
		switch p.ID {
		case "twice":
			take(v)
		case "double":
			v.header = append(v.header, "DPoP", proof)
		case "none":
			v.header = v.header[:len(v.header)-2]
		case "bearer":
			v.header = []string{"Authorization", "Bearer " + raw}
		}
		return v
	}
}

func prove(t *testing.T, key *devissuer.ClientKey, p devissuer.Proof) string {
	t.Helper()
	if p.ID != "" {
		p.ID = ""
	}
	proof, err := key.Proof(p)
	if err != nil {
		t.Fatal(err)
	}
	confided.add(proof)
	return proof
}

// certified presents a token bound to the certificate of RFC 8705, and one of the
// given thumbprint; "own" is that of the token.
func certified(hash string) func(*testing.T, *fixture, func(*visit) *seen) *visit {
	return func(t *testing.T, f *fixture, _ func(*visit) *seen) *visit {
		v := readCertificateVectors(t)
		digest, err := base64.RawURLEncoding.DecodeString(v.MTLSDigest)
		if err != nil {
			t.Fatal(err)
		}
		header := []string{"Authorization", "Bearer " + f.boundTo(v.MTLSDigest)}
		switch hash {
		case "own":
			header = append(header, "X-Forwarded-Client-Cert", "Hash="+hex.EncodeToString(digest))
		case "other":
			header = append(header, "X-Forwarded-Client-Cert", "Hash="+strings.Repeat("0", 64))
		}
		return &visit{"GET", "/any/x", header}
	}
}

// doorRows is the decision table of every front door.
var doorRows = []doorRow{
	{name: "no token", visit: plainVisit("GET", "/read"), status: 401},
	{name: "good", visit: bearing("GET", "/read?a=b", nil), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}},
	{name: "claims", visit: bearing("GET", "/read", map[string]any{"email": "a@example.com", "sub": "bob"}), status: 200, want: map[string]string{"X-Auth-Subject": "bob", "X-Auth-Email": "a@example.com"}},
	{name: "HEAD", visit: bearing("HEAD", "/read", nil), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}},
	{name: "wrong scope", visit: bearing("POST", "/write", map[string]any{"scope": "read"}), status: 403},
	{name: "both scopes", visit: bearing("GET", "/both", map[string]any{"scope": "read"}), status: 403},
	{name: "expired", visit: bearing("GET", "/read", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), status: 401},
	{name: "not yet", visit: bearing("GET", "/read", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), status: 401},
	{name: "another audience", visit: bearing("GET", "/read", map[string]any{"aud": "https://other.example.com"}), status: 401},
	{name: "another issuer", visit: bearing("GET", "/read", map[string]any{"iss": "https://evil.example.com/"}), status: 401},
	{name: "issuer away", visit: bearing("GET", "/read", map[string]any{"iss": "http://127.0.0.1:1/"}), status: 503},
	{name: "no claim", visit: bearing("GET", "/read", map[string]any{"sub": nil}), status: 401},
	{name: "when", visit: bearing("GET", "/tenant", map[string]any{"tenant": "other"}), status: 403},
	{name: "when holds", visit: bearing("GET", "/tenant", map[string]any{"tenant": "acme"}), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}},
	{name: "signature", visit: func(_ *testing.T, f *fixture, _ func(*visit) *seen) *visit {
		raw := f.AT(nil)
		return &visit{"GET", "/read", []string{"Authorization", "Bearer " + raw[:strings.LastIndexByte(raw, '.')+1] + strings.Repeat("A", 86)}}
	}, status: 401},
	{name: "malformed", visit: plainVisit("GET", "/read", "Authorization", "Bearer a b"), status: 400},
	{name: "no JWT", visit: plainVisit("GET", "/read", "Authorization", "Bearer opaque"), status: 401},
	{name: "another scheme", visit: plainVisit("GET", "/read", "Authorization", "Basic YTpi"), status: 401},
	{name: "two tokens", visit: func(_ *testing.T, f *fixture, _ func(*visit) *seen) *visit {
		return &visit{"GET", "/read", []string{"Authorization", "Bearer " + f.AT(nil), "Authorization", "Bearer " + f.AT(nil)}}
	}, status: 400},
	{name: "token in the query too", visit: bearing("GET", "/read?access_token=x", nil), status: 400},
	{name: "token too long", visit: plainVisit("GET", "/read", "Authorization", "Bearer "+strings.Repeat("a", 17<<10)), status: 401},
	{name: "no route", visit: bearing("GET", "/nowhere", nil), status: 404},
	{name: "no route for the method", visit: bearing("DELETE", "/read", nil), status: 404},
	{name: "public", visit: plainVisit("GET", "/open/x"), status: 200, want: anonymous},
	{name: "public, bad token", visit: plainVisit("GET", "/open/x", "Authorization", "Bearer bad"), status: 200, want: anonymous},
	{name: "optional, none", visit: plainVisit("GET", "/maybe"), status: 200, want: anonymous},
	{name: "optional, good", visit: bearing("GET", "/maybe", nil), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}},
	{name: "optional, bad", visit: bearing("GET", "/maybe", map[string]any{"aud": "x"}), status: 401},
	{name: "report only", visit: plainVisit("GET", "/trial"), status: 200, want: anonymous},
	{name: "dot segments", visit: plainVisit("GET", "/open/../read"), status: 400},
	{name: "encoded slash", visit: plainVisit("GET", "/open/a%2fb"), status: 400},
	{name: "two slashes", visit: plainVisit("GET", "//open/x"), status: 400},
	{name: "path parameter", visit: plainVisit("GET", "/open/x;a=b"), status: 400},
	{name: "fragment", visit: plainVisit("GET", "/open/x#y"), status: 400},
	{name: "long target", visit: plainVisit("GET", "/open/"+strings.Repeat("x", 16<<10)), status: 414},
	{name: "TRACE", visit: plainVisit("TRACE", "/open/x"), status: 405},
	{name: "circle", visit: plainVisit("GET", "/open/x", "Via", "1.1 wicketgate"), status: 508},
	{name: "early data", visit: bearing("POST", "/write", map[string]any{"scope": "write"}, "Early-Data", "1", "Content-Length", "0"), status: 425},
	{name: "claims too large", visit: bearing("GET", "/read", map[string]any{"roles": []string{strings.Repeat("r", 5000)}}), status: 431},
	{name: "office", visit: bearing("GET", "/office", nil, "X-Forwarded-For", "192.0.2.7"), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}},
	{name: "not the office", visit: bearing("GET", "/office", nil, "X-Forwarded-For", "192.0.2.7, 198.51.100.1"), status: 403},
	{name: "problem", visit: plainVisit("GET", "/read", "Accept", "application/problem+json"), status: 401},
	{name: "gRPC-Web", visit: plainVisit("POST", "/nowhere", "Content-Type", "application/grpc-web", "Content-Length", "0"), status: 404},
	{name: "origin", visit: plainVisit("GET", "/read", "Origin", "https://app.example.com"), status: 401},
	{name: "preflight", visit: plainVisit("OPTIONS", "/any/x", "Origin", "https://app.example.com", "Access-Control-Request-Method", "GET"), status: 200, want: anonymous},

	{name: "DPoP", visit: provenBy("/dpop/x", nil), status: 200, want: map[string]string{"X-Auth-Subject": "user-1", "X-Auth-Binding": "dpop"}},
	{name: "DPoP, prefix stripped", visit: provenBy("/ext/x", nil), status: 200, want: map[string]string{"X-Auth-Binding": "dpop"}},
	{name: "DPoP, replayed", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.ID = "twice" }), status: 401},
	{name: "DPoP, another path", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.URL = testIdentifier + "/dpop/y" }), status: 401},
	{name: "DPoP, another host", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.URL = "https://gate.example.com/dpop/x" }), status: 401},
	{name: "DPoP, another method", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.Method = "POST" }), status: 401},
	{name: "DPoP, old", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.IssuedAt = time.Now().Add(-time.Hour) }), status: 401},
	{name: "DPoP, another token", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.AccessToken = "x" }), status: 401},
	{name: "DPoP, no proof", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.ID = "none" }), status: 401},
	{name: "DPoP, two proofs", visit: provenBy("/dpop/x", func(p *devissuer.Proof, _ *visit) { p.ID = "double" }), status: 401},
	{name: "DPoP, as bearer", visit: provenBy("/any/x", func(p *devissuer.Proof, _ *visit) { p.ID = "bearer" }), status: 401},
	{name: "DPoP, no nonce", visit: provenBy("/fresh", nil), status: 401},
	{name: "DPoP, nonce", visit: provenBy("/fresh", func(p *devissuer.Proof, _ *visit) { p.Nonce = "ask" }), status: 200, want: map[string]string{"X-Auth-Binding": "dpop"}},
	{name: "DPoP, another nonce", visit: provenBy("/fresh", func(p *devissuer.Proof, _ *visit) { p.Nonce = "made up" }), status: 401},
	{name: "certificate", visit: certified("own"), status: 200, want: map[string]string{"X-Auth-Binding": "mtls"}},
	{name: "another certificate", visit: certified("other"), status: 401},
	{name: "no certificate", visit: certified(""), status: 401},

	{name: "identity of the client's", visit: plainVisit("GET", "/open/x", "X-Auth-Subject", "root"), status: 200, want: anonymous, copies: 400},
	{name: "identity, guessed", visit: bearing("GET", "/read", nil, "X-Auth-Scope", "admin"), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}, copies: 400},
	{name: "identity, spelt with underscores", visit: bearing("GET", "/read", nil, "X_Auth_Subject", "root"), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}, copies: 400},
	{name: "identity, configured", visit: plainVisit("GET", "/maybe", "x-auth.email", "root@example.com"), status: 200, want: anonymous, copies: 400},
	{name: "method override", visit: plainVisit("GET", "/open/x", "X-HTTP-Method-Override", "DELETE"), status: 200, want: anonymous, copies: 400},
	{name: "another target", visit: plainVisit("GET", "/open/x", "X-Rewrite-Url", "/read"), status: 200, want: anonymous, copies: 400},
	{name: "identity in Connection", visit: bearing("GET", "/read", nil, "Connection", "close, X-Auth-Subject"), status: 200, want: map[string]string{"X-Auth-Subject": "user-1"}, checks: 400},
}

// wanted is the status of a row at a door.
func (r *doorRow) wanted(name string, d frontDoor) int {
	switch {
	case d.copies && r.copies != 0:
		return r.copies
	case name == "forwardauth" && r.checks != 0: // its Connection ended at the proxy
		return r.status
	case name != "reverse" && r.checks != 0:
		return r.checks
	}
	return r.status
}

// TestDoors: one decision, whatever the door.
func TestDoors(t *testing.T) {
	for _, form := range []string{"x-forwarded", "x-original"} {
		f := newFixture(t, doorsConfig(t, form, ""))
		doors := frontDoors(f, form)
		for _, row := range doorRows {
			t.Run(form+"/"+row.name, func(t *testing.T) {
				var reference *seen
				for _, name := range append([]string{"reverse"}, slices.Sorted(maps.Keys(doors))...) {
					d := doors[name]
					take := func(v *visit) *seen { return d.take(t, f, v) }
					got := take(row.visit(t, f, take))
					if reference == nil {
						reference = got
					}
					row.compare(t, name, d, got, reference)
				}
			})
		}
	}
}

// compare holds what one door did against the row and the reverse proxy.
func (r *doorRow) compare(t *testing.T, name string, d frontDoor, got, reference *seen) {
	t.Helper()
	want := r.wanted(name, d)
	if grpc := got.header.Get("Grpc-Status"); grpc != "" && got.status == 200 && grpc == reference.header.Get("Grpc-Status") {
		got.status = want // gRPC says it there
	}
	if got.status != want || (got.onward != nil) != (want == 200) {
		t.Fatalf("%s: status %d, onward %v, want %d; %v %s", name, got.status, got.onward, want, got.header, got.body)
	}
	for _, field := range []string{"Www-Authenticate", "Retry-After", "Allow", "Access-Control-Allow-Origin", "Vary", "Grpc-Status"} {
		if want == r.status && strings.Join(got.header[field], ", ") != strings.Join(reference.header[field], ", ") {
			t.Errorf("%s: %s %q, want %q", name, field, got.header[field], reference.header[field])
		}
	}
	if want == r.status && (got.header.Get("Dpop-Nonce") == "") != (reference.header.Get("Dpop-Nonce") == "") {
		t.Errorf("%s: nonce %q, want as %q", name, got.header.Get("Dpop-Nonce"), reference.header.Get("Dpop-Nonce"))
	}
	if got.onward == nil {
		if want == r.status && (got.body != reference.body || got.header.Get("Content-Type") != reference.header.Get("Content-Type")) {
			t.Errorf("%s: body %q, want %q", name, got.body, reference.body)
		}
		return
	}
	r.wantIdentity(t, name, got.onward)
}

// wantIdentity holds a request that went on against the row.
func (r *doorRow) wantIdentity(t *testing.T, door string, h http.Header) {
	t.Helper()
	for field, value := range r.want {
		if lines := h[textproto.CanonicalMIMEHeaderKey(field)]; len(lines) != 1 || lines[0] != value {
			t.Errorf("%s: %s %q, want %q", door, field, lines, value)
		}
	}
	for field, lines := range h {
		switch normal := proxy.NormalName(field); {
		case normal == "authorization" || normal == "dpop" || normal == "x-http-method-override" || normal == "x-rewrite-url":
			t.Errorf("%s: %s went on", door, field)
		case strings.HasPrefix(normal, "x-auth-") && (len(r.want) == 0 || slices.Contains(lines, "root") || slices.Contains(lines, "admin")):
			t.Errorf("%s: %s %q went on", door, field, lines)
		}
	}
}

// TestDoorRows keeps the table from shrinking unseen.
func TestDoorRows(t *testing.T) {
	names := make(map[string]bool)
	for _, row := range doorRows {
		if names[row.name] {
			t.Errorf("%q twice", row.name)
		}
		names[row.name] = true
	}
	if len(names) < 60 {
		t.Error(fmt.Sprint(len(names), " rows only"))
	}
}
