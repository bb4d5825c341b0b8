package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// mtlsRows are the rows about certificate-bound tokens; MTLS-03 and MTLS-05,
// which need no certificate, stand with the other tokens.
var mtlsRows = []conformanceRow{
	{"MTLS-01", rowMTLS01}, {"MTLS-02", rowMTLS02}, {"MTLS-04", rowMTLS04}, {"MTLS-07", rowMTLS07}, {"MTLS-08", rowMTLS08},
	{"MTLS-09", rowMTLS09}, {"MTLS-10", rowMTLS10}, {"MTLS-11", rowMTLS11}, {"MTLS-12", rowMTLS12}, {"MTLS-13", rowMTLS13},
	{"MTLS-14", rowMTLS14}, {"DPOP-50", rowDPOP50},
}

// certificateVectors are the certificates of RFC 8705 and RFC 9440 appendix A.
type certificateVectors struct {
	MTLS       string `json:"rfc8705_cert_der_b64"`
	MTLSDigest string `json:"rfc8705_x5t_S256"`
	Field      string `json:"rfc9440_client_cert_header"`
	Digest     string `json:"rfc9440_cert_x5t_S256"`
}

func readCertificateVectors(t testing.TB) (v certificateVectors) {
	t.Helper()
	text, err := os.ReadFile("../../validator/testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	all := struct {
		Vectors *certificateVectors `json:"rfc_vectors"`
	}{&v}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return v
}

// newTerminated starts a fixture behind a terminator on loopback that writes
// certificates in the form that mtls says.
func newTerminated(t testing.TB, mtls string) *fixture {
	t.Helper()
	return newFixture(t, func(text string) string {
		text = instead(t, text, "admin:", "trusted_proxies: [127.0.0.1]\nmtls: {from: header, "+mtls+"}\nadmin:")
		return instead(t, text, "log:", boundRoutes)
	})
}

// onBothTLS runs a check over HTTP/1.1 and over HTTP/2.
func onBothTLS(t *testing.T, check func(t *testing.T, set func(*http.Transport))) {
	t.Helper()
	t.Run("http1", func(t *testing.T) { check(t, nil) })
	t.Run("h2", func(t *testing.T) { check(t, overH2) })
}

func rowMTLS01(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	cert := (*authority)(nil).issue(t, nil)
	onBothTLS(t, func(t *testing.T, set func(*http.Transport)) {
		r := s.visitor(t, cert, set).bearer(t, s.boundTo(thumbprint(cert)))
		wantPassed(t, r)
		wantSeen(t, s.fixture, "X-Auth-Binding", "mtls")
		if set != nil && r.ProtoMajor != 2 {
			t.Errorf("answered over %s", r.Proto)
		}
	})
	v := readCertificateVectors(t)
	f := newTerminated(t, "header: client-cert")
	for x5t, field := range map[string]string{v.MTLSDigest: ":" + v.MTLS + ":", v.Digest: v.Field} {
		wantPassed(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.boundTo(x5t), "Client-Cert", field))
		wantSeen(t, f, "X-Auth-Binding", "mtls")
	}
}

func rowMTLS02(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	mine, other := (*authority)(nil).issue(t, nil), (*authority)(nil).issue(t, nil)
	raw := s.boundTo(thumbprint(mine))
	onBothTLS(t, func(t *testing.T, set func(*http.Transport)) {
		for name, cert := range map[string]*tls.Certificate{"other": other, "none": nil} {
			t.Run(name, func(t *testing.T) {
				before := s.upstream.count()
				s.wantError(t, s.visitor(t, cert, set).bearer(t, raw), before, http.StatusUnauthorized, "Bearer", "invalid_token")
			})
		}
	})
	if !strings.Contains(s.metrics(), `reason="mtls_binding"`) {
		t.Error("no refusal is counted under mtls_binding")
	}
}

func rowMTLS04(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	unknown := newAuthority(t, "unknown", nil)
	for name, cert := range map[string]*tls.Certificate{
		"self-signed": (*authority)(nil).issue(t, nil),
		"unknown CA":  unknown.issue(t, nil),
		"expired":     unknown.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"server only": unknown.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
	} {
		t.Run(name, func(t *testing.T) {
			wantPassed(t, s.visitor(t, cert, nil).bearer(t, s.boundTo(thumbprint(cert))))
		})
	}
}

