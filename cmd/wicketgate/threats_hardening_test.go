package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/telemetry"
	"github.com/wicketgate/wicketgate/token"
)

// TestHardening runs those rows of the list of threats about hardening that a
// gate shows from within. SECURITY.md says what proves the others.
func TestHardening(t *testing.T) {
	for _, r := range []conformanceRow{
		{"S-07", hardeningS07}, {"S-08", hardeningS08}, {"S-10", hardeningS10}, {"S-11", hardeningS11}, {"S-12", hardeningS12},
		{"S-14", hardeningS14}, {"S-17", hardeningS17}, {"S-18", hardeningS18},
	} {
		t.Run(r.id, r.run)
	}
}

// hardeningS07 shows that the search which every fixture ends with would find
// a token that a gate logs.
func hardeningS07(t *testing.T) {
	TestSecretsAreFound(t)
	f := newFixture(t, nil)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	proof := f.proof(key, raw, "GET", "/dpop/x", devissuer.Proof{})
	if r := f.do("GET", "/dpop/x", "Authorization", "DPoP "+raw, "DPoP", proof); r.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", r.StatusCode, r.body)
	}
	lines := f.log.String()
	if !strings.Contains(lines, `"url.path":"/dpop/x"`) || confided.find(lines) >= 0 {
		t.Error("the request has no line, or its line tells too much")
	}
	for _, jwt := range []string{raw, proof} {
		for _, part := range strings.Split(jwt, ".") {
			if confided.find(lines+part) < 0 || confided.find(lines+part[len(part)-glimpse:]) < 0 {
				t.Errorf("%s would not be found", part)
			}
		}
	}
	t.Run("in paths", hardeningS07InPaths)
	t.Run("but paths", hardeningS07ButPaths)
}

// hardeningS07InPaths has clients write into paths what they present, or what looks
// like it: the line has the rest of the path. That the log has none of it each
// fixture looks for at its end, and here.
func hardeningS07InPaths(t *testing.T) {
	a := newAsking(t, "")
	key := newClientKey(t, "ES256")
	good, bound, opaque := a.AT(nil), a.bound(key, nil), a.opaque(nil)
	proof := a.proof(key, bound, "GET", "/download/x", devissuer.Proof{})
	for _, secret := range []string{good, opaque, proof, bound, tampered(t, good)} {
		for _, header := range [][]string{
			nil, {"Authorization", "Bearer " + secret}, {"Authorization", "DPoP " + secret, "Dpop", proof}, {"Authorization", "Basic " + secret},
			{"Authorization", "Bearer " + secret, "Authorization", "Bearer " + good},
		} {
			if len(header) == 0 && secret == opaque {
				continue // nothing tells it from a name
			}
			for _, path := range []string{"/none/", "/any/", "/read/", "/open/", "/any/%2e/", "/any/x%25/"} {
				a.do("GET", path+secret, header...)
				a.do("GET", path+"a."+secret+".b/end", header...)
				a.do("GET", path+strings.Replace(secret, secret[8:9], fmt.Sprintf("%%%02x", secret[8]), 1), header...)
			}
		}
	}
	lines := a.log.String()
	wantConcealed(t, "the log", lines)
	for _, want := range []string{`"url.path":"/none/{masked}"`, `"url.path":"/any/{masked}/end"`, `"url.path":"/any/%2e/{masked}"`} {
		if !strings.Contains(lines, want) {
			t.Errorf("no line has %s", want)
		}
	}
}

// hardeningS07ButPaths has clients present a path that they ask for, where nobody
// looks: both logs tell it all the same.
func hardeningS07ButPaths(t *testing.T) {
	f := newFixture(t, nil)
	good := f.AT(nil)
	asked := 0
	for _, path := range []string{"/open/may/a/long-winded/path", "/any/may/a/long-winded/path", "/any/report.of-2026.json", "/any/%41/may/a/long-winded/path"} {
		for i, presented := range []string{path, path[1:], path[5:], path[2 : len(path)-1]} {
			header := []string{"Authorization", "Bearer " + good, "DPoP", presented}
			if strings.HasPrefix(path, "/open/") {
				header = []string{"Authorization", "x " + presented, "Authorization", "Bearer " + presented, "DPoP", presented}
			}
			if r := f.do("GET", path, header...); r.StatusCode != http.StatusOK {
				t.Fatalf("%s with %s: status %d", path, presented, r.StatusCode)
			}
			asked++
			if told := f.decided(asked)[asked-1]; told.Path != path || told.PathCut {
				t.Errorf("%s with %s: the decision log has %s", path, presented, told.Path)
			}
			eventually(t, path+" is in the log with "+presented, func() bool {
				return strings.Count(f.log.String(), `"url.path":"`+path+`"`) == i+1
			})
		}
	}
}

