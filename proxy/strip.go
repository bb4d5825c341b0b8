package proxy

import (
	"net/http"
	"strings"
)

// class says what a field name means to us.
type class uint8

const (
	ordinary   class = iota
	identity         // ours to set: never taken from a client
	forwarding       // speaks for another hop: only from a trusted peer
	forbidden        // must not reach the upstream from anybody
	owned            // means something in one spelling only: other spellings go
)

// exact and prefixes classify names in the form of normalName. Servers fold
// spellings onto each other (CGI turns X-A, X_A and x.a into one variable), so
// a name is judged by what it could be read as.
var exact = map[string]class{
	"forwarded": forwarding, "x-real-ip": forwarding, "true-client-ip": forwarding, "cf-connecting-ip": forwarding,
	"x-client-ip": forwarding, "x-cluster-client-ip": forwarding, "fastly-client-ip": forwarding, "x-skipper-proxy": forwarding,
	"client-cert": forbidden, "client-cert-chain": forbidden, "x-forwarded-client-cert": forbidden, "ssl-client-cert": forbidden,
	"x-http-method-override": forbidden, "x-http-method": forbidden, "x-method-override": forbidden,
	// Balancers let these through as clients wrote them: what some frameworks
	// take for the target, others for the caller.
	"x-original-url": forbidden, "x-original-uri": forbidden, "x-original-method": forbidden, "x-rewrite-url": forbidden, "x-rewrite-uri": forbidden,
	"x-forwarded-user": forbidden, "x-forwarded-email": forbidden, "x-forwarded-groups": forbidden,
	"x-forwarded-preferred-username": forbidden, "x-forwarded-access-token": forbidden,
	"proxy": forbidden, "proxy-authorization": forbidden, "http2-settings": forbidden, "dpop": forbidden,
	"upgrade": forbidden, "trailer": forbidden,
	"authorization": owned, "host": owned, "content-length": owned, "content-type": owned, "transfer-encoding": owned,
	"connection": owned, "keep-alive": owned, "proxy-connection": owned, "te": owned, "expect": owned, "cookie": owned, "via": owned,
}

var prefixes = []struct {
	prefix string
	class  class
}{
	{"x-auth-", identity},
	{"x-forwarded-tls-client-cert", forbidden}, {"x-forwarded-client-cert", forbidden},
	{"x-forwarded-", forwarding}, {"x-original-", forwarding}, {"x-rewrite-", forwarding}, {"x-envoy-", forwarding},
	{"x-client-cert", forbidden}, {"client-cert", forbidden}, {"x-ssl-", forbidden}, {"ssl-client-", forbidden},
	{"x-amzn-mtls-", forbidden}, {"x-arr-clientcert", forbidden}, {"cf-client-cert", forbidden},
	{"x-tls-client-", forbidden}, {"tls-client-", forbidden},
}

// longName is more than any name or prefix above has.
const longName = 64

// normalName writes name in lower case with every octet that is no letter or
// digit as a hyphen, up to longName octets, into buffer.
func normalName(buffer *[longName]byte, name string) []byte {
	n := min(len(name), longName)
	for i := range n {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			c = '-'
		}
		buffer[i] = c
	}
	return buffer[:n]
}

// NormalName is the form in which field names are compared when the gate
// looks for spellings of its own: two names with one normal form are one name
// to some server.
func NormalName(name string) string {
	var buffer [longName]byte
	if len(name) <= longName {
		return string(normalName(&buffer, name))
	}
	return string(normalName(&buffer, name)) + strings.ToLower(name[longName:])
}

// A usualName is what classify finds out about a name, less what is configured.
type usualName struct {
	normal string
	class  class
}

// usual judges ahead of any request the names that most requests have, as net/http
// writes them.
var usual = judgeUsual(
	"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Cookie", "Dpop", "Host",
	"If-Modified-Since", "If-None-Match", "Idempotency-Key", "Origin", "Pragma", "Priority", "Range", "Referer",
	"Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Traceparent", "Tracestate", "User-Agent", "Via", "X-Forwarded-Port", "X-Real-Ip", "X-Request-Id",
)

func judgeUsual(names ...string) map[string]usualName {
	judged := make(map[string]usualName, len(names))
	for _, name := range names {
		var buffer [longName]byte
		normal := normalName(&buffer, name)
		judged[name] = usualName{string(normal), classOf(normal)}
	}
	return judged
}

// classify judges a name. ours holds further identity names in normal form.
func classify(name string, ours map[string]bool) class {
	if known, found := usual[name]; found {
		if ours[known.normal] {
			return identity
		}
		return known.class
	}
	var buffer [longName]byte
	normal := normalName(&buffer, name)
	if ours[string(normal)] {
		return identity
	}
	return classOf(normal)
}

// classOf judges a name in normal form.
func classOf(normal []byte) class {
	if c, found := exact[string(normal)]; found {
		return c
	}
	if len(normal) < 5 || (normal[0] != 'x' && normal[0] != 'c' && normal[0] != 's' && normal[0] != 't') {
		return ordinary
	}
	for _, p := range prefixes {
		if strings.HasPrefix(string(normal), p.prefix) {
			return p.class
		}
	}
	return ordinary
}

// strip removes from h what the client may not tell the upstream. It runs on
// every request that is forwarded, whatever its route.
func strip(h http.Header, ours map[string]bool, trusted bool) {
	for name := range h {
		switch classify(name, ours) {
		case ordinary:
		case identity, forbidden:
			delete(h, name)
		case forwarding:
			if !trusted || !isPlain(name) {
				delete(h, name)
			}
		case owned:
			if !isPlain(name) {
				delete(h, name)
			}
		}
	}
}

// dropHearsay removes what speaks for another hop, where the proxy that introduces a
// request is not trusted to have removed its client's. Left is what proxies that ask
// write in any case, Envoy's own fields only by Envoy. It runs after strip, which leaves
// no odd spelling.
func dropHearsay(h http.Header, envoy bool) {
	for name := range h {
		if classify(name, nil) == forwarding && name != "X-Forwarded-For" && name != "X-Forwarded-Proto" && !(envoy && strings.HasPrefix(name, "X-Envoy-")) {
			delete(h, name)
		}
	}
}

// impersonates tells a name in which a client speaks for the gate or for a proxy,
// or changes what the upstream takes for the request.
func impersonates(name string, ours map[string]bool) bool {
	c := classify(name, ours)
	return c == identity || c != ordinary && !isPlain(name) || overrides[NormalName(name)]
}

// overrides are names that some frameworks take for the method, the target or the
// caller, in normal form.
var overrides = map[string]bool{
	"x-http-method-override": true, "x-http-method": true, "x-method-override": true,
	"x-original-url": true, "x-original-uri": true, "x-original-method": true, "x-rewrite-url": true, "x-rewrite-uri": true,
	"x-forwarded-user": true, "x-forwarded-email": true, "x-forwarded-groups": true,
	"x-forwarded-preferred-username": true, "x-forwarded-access-token": true,
}

// isPlain tells the registered spelling of a name from those that servers
// fold onto it. net/http has brought the letters into one case already.
func isPlain(name string) bool {
	for _, c := range []byte(name) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
