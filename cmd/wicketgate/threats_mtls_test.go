package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestThreatsMTLS runs the attacks on certificate-bound tokens, each under its
// name in the list of threats.
func TestThreatsMTLS(t *testing.T) {
	for _, threat := range []conformanceRow{
		{"M-01", threatM01}, {"M-02", threatM02}, {"M-03", threatM03}, {"M-04", threatM04}, {"M-05", threatM05}, {"M-06", threatM06},
		{"M-07", threatM07}, {"M-08", threatM08}, {"M-09", threatM09}, {"M-10", threatM10}, {"M-11", threatM11}, {"M-12", threatM12},
		{"C-39", threatC39},
	} {
		t.Run(threat.id, threat.run)
	}
}

// withAuthority starts a fixture whose clients need a certificate of a, if mode
// is require, or may have one, if it is request.
func withAuthority(t *testing.T, mode string, a *authority) *secure {
	t.Helper()
	return newSecure(t, "client_auth: "+mode+", client_ca_file: DIR/ca.pem", map[string]string{"ca.pem": pemOf(a.Certificate)})
}

func (s *secure) wantNoToken(t *testing.T, r *reply, before int) {
	t.Helper()
	s.wantError(t, r, before, http.StatusUnauthorized, "Bearer", "invalid_token")
}

func threatM01(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := withAuthority(t, "request", ca)
	cert := ca.issue(t, nil)
	before := s.upstream.count()
	s.wantNoToken(t, s.visitor(t, nil, nil).bearer(t, s.boundTo(thumbprint(cert))), before)
	wantPassed(t, s.visitor(t, nil, nil).bearer(t, s.AT(nil)))
	wantPassed(t, s.visitor(t, cert, nil).bearer(t, s.boundTo(thumbprint(cert))))
}

func threatM02(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := withAuthority(t, "require", ca)
	cert := ca.issue(t, nil)
	renewed := ca.renew(t, cert)
	before := s.upstream.count()
	s.wantNoToken(t, s.visitor(t, renewed, nil).bearer(t, s.boundTo(thumbprint(cert))), before)
	wantPassed(t, s.visitor(t, renewed, nil).bearer(t, s.boundTo(thumbprint(renewed))))
}

func threatM03(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	foreign := newAuthority(t, "ca", nil).issue(t, nil) // the same name, another key
	for _, mode := range []string{"request", "require"} {
		s := withAuthority(t, mode, ca)
		s.visitor(t, foreign, nil).wantNoHandshake(t)
		s.visitor(t, (*authority)(nil).issue(t, nil), nil).wantNoHandshake(t)
		s.visitor(t, foreign, overH2).wantNoHandshake(t)
	}
	s := withAuthority(t, "require", ca)
	s.visitor(t, nil, nil).wantNoHandshake(t)
	any := newSecure(t, "client_auth: request_any", nil)
	wantPassed(t, any.visitor(t, foreign, nil).bearer(t, any.boundTo(thumbprint(foreign))))
}