// hardeningS08 has clients write what would be lines, fields and commands of a
// terminal, if a log took them as they are.
func hardeningS08(t *testing.T) {
	f := newFixture(t, nil)
	const forged = `{"level":"error","msg":"forged"}`
	for _, target := range []string{"/any/%0d%0a" + forged, "/any/%1b[2J", "/any/" + strings.Repeat("forged/", 1000), "/any/\"forged\"", "/any/%c2%85forged", "*"} {
		for _, fields := range []string{
			"", "User-Agent: \x1b[2Jforged\r\n", "X-forged: forged\r\n", "Authorization: Bearer forged\tforged\r\n", "Referer: forged\r\nOrigin: forged\r\n",
			"X-Forwarded-For: forged\r\nForwarded: for=forged\r\n", "Traceparent: forged\r\nX-Request-Id: forged\r\n", "forged \r\n",
		} {
			_ = f.raw("GET " + target + " HTTP/1.1\r\nHost: forged.example.com\r\nConnection: close\r\n" + fields + "\r\n")
		}
	}
	_ = f.raw("FORGED / HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\n\r\n")
	_ = f.raw("\x16\x03\x01 forged HTTP/1.1\r\n\r\n")
	for line := range strings.Lines(f.log.String()) {
		members := map[string]any{}
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Errorf("no line of JSON: %q", line)
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("octets that a terminal obeys: %q", line)
		}
		for name, value := range members {
			text, _ := value.(string)
			if strings.Contains(name, "forged") || strings.Contains(text, "forged") && name != "url.path" || len(text) > 256+len("…") {
				t.Errorf("%s is %q", name, text)
			}
		}
	}
	if !strings.Contains(f.log.String(), "request denied") {
		t.Error("nothing was logged at all")
	}
}

// hardeningS10 asks for every page that operators' ports of other programs
// have had, by every method, from this machine and from another. What there is
// for this machine only is closed to the other, and nothing is changed by
// either.
func hardeningS10(t *testing.T) {
	f := newFixture(t, nil)
	f.untilReady()
	open := map[string]string{"/": "GET", "/livez": "GET", "/healthz": "GET", "/readyz": "GET", "/metrics": "GET", "/version": "GET", "/drain": "GET POST", "/jwks.json": "GET"}
	here := map[string]string{"/-/reload": "POST", "/config": "GET", "/explain": "POST", "/debug/pprof/": "GET", "/debug/pprof/heap": "GET", "/debug/pprof/cmdline": "GET"}
	paths := []string{
		"/debug/vars", "/debug/requests", "/debug/pprof", "/debug/pprof/heap/x", "/configz", "/config_dump", "/config/", "/quitquitquit", "/-/quit",
		"/-/healthy", "/logging", "/flags", "/env", "/actuator", "/api/v1/config", "/livez/", "//livez", "/livez/../metrics", "/metrics/x", "/Metrics", "/livez%2f", "/drain/", "/drain/now", "/-/reload/", "/-", "/explain/", "/index.html", "/probe/x",
	}
	paths = slices.Concat(paths, slices.Collect(maps.Keys(open)), slices.Collect(maps.Keys(here)))
	has := func(served map[string]string, path, method string) bool {
		methods := strings.Fields(served[path])
		return slices.Contains(methods, method) || method == "HEAD" && slices.Contains(methods, "GET")
	}
	closed := func(status int, location string) bool {
		moved := status >= 300 && slices.Contains([]string{"/livez", "/metrics", "/debug/pprof/"}, location)
		return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || moved
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"} {
			if has(open, path, method) {
				continue // those do what TestAdminPages shows
			}
			other := f.elsewhere(method, path, nil)
			if other.Code != http.StatusForbidden && !closed(other.Code, other.Header().Get("Location")) || has(here, path, method) && other.Code != http.StatusForbidden {
				t.Errorf("%s %s from elsewhere: %d %.80s", method, path, other.Code, other.Body)
			}
			if has(here, path, method) {
				continue // those do what TestOnlyThisMachine and its neighbours show
			}
			if r := f.ask(method, path); !closed(r.StatusCode, r.Header.Get("Location")) {
				t.Errorf("%s %s: %d %.80s", method, path, r.StatusCode, r.body)
			}
		}
	}
	if f.gateway.draining.Load() != nil || strings.Contains(f.log.String(), "asked by") || f.upstream.count() != 0 {
		t.Error("somebody was obeyed who had to be told no")
	}
}

