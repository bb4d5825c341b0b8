package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// liveSecret is shown to the issuer, and to nobody who reads what check says.
const liveSecret = "correct-horse-battery-staple"

// liveWorld is an issuer over TLS, in good order until a case breaks it, and
// an upstream.
type liveWorld struct {
	t        *testing.T
	issuer   *devissuer.Issuer
	root     *authority
	server   *httptest.Server
	upstream *httptest.Server

	identifier, upstreamURL, caFile, extra string // for the configuration
}

func newLiveWorld(t *testing.T) *liveWorld {
	w := &liveWorld{t: t, root: newAuthority(t, "Example Root CA", nil)}
	w.upstream = httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(w.upstream.Close)
	w.upstreamURL = w.upstream.URL
	var err error
	w.issuer, err = devissuer.New(devissuer.Options{
		Keys:    []devissuer.Key{{ID: "2026-a", Algorithm: "ES256", Signer: newKey(t)}, {ID: "2026-b", Algorithm: "ES256", Signer: newKey(t)}},
		MaxAge:  10 * time.Minute,
		Clients: []devissuer.Client{{ID: "gate", Secret: liveSecret}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewUnstartedServer(w.issuer)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.certify(func(*x509.Certificate) {})
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.identifier = "https://localhost:" + w.port()
	if err := w.issuer.SetIdentifier(w.identifier); err != nil {
		t.Fatal(err)
	}
	w.trust(w.root)
	return w
}

// certify gives the server a certificate for localhost, changed by change.
func (w *liveWorld) certify(change func(*x509.Certificate)) {
	pair := w.root.issue(w.t, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.NotAfter = time.Now().Add(83*24*time.Hour + time.Hour)
		change(c)
	})
	w.server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil }}
}

// recertify does so for a server that runs.
func (w *liveWorld) recertify(change func(*x509.Certificate)) {
	w.server.Close()
	old := w.server.Listener.Addr().String()
	w.server = httptest.NewUnstartedServer(w.issuer)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	_ = w.server.Listener.Close()
	var err error
	if w.server.Listener, err = net.Listen("tcp", old); err != nil {
		w.t.Fatal(err)
	}
	w.certify(change)
	w.server.StartTLS()
	w.t.Cleanup(w.server.Close)
}