func rowMTLS07(t *testing.T) {
	v := readCertificateVectors(t)
	for name, settings := range map[string]string{
		"untrusted peer":   "trusted_proxies: [10.0.0.0/8]\nmtls: {from: header}\n",
		"not switched on":  "trusted_proxies: [127.0.0.1]\n",
		"another terminal": "trusted_proxies: [127.0.0.2]\nmtls: {from: header}\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(text string) string { return instead(t, text, "admin:", settings+"admin:") })
			before := f.upstream.count()
			r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.boundTo(v.Digest), "Client-Cert", v.Field)
			f.wantError(t, r, before, http.StatusUnauthorized, "Bearer", "invalid_token")
			wantPassed(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(nil), "Client-Cert", v.Field))
			wantSeen(t, f, "Client-Cert")
		})
	}
	t.Run("trusted peer", func(t *testing.T) {
		f := newTerminated(t, "header: client-cert")
		wantPassed(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.boundTo(v.Digest), "Client-Cert", v.Field))
		wantSeen(t, f, "Client-Cert")
	})
	t.Run("connection of the terminator", func(t *testing.T) {
		s := newSecure(t, "client_auth: request_any", nil)
		trusted := "\ntrusted_proxies: [192.0.2.1]\nmtls: {from: header}\nadmin:"
		s.rewrite("\nadmin:", trusted)
		cert := (*authority)(nil).issue(t, nil)
		for range 2 {
			s.gateway.tryReload("test")
			s.wantReload("1")
			before := s.upstream.count()
			r := s.visitor(t, cert, nil).bearer(t, s.boundTo(thumbprint(cert)))
			s.wantError(t, r, before, http.StatusUnauthorized, "Bearer", "invalid_token")
			s.rewrite("192.0.2.1", "127.0.0.1, 192.0.2.1")
		}
	})
}

func rowMTLS08(t *testing.T) {
	v := readCertificateVectors(t)
	f := newTerminated(t, "header: client-cert")
	raw := f.boundTo(v.Digest)
	for name, lines := range map[string][]string{
		"two lines": {v.Field, v.Field}, "list": {v.Field + ", " + v.Field}, "parameter": {v.Field + ";a=1"},
		"missing colons": {strings.Trim(v.Field, ":")}, "missing colon": {strings.TrimSuffix(v.Field, ":")}, "junk": {v.Field + "x"},
		"empty": {"::"}, "string": {`"` + strings.Trim(v.Field, ":") + `"`}, "no certificate": {":AAAA:"},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Authorization", "Bearer " + raw}
			for _, line := range lines {
				header = append(header, "Client-Cert", line)
			}
			before := f.upstream.count()
			f.wantError(t, f.do("GET", "/any/x", header...), before, http.StatusUnauthorized, "Bearer", "invalid_token")
		})
	}
	if log := f.log.String(); !strings.Contains(log, "does not have the form that mtls.header names") || !strings.Contains(log, "comes more than once") {
		t.Error("the log does not say what is wrong with the field")
	}
}