// hardeningS11 also asks as the probes of balancers do, which some gates let
// pass for their names (C-05).
func hardeningS11(t *testing.T) {
	TestAdminPathsOnTraffic(t)
	f := newFixture(t, nil)
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.33", "ELB-HealthChecker/2.0", "Envoy/HC", "Consul Health Check", ""} {
		for _, path := range []string{"/any/x", "/ping", "/healthz", "/ready", "/"} {
			r := f.do("GET", path, "User-Agent", agent)
			if r.StatusCode != http.StatusUnauthorized && r.StatusCode != http.StatusNotFound || f.upstream.count() != 0 {
				t.Errorf("%s as %q: %d", path, agent, r.StatusCode)
			}
		}
	}
}

// hardeningS12 shakes hands in every way that crypto/tls knows.
func hardeningS12(t *testing.T) {
	s := newTLS(t)
	shake := func(set func(*tls.Config)) (tls.ConnectionState, error) {
		c := s.visitor(t, nil, nil).TLSClientConfig.Clone()
		c.ServerName, c.NextProtos = "127.0.0.1", []string{"h2", "http/1.1"}
		set(c)
		conn, err := tls.Dial("tcp", s.address, c)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState(), nil
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		if _, err := shake(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	good := 0
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		_, err := shake(func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite.ID} })
		aead := strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_POLY1305_") && telemetry.FIPS() != "only")
		if good++; (err == nil) != aead { // the fixture's key is ECDSA
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
	if good < 10 {
		t.Errorf("%d cipher suites tried", good)
	}
	if state, err := shake(func(*tls.Config) {}); err != nil || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 && telemetry.FIPS() != "only" {
		t.Errorf("by default: %s, %s, %v", tls.VersionName(state.Version), state.CurveID, err)
	}
	for offered, want := range map[string]string{"h2 http/1.1": "h2", "http/1.1 h2": "h2", "http/1.1": "http/1.1", "h2": "h2", "": "", "h3": "refused", "acme-tls/1": "refused"} {
		state, err := shake(func(c *tls.Config) { c.NextProtos = strings.Fields(offered) })
		if err == nil && state.NegotiatedProtocol != want || err != nil && want != "refused" {
			t.Errorf("ALPN %q: %q, %v", offered, state.NegotiatedProtocol, err)
		}
	}
	if !s.resumes(t) || newSecure(t, "client_auth: request_any", nil).resumes(t) {
		t.Error("sessions are taken up again where clients show certificates, or not where nobody does")
	}
}

// newTLS is a fixture that speaks TLS and asks nobody for a certificate.
func newTLS(t *testing.T) *secure {
	t.Helper()
	s := &secure{dir: t.TempDir()}
	s.server = s.writePair(t, 1)
	s.fixture = newFixture(t, func(text string) string {
		return instead(t, text, "admin:", "tls: {cert_file: "+s.dir+"/cert.pem, key_file: "+s.dir+"/key.pem}\nadmin:")
	})
	s.url = "https://" + s.address
	return s
}

// resumes tells whether a second connection takes up the session of the first.
func (s *secure) resumes(t *testing.T) bool {
	t.Helper()
	c := s.visitor(t, nil, nil).TLSClientConfig.Clone()
	c.ServerName, c.NextProtos, c.ClientSessionCache = "127.0.0.1", []string{"http/1.1"}, tls.NewLRUClientSessionCache(1)
	resumed := false
	for range 2 {
		conn, err := tls.Dial("tcp", s.address, c)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /any/x HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // tickets come with the answer
		resumed = conn.ConnectionState().DidResume
		_ = conn.Close()
	}
	return resumed
}

// hardeningS14 shows that whoever runs the gate can see which mode it is in;
// make fips runs this and much else where nothing else is allowed.
func hardeningS14(t *testing.T) {
	f := newFixture(t, nil)
	if want := fmt.Sprintf("wicketgate_build_info{fips=%q,", telemetry.FIPS()); !strings.Contains(f.ask("GET", "/metrics").body, want) {
		t.Errorf("no metric says %s", want)
	}
	if want := fmt.Sprintf("%q:%q", "fips", telemetry.FIPS()); !strings.Contains(f.ask("GET", "/version").body, want) {
		t.Errorf("/version does not say %s", want)
	}
	for _, alg := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
		if r := f.do("GET", "/read", "Authorization", "Bearer "+f.mint(f.a, devissuer.Token{Alg: alg})); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", alg, r.StatusCode, r.body)
		}
	}
}

