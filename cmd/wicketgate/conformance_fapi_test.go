package main

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// fapiRows are the rows of the FAPI 2.0 preset.
var fapiRows = []conformanceRow{
	{"FAPI-01", rowFAPI01}, {"FAPI-02", rowFAPI02}, {"FAPI-03", rowFAPI03}, {"FAPI-04", rowFAPI04},
	{"FAPI-05", rowFAPI05}, {"FAPI-06", rowFAPI06}, {"FAPI-07", rowFAPI07},
}

// withFAPI puts the preset over the configuration of the fixture.
func withFAPI(text string) string {
	text = strings.ReplaceAll(text, "refetch_interval: 1s", "refetch_interval: 1s, max_lifetime: 15m")
	return strings.Replace(text, "version: 1\n", "version: 1\npreset: fapi\n", 1)
}

// wantStopped checks that a change of the configuration stops the start, and
// that the message names the key.
func wantStopped(t *testing.T, old, with, path string) {
	t.Helper()
	text := instead(t, withFAPI(fixtureConfig), old, with)
	text = fmt.Sprintf(text+"# %[1]s %[2]s %[3]s %[4]s %[5]s\n", "127.0.0.1:1", "127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4", "http://127.0.0.1:5")
	_, err := config.Parse("config.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), " "+path+": ") || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("%s: got %v, want one complaint about %s", with, err, path)
	}
}

