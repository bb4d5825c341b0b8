package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/token"
)

// hiddenRoutes are all refused to a good token of scope read, each for another
// reason, but for those below /hidden/may.
const hiddenRoutes = `      - {name: hidden-scope, path: /hidden/scope, hide: true, scopes: [nobody]}
      - {name: hidden-client, path: /hidden/client, hide: true, clients: [nobody]}
      - {name: hidden-subject, path: /hidden/subject, hide: true, subjects: [nobody]}
      - {name: hidden-actor, path: /hidden/actor, hide: true, actor: [nobody]}
      - {name: hidden-rule, path: /hidden/claim_rule, hide: true, claims: {groups: [ops]}}
      - {name: hidden-when, path: /hidden/when, hide: true, when: claims.tenant == "acme"}
      - {name: hidden-details, path: /hidden/authorization_details, hide: true, authorization_details: [{type: payment}]}
      - {name: hidden-network, path: /hidden/network, hide: true, networks: [192.0.2.0/24]}
      - {name: hidden-weak, path: /hidden/weak, hide: true, acr: [gold], max_age: 1m, amr: [otp], scopes: [nobody]}
      - {name: hidden-unbound, path: /hidden/unbound, hide: true, binding: required, max_token_age: 1s, clients: [nobody]}
      - {name: hidden-may, path: /hidden/may/**, hide: true, scopes: [read]}
      - {name: hidden-login, path: /hidden/login, hide: true, scopes: [read], acr: [gold]}
log:`

// hiddenReasons are why, by the last segment of the path.
var hiddenReasons = map[string]token.Reason{
	"scope": token.ReasonScope, "client": token.ReasonClient, "subject": token.ReasonSubject, "actor": token.ReasonActor, "claim_rule": token.ReasonRule,
	"when": token.ReasonWhen, "authorization_details": token.ReasonDetails, "network": token.ReasonNetwork, "weak": token.ReasonScope, "unbound": token.ReasonClient,
}

var dateLine = regexp.MustCompile(`(?m)^Date: .*\r\n`)

// rawAnswer is what comes back for a visit, less the date.
func rawAnswer(t *testing.T, address string, v *visit) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	text := v.method + " " + v.target + " HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\n"
	for i := 0; i+1 < len(v.header); i += 2 {
		text += v.header[i] + ": " + v.header[i+1] + "\r\n"
	}
	_, _ = io.WriteString(conn, text+"\r\n")
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return dateLine.ReplaceAllString(string(all), "")
}

// hiddenVisits are requests in every form that answers depend on.
var hiddenVisits = map[string]visit{
	"GET": {method: "GET"}, "HEAD": {method: "HEAD"}, "POST": {method: "POST", header: []string{"Content-Length", "0"}}, "DELETE": {method: "DELETE"},
	"OPTIONS":         {method: "OPTIONS"},
	"problem":         {method: "GET", header: []string{"Accept", "application/problem+json"}},
	"problem, HEAD":   {method: "HEAD", header: []string{"Accept", "application/problem+json"}},
	"gRPC":            {method: "POST", header: []string{"Content-Type", "application/grpc", "Te", "trailers", "Content-Length", "0"}},
	"gRPC-Web":        {method: "POST", header: []string{"Content-Type", "application/grpc-web+proto", "Content-Length", "0"}},
	"script":          {method: "GET", header: []string{"Origin", "https://app.example.com"}},
	"another script":  {method: "GET", header: []string{"Origin", "https://evil.example.com"}},
	"a query":         {method: "GET", target: "?a=b"},
	"a slash":         {method: "GET", target: "/"},
	"a dot":           {method: "GET", target: "."},
	"a space":         {method: "GET", target: "%20"},
	"an empty end":    {method: "GET", target: "/%20"},
	"a semicolon":     {method: "GET", target: "%3Bx"},
	"a question mark": {method: "GET", target: "%3Fx"},
	"a number sign":   {method: "GET", target: "%23x"},
	"handshake":       {method: "GET", header: []string{"Upgrade", "websocket", "Sec-WebSocket-Key", wsKey, "Sec-WebSocket-Version", "13"}},
	"early":           {method: "GET", header: []string{"Range", "bytes=0-1", "If-None-Match", "*"}},
	"a form":          {method: "POST", header: []string{"Content-Type", "application/x-www-form-urlencoded", "Content-Length", "0"}},
}

