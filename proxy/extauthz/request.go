package extauthz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/wicketgate/wicketgate/token"
)

// request is the request that a proxy holds, as proxy.Checker wants it. It is not
// ok where the proxy does not describe one, or says in two ways what it is.
//
// The body is not looked at, even where the proxy sends the beginning of it.
func request(ctx context.Context, a *authv3.AttributeContext) (r *http.Request, ok bool) {
	said := a.GetRequest().GetHttp()
	if said == nil || said.Query != "" || said.Fragment != "" { // a query that is not in the path would be one that nobody looked at
		return nil, false
	}
	r = &http.Request{Method: said.Method, RequestURI: said.Path, Host: said.Host, RemoteAddr: client(a.GetSource())}
	if r.ProtoMajor, r.ProtoMinor, ok = version(said.Protocol); !ok {
		return nil, false
	}
	if r.Header, ok = header(said); !ok {
		return nil, false
	}
	if r.TLS, ok = connection(a.GetSource()); !ok {
		return nil, false
	}
	r.ContentLength = length(said, r.Header)
	return r.WithContext(ctx), true
}

// version reads the protocol's name. HTTP/3 says of a request what HTTP/2 does, in
// the same fields, and is judged like it.
func version(protocol string) (major, minor int, known bool) {
	switch protocol {
	case "HTTP/1.1", "":
		return 1, 1, true
	case "HTTP/1.0":
		return 1, 0, true
	case "HTTP/2", "HTTP/3":
		return 2, 0, true
	}
	return 0, 0, false
}

// header collects the fields, in the form with a line for each (encode_raw_headers)
// or in that where those of one name are joined by commas. What was joined stays so:
// no field that is only good once has a comma in it.
func header(said *authv3.AttributeContext_HttpRequest) (http.Header, bool) {
	lines := said.GetHeaderMap().GetHeaders()
	if len(lines) > 0 && len(said.Headers) > 0 {
		return nil, false
	}
	h := make(http.Header, len(said.Headers)+len(lines))
	for name, value := range said.Headers {
		if !add(h, said, name, value) {
			return nil, false
		}
	}
	for _, line := range lines {
		value := line.GetValue()
		if len(line.GetRawValue()) > 0 {
			if value != "" {
				return nil, false
			}
			value = string(line.GetRawValue())
		}
		if !add(h, said, line.GetKey(), value) {
			return nil, false
		}
	}
	return h, true
}

// add takes a field into h. A pseudo-header field has to say what its attribute says.
func add(h http.Header, said *authv3.AttributeContext_HttpRequest, name, value string) bool {
	if strings.HasPrefix(name, ":") {
		switch name {
		case ":method":
			return value == said.Method
		case ":path":
			return value == said.Path
		case ":authority":
			return value == said.Host
		case ":scheme":
			return said.Scheme == "" || value == said.Scheme
		}
		return false
	}
	if !token.IsToken(name) || strings.ContainsFunc(value, isControl) {
		return false
	}
	name = http.CanonicalHeaderKey(name)
	h[name] = append(h[name], value)
	return true
}

// isControl tells what no field value has (RFC 9110 section 5.5).
func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// length is that of the body as far as it is known. Envoy sets size to what it has
// read so far, so a size of 0 means little.
func length(said *authv3.AttributeContext_HttpRequest, h http.Header) int64 {
	switch lines := h["Content-Length"]; {
	case len(lines) == 1:
		n, err := strconv.ParseUint(lines[0], 10, 63) // no sign (RFC 9110 section 8.6)
		if err != nil {
			return -1
		}
		return int64(n)
	case len(lines) > 1, h["Transfer-Encoding"] != nil, said.Size != 0, said.Body != "", len(said.RawBody) > 0:
		return -1
	}
	return 0
}

// client is the address of who sent the request to the proxy, as it is in
// http.Request; empty where the proxy names none.
func client(source *authv3.AttributeContext_Peer) string {
	at := source.GetAddress().GetSocketAddress()
	if at.GetProtocol() != corev3.SocketAddress_TCP || net.ParseIP(at.GetAddress()) == nil {
		return ""
	}
	return net.JoinHostPort(at.GetAddress(), strconv.FormatUint(uint64(at.GetPortValue()), 10))
}

// maxCertificate bounds the text of a certificate, in octets.
const maxCertificate = 16 << 10

// connection is the connection of a client that has shown the proxy a certificate
// (include_peer_certificate); nil where it has shown none.
func connection(source *authv3.AttributeContext_Peer) (*tls.ConnectionState, bool) {
	text := source.GetCertificate()
	if text == "" {
		return nil, true
	}
	if len(text) > maxCertificate {
		return nil, false
	}
	armour, err := url.PathUnescape(text) // not QueryUnescape: base64 has plus signs
	if err != nil {
		return nil, false
	}
	block, rest := pem.Decode([]byte(armour))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || len(rest) > 0 || !strings.HasPrefix(armour, "-----BEGIN") {
		return nil, false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, false
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}, true
}
