package proxy

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// Sources are the places an operator opens for a token beside the
// Authorization field. The zero Sources opens none. A token from any of them is
// a bearer token, and a request with two of them, or one beside Authorization,
// is refused (RFC 6750 section 2).
type Sources struct {
	Cookie    string // a cookie's name
	Header    string // name, as http.CanonicalHeaderKey writes it, of a field with the bare token; Forward.Ours must know it too
	Query     bool   // access_token in the query, RFC 6750 section 2.3
	Body      bool   // access_token in a form, RFC 6750 section 2.2
	WebSocket bool   // Sec-WebSocket-Protocol of a handshake

	// Origins are those whose pages may do more with the cookie than read, as
	// browsers write them (RFC 6454 section 6.2).
	Origins []string
}

func (s *Sources) on() bool {
	return s.Cookie != "" || s.Header != "" || s.Query || s.Body || s.WebSocket
}

// used reports whether a token is in any open place.
func (s *Sources) used(req *Request) bool {
	if !s.on() {
		return false
	}
	p := s.presented(req)
	return p.count > 0
}

// presented is what a request brings in the places of its Sources.
type presented struct {
	count   int    // tokens, in any place
	text    string // the last one, decoded
	ambient bool   // a browser sends it by itself, whoever asks it to
}

func (p *presented) add(text string) {
	p.count++
	p.text = text
}

// choose returns the one credential of a request, given what its Authorization
// field holds.
func (s *Sources) choose(req *Request, field token.Credential) (token.Credential, *token.Error) {
	p := s.presented(req)
	switch {
	case p.count == 0:
		return field, nil
	case p.count > 1 || field.Present():
		return field, token.Refuse(token.InvalidRequest, token.ReasonTwoMethods).Using(field.Scheme | token.Bearer)
	case p.ambient && changes(req) && !s.fromOwnPage(req.Header):
		return field, token.Refuse(token.Forbidden, token.ReasonCrossSite)
	}
	return token.ReadBare(p.text)
}

// presented looks into every open place. What cannot be decoded is presented
// all the same, as a text that no token has.
func (s *Sources) presented(req *Request) presented {
	var p presented
	if s.Cookie != "" {
		cookies := cookiesNamed(s.Cookie, req.Header["Cookie"])
		p.ambient = addFilled(&p, cookies)
	}
	if s.Header != "" {
		addFilled(&p, req.Header[s.Header])
	}
	if s.Query {
		addParameters(&p, req.RawQuery)
	}
	if s.Body {
		addParameters(&p, req.Form)
	}
	if s.WebSocket && isHandshake(req) {
		carried, _ := splitProtocols(req.Header[protocolField])
		for _, text := range carried {
			p.add(text)
		}
	}
	return p
}

// addFilled takes a single empty value for none: so browsers and proxies clear
// what they cannot remove. It reports whether anything was added.
func addFilled(p *presented, values []string) bool {
	if len(values) == 1 && values[0] == "" {
		return false
	}
	for _, text := range values {
		p.add(text)
	}
	return len(values) > 0
}

// changes reports whether a request may do more than read (RFC 9110 section
// 9.2.1). A handshake does: what follows it is two-way and free of the rules
// that keep other sites from reading.
func changes(req *Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		return true
	}
	return slices.ContainsFunc(req.Header["Upgrade"], func(line string) bool {
		return strings.Contains(strings.ToLower(line), "websocket")
	})
}

// fromOwnPage reports whether a browser says that a page of an origin that may
// do so made the request. No word from a browser is not enough: a cookie is
// for browsers, and all of them say it.
func (s *Sources) fromOwnPage(h http.Header) bool {
	if site := h["Sec-Fetch-Site"]; len(site) == 1 && (site[0] == "same-origin" || site[0] == "none") {
		return true
	}
	origin := h["Origin"]
	return len(origin) == 1 && slices.Contains(s.Origins, origin[0])
}