// oddEnds are those that some drop from a path, and that no route must allow.
var oddEnds = []string{".", "%20", "%3Bx", "%3Fx", "%23x", "/%20"}

func rowCHAL14(t *testing.T) {
	s := besiege(newFixture(t, func(text string) string {
		text = instead(t, text, "    routes:", "    metadata: true\n    cors: {origins: [\"https://app.example.com\"]}\n    routes:")
		return withNonces(instead(t, text, "log:", hiddenRoutes))
	}))
	s.untilReady()
	s.do("GET", "/hidden/scope", "Authorization", "Bearer "+s.AT(nil))
	eventually(t, "the reason in the log", func() bool { // before there is so much that it is sampled
		return strings.Contains(s.log.String(), `"http.response.status_code":404`) && strings.Contains(s.log.String(), `"gate.route":"hidden-scope","gate.decision":"denied","gate.reason":"scope"`)
	})
	key := newClientKey(t, "ES256")
	for segment, reason := range hiddenReasons {
		t.Run(segment, func(t *testing.T) {
			for name, v := range hiddenVisits {
				answers := map[string]string{}
				for _, path := range []string{"/hidden/" + segment, "/nothing/" + segment} {
					bearer, bound := v, v
					bearer.target = path + v.target
					bearer.header = append(slices.Clone(v.header), "Authorization", "Bearer "+s.AT(nil))
					raw := s.bound(key, nil)
					bound.target = bearer.target
					proof := s.proof(key, raw, v.method, strings.TrimSuffix(bearer.target, "?a=b"), devissuer.Proof{Nonce: s.nonceAt(-nonceMaxAge)}) // soon to be another
					bound.header = append(slices.Clone(v.header), "Authorization", "DPoP "+raw, "DPoP", proof)
					answers[path] = rawAnswer(t, s.address, &bearer)
					if got := rawAnswer(t, s.address, &bound); got != answers[path] {
						t.Errorf("%s: %s with a proof:\n%s\nwithout:\n%s", name, path, got, answers[path])
					}
				}
				if hidden, unknown := answers["/hidden/"+segment], answers["/nothing/"+segment]; hidden != unknown || !strings.Contains(unknown, " 404 ") && !strings.Contains(unknown, "Grpc-Status: 12") {
					t.Errorf("%s: hidden:\n%s\nunknown:\n%s", name, hidden, unknown)
				}
			}
			s.counts = s.counters()
			r := s.do("GET", "/hidden/"+segment, "Authorization", "Bearer "+s.AT(nil))
			s.repels(t, r, noSuchRoute, reason) // the metrics tell why
		})
	}
	rest := func(t *testing.T, path string, status int, header ...string) *reply {
		t.Helper()
		r := s.do("GET", path, header...)
		if r.StatusCode != status {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
		return r
	}
	// Whoever may, does; whoever lacks a good token or a login is told what to bring, and no scope.
	rest(t, "/hidden/may/x", 200, "Authorization", "Bearer "+s.AT(nil))
	for _, header := range [][]string{nil, {"Authorization", "Bearer abc"}, {"Authorization", "Bearer " + s.AT(changes{"exp": 1000000000})}} {
		if r := rest(t, "/hidden/may/x", 401, header...); strings.Contains(fmt.Sprint(r.Header), "scope=") {
			t.Errorf("%v", r.Header)
		}
	}
	if r := rest(t, "/hidden/login", 401, "Authorization", "Bearer "+s.AT(nil)); !strings.Contains(r.challenge("Bearer"), `acr_values="gold"`) {
		t.Errorf("%v", r.Header)
	}
	rest(t, "/hidden/login", 404, "Authorization", "Bearer "+s.AT(changes{"scope": "x"}))
	if r := rest(t, "/.well-known/oauth-protected-resource", 200); strings.Contains(r.body, "nobody") || strings.Contains(r.body, "payment") || !strings.Contains(r.body, "write") {
		t.Errorf("the metadata say %s", r.body)
	}
}

// TestHiddenAtEveryDoor: what a proxy that asks passes on tells no more.
func TestHiddenAtEveryDoor(t *testing.T) {
	for _, form := range []string{"x-forwarded", "x-original"} {
		f := newFixture(t, func(text string) string {
			return instead(t, instead(t, doorsConfig(t, form, envoyAsks)(text), ", preflight: forward", ""), "log:", hiddenRoutes)
		})
		doors := frontDoors(f, form)
		doors["ext_authz"] = frontDoor{false, newEnvoy(t, f).take}
		raw := f.AT(nil)
		for _, door := range slices.Sorted(maps.Keys(doors)) {
			for segment := range hiddenReasons {
				answers := map[string]string{}
				for _, path := range []string{"/hidden/" + segment, "/nothing/" + segment, "/hidden/" + segment + ".", "/hidden/" + segment + "%20"} {
					v := &visit{method: http.MethodGet, target: path, header: []string{"Authorization", "Bearer " + raw, "Origin", "https://app.example.com"}}
					got := doors[door].take(t, f, v)
					if got.onward != nil || got.status != http.StatusNotFound {
						t.Errorf("%s %s: %d", door, path, got.status)
					}
					delete(got.header, "Date")
					answers[fmt.Sprint(got.status, got.header, got.body)] = path
				}
				if len(answers) != 1 {
					t.Errorf("%s: %v", door, answers)
				}
			}
		}
	}
}

// TestHiddenFromStrangers is the guide's recipe: where all other paths need a token too,
// and nobody has what they ask for, those without a token learn nothing either.
func TestHiddenFromStrangers(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "    routes:", "    cors: {origins: [\"https://app.example.com\"], preflight: answer}\n    routes:")
		return instead(t, text, "log:", "      - {name: others, path: /**, hide: true, claims: {nobody: [has this]}}\n      - {name: known, path: /known/**, scopes: [read]}\n      - {name: inside, path: /known/hidden, hide: true, scopes: [nobody]}\n"+hiddenRoutes)
	})
	f.untilReady()
	good := f.AT(nil)
	same := func(hidden, unknown, name string, header []string) {
		t.Helper()
		a, b := rawAnswer(t, f.address, &visit{"GET", hidden, header}), rawAnswer(t, f.address, &visit{"GET", unknown, header})
		if a != b || strings.Contains(b, " 400 ") {
			t.Errorf("%s, %s:\n%s\n%s:\n%s", name, hidden, a, unknown, b)
		}
	}
	for name, header := range map[string][]string{
		"nothing": nil, "no token": {"Authorization", "Bearer abc"}, "expired": {"Authorization", "Bearer " + f.AT(changes{"exp": 1000000000})},
		"good": {"Authorization", "Bearer " + good}, "problem": {"Accept", "application/problem+json"},
	} {
		for _, end := range append(oddEnds, "") {
			same("/hidden/scope"+end, "/nothing/scope"+end, name, header)
		}
		same("/known./hidden", "/known./nothing", name, header) // also below what is no secret
		same("/known%20/hidden.", "/known%20/nothing.", name, header)
	}
	preflight := []string{"Origin", "https://app.example.com", "Access-Control-Request-Method", "GET"}
	if hidden, unknown := rawAnswer(t, f.address, &visit{"OPTIONS", "/hidden/scope", preflight}), rawAnswer(t, f.address, &visit{"OPTIONS", "/nothing/scope", preflight}); hidden != unknown {
		t.Errorf("hidden:\n%s\nunknown:\n%s", hidden, unknown)
	}
}

