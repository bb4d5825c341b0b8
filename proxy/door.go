package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// enter takes a request through the door: method, target, host, path and the
// size of its head, each before anything that costs more. It fills in ex and
// returns nil, or the refusal.
func (ex *exchange) enter(site *Site, r *http.Request) *token.Error {
	if r.ProtoMajor == 1 && r.ProtoMinor > 1 {
		return token.Refuse(token.WrongVersion, token.ReasonVersion)
	}
	ex.trace.Text(token.ReasonMethod, r.Method)
	if !token.IsToken(r.Method) { // over HTTP/2 net/http takes anything for a method
		return token.Refuse(token.InvalidRequest, token.ReasonMethod)
	}
	if strings.EqualFold(r.Method, http.MethodConnect) || strings.EqualFold(r.Method, http.MethodTrace) {
		return token.Refuse(token.MethodNotAllowed, token.ReasonMethod)
	}
	ex.trace.Count(token.ReasonTarget, len(r.RequestURI), "octets")
	if len(r.RequestURI) > ex.table.Limits.Target {
		return token.Refuse(token.TargetTooLong, token.ReasonTarget)
	}
	target, ok := splitTarget(r.RequestURI)
	if !ok || r.ProtoMajor == 2 && r.RequestURI[0] != '/' { // there the authority has its own field
		return token.Refuse(token.InvalidRequest, token.ReasonTarget)
	}
	ex.trace.Text(token.ReasonHost, r.Host)
	host, ok := NormalHost(r.Host)
	if !ok || !oneHost(r.Header["Host"], host) {
		return token.Refuse(token.InvalidRequest, token.ReasonHost)
	}
	if ex.gate = site.gate(host); ex.gate == nil {
		return token.Refuse(token.Misdirected, token.ReasonHost)
	}
	ex.trace.Text(token.ReasonPath, target.path)
	path, astray, refusal := ex.gate.path(host, target.path)
	if refusal != nil {
		return refusal
	}
	if r.ProtoMajor == 2 && !oneLength(r.Header["Content-Length"]) {
		return token.Refuse(token.InvalidRequest, token.ReasonBody)
	}
	if !ex.table.Limits.allow(r.Header) {
		return token.Refuse(token.HeaderTooLarge, token.ReasonHeaderSection)
	}
	if wentRound(r.Header["Via"], ex.table.name()) {
		return token.Refuse(token.LoopDetected, token.ReasonLoop)
	}
	if ex.trusted = ex.table.Trusted.Trusts(ex.speaker(r)); ex.trusted {
		if refusal := early(r); refusal != nil {
			return refusal
		}
	}
	ex.query = target.query
	ex.request = Request{
		Request: policy.Request{Method: r.Method, Host: host, Path: path, Header: r.Header, Sender: ex},
		RawPath: target.path, RawQuery: strings.TrimPrefix(target.query, "?"),
		Authorization: r.Header["Authorization"], Proofs: r.Header["Dpop"], Content: r.ContentLength != 0, Payer: ex, Trace: ex.trace,
		astray: astray,
	}
	ex.request.Certificate, ex.request.CertificateFault = ex.table.certificate(r, ex.trusted)
	return nil
}

type target struct {
	path  string
	query string // with its question mark
}

// splitTarget cuts a request target in origin-form or absolute-form (RFC 9112
// section 3.2), without decoding anything. The authority of an absolute-form
// is already the request's host by then (section 3.2.2).
func splitTarget(uri string) (target, bool) {
	if uri != "" && uri[0] != '/' {
		scheme, rest, found := strings.Cut(uri, "://")
		if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return target{}, false
		}
		at := strings.IndexAny(rest, "/?")
		if at == 0 || rest == "" {
			return target{}, false
		}
		authority := rest
		uri = "/"
		if at > 0 {
			authority, uri = rest[:at], rest[at:]
		}
		if strings.IndexByte(authority, '@') >= 0 {
			return target{}, false
		}
		if uri[0] == '?' {
			uri = "/" + uri
		}
	}
	// A raw number sign is cut off by some servers and not by others.
	if uri == "" || strings.ContainsAny(uri, "# \x7f") {
		return target{}, false
	}
	if at := strings.IndexByte(uri, '?'); at >= 0 {
		return target{uri[:at], uri[at:]}, true
	}
	return target{uri, ""}, true
}

// allow counts field lines and octets as an upstream would see them.
func (l Limits) allow(h http.Header) bool {
	lines, octets := 0, 0
	for name, values := range h {
		lines += len(values)
		for _, v := range values {
			octets += len(name) + len(v) + 4
		}
	}
	return lines <= l.HeaderFields && octets <= l.HeaderSection
}

// PeerOf is the address at the other end of the connection of r, or the zero Addr
// where RemoteAddr tells none.
func PeerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