func rowMTLS09(t *testing.T) {
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
	hash := hex.EncodeToString(digest)
	for _, c := range []struct{ name, mtls, field, value string }{
		{"Hash", "header: xfcc", "X-Forwarded-Client-Cert", "By=spiffe://mesh/gate;Hash=" + hash + `;Subject="CN=mtls"`},
		{"Cert", "header: xfcc", "X-Forwarded-Client-Cert", `Hash=` + hash + `;Cert="` + escaped + `"`},
		{"last", "header: xfcc, element: last", "X-Forwarded-Client-Cert", "Hash=" + strings.Repeat("0", 64) + ",Hash=" + hash},
		{"first", "header: xfcc, element: first", "X-Forwarded-Client-Cert", "Hash=" + hash + ",Hash=" + strings.Repeat("0", 64)},
		{"nginx", "header: nginx", "X-Ssl-Client-Cert", escaped},
		{"name", "header: nginx, name: X-Terminator-Cert", "X-Terminator-Cert", escaped},
		{"HAProxy", "header: haproxy", "X-Ssl-Client-Der", v.MTLS},
		{"ALB", "header: alb", "X-Amzn-Mtls-Clientcert", strings.NewReplacer("%2B", "+", "%3D", "=", "%2F", "/").Replace(escaped)},
		{"ALB verify", "header: alb, name: X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert-Leaf", escaped},
		{"Traefik", "header: traefik", "X-Forwarded-Tls-Client-Cert", v.MTLS},
		{"Traefik escaped", "header: traefik", "X-Forwarded-Tls-Client-Cert", url.QueryEscape(v.MTLS)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newTerminated(t, c.mtls)
			wantPassed(t, f.do("GET", "/any/x", "Authorization", "Bearer "+f.boundTo(v.MTLSDigest), c.field, c.value))
			wantSeen(t, f, c.field)
			before := f.upstream.count()
			r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.boundTo(v.Digest), c.field, c.value)
			f.wantError(t, r, before, http.StatusUnauthorized, "Bearer", "invalid_token")
		})
	}
}

func rowMTLS10(t *testing.T) {
	f := newTerminated(t, "header: client-cert")
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Vary"] = []string{"Accept", "Origin, client-cert"}
		w.WriteHeader(http.StatusOK)
	})
	r := f.do("GET", "/any/x", "Authorization", "Bearer "+f.AT(nil))
	if got := r.Header["Vary"]; r.StatusCode != http.StatusOK || len(got) != 1 || got[0] != "*" {
		t.Errorf("%d with Vary %q, want *", r.StatusCode, got)
	}
}

func rowMTLS11(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	v := readCertificateVectors(t)
	cert := (*authority)(nil).issue(t, nil)
	onBothTLS(t, func(t *testing.T, set func(*http.Transport)) {
		for _, own := range []*tls.Certificate{nil, cert} {
			r := s.visitor(t, own, set).get(t, "/any/x", "Authorization", "Bearer "+s.AT(nil), "Client-Cert", v.Field, "Client-Cert-Chain", v.Field)
			wantPassed(t, r)
			wantSeen(t, s.fixture, "Client-Cert")
			wantSeen(t, s.fixture, "Client-Cert-Chain")
		}
	})
}

// rowMTLS12: there is no session to take up again, so a client that tries makes
// a whole handshake and is known by its certificate.
func rowMTLS12(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	cert := (*authority)(nil).issue(t, nil)
	raw := s.boundTo(thumbprint(cert))
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			client := s.visitor(t, cert, func(tr *http.Transport) {
				tr.TLSClientConfig.ClientSessionCache, tr.TLSClientConfig.MaxVersion = tls.NewLRUClientSessionCache(8), version
			})
			for range 3 {
				r := client.bearer(t, raw)
				wantPassed(t, r)
				if r.TLS.DidResume || r.TLS.Version != version {
					t.Errorf("resumed: %v, version %x", r.TLS.DidResume, r.TLS.Version)
				}
				client.CloseIdleConnections()
			}
		})
	}
}

func rowMTLS13(t *testing.T) {
	f := newTerminated(t, "header: client-cert")
	v := readCertificateVectors(t)
	f.upstream.setAnswer(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Client-Cert"], h["Client-Cert-Chain"], h["Link"] = []string{v.Field}, []string{v.Field}, []string{"</a>"}
		w.WriteHeader(http.StatusEarlyHints)
		h["Trailer"] = []string{"Client-Cert, X-Sum"}
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("upstream"))
		h.Set("Client-Cert", v.Field)
		h.Set("X-Sum", "1")
		h.Set(http.TrailerPrefix+"Client-Cert-Chain", v.Field)
	})
	onBoth(t, f, func(t *testing.T, do clientCall) {
		r := do("GET", "/any/x", "Authorization", "Bearer "+f.AT(nil))
		wantPassed(t, r)
		for _, h := range []http.Header{r.Header, r.Trailer} {
			if h["Client-Cert"] != nil || h["Client-Cert-Chain"] != nil {
				t.Errorf("the client is told %v", h)
			}
		}
		if r.Header.Get("Link") == "" || r.Trailer.Get("X-Sum") != "1" {
			t.Errorf("header %v, trailer %v", r.Header, r.Trailer)
		}
	})
	text := f.raw("GET /any/x HTTP/1.1\r\nHost: rs.example.com\r\nConnection: close\r\nAuthorization: Bearer " + f.AT(nil) + "\r\n\r\n")
	if !strings.Contains(text, "103 Early Hints") || strings.Contains(text, "Client-Cert: ") || strings.Contains(text, "Client-Cert-Chain") {
		t.Errorf("the client is told %q", text)
	}
}