// TestStrictOriginsHideNothing: what is refused on every path is refused on hidden ones too.
func TestStrictOriginsHideNothing(t *testing.T) {
	f := newFixture(t, func(text string) string {
		text = instead(t, text, "    routes:", "    cors: {origins: [\"https://app.example.com\"], strict: true}\n    routes:")
		return instead(t, text, "log:", hiddenRoutes)
	})
	header := []string{"Authorization", "Bearer " + f.AT(nil), "Origin", "https://evil.example.com"}
	hidden, unknown := rawAnswer(t, f.address, &visit{"GET", "/hidden/scope", header}), rawAnswer(t, f.address, &visit{"GET", "/nothing/scope", header})
	if hidden != unknown || !strings.HasPrefix(unknown, "HTTP/1.1 403 ") {
		t.Errorf("hidden:\n%s\nunknown:\n%s", hidden, unknown)
	}
}

// TestAstrayIsNeverForwarded: what others may read as a hidden path gets no further, whoever
// might use the route that has it as it stands.
func TestAstrayIsNeverForwarded(t *testing.T) {
	for name, wider := range map[string]string{
		"public": "public: true", "optional": "optional: true", "a token": "scopes: [read]", "report_only": "scopes: [nobody], report_only: true", "hidden": "scopes: [read], hide: true",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(text string) string {
				return instead(t, text, "log:", "      - {name: wider, path: /**, "+wider+"}\n"+hiddenRoutes)
			})
			f.untilReady()
			good := []string{"Authorization", "Bearer " + f.AT(nil)}
			for _, end := range oddEnds {
				if r := f.do("GET", "/nothing/scope"+end, good...); r.StatusCode != http.StatusOK {
					t.Errorf("%q: %d on a path that leads nowhere else", end, r.StatusCode)
				}
				for _, header := range [][]string{good, nil} {
					r := f.do("GET", "/hidden/scope"+end, header...)
					if want := name == "a token" || name == "hidden"; r.StatusCode != http.StatusNotFound && (r.StatusCode != http.StatusUnauthorized || header != nil || !want) {
						t.Errorf("%q: %d %s", end, r.StatusCode, r.body)
					}
				}
			}
			eventually(t, "the reason in the log", func() bool {
				return strings.Contains(f.log.String(), `"gate.route":"wider","gate.decision":"denied","gate.reason":"path"`)
			})
		})
	}
}