func threatM04(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	below, silent, revokedBelow := newAuthority(t, "below", ca), newAuthority(t, "silent", ca), newAuthority(t, "revoked", ca)
	chained := func(a *authority) *tls.Certificate {
		c := a.issue(t, nil)
		c.Certificate = append(c.Certificate, a.Raw)
		return c
	}
	revoked, tomorrow := ca.issue(t, nil), time.Now().Add(24*time.Hour)
	lists := ca.revoke(t, tomorrow, nil, revoked, &tls.Certificate{Leaf: revokedBelow.Certificate}) +
		below.revoke(t, tomorrow, nil) + revokedBelow.revoke(t, tomorrow, nil)
	s := newSecure(t, "client_auth: require, client_ca_file: DIR/ca.pem, client_crl_file: DIR/crl.pem",
		map[string]string{"ca.pem": pemOf(ca.Certificate), "crl.pem": lists})
	good, deep := ca.issue(t, nil), chained(below)
	for name, cert := range map[string]*tls.Certificate{
		"expired":       ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid": ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"server only":   ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"revoked":       revoked, "revoked authority": chained(revokedBelow), "authority without a list": chained(silent),
	} {
		t.Run(name, func(t *testing.T) { s.visitor(t, cert, nil).wantNoHandshake(t) })
	}
	wantPassed(t, s.visitor(t, good, nil).bearer(t, s.boundTo(thumbprint(good))))
	wantPassed(t, s.visitor(t, deep, nil).bearer(t, s.boundTo(thumbprint(deep))))
	for name, list := range map[string]string{
		"list has ended":     ca.revoke(t, time.Now().Add(-time.Minute), nil),
		"list has not begun": ca.revoke(t, tomorrow, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Hour) }),
		"list of another":    newAuthority(t, "ca", nil).revoke(t, tomorrow, nil),
		"revoked in one":     ca.revoke(t, tomorrow, nil) + ca.revoke(t, time.Now().Add(-time.Minute), nil, good),
	} {
		t.Run(name, func(t *testing.T) {
			s.write(t, "crl.pem", list)
			s.gateway.tryReload("test")
			s.wantReload("1")
			s.visitor(t, good, nil).wantNoHandshake(t)
		})
	}
	if !strings.Contains(s.log.String(), "no revocation list of today") {
		t.Error("the log does not say that lists have ended")
	}
	s.write(t, "crl.pem", ca.revoke(t, tomorrow, nil))
	s.gateway.tryReload("test")
	wantPassed(t, s.visitor(t, good, nil).bearer(t, s.AT(nil)))
	if text := s.metrics(); !strings.Contains(text, `expiry_timestamp_seconds{name="client_ca"}`) || !strings.Contains(text, `expiry_timestamp_seconds{name="client_crl"}`) {
		t.Error("the ends of authorities and lists are not in the metrics")
	}
}

func threatM05(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	below := newAuthority(t, "below", ca)
	s := withAuthority(t, "require", ca)
	cert := below.issue(t, nil)
	cert.Certificate = append(cert.Certificate, below.Raw)
	client := s.visitor(t, cert, nil)
	digest, err := base64.RawURLEncoding.DecodeString(thumbprint(cert))
	if err != nil {
		t.Fatal(err)
	}
	for name, cnf := range map[string]changes{
		"hex":          {"x5t#S256": hex.EncodeToString(digest)},
		"padded":       {"x5t#S256": thumbprint(cert) + "="},
		"SHA-1":        {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"SHA-256":      {"x5t": thumbprint(cert)},
		"intermediate": {"x5t#S256": below.x5t()},
		"root":         {"x5t#S256": ca.x5t()},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.upstream.count()
			s.wantNoToken(t, client.bearer(t, s.AT(changes{"cnf": cnf})), before)
		})
	}
	wantPassed(t, client.bearer(t, s.boundTo(thumbprint(cert))))
}

// carriers are the fields of all forms, each with a value that names the
// certificate of RFC 8705.
func carriers(t *testing.T) (x5t string, fields map[string]string) {
	t.Helper()
	v := readCertificateVectors(t)
	der, err := base64.StdEncoding.DecodeString(v.MTLS)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := base64.RawURLEncoding.DecodeString(v.MTLSDigest)
	if err != nil {
		t.Fatal(err)
	}
	escaped := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return v.MTLSDigest, map[string]string{
		"client-cert": "Client-Cert=:" + v.MTLS + ":", "xfcc": "X-Forwarded-Client-Cert=Hash=" + hex.EncodeToString(digest),
		"nginx": "X-Ssl-Client-Cert=" + escaped, "haproxy": "X-Ssl-Client-Der=" + v.MTLS,
		"alb": "X-Amzn-Mtls-Clientcert=" + escaped, "traefik": "X-Forwarded-Tls-Client-Cert=" + v.MTLS,
	}
}