// sendWith sends a bound token with a fresh proof.
func (f *fixture) sendWith(key *devissuer.ClientKey, raw, method, path string) *reply {
	f.t.Helper()
	return f.do(method, path, "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, method, path, devissuer.Proof{}))
}

func rowFAPI01(t *testing.T) {
	f := newFixture(t, withFAPI)
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	refused(t, f, 401, bare, bare, func() *reply { return f.do("GET", "/read?access_token="+raw) })
	refused(t, f, 400, bare, "invalid_request", func() *reply {
		return f.do("GET", "/read?access_token="+raw, "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, "GET", "/read", devissuer.Proof{}))
	})
	wantOK(t, f.sendWith(key, raw, "GET", "/read"))
	for key, value := range map[string]string{"cookie": "session", "header": "X-Api-Token", "query": "true", "body": "true", "websocket": "true"} {
		wantStopped(t, "    name: rs\n", "    name: rs\n    token_sources: {"+key+": "+value+"}\n", "resources[0].token_sources."+key)
	}
}

func rowFAPI02(t *testing.T) {
	f := newFixture(t, withFAPI)
	key := newClientKey(t, "ES256")
	bound := f.bound(key, nil)
	for _, path := range []string{"/read", "/any/x", "/maybe", "/ext/x", "/token"} {
		refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", path, "Authorization", "Bearer "+f.AT(nil)) })
		refused(t, f, 401, "invalid_token", bare, func() *reply { return f.do("GET", path, "Authorization", "Bearer "+bound) })
		wantOK(t, f.sendWith(key, bound, "GET", path))
	}
	refused(t, f, 401, absent, bare, func() *reply { return f.do("GET", "/dpop/x", "Authorization", "Bearer "+f.AT(nil)) })
	wantOK(t, f.do("GET", "/open/x"))
	wantStopped(t, "path: /any/**", "path: /any/**, binding: any", "resources[0].routes[7].binding")
	at := strings.Index(fixtureConfig, "    routes:\n")
	whole := newFixture(t, func(text string) string {
		return withFAPI(text[:at] + text[strings.Index(text, "log:"):])
	})
	refused(t, whole, 401, "invalid_token", bare, func() *reply { return whole.do("GET", "/read", "Authorization", "Bearer "+whole.AT(nil)) })
	wantOK(t, whole.sendWith(key, whole.bound(key, map[string]any{"email": "a@example.com"}), "GET", "/read"))
	wantSeen(t, whole, "X-Auth-Email", "a@example.com")
}

func rowFAPI03(t *testing.T) {
	wantStopped(t, `issuer: "%[3]s", refetch_interval: 1s, max_lifetime: 15m`, `issuer: "%[3]s"`, "issuers[0].max_lifetime")
	wantStopped(t, `issuer: "%[4]s", refetch_interval: 1s, max_lifetime: 15m`, `issuer: "%[4]s", max_lifetime: 2h`, "issuers[1].max_lifetime")
	f := newFixture(t, withFAPI)
	key := newClientKey(t, "ES256")
	now := time.Now().Unix()
	refused(t, f, 401, bare, "invalid_token", func() *reply {
		return f.sendWith(key, f.bound(key, map[string]any{"iat": now, "exp": now + 3600}), "GET", "/read")
	})
	wantOK(t, f.sendWith(key, f.bound(key, map[string]any{"iat": now, "exp": now + 900}), "GET", "/read"))
}

func rowFAPI04(t *testing.T) {
	f := newFixture(t, withFAPI)
	key := newClientKey(t, "ES256")
	confirmed := changes{"cnf": map[string]any{"jkt": key.Thumbprint()}}
	for _, alg := range []string{"ES256", "PS256", "EdDSA"} {
		wantOK(t, f.sendWith(key, f.mint(f.a, devissuer.Token{Alg: alg, Claims: confirmed}), "GET", "/read"))
		other := newClientKey(t, alg)
		wantOK(t, f.sendWith(other, f.bound(other, nil), "GET", "/read"))
	}
	refused(t, f, 401, bare, "invalid_token", func() *reply {
		return f.sendWith(key, f.mint(f.a, devissuer.Token{Alg: "RS256", Claims: confirmed}), "GET", "/read")
	})
	weak := newClientKey(t, "RS256")
	r := refused(t, f, 401, bare, "invalid_dpop_proof", func() *reply { return f.sendWith(weak, f.bound(weak, nil), "GET", "/read") })
	algs := strings.Fields(strings.Replace(challengesOf(t, r)["DPoP"]["algs"], "Ed25519", "EdDSA", 1)) // two names of one
	slices.Sort(algs)
	if algs = slices.Compact(algs); !slices.Equal(algs, []string{"ES256", "EdDSA", "PS256"}) {
		t.Errorf("algs %q", algs)
	}
	wantStopped(t, `issuer: "%[3]s",`, `issuer: "%[3]s", algorithms: [ES256, RS256],`, "issuers[0].algorithms[1]")
	wantStopped(t, "log:", "dpop: {algorithms: [ES256, ES384]}\nlog:", "dpop.algorithms[1]")
}

// greet opens a TLS connection to the gate and tells how it went.
func greet(address string, c *tls.Config) (uint16, error) {
	c.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().CipherSuite, nil
}

func rowFAPI05(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, 1)
	secure := func(text string) string {
		return strings.Replace(text, "admin:", "tls: {cert_file: "+certFile+", key_file: "+keyFile+"}\nadmin:", 1)
	}
	f := newFixture(t, func(text string) string { return secure(withFAPI(text)) })
	plain := newFixture(t, secure)
	weak := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for name, test := range map[string]struct {
		client *tls.Config
		good   bool
	}{
		"TLS 1.1":     {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"TLS 1.2 CBC": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: weak}, false},
		"TLS 1.2 GCM": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{weak[0], tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, true},
		"TLS 1.3":     {&tls.Config{MinVersion: tls.VersionTLS13}, true},
	} {
		if suite, err := greet(f.address, test.client); (err == nil) != test.good || suite == weak[0] {
			t.Errorf("%s: suite %#x, %v", name, suite, err)
		}
	}
	other := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}
	if _, err := greet(f.address, other); err == nil {
		t.Error("TLS 1.2 ChaCha20 is taken")
	}
	if _, err := greet(plain.address, other); err != nil {
		t.Errorf("without the preset: %v: this says nothing about it", err)
	}
	wantStopped(t, "    behind_tls: true\n", "", "resources[0].listen")
	wantStopped(t, `issuer: "%[3]s"`, `insecure_http: true, issuer: "%[3]s"`, "issuers[0].insecure_http")
	t.Run("outbound", func(t *testing.T) {
		for name, suite := range map[string]uint16{"good": tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "weak": tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA} {
			server := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}
			f, keys := newKeysOverTLS(t, server, withFAPI)
			key := newClientKey(t, "ES256")
			r := f.sendWith(key, f.bound(key, nil), "GET", "/read")
			if want := map[string]int{"good": 200, "weak": 503}[name]; r.StatusCode != want {
				t.Errorf("%s: status %d, want %d", name, r.StatusCode, want)
			}
			if asked := f.a.Hits("/jwks") > 0; asked != (name == "good") {
				t.Errorf("%s: asked %t", name, asked)
			}
			keys.Close()
		}
		f, _ := newKeysOverTLS(t, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, func(text string) string { return text })
		wantOK(t, f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil)))
	})
}

// newKeysOverTLS is a fixture that gets the keys of issuer A from a server
// with the TLS given.
func newKeysOverTLS(t *testing.T, server *tls.Config, edit func(string) string) (*fixture, *httptest.Server) {
	t.Helper()
	var keys *httptest.Server
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	f := newFixtureOf(t, devissuer.Options{}, func(is *devissuer.Running) {
		keys = httptest.NewUnstartedServer(is.Issuer)
		keys.TLS, keys.Config.ErrorLog = server, log.New(io.Discard, "", 0)
		keys.StartTLS()
		t.Cleanup(keys.Close)
		if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keys.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
	}, func(text string) string {
		return edit(instead(t, text, "{name: a, ", "{name: a, jwks_uri: \""+keys.URL+"/jwks\", ca_file: \""+caFile+"\", "))
	})
	return f, keys
}

