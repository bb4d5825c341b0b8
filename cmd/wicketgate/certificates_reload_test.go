package main

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/devissuer"
)

// TestReloadMovesCertificates: where certificates come from changes with the
// next request, and what TLS asks for with the next connection.
func TestReloadMovesCertificates(t *testing.T) {
	s := newSecure(t, "client_auth: request_any", nil)
	s.rewrite("binding: mtls", "binding: required") // mtls would need client_auth
	cert := (*authority)(nil).issue(t, nil)
	raw, field := s.boundTo(thumbprint(cert)), strings.ReplaceAll(pemOf(cert.Leaf), "\n", "%0A")
	old := s.visitor(t, cert, overH2)
	wantPassed(t, old.bearer(t, raw))
	refused := func(v *visitor, header ...string) {
		t.Helper()
		before := s.upstream.count()
		s.wantNoToken(t, v.get(t, "/any/x", append(header, "Authorization", "Bearer "+raw)...), before)
	}
	reload := func(from, to string) {
		t.Helper()
		s.rewrite(from, to)
		s.gateway.tryReload("test")
		s.wantReload("1")
	}
	reload("client_auth: request_any", "client_auth: 'off'")
	wantPassed(t, old.bearer(t, raw))
	refused(s.visitor(t, cert, overH2))
	refused(s.visitor(t, cert, nil), "X-Ssl-Client-Cert", field)

	reload("\nadmin:", "\ntrusted_proxies: [10.0.0.1]\nmtls: {from: header, header: nginx}\nadmin:")
	refused(old)
	refused(old, "X-Ssl-Client-Cert", field)
	reload("trusted_proxies: [10.0.0.1]", "trusted_proxies: ['::ffff:127.0.0.1']")
	refused(old)
	wantPassed(t, old.get(t, "/any/x", "Authorization", "Bearer "+raw, "X-Ssl-Client-Cert", field))
	refused(old, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(cert.Leaf.Raw)+":")
	reload("header: nginx", "header: client-cert")
	refused(old, "X-Ssl-Client-Cert", field)
	wantPassed(t, old.get(t, "/any/x", "Authorization", "Bearer "+raw, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(cert.Leaf.Raw)+":"))
	if seen := s.upstream.last().Header; seen["Client-Cert"] != nil || seen["X-Ssl-Client-Cert"] != nil {
		t.Error("the upstream saw the certificate")
	}
}

// TestBothBindingsWithNonce: a wrong certificate neither uses up the proof nor
// is told a nonce.
func TestBothBindingsWithNonce(t *testing.T) {
	f := newFixture(t, func(text string) string {
		return withNonces(instead(t, text, "admin:", "trusted_proxies: [127.0.0.1]\nmtls: {from: header, header: xfcc}\nadmin:"))
	})
	key, x5t := newClientKey(t, "ES256"), readCertificateVectors(t).Digest
	raw := f.AT(map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint(), "x5t#S256": x5t}})
	digest, err := base64.RawURLEncoding.DecodeString(x5t)
	if err != nil {
		t.Fatal(err)
	}
	mine := "Hash=" + hex.EncodeToString(digest)
	p := f.proof(key, raw, "GET", "/any/x", devissuer.Proof{Nonce: f.nonceAt(0)})
	for _, field := range map[string]string{"none": "", "other": "Hash=" + strings.Repeat("ab", 32), "unreadable": mine + "," + mine} {
		before := f.upstream.count()
		r := f.do("GET", "/any/x", "Authorization", "DPoP "+raw, "Dpop", p, "X-Forwarded-Client-Cert", field)
		f.wantError(t, r, before, 401, "DPoP", "invalid_token")
		wantNoNonce(t, r)
	}
	wantPassed(t, f.do("GET", "/any/x", "Authorization", "DPoP "+raw, "Dpop", p, "X-Forwarded-Client-Cert", mine))
	before := f.upstream.count()
	r := f.do("GET", "/any/x", "Authorization", "DPoP "+raw, "Dpop", f.proof(key, raw, "GET", "/any/x", devissuer.Proof{}), "X-Forwarded-Client-Cert", mine)
	f.wantNonceAsked(t, r, before)
}