func (w *liveWorld) trust(root *authority) {
	w.caFile = filepath.Join(w.t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	if err := os.WriteFile(w.caFile, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *liveWorld) port() string {
	_, port, _ := net.SplitHostPort(w.server.Listener.Addr().String())
	return port
}

// members lays one member over the metadata.
func (w *liveWorld) member(name, value string) {
	text, err := json.Marshal(value)
	if err != nil {
		w.t.Fatal(err)
	}
	w.issuer.Change(func(o *devissuer.Options) { o.Members = map[string]json.RawMessage{name: text} })
}

// check runs the command and writes what differs from run to run as words.
func (w *liveWorld) check() string {
	secret := filepath.Join(w.t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(liveSecret+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	path := written(w.t, fmt.Sprintf("version: 1\nissuers:\n  - {name: corp, issuer: %q, ca_file: %q%s, introspection: {client_id: gate, client_secret_file: %q}}\n"+
		"resources:\n  - {identifier: https://api.example.com, name: api, behind_tls: true, upstream: %q}\n", w.identifier, w.caFile, w.extra, secret, w.upstreamURL))
	o := command(w.t, "check", "--live", "--config", path)
	text := o.stdout + o.stderr
	if strings.Contains(text, liveSecret) {
		w.t.Error("the secret is told")
	}
	upstream, err := url.Parse(w.upstream.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, word := range [][2]string{
		{path, "config.yaml"}, {"localhost:" + w.port(), "login.example.com"}, {"127.0.0.1:" + w.port(), "192.0.2.7:443"},
		{"[::1]:" + w.port(), "192.0.2.7:443"}, {upstream.Host, "127.0.0.1:3000"},
	} {
		text = strings.ReplaceAll(text, word[0], word[1])
	}
	for pattern, word := range map[string]string{
		`localhost is [0-9a-f.:, ]+`: "login.example.com is 192.0.2.7",
		`, on \d{4}-\d\d-\d\d`:       ", on DATE",
		`about (7m|8m)\d*[05]s`:      "about 8m0s", // in practice moved by chance, so that replicas do not ask together
		`1m(29|30|31)s`:              "1m30s",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, word)
	}
	return strings.ReplaceAll(text, "localhost", "login.example.com") + fmt.Sprintf("exit %d\n", o.code)
}

// liveCases break a world in one way each.
var liveCases = []struct {
	name     string
	breaking func(*liveWorld)
}{
	{"healthy", func(*liveWorld) {}},
	{"unknown host", func(w *liveWorld) { w.identifier = "https://" + strings.Repeat("x", 64) + ".example.com" }}, // no name is so long: no server is asked
	{"nobody there", func(w *liveWorld) { w.server.Close() }},
	{"address of a metadata service", func(w *liveWorld) { w.identifier = "https://169.254.169.254" }},
	{"wrong authority", func(w *liveWorld) { w.trust(newAuthority(w.t, "Other Root CA", nil)) }},
	{"certificate of another name", func(w *liveWorld) {
		w.recertify(func(c *x509.Certificate) { c.DNSNames = []string{"old.example.com"} })
	}},
	{"certificate ended", func(w *liveWorld) {
		w.recertify(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-90*24*time.Hour), time.Now().Add(-(3*24*time.Hour + time.Hour))
		})
	}},
	{"certificate ends soon", func(w *liveWorld) {
		w.recertify(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(5*24*time.Hour + time.Hour) })
	}},
	{"no TLS", func(w *liveWorld) {
		old := w.server.Listener.Addr().String()
		w.server.Close()
		plain := httptest.NewUnstartedServer(w.issuer)
		_ = plain.Listener.Close()
		var err error
		if plain.Listener, err = net.Listen("tcp", old); err != nil {
			w.t.Fatal(err)
		}
		plain.Config.ErrorLog = log.New(io.Discard, "", 0)
		plain.Start()
		w.t.Cleanup(plain.Close)
		w.server = plain
	}},
	{"a page for people", func(w *liveWorld) {
		w.issuer.Fail(devissuer.Fault{ContentType: "text/html", Body: []byte("<html>sign in</html>")})
	}},
	{"status 500", func(w *liveWorld) { w.issuer.Fail(devissuer.Fault{Status: http.StatusInternalServerError}) }},
	{"redirect", func(w *liveWorld) { w.issuer.Fail(devissuer.Fault{Redirect: "https://elsewhere.example.com/"}) }},
	{"wants to know who asks", func(w *liveWorld) { w.issuer.Fail(devissuer.Fault{Status: http.StatusUnauthorized}) }},
	{"slash too many", func(w *liveWorld) { w.identifier += "/" }},
	{"another issuer", func(w *liveWorld) { w.member("issuer", "https://other.example.com\n\x1b[31mFAILED") }},
	{"clock 90 s behind", func(w *liveWorld) {
		w.issuer.Fail(devissuer.Fault{Path: "/.well-known/oauth-authorization-server", Header: http.Header{"Date": {time.Now().Add(-90 * time.Second).UTC().Format(http.TimeFormat)}}})
	}},
	{"no usable key", func(w *liveWorld) {
		w.issuer.SetJWKS([]byte(`{"keys":[{"kty":"oct","use":"enc","kid":"x"},{"kty":"RSA","kid":"a b","n":"AQAB","e":"AQAB"}]}`))
	}},
	{"no key at all", func(w *liveWorld) { w.issuer.SetJWKS([]byte(`{"keys":[]}`)) }},
	{"secret part published", func(w *liveWorld) {
		w.issuer.Publish(json.RawMessage(`{"kty":"EC","crv":"P-256","kid":"leak","x":"AA","y":"AA","d":"AA"}`))
	}},
	{"algorithm not listed", func(w *liveWorld) { w.extra = ", algorithms: [RS256]" }},
	{"client not known", func(w *liveWorld) { w.issuer.Change(func(o *devissuer.Options) { o.Clients = nil }) }},
	{"all tokens active", func(w *liveWorld) {
		w.issuer.Fail(devissuer.Fault{Path: "/introspect", Body: []byte(`{"active":true}`)})
	}},
	{"no such introspection endpoint", func(w *liveWorld) {
		w.issuer.Fail(devissuer.Fault{Path: "/introspect", Status: http.StatusNotFound})
	}},
	{"upstream gone", func(w *liveWorld) { w.upstream.Close() }},
	{"upstream not trusted", func(w *liveWorld) { w.upstreamURL = "https://127.0.0.1:" + w.port() }},
}

// TestLiveTells holds what check --live says of issuers in many states against
// testdata/live.txtar, and the healthy one against the guide.
func TestLiveTells(t *testing.T) {
	const golden = "testdata/live.txtar"
	archive, err := txtar.ParseFile(golden)
	if err != nil && !*updateExplained {
		t.Fatal(err)
	}
	said := map[string]string{}
	if archive != nil {
		for _, f := range archive.Files {
			said[f.Name] = string(f.Data)
		}
	}
	now := &txtar.Archive{Comment: []byte("What check --live says, by the state of those it asks. Written by go test ./cmd/wicketgate -run TestLiveTells -update.\n")}
	for _, c := range liveCases {
		t.Run(c.name, func(t *testing.T) {
			w := newLiveWorld(t)
			c.breaking(w)
			got := w.check()
			now.Files = append(now.Files, txtar.File{Name: c.name, Data: []byte(got)})
			if !*updateExplained && got != said[c.name] {
				t.Errorf("got:\n%s\nwant:\n%s", got, said[c.name])
			}
			healthy := strings.HasSuffix(got, "exit 0\n")
			if healthy == strings.Contains(got, "FAILED") {
				t.Errorf("the exit code does not fit:\n%s", got)
			}
		})
	}
	if *updateExplained {
		if err := os.WriteFile(golden, txtar.Format(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	guide, err := os.ReadFile(filepath.Join(repository, "docs/guide/check.md"))
	if err != nil {
		t.Fatal(err)
	}
	if shown, _, _ := strings.Cut(said["healthy"], "exit 0"); !bytes.Contains(guide, []byte(shown)) {
		t.Errorf("docs/guide/check.md does not show what a healthy setup gives:\n%s", shown)
	}
}

// TestLiveStrict: a warning fails the command when that is asked for.
func TestLiveStrict(t *testing.T) {
	w := newLiveWorld(t)
	w.recertify(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(24 * time.Hour) })
	path := written(t, fmt.Sprintf("version: 1\nissuers:\n  - {issuer: %q, ca_file: %q}\nresources:\n  - {identifier: https://api.example.com, behind_tls: true, upstream: %q}\n", w.identifier, w.caFile, w.upstreamURL))
	command(t, "check", "--live", "--config", path).want(t, exitOK, "WARN   issuer localhost")
	command(t, "check", "--live", "--strict", "--config", path).want(t, exitFailed, "WARN   issuer localhost")
}

// TestLiveOrder: issuers are asked at once, and told of in the order of the
// file. The first one answers only when the last one was asked.
func TestLiveOrder(t *testing.T) {
	first, last := startIssuer(t), startIssuer(t)
	asked := make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		last.ServeHTTP(w, r)
	}))
	defer gate.Close()
	first.Fail(devissuer.Fault{Until: asked})
	path := written(t, fmt.Sprintf("version: 1\nissuers:\n  - {name: one, issuer: %q}\n  - {name: two, issuer: %q, jwks_uri: %q}\n"+
		"resources:\n  - {identifier: https://api.example.com, name: api, behind_tls: true, upstream: %q}\n", first.Identifier(), last.Identifier(), gate.URL+"/jwks", gate.URL))
	o := command(t, "check", "--live", "--config", path)
	o.want(t, exitOK)
	one, two, api := strings.LastIndex(o.stdout, "issuer one"), strings.Index(o.stdout, "issuer two"), strings.Index(o.stdout, "upstream of api")
	if one < 0 || one > two || two > api {
		t.Errorf("out of order:\n%s", o.stdout)
	}
}