// hardeningS17 empties each list that narrows something: an empty one is no
// file to start with, and never means anybody.
func hardeningS17(t *testing.T) {
	const text = `version: 1
issuers:
  - {issuer: "https://as.example.com/{tenant}", tenants: [], algorithms: []}
resources:
  - identifier: https://rs.example.com
    audiences: []
    hosts: []
    upstream: http://127.0.0.1:1
    routes:
      - {path: /a, methods: [], scopes: [], clients: [], subjects: [], acr: [], amr: [], actor: [], claims: {groups: []}, authorization_details: []}
  - identifier: https://b.example.com
    upstream: http://127.0.0.1:1
    routes: []
`
	o := command(t, "check", "--config", written(t, text))
	for _, key := range []string{"tenants", "algorithms", "audiences", "hosts", "methods", "scopes", "clients", "subjects", "acr", "amr", "claims.groups", "authorization_details", "resources[1].routes"} {
		if !regexp.MustCompile(regexp.QuoteMeta(key) + ": the list is empty").MatchString(o.stderr + o.stdout) {
			t.Errorf("%s may be empty", key)
		}
	}
	if o.code != exitConfig {
		t.Errorf("exit %d", o.code)
	}
	for _, unknown := range []string{"profile: jwtt", "profile: ''", "algorithms: [RS257]", "provider: nobody"} {
		o := command(t, "check", "--config", written(t, strings.Replace(config.Smallest(), "  - issuer:", "  - "+unknown+"\n    issuer:", 1)))
		o.want(t, exitConfig, strings.SplitN(unknown, ":", 2)[0])
	}
}

// hardeningS18 turns everything insecure on. Each is told of, and none takes a
// check of signature, expiry or issuer away.
func hardeningS18(t *testing.T) {
	known := []string{"insecure_allow_any_audience", "insecure_http"}
	listed := regexp.MustCompile(`"(insecure_[a-z_]+)"`).FindAllSubmatch(config.Schema(), -1)
	for _, one := range listed {
		if !slices.Contains(known, string(one[1])) {
			t.Errorf("%s is not tried here", one[1])
		}
	}
	if len(listed) != len(known) || bytes.Contains(config.Schema(), []byte(`"skip`)) || bytes.Contains(config.Schema(), []byte(`"disable`)) {
		t.Errorf("%d switches in the schema, want %d, and none by another name", len(listed), len(known))
	}
	s := besiege(newFixture(t, func(text string) string {
		return strings.Replace(text, "{name: a,", "{name: a, insecure_http: true, insecure_allow_any_audience: true,", 1)
	}))
	s.untilReady()
	for _, name := range known {
		if !strings.Contains(s.ask("GET", "/metrics").body, `wicketgate_insecure_options{option="`+name+`"} 1`) {
			t.Errorf("no metric tells of %s", name)
		}
		if !regexp.MustCompile(`(?m)^\{"level":"warn".*` + name).MatchString(s.log.String()) {
			t.Errorf("no warning tells of %s", name)
		}
	}
	s.passes(t, s.sendToken(s.AT(changes{"aud": "https://anybody.example.com"})))
	s.tokensFor(t, token.ReasonSignature, map[string]string{"forged": s.mint(s.a, devissuer.Token{Key: newClientKey(t, "ES256").Signer})})
	s.tokensFor(t, token.ReasonExpired, map[string]string{"expired": s.AT(changes{"exp": 1})})
	s.tokensFor(t, token.ReasonAlgorithm, map[string]string{"unsigned": s.unsigned(changes{"alg": "none"}, 1)})
	s.tokensFor(t, token.ReasonIssuer, map[string]string{"stranger": s.AT(changes{"iss": "https://stranger.example.com"})})
}