// TestHiddenFormsAreReadAlike: a client that waits for 100 (Continue) before it sends a form
// that could hold a token is told the same everywhere.
func TestHiddenFormsAreReadAlike(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return instead(t, withSources("{body: true}")(text), "log:", hiddenRoutes)
	})
	f.untilReady()
	header := []string{"Authorization", "Bearer " + f.AT(nil), "Content-Type", "application/x-www-form-urlencoded", "Content-Length", "3", "Expect", "100-continue"}
	answers := map[string]string{}
	for _, path := range []string{"/hidden/scope", "/nothing/scope"} {
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\n")
		for i := 0; i+1 < len(header); i += 2 {
			_, _ = io.WriteString(conn, header[i]+": "+header[i+1]+"\r\n")
		}
		_, _ = io.WriteString(conn, "\r\n")
		from := bufio.NewReader(conn)
		first, err := from.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(first, " 100 ") {
			_, _ = io.WriteString(conn, "a=b")
		}
		rest, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		answers[path] = dateLine.ReplaceAllString(first+string(rest), "")
		_ = conn.Close()
	}
	if hidden, unknown := answers["/hidden/scope"], answers["/nothing/scope"]; hidden != unknown || !strings.Contains(unknown, " 100 ") || !strings.Contains(unknown, " 404 ") {
		t.Errorf("hidden:\n%s\nunknown:\n%s", hidden, unknown)
	}
}