func threatM06(t *testing.T) {
	x5t, fields := carriers(t)
	for form, field := range fields {
		t.Run(form, func(t *testing.T) {
			name, value, _ := strings.Cut(field, "=")
			f := newFixture(t, func(text string) string {
				return instead(t, text, "admin:", "trusted_proxies: [192.0.2.0/24]\nmtls: {from: header, header: "+form+"}\nadmin:")
			})
			before := f.upstream.count()
			r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.boundTo(x5t), name, value)
			f.wantError(t, r, before, http.StatusUnauthorized, "Bearer", "invalid_token")
			wantPassed(t, f.do("GET", "/open/x", name, value))
			wantSeen(t, f, name)
		})
	}
}

func threatM07(t *testing.T) {
	x5t, fields := carriers(t)
	for form, field := range fields {
		t.Run(form, func(t *testing.T) {
			name, value, _ := strings.Cut(field, "=")
			f := newTerminated(t, "header: "+form)
			raw := f.boundTo(x5t)
			wantPassed(t, f.do("GET", "/any/x", "Authorization", "Bearer "+raw, name, value))
			for what, lines := range map[string][]string{
				"two lines": {value, value}, "list": {"AAAA, " + value}, "junk": {value + "!"}, "cut": {value[:len(value)-9]},
				"twice escaped": {url.QueryEscape(url.QueryEscape(value + "%"))}, "long": {value + strings.Repeat("A", 16<<10)}, "other form": {"<" + value + ">"},
			} {
				t.Run(what, func(t *testing.T) {
					header := []string{"Authorization", "Bearer " + raw}
					for _, line := range lines {
						header = append(header, name, line)
					}
					before := f.upstream.count()
					f.wantError(t, f.do("GET", "/any/x", header...), before, http.StatusUnauthorized, "Bearer", "invalid_token")
				})
			}
		})
	}
}

func threatM08(t *testing.T) {
	x5t, fields := carriers(t)
	_, value, _ := strings.Cut(fields["nginx"], "=")
	for _, own := range []string{"X-SSL-Client-Cert", "Terminator-Cert"} {
		f := newTerminated(t, "header: nginx, name: "+own)
		raw := f.boundTo(x5t)
		for _, spelled := range []string{
			strings.ReplaceAll(own, "-", "_"), strings.ReplaceAll(own, "-", "."), strings.Replace(own, "-", "_", 1), "X-SSL-Client-Verify",
			"ssl_client_cert", "X_Forwarded_Client_Cert", "x_amzn_mtls_clientcert",
		} {
			t.Run(spelled, func(t *testing.T) {
				before := f.upstream.count()
				f.wantError(t, f.do("GET", "/any/x", "Authorization", "Bearer "+raw, spelled, value), before, http.StatusUnauthorized, "Bearer", "invalid_token")
				for _, path := range []string{"/any/x", "/open/x"} {
					wantPassed(t, f.do("GET", path, "Authorization", "Bearer "+raw, own, value, spelled, "evil"))
					wantSeen(t, f, spelled)
					wantSeen(t, f, own)
				}
			})
		}
		answer := f.raw("GET /any/x HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\n" + own + " : " + value + "\r\nAuthorization: Bearer " + raw + "\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("a space behind the name: %.40q", answer)
		}
	}
}

// threatM09: who was let in by authorities that are gone does not come back by
// the session of then.
func threatM09(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			old, next := newAuthority(t, "old", nil), newAuthority(t, "next", nil)
			s := withAuthority(t, "require", old)
			client := s.visitor(t, old.issue(t, nil), func(tr *http.Transport) {
				tr.TLSClientConfig.ClientSessionCache, tr.TLSClientConfig.MaxVersion = tls.NewLRUClientSessionCache(8), version
			})
			for range 2 {
				if r := client.bearer(t, s.AT(nil)); r.StatusCode != http.StatusOK || r.TLS.DidResume {
					t.Fatalf("before: %d, resumed %v", r.StatusCode, r.TLS.DidResume)
				}
				client.CloseIdleConnections()
			}
			s.write(t, "ca.pem", pemOf(next.Certificate))
			s.gateway.tryReload("test")
			s.wantReload("1")
			client.wantNoHandshake(t)
			wantPassed(t, s.visitor(t, next.issue(t, nil), nil).bearer(t, s.AT(nil)))
		})
	}
}

