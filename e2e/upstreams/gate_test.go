package upstreams

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
	"github.com/wicketgate/wicketgate/internal/process"
)

// program is the built gate, the same for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(process.WithProgram(&program, m.Run)) }

const identifier = "https://rs.example.com"

const configuration = `version: 1
admin: {listen: "%s"}
issuers:
  - {name: a, issuer: "%s"}
drain: {delay: 0s, timeout: 1s}
%sresources:
`

const resource = `  - {identifier: "https://%[1]s.example.com", audiences: [` + identifier + `], behind_tls: true, listen: "%[2]s", upstream: "%[3]s"}
`

// protocols are those of upstreams, as the configuration names them.
var protocols = []string{"http", "https", "h2c", "unix"}

// gate is the built program, with a listener for each protocol of upstreams.
type gate struct {
	*process.Gate
	admin  string
	scheme string
	listen map[string]string // by the upstream's protocol
	token  string
}

// stage is an upstream of each protocol behind two gates, of which one ends TLS.
type stage struct {
	upstream      *upstream
	plain, secure *gate
	roots         *x509.CertPool
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s := &stage{roots: writePair(t, certFile, keyFile)}
	s.upstream = startUpstream(t, certFile, keyFile)
	issuer, err := devissuer.Start(devissuer.Options{Audience: identifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	s.plain = s.start(t, issuer, certFile, "http", "")
	s.secure = s.start(t, issuer, certFile, "https", fmt.Sprintf("tls: {cert_file: %q, key_file: %q}\n", certFile, keyFile))
	return s
}

func (s *stage) start(t *testing.T, issuer *devissuer.Running, roots, scheme, more string) *gate {
	t.Helper()
	raw, err := issuer.Mint(devissuer.Token{})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{admin: process.Free(t), scheme: scheme, listen: map[string]string{}, token: raw}
	text := fmt.Sprintf(configuration, g.admin, issuer.Identifier(), more)
	for _, p := range protocols {
		g.listen[p] = process.Free(t)
		text += fmt.Sprintf(resource, p, g.listen[p], s.upstream.locations[p])
	}
	g.Gate = process.Run(t, process.Options{Program: program, Dir: t.TempDir(), Config: text, Admin: g.admin, Env: []string{"SSL_CERT_FILE=" + roots}})
	return g
}

// inbound is a protocol of clients.
type inbound struct {
	name, via string
	major     int
	secure    bool
	set       func(*http.Protocols)
}

var inbounds = []inbound{
	{"HTTP/1.1", "1.1 wicketgate", 1, false, func(p *http.Protocols) { p.SetHTTP1(true) }},
	{"h2c", "2 wicketgate", 2, false, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
	{"h2", "2 wicketgate", 2, true, func(p *http.Protocols) { p.SetHTTP2(true) }},
}

// client is a client of one protocol of a resource with an upstream of another.
type client struct {
	inbound
	*gate
	transport *http.Transport
	to        string
}

// each runs a test for each pair of protocols.
func (s *stage) each(t *testing.T, run func(t *testing.T, c *client)) {
	t.Helper()
	for _, in := range inbounds {
		for _, to := range protocols {
			t.Run(in.name+" to "+to, func(t *testing.T) { run(t, s.client(t, in, to)) })
		}
	}
}

func (s *stage) client(t *testing.T, in inbound, to string) *client {
	t.Helper()
	c := &client{inbound: in, gate: s.plain, to: to, transport: &http.Transport{
		Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
		ExpectContinueTimeout: time.Hour, // who asks waits
	}}
	if in.secure {
		c.gate = s.secure
	}
	in.set(c.transport.Protocols)
	t.Cleanup(c.transport.CloseIdleConnections)
	return c
}

// memory is the most octets that the gate held at any time, by /proc, and all
// that it has allocated so far, by its metrics.
func (g *gate) memory(t *testing.T) (peak, allocated int64) {
	t.Helper()
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", g.PID()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = status.Close() }()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return 1 << 10 * number(t, bufio.NewScanner(status), "VmHWM:"), number(t, bufio.NewScanner(resp.Body), "go_memstats_alloc_bytes_total")
}

func number(t *testing.T, lines *bufio.Scanner, name string) int64 {
	t.Helper()
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseFloat(words[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return int64(n)
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// writePair writes a certificate for loopback that vouches for itself, and its
// key.
func writePair(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}
