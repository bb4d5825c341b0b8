package prometheus

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

const (
	host    = "rs.example.com"
	oldHost = "old.example.com" // whose upstream is gone
)

// configuration has a thing of each kind that the dashboard has a panel for. The
// last issuer and the last upstream are not there.
const configuration = `version: 1
listen: "%[1]s"
admin: {listen: "%[2]s"}
tls: {cert_file: server.crt, key_file: server.key, client_auth: request_any}
issuers:
  - {name: corp, issuer: "%[3]s", refetch_interval: 1s}
  - {name: partner, issuer: "%[4]s", introspection: {client_id: gate, client_secret_file: secret, prefix: opaque_, cache: 1s}}
  - {name: legacy, issuer: "%[5]s", jwks_uri: "%[5]s/keys"}
resources:
  - identifier: https://` + host + `
    name: shop
    hosts: [` + host + `]
    upstream: "%[6]s"
    routes:
      - {name: orders, path: /orders/**, scopes: [read]}
      - {name: admin, path: /admin, scopes: [admin]}
      - {name: payments, path: /pay/**, binding: dpop}
      - {name: partners, path: /partners/**, binding: mtls}
      - {name: catalogue, path: /catalogue/**, public: true}
  - identifier: https://` + oldHost + `
    name: old
    hosts: [` + oldHost + `]
    audiences: ["https://` + host + `"]
    upstream: "%[5]s"
    routes: [{name: old, path: /**}]
timeouts: {upstream_connect: 500ms, upstream_header: 1s}
drain: {delay: 0s, timeout: 1s}
log: {access: "off"}
`

// nobody is where nobody listens, whatever else the machine does.
const nobody = "http://127.0.0.1:1"

const secret = "the gate's secret at its issuer"

// picture is where the picture of the README goes; drawing it takes two minutes.
var picture = flag.String("picture", "", "run for two minutes and draw the main panels into this SVG file")

// program is the gate as it is built, once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

// stand is a gate and what is around it.
type stand struct {
	t       *testing.T
	address string // of the gate
	admin   string

	corp, partner *devissuer.Running
	key           *devissuer.ClientKey
	plain, bound  *http.Client // without a client certificate, and with one
	thumbprint    string       // of that certificate
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, address: process.Free(t), admin: process.Free(t)}
	s.corp, s.partner = s.issuer(), s.issuer()
	s.corp.Publish([]byte(`{"kty":"OKP","crv":"X25519","kid":"enc","use":"enc","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`))
	var err error
	if s.key, err = devissuer.NewClientKey("ES256"); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	roots := x509.NewCertPool()
	s.certificates(dir, roots)
	s.write(dir, "secret", []byte(secret))
	process.Serve(t, process.Options{
		Program: program, Dir: dir,
		Config: fmt.Sprintf(configuration, s.address, s.admin, s.corp.Identifier(), s.partner.Identifier(), nobody, upstream.URL),
	})
	s.until("the gate answers with the keys of its issuers", func() bool {
		return s.send(request{path: "/orders/1", token: s.mint(s.corp, nil)}) == 200 && s.send(request{path: "/orders/1", token: s.mint(s.partner, nil)}) == 200
	})
	return s
}

// serve is the upstream.
func serve(w http.ResponseWriter, r *http.Request) {
	switch filepath.Base(r.URL.Path) {
	case "fail":
		w.WriteHeader(http.StatusInternalServerError)
	case "missing":
		w.WriteHeader(http.StatusNotFound)
	case "hang":
		<-r.Context().Done()
	case "slow":
		time.Sleep(120 * time.Millisecond)
	case "cut":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "not all of it")
	default:
		_, _ = io.WriteString(w, "an order")
	}
}

func (s *stand) issuer() *devissuer.Running {
	s.t.Helper()
	issuer, err := devissuer.Start(devissuer.Options{
		Audience: "https://" + host, Algorithms: []string{"ES256"}, Clients: []devissuer.Client{{ID: "gate", Secret: secret}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = issuer.Close() })
	return issuer
}

func (s *stand) mint(issuer *devissuer.Running, claims map[string]any) string {
	return s.token(issuer, devissuer.Token{Claims: claims})
}

func (s *stand) token(issuer *devissuer.Running, token devissuer.Token) string {
	raw, err := issuer.Mint(token)
	if err != nil {
		s.t.Error(err)
	}
	return raw
}

// certificates makes the gate's, which ends tomorrow, and the client's, and the
// clients that use them.
func (s *stand) certificates(dir string, roots *x509.CertPool) {
	s.t.Helper()
	server, serverKey := s.certificate(36 * time.Hour)
	client, clientKey := s.certificate(36 * time.Hour)
	s.write(dir, "server.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Raw}))
	key, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(dir, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	roots.AddCert(server)
	sum := sha256.Sum256(client.Raw)
	s.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	s.plain = s.client(&tls.Config{RootCAs: roots})
	s.bound = s.client(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{client.Raw}, PrivateKey: clientKey}}})
}

func (s *stand) certificate(lasts time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host, oldHost},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lasts), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return certificate, key
}

// client goes to the gate, whatever the name.
func (s *stand) client(config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.address)
	}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 20 * time.Second, Transport: transport}
}

func (s *stand) write(dir, name string, text []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// request is one of a client.
type request struct {
	method      string // default GET
	host        string // default host
	path        string
	token       string // empty: none
	proof       string // with a token; empty: it comes as bearer
	certificate bool   // comes with the client's certificate
	trace       string // its traceparent says that it is sampled; empty: none
}

// send returns the status; 0 for no answer, or half of one.
func (s *stand) send(q request) int {
	if q.host == "" {
		q.host = host
	}
	r, err := http.NewRequestWithContext(context.Background(), cmp.Or(q.method, http.MethodGet), "https://"+q.host+q.path, nil)
	if err != nil {
		return 0
	}
	switch {
	case q.proof != "":
		r.Header.Set("Authorization", "DPoP "+q.token)
		r.Header.Set("DPoP", q.proof)
	case q.token != "":
		r.Header.Set("Authorization", "Bearer "+q.token)
	}
	if q.trace != "" {
		r.Header.Set("Traceparent", "00-"+q.trace+"-00f067aa0ba902b7-01")
	}
	client := s.plain
	if q.certificate {
		client = s.bound
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0
	}
	return answer.StatusCode
}

// until waits for something that is to happen, as long as a busy machine takes.
func (s *stand) until(what string, happened func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !happened(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("in vain: %s", what)
		}
	}
}

// metrics is a scrape in the text format.
func (s *stand) metrics() string {
	s.t.Helper()
	answer, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var text strings.Builder
	if _, err := io.Copy(&text, answer.Body); err != nil {
		s.t.Fatal(err)
	}
	return text.String()
}