func rowMTLS14(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	cert, key := (*authority)(nil).issue(t, nil), newClientKey(t, "ES256")
	client := s.visitor(t, cert, nil)
	send := func(path, scheme, raw string) *reply {
		return client.get(t, path, "Authorization", scheme+" "+raw, "Dpop", s.proof(key, raw, "GET", path, devissuer.Proof{}))
	}
	mtls := s.boundTo(thumbprint(cert))
	both := s.bound(key, changes{"cnf": changes{"jkt": key.Thumbprint(), "x5t#S256": thumbprint(cert)}})
	for _, path := range []string{"/mtls/x", "/bound/x"} {
		before := s.upstream.count()
		s.wantError(t, client.get(t, path, "Authorization", "Bearer "+s.AT(nil)), before, http.StatusUnauthorized, "Bearer", "invalid_token")
		s.wantError(t, client.get(t, path), before, http.StatusUnauthorized, "", "")
		wantPassed(t, client.get(t, path, "Authorization", "Bearer "+mtls))
		wantPassed(t, send(path, "DPoP", both))
	}
	wantPassed(t, send("/bound/x", "DPoP", s.bound(key, nil)))
	before := s.upstream.count()
	s.wantError(t, send("/mtls/x", "DPoP", s.bound(key, nil)), before, http.StatusUnauthorized, "DPoP", "invalid_token")
	if r := client.get(t, "/dpop/x", "Authorization", "Bearer "+mtls); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("/dpop/x took a token bound to a certificate only: %d", r.StatusCode)
	}
	if !strings.Contains(s.metrics(), `reason="binding"`) {
		t.Error("no refusal is counted under binding")
	}
}

func rowDPOP50(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	cert, other := (*authority)(nil).issue(t, nil), (*authority)(nil).issue(t, nil)
	key, stranger := newClientKey(t, "ES256"), newClientKey(t, "ES256")
	raw := s.bound(key, changes{"cnf": changes{"jkt": key.Thumbprint(), "x5t#S256": thumbprint(cert)}})
	send := func(cert *tls.Certificate, proof string) *reply {
		return s.visitor(t, cert, nil).get(t, "/any/x", "Authorization", "DPoP "+raw, "Dpop", proof)
	}
	proof := s.proof(key, raw, "GET", "/any/x", devissuer.Proof{})
	before := s.upstream.count()
	s.wantError(t, send(other, proof), before, http.StatusUnauthorized, "DPoP", "invalid_token")
	s.wantError(t, send(nil, proof), before, http.StatusUnauthorized, "DPoP", "invalid_token")
	s.wantError(t, send(cert, s.proof(stranger, raw, "GET", "/any/x", devissuer.Proof{})), before, http.StatusUnauthorized, "DPoP", "invalid_token")
	s.wantBadProof(t, send(cert, ""), before)
	s.wantError(t, s.visitor(t, cert, nil).bearer(t, raw), before, http.StatusUnauthorized, "Bearer", "invalid_token")
	wantPassed(t, send(cert, proof)) // no refusal above used it up
	wantSeen(t, s.fixture, "X-Auth-Binding", "dpop mtls")
	s.wantBadProof(t, send(cert, proof), before+1)
	t.Run("certificate-bound under DPoP", func(t *testing.T) {
		mtls := s.boundTo(thumbprint(cert))
		proof := s.proof(key, mtls, "GET", "/any/x", devissuer.Proof{})
		before := s.upstream.count()
		r := s.visitor(t, cert, nil).get(t, "/any/x", "Authorization", "DPoP "+mtls, "Dpop", proof)
		s.wantError(t, r, before, http.StatusUnauthorized, "DPoP", "invalid_token")
	})
}
