package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a fresh certificate for 127.0.0.1 and its key.
func writePair(t testing.TB, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// over sends a GET to a new connection of the protocol and returns the answer.
func over(t *testing.T, f *fixture, scheme string, protocols *http.Protocols, trusted *x509.Certificate, header http.Header) *reply {
	t.Helper()
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	if trusted != nil {
		pool := x509.NewCertPool()
		pool.AddCert(trusted)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, scheme+"://"+f.address+"/read?a=1;b=%zz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return &reply{Response: resp}
}

func protocols(set func(*http.Protocols)) *http.Protocols {
	p := new(http.Protocols)
	set(p)
	return p
}

func TestProtocols(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writePair(t, certFile, keyFile, 1)
	plain := newFixture(t, nil)
	secure := newFixture(t, func(text string) string {
		return strings.Replace(text, "admin:", "tls: {cert_file: "+certFile+", key_file: "+keyFile+"}\nadmin:", 1)
	})
	tests := []struct {
		name, scheme, via string
		fixture           *fixture
		protocols         *http.Protocols
		trusted           *x509.Certificate
	}{
		{"HTTP/1.1", "http", "1.1 wicketgate", plain, protocols(func(p *http.Protocols) { p.SetHTTP1(true) }), nil},
		{"h2c", "http", "2 wicketgate", plain, protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), nil},
		{"HTTP/1.1 over TLS", "https", "1.1 wicketgate", secure, protocols(func(p *http.Protocols) { p.SetHTTP1(true) }), first},
		{"h2", "https", "2 wicketgate", secure, protocols(func(p *http.Protocols) { p.SetHTTP2(true) }), first},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := test.fixture
			good := http.Header{"Authorization": {"Bearer " + f.AT(nil)}, "X-Auth-Subject": {"evil"}}
			if r := over(t, f, test.scheme, test.protocols, test.trusted, good); r.StatusCode != http.StatusOK {
				t.Fatalf("good token: status %d", r.StatusCode)
			}
			seen := f.upstream.last()
			if got := seen.Header["X-Auth-Subject"]; len(got) != 1 || got[0] != "user-1" {
				t.Errorf("X-Auth-Subject %q, want user-1 alone", got)
			}
			if got := seen.Header.Get("Via"); got != test.via {
				t.Errorf("Via %q, want %q", got, test.via)
			}
			if got := seen.RequestURI; got != "/read?a=1;b=%zz" {
				t.Errorf("target %q, want the client's octets", got)
			}
			before := f.upstream.count()
			f.wantRefusal(t, over(t, f, test.scheme, test.protocols, test.trusted, http.Header{}), http.StatusUnauthorized, before)
		})
	}
	t.Run("another certificate after a reload", func(t *testing.T) {
		second := writePair(t, certFile, keyFile, 2)
		secure.gateway.tryReload("test")
		h2 := protocols(func(p *http.Protocols) { p.SetHTTP2(true) })
		if r := over(t, secure, "https", h2, second, http.Header{"Authorization": {"Bearer " + secure.AT(nil)}}); r.StatusCode != http.StatusOK {
			t.Errorf("status %d", r.StatusCode)
		}
		writePair(t, certFile, filepath.Join(dir, "other-key.pem"), 3)
		secure.gateway.tryReload("test")
		if r := over(t, secure, "https", h2, second, http.Header{}); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("with a pair that does not match, status %d: want the old pair in force", r.StatusCode)
		}
	})
}
