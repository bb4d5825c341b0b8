package lifecycle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/process"
)

// authority makes certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	text        string // in PEM
	serial      int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.text = inPEM("CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue makes a certificate for 127.0.0.1 and its key, both in PEM.
func (a *authority) issue(t *testing.T) (certificate, key string) {
	t.Helper()
	a.serial++
	pair := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1000 + a.serial), Subject: pkix.Name{CommonName: "end"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, &pair.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", keyDER)
}

// server is what a Secret of type kubernetes.io/tls holds.
func (a *authority) server(t *testing.T) map[string]string {
	certificate, key := a.issue(t)
	return map[string]string{"tls.crt": certificate, "tls.key": key}
}

func (a *authority) dial(address string, own []tls.Certificate) (*tls.Conn, error) {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, &tls.Config{RootCAs: roots, Certificates: own, MinVersion: tls.VersionTLS12})
}

// served is the serial number of the certificate that is served.
func (a *authority) served(t *testing.T, address string) string {
	t.Helper()
	conn, err := a.dial(address, nil)
	if err != nil {
		t.Errorf("handshake: %v", err)
		return ""
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestRotations changes the server's certificate and the clients' authorities
// time and again while clients come and go: R-43.
func TestRotations(t *testing.T) {
	s := newStand(t)
	ca, clientsCA, otherCA := newAuthority(t), newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	place := func(name, text string) {
		write(t, at(name+".new"), text)
		if err := os.Rename(at(name+".new"), at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range ca.server(t) {
		place(name, text)
	}
	place("clients.pem", clientsCA.text)
	g := s.gate(func(listen, admin string) string {
		return s.configuration(listen, admin, fmt.Sprintf("drain: {delay: 0s}\ntls: {cert_file: %q, key_file: %q, client_auth: require, client_ca_file: %q}\n", at("tls.crt"), at("tls.key"), at("clients.pem")))
	}, process.Options{})
	own, err := tls.X509KeyPair(pair(clientsCA.issue(t)))
	if err != nil {
		t.Fatal(err)
	}
	l := &clientLoad{stop: make(chan struct{}), dial: func() (net.Conn, error) { return ca.dial(g.listen, []tls.Certificate{own}) }}
	for range 6 {
		l.running.Go(func() { l.keeping(s.token) })
		l.running.Go(func() { l.coming(s.token) })
	}
	bad := 0
	for i := range *turns {
		want := http.StatusOK
		fresh := ca.server(t)
		place("tls.crt", fresh["tls.crt"])
		if i%5 == 4 {
			want = http.StatusUnprocessableEntity
			bad++
		} else {
			place("tls.key", fresh["tls.key"])
		}
		place("clients.pem", strings.Repeat(otherCA.text, i%3)+clientsCA.text)
		if got := g.reload(); got != want {
			t.Errorf("rotation %d: %d, want %d", i, got, want)
		}
		if (g.metric("wicketgate_config_last_reload_successful") == 1) != (want == http.StatusOK) {
			t.Errorf("rotation %d: the metric says otherwise", i)
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(l.stop)
	l.running.Wait()
	t.Logf("%d rotations, %d of them with a key that does not fit; kept connections: %v, new ones: %v", *turns, bad, &l.kept, &l.fresh)
	if l.kept.bad.Load()+l.fresh.bad.Load() > 0 || l.again.Load() > 0 {
		t.Errorf("kept %v, opened again %d; new %v", &l.kept, l.again.Load(), &l.fresh)
	}
	for name, text := range ca.server(t) {
		place(name, text)
	}
	place("clients.pem", otherCA.text)
	if got := g.reload(); got != http.StatusOK {
		t.Errorf("another authority: %d", got)
	}
	late := &line{dial: l.dial}
	if got, err := late.send("GET", "/x", s.token, "", nil); err == nil {
		t.Errorf("a client of an authority that is gone: %d", got)
	}
}

func pair(certificate, key string) (a, b []byte) { return []byte(certificate), []byte(key) }
