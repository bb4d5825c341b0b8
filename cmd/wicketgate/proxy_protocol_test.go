package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

const (
	announced   = "PROXY TCP4 6.6.6.6 10.0.0.1 99 8420\r\n"
	announcedV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f\x07\x07\x07\x07\x0a\x00\x00\x01\x00\x63\x20\xe4\x04\x00\x00"
	localV2     = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// balanced is a configuration behind a balancer that passes octets on.
func balanced(more ...string) func(string) string {
	return believing(append(more, `proxy_protocol: ["%[1]s"]`)...)
}

func TestProxyProtocol(t *testing.T) {
	w := newWire(t, balanced())
	for _, row := range []struct {
		name, header string
		fields       []string
		client, told string
	}{
		{"version 1", announced, nil, "6.6.6.6", "6.6.6.6"},
		{"version 2", announcedV2, nil, "7.7.7.7", "7.7.7.7"},
		{"a client's own words", announced, []string{"X-Forwarded-For: 1.1.1.1", "X-Real-IP: 1.1.1.1"}, "6.6.6.6", "6.6.6.6"},
		{"a trusted proxy before the balancer", "PROXY TCP4 10.0.0.7 10.0.0.1 99 8420\r\n", []string{"X-Forwarded-For: 1.1.1.1, 5.5.5.5"}, "5.5.5.5", "5.5.5.5, 10.0.0.7"},
		{"nobody knows who", "PROXY UNKNOWN\r\n", []string{"X-Forwarded-For: 1.1.1.1"}, "", "unknown"},
		{"the balancer itself", localV2, nil, "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn := w.dial(t)
			_, _ = io.WriteString(conn, row.header+w.open("GET", "/any/x", append(row.fields, "Connection: close")...))
			if r := nextReply(t, bufio.NewReader(conn), "GET"); r.StatusCode != 200 {
				t.Fatalf("%d %s", r.StatusCode, r.body)
			}
			_, seen, _ := w.behind.last()
			if got := seen.Get("X-Forwarded-For"); got != row.told || seen["X-Real-Ip"] != nil {
				t.Errorf("the upstream saw %q, X-Real-IP %q", got, seen["X-Real-Ip"])
			}
			want := fmt.Sprintf(`"client.address":%q`, row.client)
			eventually(t, want, func() bool { return strings.Contains(w.log.String(), want) })
		})
	}
	t.Run("no header", func(t *testing.T) {
		series := `wicketgate_proxy_protocol_refused_total{listener="` + w.address + `"}`
		w.untouchedOctets(t, func() {
			for _, text := range []string{w.open("GET", "/any/x"), "PROXY TCP4 6.6.6.6\r\n" + w.open("GET", "/any/x"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
				if answer := w.raw(text); answer != "" {
					t.Errorf("answered %q", answer)
				}
			}
		})
		eventually(t, "three refused", func() bool { return seriesValue(t, w.fixture, series) == "3" })
	})
}

// TestSilentConnectionsHoldNobodyUp: balancers open connections ahead of what
// they have to say, and check by them whether anybody listens.
func TestSilentConnectionsHoldNobodyUp(t *testing.T) {
	w := newWire(t, balanced())
	w.dial(t)
	if answer := w.raw(announced + w.open("GET", "/any/x", "Connection: close")); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("answered %q", answer)
	}
}

// TestProxyProtocolFromStrangers: who is not trusted cannot connect at all, and
// a reload changes who is.
func TestProxyProtocolFromStrangers(t *testing.T) {
	w := newWire(t, func(text string) string {
		return text + "trusted_proxies: [10.0.0.0/8]\n" + `proxy_protocol: ["%[1]s"]` + "\n"
	})
	w.untouchedOctets(t, func() {
		for _, header := range []string{"", announced, localV2} {
			if answer := w.raw(header + w.open("GET", "/any/x")); answer != "" {
				t.Errorf("answered %q", answer)
			}
		}
	})
	w.rewrite("trusted_proxies: [10.0.0.0/8]", "trusted_proxies: [127.0.0.1]")
	w.gateway.tryReload("test")
	if answer := w.raw(announced + w.open("GET", "/any/x", "Connection: close")); !strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Errorf("answered %q", answer)
	}
}

func TestProxyProtocolUnderOtherProtocols(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := writePair(t, certFile, keyFile, 1)
	plain := newFixture(t, balanced())
	secure := newFixture(t, balanced("tls: {cert_file: "+certFile+", key_file: "+keyFile+"}"))
	for _, row := range []struct {
		name, scheme string
		fixture      *fixture
		protocols    *http.Protocols
		header       string
	}{
		{"h2c", "http", plain, protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), announced},
		{"HTTP/1.1 over TLS", "https", secure, protocols(func(p *http.Protocols) { p.SetHTTP1(true) }), announcedV2},
		{"h2", "https", secure, protocols(func(p *http.Protocols) { p.SetHTTP2(true) }), announced},
	} {
		t.Run(row.name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(cert)
			transport := &http.Transport{Protocols: row.protocols, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err == nil {
					_, err = io.WriteString(conn, row.header)
				}
				return conn, err
			}
			defer transport.CloseIdleConnections()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, row.scheme+"://"+row.fixture.address+"/open/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			want := map[string]string{announced: "6.6.6.6", announcedV2: "7.7.7.7"}[row.header]
			if got := row.fixture.upstream.last().Header.Get("X-Forwarded-For"); resp.StatusCode != http.StatusOK || got != want {
				t.Errorf("%d, and the upstream saw %q", resp.StatusCode, got)
			}
		})
	}
}
