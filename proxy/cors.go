package proxy

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/policy"
	"github.com/wicketgate/wicketgate/token"
)

// The fields of the CORS protocol (Fetch standard, "HTTP responses" of the CORS
// protocol).
const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
	allowMethods     = "Access-Control-Allow-Methods"
	allowHeaders     = "Access-Control-Allow-Headers"
	exposeHeaders    = "Access-Control-Expose-Headers"
	maxAge           = "Access-Control-Max-Age"
	requestMethod    = "Access-Control-Request-Method"
)

// A Preflight says what becomes of preflights.
type Preflight uint8

// What can become of them.
const (
	PreflightNeedsToken Preflight = iota // like any request
	AnswerPreflight                      // the gate answers
	ForwardPreflight                     // the upstream answers; it is told of no caller
)

// CORSOptions is what scripts of other origins may do at a resource.
type CORSOptions struct {
	Preflight   Preflight
	Origins     []string // compared exactly; "null" only when it is in it
	Own         []string // the resource's own origins, which Strict lets in
	Strict      bool     // refuse requests of any other origin
	Credentials bool     // scripts may send cookies along

	Methods []string      // told to preflights; none: those of the route
	Headers []string      // told to preflights beside those a token needs
	Expose  []string      // readable by scripts beside those a challenge needs
	MaxAge  time.Duration // of a preflight's answer, whole seconds
}

// CORS is the CORS protocol of one resource, rendered once.
type CORS struct {
	options   CORSOptions
	listed    map[string]bool
	own       map[string]bool
	exposed   string
	preflight []http.Header // by Route.Index, less what depends on the origin
}

// NewCORS renders the answers to preflights for each route.
func NewCORS(o CORSOptions, routes []*policy.Route) *CORS {
	c := &CORS{
		options: o, listed: make(map[string]bool), own: make(map[string]bool),
		exposed: strings.Join(slices.Concat([]string{"WWW-Authenticate", "DPoP-Nonce"}, o.Expose), ", "),
	}
	for _, origin := range o.Origins {
		c.listed[origin] = true
	}
	for _, origin := range o.Own {
		c.own[origin] = true
	}
	// A star would cover neither Authorization nor anything at all where
	// cookies are sent.
	headers := strings.Join(slices.Concat([]string{"Authorization", "DPoP", "Content-Type"}, o.Headers), ", ")
	for _, r := range routes {
		c.preflight = append(c.preflight, http.Header{
			allowMethods: {methodsOf(o, r)},
			allowHeaders: {headers},
			maxAge:       {strconv.Itoa(int(o.MaxAge / time.Second))},
		})
	}
	return c
}

func methodsOf(o CORSOptions, r *policy.Route) string {
	methods := r.Methods
	switch {
	case len(o.Methods) > 0:
		methods = o.Methods
	case len(methods) == 0:
		return allowed
	case slices.Contains(methods, http.MethodGet) && !slices.Contains(methods, http.MethodHead):
		methods = slices.Concat(methods, []string{http.MethodHead})
	}
	return strings.Join(methods, ", ")
}

// preflightOf tells a CORS preflight from any other OPTIONS, and for which
// method it asks. A browser never sends credentials or content with one, so a
// request that has any is held to what it brings.
func preflightOf(req *Request) (method string, ok bool) {
	if req.Method != http.MethodOptions || len(req.Header["Origin"]) != 1 || len(req.Header[requestMethod]) != 1 {
		return "", false
	}
	if req.Content || len(req.Authorization) > 0 || len(req.Proofs) > 0 || req.Header["Cookie"] != nil || hasQueryToken(req.RawQuery) {
		return "", false
	}
	method = req.Header[requestMethod][0]
	return method, method != ""
}

// ahead decides what no token has a part in: the metadata, requests of origins
// that are not wanted, and preflights. It reports whether d is decided.
func (g *Gate) ahead(req *Request, d *Decision) bool {
	if g.Metadata != nil && g.Metadata.asked(req) {
		g.Metadata.decide(req, d)
		return true
	}
	if g.CORS == nil {
		return false
	}
	if g.CORS.unwanted(req.Header["Origin"]) {
		d.Refusal = token.Refuse(token.Forbidden, token.ReasonOrigin)
		return true
	}
	method, ok := preflightOf(req)
	if !ok || g.CORS.options.Preflight == PreflightNeedsToken || g.Sources.used(req) {
		return false
	}
	d.Route = g.Policy.Route(method, req.Host, req.Path)
	req.Trace.Text(token.ReasonNoRoute, cmp.Or(d.Route.Path, "none"))
	switch {
	case !d.Route.Matched():
		d.Refusal = token.Refuse(token.NotFound, token.ReasonNoRoute)
	case g.CORS.options.Preflight == AnswerPreflight:
		d.Verdict, d.Reply = Answered, g.CORS.answer(req.Header["Origin"][0], d.Route)
	default:
		d.Verdict = Allowed
	}
	return true
}

// unwanted reports whether Strict refuses these Origin lines. A page of the
// resource's own is no other origin.
func (c *CORS) unwanted(origins []string) bool {
	if !c.options.Strict || len(origins) == 0 {
		return false
	}
	return len(origins) > 1 || !c.listed[origins[0]] && !c.own[origins[0]]
}

// answer is what a preflight is answered. An origin that is not listed is told
// nothing, which is a no to its browser.
func (c *CORS) answer(origin string, route *policy.Route) *Reply {
	h := http.Header{"Vary": {"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}}
	if c.listed[origin] {
		maps.Copy(h, c.preflight[route.Index()])
		c.allow(h, origin)
	}
	return &Reply{Status: http.StatusNoContent, Header: h}
}

func (c *CORS) allow(h http.Header, origin string) {
	h[allowOrigin] = []string{origin}
	if c.options.Credentials {
		h[allowCredentials] = []string{"true"}
	}
}

// share lets scripts of a listed origin read an answer, whoever made it. Where
// origins are listed the gate alone says which: two voices on one answer are
// none to a browser, and an upstream's star is not what was configured.
func (c *CORS) share(h http.Header, origins []string) {
	if len(c.listed) == 0 {
		return
	}
	delete(h, allowOrigin)
	delete(h, allowCredentials)
	varyByOrigin(h)
	if len(origins) != 1 || !c.listed[origins[0]] {
		return
	}
	c.allow(h, origins[0])
	exposed := c.exposed
	if h["Grpc-Status"] != nil { // where gRPC-Web clients look when there is no body
		exposed += ", Grpc-Status, Grpc-Message"
	}
	if more := h[exposeHeaders]; len(more) > 0 {
		exposed += ", " + strings.Join(more, ", ")
	}
	h[exposeHeaders] = []string{exposed}
}

// varyByOrigin keeps caches from giving one origin what was meant for another.
func varyByOrigin(h http.Header) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Origin") {
				return
			}
		}
	}
	h["Vary"] = append(slices.Clip(h["Vary"]), "Origin")
}

// dress gives an answer of whatever origin its CORS fields, just before it is
// sent. What the gate answered by itself has its own.
func (ex *exchange) dress(h http.Header, origins []string) {
	if ex.gate == nil || ex.gate.CORS == nil || ex.decision.Verdict == Answered {
		return
	}
	ex.gate.CORS.share(h, origins)
}

// A Reply is an answer of the gate that refuses nobody. It is not to be
// changed.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

func (r *Reply) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.Header)
	w.WriteHeader(r.Status)
	if len(r.Body) > 0 {
		_, _ = w.Write(r.Body) // a client that has gone needs no answer
	}
}
