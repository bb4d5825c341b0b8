// Package forwardauth is the door at which nginx, Traefik, Caddy and their like ask
// over HTTP about requests that they hold. A question is a request of its own, whose
// header is the client's and says in a few fields more what the client asked for.
// The answer is 200 with the fields that the proxy is to copy, or what the client is
// to be told.
//
// None of these proxies takes away a field that the answer does not have under all
// circumstances, so the Checker is to be one that Copies.
package forwardauth

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// A Form is a way to ask.
type Form uint8

// The forms.
const (
	// XForwarded says the request in X-Forwarded-Method, -Proto, -Host and -Uri,
	// and passes every answer on that is not 2xx.
	XForwarded Form = iota
	// XOriginal says it in X-Original-Method and X-Original-URL, and knows 200, 401
	// and 403 only.
	XOriginal
)

// HeaderStatus is the status that an answer stands for, where the form or what the
// proxy would take it for has it sent with another.
const HeaderStatus = "X-Wicketgate-Status"

// wellKnown begins the paths at which the door answers clients by itself: proxies
// cannot relay an answer of 200.
const wellKnown = "/.well-known/oauth-protected-resource"

// Options are what a door is made of.
type Options struct {
	Checker *proxy.Checker
	Form    Form
}

// New makes the handler of a door.
func New(o Options) http.Handler { return &door{o} }

type door struct{ Options }

// ServeHTTP implements http.Handler. The method, the target and the body of the
// question itself mean nothing.
func (d *door) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	asker := proxy.PeerOf(q)
	if !d.Checker.MayAsk(asker) {
		d.send(w, d.Checker.Decline(q, token.Refuse(token.Forbidden, token.ReasonAsker)))
		return
	}
	r, ok := d.read(q)
	published := strings.HasPrefix(q.URL.Path, wellKnown)
	if published && !asks(q.Header) {
		d.publish(w, asker, q)
		return
	}
	if !ok || published { // where clients are let in, the fields of a question are theirs
		d.send(w, d.Checker.Decline(r, token.Refuse(token.InvalidRequest, token.ReasonQuestion)))
		return
	}
	d.send(w, d.Checker.Check(asker, r))
}

// publish answers a request that was sent here to be answered, which is only done
// where no token has a part in it.
func (d *door) publish(w http.ResponseWriter, asker netip.Addr, q *http.Request) {
	r := d.request(q)
	r.Method, r.RequestURI, r.Host = q.Method, q.RequestURI, q.Host
	c := d.Checker.Check(asker, r)
	if c.Allowed { // it is no question, and nothing is forwarded from here
		c = d.Checker.Decline(r, token.Refuse(token.InvalidRequest, token.ReasonQuestion))
	}
	write(w, c, c.Status)
}

// send answers a question. What is no leave to forward never has a status of 2xx.
func (d *door) send(w http.ResponseWriter, c *proxy.Checked) {
	h := w.Header()
	if c.Allowed {
		maps.Copy(h, c.Set)
		write(w, c, http.StatusOK)
		return
	}
	status := c.Means
	if status < 300 || d.Form == XOriginal && status < 500 && status != http.StatusUnauthorized {
		status = http.StatusForbidden
	}
	h[HeaderStatus] = []string{strconv.Itoa(c.Means)}
	if lines := c.Header[challenge]; d.Form == XOriginal && len(lines) > 1 { // nginx before 1.23 passes the first line on only
		c.Header[challenge] = []string{strings.Join(lines, ", ")}
	}
	write(w, c, status)
}

func write(w http.ResponseWriter, c *proxy.Checked, status int) {
	maps.Copy(w.Header(), c.Header)
	w.WriteHeader(status)
	_, _ = w.Write(c.Body) // a proxy that has gone needs no answer
}

// The fields of both forms, as http.CanonicalHeaderKey writes them.
const (
	forwardedMethod = "X-Forwarded-Method"
	forwardedProto  = "X-Forwarded-Proto"
	forwardedHost   = "X-Forwarded-Host"
	forwardedURI    = "X-Forwarded-Uri"
	originalMethod  = "X-Original-Method"
	originalURL     = "X-Original-Url"
	originalURI     = "X-Original-Uri"
	challenge       = "Www-Authenticate"
)