// clean takes out of the header what could be a token in an open place. It runs
// on every request that is forwarded: the upstream would believe what nobody
// proved. The field named by Header goes with those that only we may set.
func (s *Sources) clean(h http.Header) {
	if s.Cookie != "" {
		setLines(h, "Cookie", cookiesWithout(s.Cookie, h["Cookie"]))
	}
	if !s.WebSocket {
		return
	}
	if carried, others := splitProtocols(h[protocolField]); len(carried) > 0 {
		var lines []string
		if len(others) > 0 {
			lines = []string{strings.Join(others, ", ")}
		}
		setLines(h, protocolField, lines)
	}
	var buffer [longName]byte
	for name := range h {
		if !isPlain(name) && string(normalName(&buffer, name)) == "sec-websocket-protocol" {
			delete(h, name)
		}
	}
}

func setLines(h http.Header, name string, lines []string) {
	if len(lines) == 0 {
		delete(h, name)
		return
	}
	h[name] = lines
}

const protocolField = "Sec-Websocket-Protocol"

// isHandshake tells the opening handshake of RFC 6455 section 4.1.
func isHandshake(req *Request) bool {
	return req.Method == http.MethodGet && hasElement(req.Header["Upgrade"], "websocket") && hasElement(req.Header["Connection"], "upgrade")
}

// hasElement reports whether a list-based field has an element, whatever the
// case of its letters.
func hasElement(lines []string, element string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(one, " \t"), element) {
				return true
			}
		}
	}
	return false
}

// encodedBearer begins a subprotocol that is a token in base64url, as
// Kubernetes takes it: tokens may hold characters that subprotocols may not.
const encodedBearer = "base64url.bearer.authorization.k8s.io."

// splitProtocols tells the tokens among the subprotocols of a handshake from
// the others. A token follows encodedBearer, or is the element after one that
// is bearer or access_token.
func splitProtocols(lines []string) (carried, others []string) {
	var all []string
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.Trim(one, " \t"); one != "" {
				all = append(all, one)
			}
		}
	}
	for i := 0; i < len(all); i++ {
		if len(all[i]) >= len(encodedBearer) && strings.EqualFold(all[i][:len(encodedBearer)], encodedBearer) {
			text, err := base64.RawURLEncoding.Strict().DecodeString(all[i][len(encodedBearer):])
			if err != nil {
				text = nil
			}
			carried = append(carried, string(text))
			continue
		}
		if strings.EqualFold(all[i], "bearer") || strings.EqualFold(all[i], "access_token") {
			i++
			text := ""
			if i < len(all) {
				text = all[i]
			}
			carried = append(carried, text)
			continue
		}
		others = append(others, all[i])
	}
	return carried, others
}

// upstreamQuery is the query as the client sent it, less the token. One that is
// refused does not go on, wherever it is.
func (ex *exchange) upstreamQuery() string {
	if !ex.gate.Sources.Query && !ex.reported() {
		return ex.request.RawQuery
	}
	return withoutToken(ex.request.RawQuery)
}

// cleanSources leaves no token in an open place. Where the upstream is to have
// a proven one, it finds it in the Authorization field.
func (ex *exchange) cleanSources(h http.Header) {
	s := &ex.gate.Sources
	if !s.on() {
		return
	}
	s.clean(h)
	if !ex.forward.token || ex.decision.Principal == nil {
		return
	}
	if p := s.presented(&ex.request); p.count == 1 {
		h["Authorization"] = []string{"Bearer " + p.text}
	}
}

// keepPrivate keeps shared caches from storing an answer under an address with
// a token in it (RFC 6750 section 2.3), and one that a token from another place
// than Authorization was for: of those, caches do not know what RFC 9111 section
// 3.5 has them do for that field.
func keepPrivate(resp *http.Response) {
	ex := exchangeOf(resp.Request.Context())
	if ex == nil || resp.StatusCode/100 != 2 {
		return
	}
	lines := resp.Header["Cache-Control"]
	inAddress := ex.upstreamQuery() != ex.request.RawQuery
	byPlace := ex.decision.Principal != nil && ex.gate.Sources.used(&ex.request)
	if !inAddress && !byPlace {
		return
	}
	dropTargeted(resp.Header)
	if !hasElement(lines, "no-store") && !hasElement(lines, "private") {
		resp.Header["Cache-Control"] = append(slices.Clone(lines), "private")
	}
}