func threatM10(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	mine, other := (*authority)(nil).issue(t, nil), (*authority)(nil).issue(t, nil)
	var dialed atomic.Int32
	client := s.visitor(t, mine, func(tr *http.Transport) {
		overH2(tr)
		tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed.Add(1)
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}
	})
	a, b := s.boundTo(thumbprint(mine)), s.boundTo(thumbprint(other))
	for range 3 {
		wantPassed(t, client.bearer(t, a))
		before := s.upstream.count()
		r := client.bearer(t, b)
		s.wantNoToken(t, r, before)
		if r.ProtoMajor != 2 {
			t.Errorf("answered over %s", r.Proto)
		}
	}
	if n := dialed.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

func threatM11(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	good := pemOf(ca.Certificate)
	bad := map[string]string{
		"empty": "", "garbage": "no certificate at all\n", "key": strings.ReplaceAll(good, "CERTIFICATE", "PRIVATE KEY"),
		"broken block": good + strings.Replace(good, "MII", "M*I", 1), "no certificate": "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
		"cut": good + good[:len(good)-40],
	}
	for name, text := range bad {
		t.Run("start with "+name, func(t *testing.T) { wantNoStart(t, &text, "", "tls.client_ca_file") })
	}
	t.Run("start with none", func(t *testing.T) { wantNoStart(t, nil, "", "tls.client_ca_file") })
	critical := ca.revoke(t, time.Now().Add(time.Hour), func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	})
	for name, text := range map[string]string{"certificate": good, "garbage": "x", "delta": critical} {
		t.Run("start with list "+name, func(t *testing.T) { wantNoStart(t, &good, text, "tls.client_crl_file") })
	}
	s := withAuthority(t, "require", ca)
	cert, foreign := ca.issue(t, nil), newAuthority(t, "ca", nil).issue(t, nil)
	for name, text := range bad {
		t.Run("reload with "+name, func(t *testing.T) {
			s.write(t, "ca.pem", text)
			s.gateway.tryReload("test")
			s.wantReload("0")
			wantPassed(t, s.visitor(t, cert, nil).bearer(t, s.boundTo(thumbprint(cert))))
			s.visitor(t, foreign, nil).wantNoHandshake(t)
			s.visitor(t, nil, nil).wantNoHandshake(t)
		})
	}
	if err := os.Remove(filepath.Join(s.dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	s.gateway.tryReload("test")
	s.wantReload("0")
	wantPassed(t, s.visitor(t, cert, nil).bearer(t, s.AT(nil)))
	s.visitor(t, nil, nil).wantNoHandshake(t)
}

// wantNoStart wants serve and check to end with the exit code of a wrong file,
// and to say which setting it is. A nil ca leaves the file out, an empty crl the
// setting.
func wantNoStart(t *testing.T, ca *string, crl, setting string) {
	t.Helper()
	dir := t.TempDir()
	writePair(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), 1)
	files, more := map[string]string{}, ""
	if ca != nil {
		files["ca.pem"] = *ca
	}
	if crl != "" {
		files["crl.pem"], more = crl, ", client_crl_file: crl.pem"
	}
	files["config.yaml"] = `version: 1
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
tls: {cert_file: cert.pem, key_file: key.pem, client_auth: require, client_ca_file: ca.pem` + more + `}
issuers: [{issuer: "http://127.0.0.1:1"}]
resources: [{identifier: "https://rs.example.com", upstream: "http://127.0.0.1:1"}]
`
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"serve", "check"} {
		var said bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		a := &app{ctx: ctx, stdout: io.Discard, stderr: &said, env: func(string) (string, bool) { return "", false }}
		if code := run(a, []string{command, "--config", filepath.Join(dir, "config.yaml")}); code != exitConfig || !strings.Contains(said.String(), setting) {
			t.Errorf("%s ends with %d and says %s", command, code, said.String())
		}
		cancel()
	}
}