// asks tells a question from a request that was sent here by itself.
func asks(h http.Header) bool {
	for _, name := range [...]string{forwardedMethod, forwardedURI, originalMethod, originalURL, originalURI} {
		if h[name] != nil {
			return true
		}
	}
	return false
}

// question is a request as the proxy tells it.
type question struct{ method, proto, host, uri string }

// read finds out what the client asked for. Where that is not ok, the request has
// no more than its header.
func (d *door) read(q *http.Request) (r *http.Request, ok bool) {
	r = d.request(q)
	said, ok := d.said(q.Header)
	if !ok || contradicted(q.Header, d.Form, said) {
		return r, false
	}
	r.Method, r.RequestURI, r.Host = said.method, said.uri, said.host
	r.ContentLength = length(r)
	if said.uri[0] != '/' || said.proto != "http" && said.proto != "https" {
		return r, false
	}
	return r, true
}

// said reads the fields of the form, each of which must be there once.
func (d *door) said(h http.Header) (said question, ok bool) {
	names, into := []string{forwardedMethod, forwardedURI, forwardedProto, forwardedHost}, []*string{&said.method, &said.uri, &said.proto, &said.host}
	if d.Form == XOriginal {
		names = []string{originalMethod, originalURL}
	}
	for i, name := range names {
		lines, to := h[name], into[i]
		if len(lines) != 1 || lines[0] == "" {
			return question{}, false
		}
		*to = lines[0]
	}
	if d.Form == XForwarded {
		said.proto = strings.ToLower(said.proto)
		return said, true
	}
	return said, said.cut()
}

// cut takes scheme and host off a target that is a whole URL.
func (s *question) cut() bool {
	proto, rest, found := strings.Cut(s.uri, "://")
	at := strings.IndexAny(rest, "/?#")
	if !found || at <= 0 || rest[at] != '/' {
		return false
	}
	s.proto, s.host, s.uri = strings.ToLower(proto), rest[:at], rest[at:]
	return true
}

// contradicted reports whether fields of the other form are there and say something
// else: one of both is the client's word then, and nobody knows which.
func contradicted(h http.Header, f Form, said question) bool {
	differs := func(name, want string) bool {
		return slices.ContainsFunc(h[name], func(line string) bool { return line != want })
	}
	if f == XOriginal {
		return differs(forwardedMethod, said.method) || differs(forwardedURI, said.uri) || differs(originalURI, said.uri)
	}
	return differs(originalMethod, said.method) || differs(originalURI, said.uri) || differs(originalURL, said.proto+"://"+said.host+said.uri)
}

// request makes the request that a question is about, less what the proxy says of
// it: its header without the question, and the address of the client.
func (d *door) request(q *http.Request) *http.Request {
	r := q.Clone(q.Context())
	r.URL, r.Body, r.TLS, r.TransferEncoding, r.Trailer = nil, nil, nil, nil, nil
	r.Method, r.RequestURI, r.Host = "", "", ""
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1 // what the client spoke is not told
	h := r.Header
	if client := d.Checker.ClientOf(proxy.PeerOf(q), h); client.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
	}
	for _, name := range [...]string{forwardedMethod, forwardedURI, originalMethod, originalURL, originalURI, "Connection"} {
		delete(h, name) // of the question: the client's Connection ended at the proxy
	}
	if h["Upgrade"] == nil { // most leave out what is for one hop, and nginx does so in what it forwards too
		switch {
		case h["Sec-Websocket-Key"] != nil:
			h["Upgrade"] = []string{"websocket"}
		case h["Http2-Settings"] != nil && d.Form == XForwarded:
			h["Upgrade"] = []string{"h2c"}
		}
	}
	if h["Upgrade"] != nil {
		h["Connection"] = []string{"Upgrade"}
	}
	return r
}

// length is what the client says of its body, as far as that was passed on: proxies
// that ask leave the body out, and its length with it.
func length(r *http.Request) int64 {
	lines := r.Header["Content-Length"]
	if len(lines) == 1 {
		if n, err := strconv.ParseUint(lines[0], 10, 63); err == nil { // no sign (RFC 9110 section 8.6)
			return int64(n)
		}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return 0
	}
	return -1
}
