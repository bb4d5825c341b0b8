package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/proxy/clientcert"
)

// authority vouches for clients in tests.
type authority struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

// newAuthority makes a root, or with above an intermediate.
func newAuthority(t testing.TB, name string, above *authority) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	parent, signer := template, a.key
	if above != nil {
		parent, signer = above.Certificate, above.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a client's certificate, changed by change; a nil authority makes
// it self-signed.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: "client"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	return a.sign(t, template, newKey(t))
}

// renew makes another certificate of the same subject and key.
func (a *authority) renew(t testing.TB, old *tls.Certificate) *tls.Certificate {
	t.Helper()
	template := *old.Leaf
	template.SerialNumber = newSerial(t)
	return a.sign(t, &template, old.PrivateKey.(*ecdsa.PrivateKey))
}

func (a *authority) sign(t testing.TB, template *x509.Certificate, key *ecdsa.PrivateKey) *tls.Certificate {
	t.Helper()
	parent, signer := template, key
	if a != nil {
		parent, signer = a.Certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// revoke makes a revocation list from an hour ago that ends at end.
func (a *authority) revoke(t testing.TB, end time.Time, change func(*x509.RevocationList), certs ...*tls.Certificate) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: end}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now().Add(-time.Minute),
		})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func pemOf(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

// secure is a fixture whose listener speaks TLS. Its files are in dir.
type secure struct {
	*fixture
	dir    string
	server *x509.Certificate
}

// boundRoutes are routes that want bound tokens.
const boundRoutes = `      - {name: mtls, path: /mtls/**, binding: mtls}
      - {name: bound, path: /bound/**, binding: required}
log:`

// newSecure starts a fixture with settings in its tls key, where DIR is the
// folder that files are put into first.
func newSecure(t testing.TB, settings string, files map[string]string) *secure {
	t.Helper()
	s := &secure{dir: t.TempDir()}
	s.server = s.writePair(t, 1)
	for name, text := range files {
		s.write(t, name, text)
	}
	s.fixture = newFixture(t, func(text string) string {
		tls := "tls: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, " + settings + "}\nadmin:"
		return instead(t, instead(t, text, "admin:", strings.ReplaceAll(tls, "DIR", s.dir)), "log:", boundRoutes)
	})
	s.url = "https://" + s.address
	s.untilReady()
	return s
}

func (s *secure) writePair(t testing.TB, serial int64) *x509.Certificate {
	t.Helper()
	return writePair(t, filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem"), serial)
}

func (s *secure) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// visitor is a client with a certificate, or without.
type visitor struct {
	*http.Transport
	secure *secure
}

func (s *secure) visitor(t testing.TB, cert *tls.Certificate, set func(*http.Transport)) *visitor {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.server)
	v := &visitor{&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, s}
	if cert != nil {
		// Whatever authorities the gate names, this is what the client has.
		v.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	if set != nil {
		set(v.Transport)
	}
	t.Cleanup(v.CloseIdleConnections)
	return v
}

func overH2(t *http.Transport) {
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
}

// try sends a GET; the error is that of the connection.
func (v *visitor) try(t testing.TB, path string, header ...string) (*reply, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.secure.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	resp, err := v.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return &reply{resp, string(body)}, err
}

func (v *visitor) get(t testing.TB, path string, header ...string) *reply {
	t.Helper()
	r, err := v.try(t, path, header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (v *visitor) bearer(t testing.TB, raw string) *reply {
	t.Helper()
	return v.get(t, "/any/x", "Authorization", "Bearer "+raw)
}

// wantNoHandshake wants the gate to end the handshake. The client only listens
// after its own part of it: to write could lose the alert to a reset.
func (v *visitor) wantNoHandshake(t *testing.T) {
	t.Helper()
	config := v.TLSClientConfig.Clone()
	config.ServerName, config.NextProtos = "127.0.0.1", []string{"http/1.1"}
	if v.Protocols != nil && v.Protocols.HTTP2() {
		config.NextProtos = []string{"h2"}
	}
	conn, err := tls.Dial("tcp", v.secure.address, config)
	if err == nil {
		defer func() { _ = conn.Close() }()
		if err = conn.SetReadDeadline(time.Now().Add(patience / 4)); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
	}
	if err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
		t.Errorf("error %v, want an alert", err)
	}
}

// boundTo mints a token bound to the certificate with this x5t#S256.
func (f *fixture) boundTo(x5t string) string {
	f.t.Helper()
	return f.AT(changes{"cnf": changes{"x5t#S256": x5t}})
}

func thumbprint(c *tls.Certificate) string { return clientcert.Thumbprint(c.Certificate[0]) }

// x5t is the thumbprint of the authority's own certificate.
func (a *authority) x5t() string { return clientcert.Thumbprint(a.Raw) }

func TestTokenForCertificate(t *testing.T) {
	f := newTerminated(t, "header: haproxy")
	cert := (*authority)(nil).issue(t, nil)
	file := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, []byte(pemOf(cert.Leaf)), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(file string) (string, int) {
		var out, said bytes.Buffer
		a := &app{ctx: t.Context(), stdout: &out, stderr: &said, env: func(string) (string, bool) { return "", false }}
		code := run(a, []string{"token", "--issuer", f.a.Identifier(), "--aud", testIdentifier, "--cert", file})
		return strings.TrimSpace(out.String()), code
	}
	raw, code := ask(file)
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	field := base64.StdEncoding.EncodeToString(cert.Certificate[0])
	wantPassed(t, f.do("GET", "/mtls/x", "Authorization", "Bearer "+raw, "X-Ssl-Client-Der", field))
	before := f.upstream.count()
	f.wantError(t, f.sendToken(raw), before, http.StatusUnauthorized, "Bearer", "invalid_token")
	if _, code := ask(f.gateway.path); code == exitOK {
		t.Error("a file without a certificate is taken")
	}
}

// TestCertificateGauges: what a reload gave up does not go on to end in the
// metrics.
func TestCertificateGauges(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	settings := "client_auth: request, client_ca_file: DIR/ca.pem, client_crl_file: DIR/crl.pem"
	s := newSecure(t, settings, map[string]string{
		"ca.pem": pemOf(ca.Certificate), "crl.pem": ca.revoke(t, time.Now().Add(time.Hour), nil),
	})
	want := func(names ...string) {
		t.Helper()
		for _, name := range []string{"server", "client_ca", "client_crl"} {
			there := strings.Contains(s.metrics(), `wicketgate_tls_certificate_expiry_timestamp_seconds{name="`+name+`"}`)
			if there != slices.Contains(names, name) {
				t.Errorf("%s: there %v, want %v", name, there, names)
			}
		}
	}
	want("server", "client_ca", "client_crl")
	s.rewrite(", client_crl_file: "+s.dir+"/crl.pem", "")
	s.gateway.tryReload("test")
	want("server", "client_ca")
	s.rewrite("client_auth: request, client_ca_file: "+s.dir+"/ca.pem", "client_auth: request_any")
	s.gateway.tryReload("test")
	want("server")
	s.wantReload("1")
}