func threatM12(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	cert := (*authority)(nil).issue(t, nil)
	for _, path := range []string{"/bound/x", "/mtls/x"} {
		before := s.upstream.count()
		s.wantNoToken(t, s.visitor(t, cert, nil).get(t, path, "Authorization", "Bearer "+s.AT(nil)), before)
		wantPassed(t, s.visitor(t, cert, nil).get(t, path, "Authorization", "Bearer "+s.boundTo(thumbprint(cert))))
	}
}

// threatC39: no name that a client asks for gets it around its certificate, and
// no connection speaks for another.
func threatC39(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	s := withAuthority(t, "require", ca)
	for _, name := range []string{"", "other.example", "RS.EXAMPLE.COM", "rs.example.com.", "127.0.0.1"} {
		for _, protocol := range []string{"", "h2", "http/1.1", "acme-tls/1"} {
			config := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}
			if protocol != "" {
				config.NextProtos = []string{protocol}
			}
			conn, err := tls.Dial("tcp", s.address, config)
			if err == nil {
				t.Errorf("%q with %q got in without a certificate", name, protocol)
				_ = conn.Close()
			}
		}
	}
	cert := ca.issue(t, nil)
	raw := s.boundTo(thumbprint(cert))
	wantPassed(t, s.visitor(t, cert, nil).bearer(t, raw))
	before := s.upstream.count()
	s.wantNoToken(t, s.visitor(t, ca.issue(t, nil), nil).bearer(t, raw), before)
}

// TestCertificatesChangeUnderLoad: while the server's certificate and the
// authorities change, good ones and bad ones, no valid client notices.
func TestCertificatesChangeUnderLoad(t *testing.T) {
	ca, second := newAuthority(t, "ca", nil), newAuthority(t, "second", nil)
	s := withAuthority(t, "require", ca)
	cert := ca.issue(t, nil)
	raw := s.boundTo(thumbprint(cert))
	pool := x509.NewCertPool()
	pool.AddCert(s.server)
	const rounds = 10
	staged := &secure{dir: t.TempDir()}
	var pairs [rounds][2][]byte
	for i := range pairs {
		pool.AddCert(staged.writePair(t, int64(i)+2))
		for j, name := range []string{"cert.pem", "key.pem"} {
			var err error
			if pairs[i][j], err = os.ReadFile(filepath.Join(staged.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var stop atomic.Bool
	var done [2]atomic.Int64
	var clients sync.WaitGroup
	for i, set := range []func(*http.Transport){func(tr *http.Transport) { tr.DisableKeepAlives = true }, overH2} {
		client := s.visitor(t, cert, func(tr *http.Transport) { set(tr); tr.TLSClientConfig.RootCAs = pool })
		clients.Go(func() {
			for !stop.Load() {
				r, err := client.try(t, "/any/x", "Authorization", "Bearer "+raw)
				if err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("%v, %v", r, err)
					return
				}
				done[i].Add(1)
			}
		})
	}
	for i := range rounds {
		s.write(t, "cert.pem", string(pairs[i][0]))
		s.write(t, "key.pem", string(pairs[i][1]))
		text, successful := pemOf(ca.Certificate, second.Certificate), "1"
		if i%3 == 1 {
			text = pemOf(ca.Certificate)
		} else if i%3 == 2 {
			text, successful = "garbage", "0"
		}
		s.write(t, "ca.pem", text)
		s.gateway.tryReload("test")
		s.wantReload(successful)
		seen := [2]int64{done[0].Load(), done[1].Load()}
		eventually(t, "requests between two reloads", func() bool {
			return done[0].Load() > seen[0]+1 && done[1].Load() > seen[1]+1 || t.Failed()
		})
	}
	stop.Store(true)
	clients.Wait()
}