func rowFAPI06(t *testing.T) {
	f := newFixture(t, withFAPI)
	key := newClientKey(t, "ES256")
	ahead := func(seconds int64) string {
		iat := time.Now().Unix() + seconds
		return f.bound(key, map[string]any{"iat": iat, "nbf": iat, "exp": iat + 300})
	}
	wantOK(t, f.sendWith(key, ahead(10), "GET", "/read"))
	refused(t, f, 401, bare, "invalid_token", func() *reply { return f.sendWith(key, ahead(62), "GET", "/read") })
	wantStopped(t, `issuer: "%[3]s"`, `leeway: 61s, issuer: "%[3]s"`, "issuers[0].leeway")
	wantStopped(t, `issuer: "%[3]s"`, `leeway: 9s, issuer: "%[3]s"`, "issuers[0].leeway")
	wantStopped(t, "log:", "dpop: {future: 9s}\nlog:", "dpop.future")
}

func rowFAPI07(t *testing.T) {
	const header, id = "X-Fapi-Interaction-Id", "93BAC548-d2de-4546-b106-880a5018460d"
	fresh := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	f := newFixture(t, withFAPI)
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(header, "of the upstream")
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "upstream")
	})
	key := newClientKey(t, "ES256")
	raw := f.bound(key, nil)
	onBoth(t, f, func(t *testing.T, do clientCall) {
		send := func(path string, more ...string) *reply {
			return do("GET", path, append(more, "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, "GET", path, devissuer.Proof{}))...)
		}
		r := send("/read", header, id)
		wantOK(t, r)
		wantSeen(t, f, header, id)
		if got := r.Header[header]; !slices.Equal(got, []string{id}) {
			t.Errorf("answered %q", got)
		}
		made := map[string]bool{}
		for _, sent := range [][]string{nil, {id, id}, {"1"}, {id + "0"}, {"93bac548-d2de-4546-b106-880a5018460g"}, {"93bac548d2de-4546-b106-880a5018460d0"}, {""}} {
			var more []string
			for _, value := range sent {
				more = append(more, header, value)
			}
			r := send("/read", append(more, "X_Fapi_Interaction_Id", id)...)
			wantOK(t, r)
			got := r.Header[header]
			if len(got) != 1 || !fresh.MatchString(got[0]) || made[got[0]] {
				t.Fatalf("%q: answered %q", sent, got)
			}
			made[got[0]] = true
			wantSeen(t, f, header, got[0])
		}
		for _, r := range []*reply{do("GET", "/read", header, id), do("GET", "/nowhere", header, id), do("GET", "/a/../b", header, id), do("POST", "/x", header, id, "Content-Type", "application/grpc")} {
			if got := r.Header[header]; r.Header.Get("Cache-Control") != "no-store" || !slices.Equal(got, []string{id}) {
				t.Errorf("%d: answered %q", r.StatusCode, got)
			}
		}
	})
	if _, has := newFixture(t, nil).do("GET", "/read", header, id).Header[textproto.CanonicalMIMEHeaderKey(header)]; has {
		t.Error("echoed without the preset")
	}
}

// The preset says what it has filled in, and check what it refuses.
func TestPresetIsShown(t *testing.T) {
	text := fmt.Sprintf(withFAPI(fixtureConfig), net.JoinHostPort("127.0.0.1", "0"), "127.0.0.1:0", "http://127.0.0.1:3", "http://127.0.0.1:4", "http://127.0.0.1:5")
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	a := &app{ctx: t.Context(), stdout: &out, stderr: io.Discard, env: func(string) (string, bool) { return "", false }}
	if err := (&checkCommand{Config: path}).Run(a); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"filled: issuers[0].algorithms: [PS256, ES256, EdDSA, Ed25519] (preset: fapi)", "filled: issuers[1].algorithms: ",
		"filled: dpop.algorithms: [ES256, EdDSA, PS256] (preset: fapi)", "filled: resources[0].routes[0].binding: required (preset: fapi)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "filled: resources[0].routes[3]") || strings.Contains(out.String(), "filled: resources[0].routes[4]") {
		t.Errorf("filled in what the file says or nobody asks:\n%s", out.String())
	}
}

// All that the preset asks for follows a reload.
func TestPresetFollowsReload(t *testing.T) {
	f := newFixture(t, withFAPI)
	text, err := os.ReadFile(f.gateway.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []bool{true, false, true} {
		now := string(text)
		if !with {
			now = strings.Replace(now, "preset: fapi\n", "", 1)
		}
		if err := os.WriteFile(f.gateway.path, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		f.gateway.tryReload("test")
		r := f.do("GET", "/read", "Authorization", "Bearer "+f.AT(nil))
		if refuses := r.StatusCode == http.StatusUnauthorized; refuses != with || (r.Header.Get("X-Fapi-Interaction-Id") != "") != with {
			t.Errorf("preset %t: status %d, %v", with, r.StatusCode, r.Header)
		}
	}
}
