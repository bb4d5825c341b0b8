package config

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// checker fills in the defaults that depend on other values, and finds what no
// single value can tell.
type checker struct {
	*source
	*File
}

func (c *checker) bad(path, message, hint string) { c.report(c.place(path), path, message, hint) }

// badKey is for a fault in the key at path, not in its value.
func (c *checker) badKey(path, message, hint string) {
	at, ok := c.keys[path]
	if !ok {
		at = c.place(path)
	}
	c.report(at, path, message, hint)
}

// warn notes what rule doubts. Package lint lists the rules.
func (c *checker) warn(rule, path, message, hint string) {
	c.warnings = append(c.warnings, Warning{rule, path, message, hint})
}

func (c *checker) check() {
	if c.TLS.CertFile == "" && c.has("tls") {
		c.bad("tls.cert_file", "is missing", "tls needs cert_file and key_file")
	}
	if c.TLS.KeyFile == "" && c.has("tls") {
		c.bad("tls.key_file", "is missing", "tls needs cert_file and key_file")
	}
	if !headerName.MatchString(c.Via) {
		c.bad("via", "is no name for Via", "RFC 9110 section 7.6.3: letters, digits, dots and hyphens, like gate-1")
	}
	for i, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			c.warn("trust-all-proxies", fmt.Sprintf("trusted_proxies[%d]", i), "trusts everybody to say where a request comes from", "list the addresses of your proxies, like 10.0.0.0/8")
		}
	}
	c.clientCertificates()
	for i := range c.Issuers {
		c.issuer(fmt.Sprintf("issuers[%d]", i), &c.Issuers[i])
	}
	c.opaque()
	c.distinct("issuers", "issuer", len(c.Issuers), func(i int) string { return c.Issuers[i].Issuer })
	c.distinct("issuers", "name", len(c.Issuers), func(i int) string { return c.Issuers[i].Name })
	for i := range c.Resources {
		c.resource(fmt.Sprintf("resources[%d]", i), &c.Resources[i])
	}
	c.distinct("resources", "identifier", len(c.Resources), func(i int) string { return c.Resources[i].Identifier })
	c.distinct("resources", "name", len(c.Resources), func(i int) string { return c.Resources[i].Name })
	if c.FAPI() {
		c.fapi()
	}
	c.listeners()
	c.doors()
	c.proxyProtocol()
	c.sidecar()
	c.revocation()
	c.nonces()
	c.replay()
	c.decisionLog()
	c.tracing()
	c.reports()
}

// distinct wants n entries of list to differ in key, and warns where a slash at
// the end is all the difference: tokens name one form only.
func (c *checker) distinct(list, key string, n int, value func(int) string) {
	first, trimmed := make(map[string]int), make(map[string]int)
	for i := range n {
		text, item := value(i), fmt.Sprintf("%s[%d].", list, i)
		if text == "" || c.faulty[item+"issuer"] || c.faulty[item+"identifier"] {
			continue // a name may follow from what is faulty
		}
		bare := strings.TrimRight(text, "/")
		if j, twice := first[text]; twice {
			hint := "remove one of them, or give each its own"
			if key == "name" {
				hint = "give one of them another name"
			}
			c.bad(item+key, fmt.Sprintf("is the same as %s[%d].%s", list, j, key), hint)
		} else if j, twin := trimmed[bare]; twin && key != "name" {
			c.warn("slash-twins", item+key, fmt.Sprintf("differs from %s[%d].%s only by a slash at the end; tokens are compared character for character", list, j, key), "keep the one that the tokens name")
		}
		first[text], trimmed[bare] = i, i
	}
}

func (c *checker) issuer(path string, i *Issuer) {
	c.provider(path, i)
	c.tenants(path, i)
	c.ownToken(path, i)
	if i.Issuer != "" {
		if u := c.fetched(path+".issuer", sampled(i.Issuer), i.InsecureHTTP); u != nil {
			c.misspelt(path, i, u)
			if u.RawQuery != "" || u.ForceQuery {
				c.bad(path+".issuer", "an issuer has no query", "RFC 8414 section 2")
			}
			if u.Scheme == "http" {
				c.warn("http-issuer", path+".issuer", "is http: whoever is on the path can forge its keys", "write https")
			}
			if i.Name == "" {
				i.Name = strings.ToLower(u.Host)
			}
		}
	}
	c.name(path+".name", i.Name)
	sources := []string{}
	for _, s := range [][2]string{{"discovery_url", i.DiscoveryURL}, {"jwks_uri", i.JWKSURI}, {"jwks_file", i.JWKSFile}} {
		if s[1] == "" {
			continue
		}
		if sources = append(sources, s[0]); len(sources) > 1 {
			c.bad(path+"."+s[0], "keys come from "+sources[0]+" already", "keep one of discovery_url, jwks_uri and jwks_file")
		} else if s[0] != "jwks_file" {
			c.fetched(path+"."+s[0], sampled(s[1]), i.InsecureHTTP)
		}
	}
	for _, s := range [][2]string{{"scope_claim", i.ScopeClaim}, {"audience_claim", i.AudienceClaim}, {"client_id_claim", i.ClientIDClaim}} {
		c.claim(path+"."+s[0], s[1])
	}
	if len(i.Clients) > 0 && i.Profile == "kubernetes" && i.ClientIDClaim == "client_id" {
		c.bad(path+".clients", "would refuse every token with profile: kubernetes, whose tokens name no client", "list subjects on routes, or name a claim in client_id_claim")
	}
	c.issuerClaims(path+".required_claims", i.RequiredClaims)
	c.issuerClaims(path+".machine_claims", i.MachineClaims)
	c.introspection(path, i)
	c.statusList(path, i)
	c.hosts(path, i)
	c.tokenReview(path+".token_review", i)
	if i.InsecureHTTP {
		c.warn("insecure-http", path+".insecure_http", "accepts keys over http, which whoever is on the path can forge", "reach the issuer over https, with ca_file if its authority is your own, and remove it")
	}
	if i.InsecureAllowAnyAudience {
		c.warn("any-audience", path+".insecure_allow_any_audience", "accepts tokens that this issuer made for others", "have it name the resource as audience, and list that in audiences")
	}
}

// web parses the URL of something on the web, or reports what keeps it from
// being one.
func (c *checker) web(path, text string, schemes ...string) *url.URL {
	u, err := url.Parse(text)
	host, _, _ := strings.Cut(text, "/")
	switch {
	case isHost(host):
		c.bad(path, "is a URL without its scheme", "write "+c.suggest(path, schemes[0]+"://"+text, schemes[0]+":// before it"))
	case err != nil || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) }):
		c.bad(path, "is no URL", "it begins with "+strings.Join(schemes, ":// or ")+"://")
	case !slices.Contains(schemes, u.Scheme):
		c.bad(path, "wants a URL that begins with "+strings.Join(schemes, ":// or ")+"://", "")
	case u.User != nil:
		c.bad(path, "must not hold a user name or password", "remove what stands before @")
	case u.Port() != "" && isHost(u.Hostname()) && !isHost(u.Host):
		c.bad(path, "has a port that is none", "from 1 to 65535")
	case !isHost(u.Host):
		c.bad(path, "names no host", "")
	case strings.Contains(text, "#"):
		c.bad(path, "must not have a fragment", "remove # and what follows")
	default:
		return u
	}
	return nil
}

// fetched is web for what the gate's trust hangs on: https, but for loopback.
func (c *checker) fetched(path, text string, insecure bool) *url.URL {
	u := c.web(path, text, "https", "http")
	if u != nil && u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()) {
		c.bad(path, "must be https", "or set insecure_http: true on this issuer, if anybody on the path may forge its keys")
	}
	return u
}

func (c *checker) resource(path string, r *Resource) {
	if r.Listen == "" && !c.has(path+".listen") {
		r.Listen = c.Listen
	}
	origin, host := c.identifier(path, r)
	if r.Name == "" {
		r.Name = host
	}
	if c.has(path + ".name") {
		c.name(path+".name", r.Name)
	}
	if len(r.Audiences) == 0 && r.Identifier != "" {
		r.Audiences = []string{r.Identifier}
	}
	c.audiences(path, r)
	for i, text := range r.PublicOrigins {
		r.PublicOrigins[i] = c.origin(fmt.Sprintf("%s.public_origins[%d]", path, i), text)
	}
	c.different(path+".public_origins", r.PublicOrigins)
	switch {
	case c.has(path+".public_origins") || r.Identifier == "" || c.faulty[path+".identifier"]:
	case origin != "":
		r.PublicOrigins = []string{origin}
	default:
		c.bad(path+".public_origins", "is missing", "the identifier is no https URL, so say where clients find the API, like [https://api.example.com]")
	}
	for i, text := range r.Hosts {
		r.Hosts[i] = c.host(fmt.Sprintf("%s.hosts[%d]", path, i), text)
	}
	c.different(path+".hosts", r.Hosts)
	c.upstream(path+".upstream", r.Upstream)
	if strings.ContainsFunc(r.Realm, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) || len(r.Realm) > 256 {
		c.bad(path+".realm", "wants up to 256 printable ASCII characters without quotes and backslashes", "")
	}
	c.forward(path+".forward", r.Forward)
	c.hierarchy(path+".scope_hierarchy", r.ScopeHierarchy)
	c.routes(path, r)
	c.forwards(path, r)
	c.published(path, r)
	c.tokenSources(path+".token_sources", r)
}

// identifier returns the origin that a URL of the web as identifier implies,
// and the name it gives.
func (c *checker) identifier(path string, r *Resource) (origin, name string) {
	at, text := path+".identifier", r.Identifier
	scheme, _, _ := strings.Cut(text, ":")
	if !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			c.bad(at, "must not hold spaces or anything but ASCII", "")
		}
		return "", text
	}
	u := c.web(at, text, "https", "http")
	if u == nil {
		return "", ""
	}
	if name = strings.ToLower(u.Host) + strings.TrimSuffix(u.Path, "/"); u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return "", name
	}
	return originOf(u), name
}

func (c *checker) audiences(path string, r *Resource) {
	var names []string
	for _, i := range c.Issuers {
		names = append(names, i.Name)
	}
	for name := range r.AudiencesByIssuer {
		if at := join(path+".audiences_by_issuer", name); !slices.Contains(names, name) && !slices.Contains(names, "") {
			c.badKey(at, "no issuer has this name", didYouMean(name, names))
		}
	}
}

// origin returns text in the form origins are compared in (RFC 6454 section 4).
func (c *checker) origin(path, text string) string {
	u := c.web(path, text, "https", "http")
	switch {
	case u == nil:
		return text
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery:
		c.bad(path, "is more than an origin", "write "+c.suggest(path, originOf(u), "scheme://host[:port]"))
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		c.bad(path, "must be https", "what clients see; http is for loopback hosts only")
	}
	return originOf(u)
}

// suggest shows a value made from the one at path, or form if that one came
// from the environment.
func (c *checker) suggest(path, value, form string) string {
	if c.expanded[path] {
		return form
	}
	return value
}

func (c *checker) different(path string, list []string) {
	first := make(map[string]int)
	for i, text := range list {
		if j, twice := first[text]; twice && text != "" {
			c.bad(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("is the same as %s[%d]", path, j), "")
			continue
		}
		first[text] = i
	}
}

func (c *checker) upstream(path, text string) {
	if text == "" {
		return
	}
	if !strings.HasPrefix(text, "unix:") {
		if u := c.web(path, text, "http", "https", "h2c", "unix"); u != nil && (u.RawQuery != "" || u.ForceQuery) {
			c.bad(path, "must not have a query", "remove ? and what follows")
		}
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") || len(u.Path) < 2 || u.RawQuery != "" || u.Fragment != "" && u.Fragment[0] != '/' {
		c.bad(path, "names no socket", "write it like unix:///run/app.sock or unix:///run/app.sock#/base")
	}
}

// ours are the headers every upstream is told, and refused are those that mean
// something to the message, the hop or another check, in normal form.
var (
	ours    = strings.Fields("x-auth-subject x-auth-subject-type x-auth-issuer x-auth-client-id x-auth-scope x-auth-binding")
	refused = strings.Fields("host authorization proxy-authorization dpop cookie set-cookie connection keep-alive proxy proxy-connection te trailer " +
		"transfer-encoding upgrade content-length content-type content-encoding expect via forwarded x-real-ip http2-settings " +
		"x-http-method x-http-method-override x-method-override client-cert client-cert-chain www-authenticate")
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
)

func (c *checker) forward(path string, f Forward) {
	seen := make(map[string]string)
	names := make([]string, 0, len(f.Headers))
	for name := range f.Headers {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { // in the order of the file
		at, other := c.keys[join(path+".headers", a)], c.keys[join(path+".headers", b)]
		return (at.line-other.line)<<20 + at.column - other.column
	})
	for _, name := range names {
		at, normal := join(path+".headers", name), normalName(name)
		if c.forwardName(at, name); seen[normal] != "" {
			c.badKey(at, "is read as "+seen[normal]+" by some servers", "keep one of them")
		}
		seen[normal] = name
		c.claim(at, f.Headers[name].Claim)
	}
	c.told(path, f)
}

func (c *checker) claim(path, claim string) {
	if claim == "" {
		return
	}
	if !isClaimPath(claim) {
		c.bad(path, "is no claim path", claimPathHint)
	}
}

var labelForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$`)

// name holds a name that goes into metrics to characters that need no escape.
func (c *checker) name(path, name string) {
	if name != "" && c.has(path) && !labelForm.MatchString(name) {
		c.bad(path, "is no name", "up to 128 letters, digits and . _ : / @ -")
	}
}

// routes checks what a route says about itself; package policy finds routes
// that conflict.
func (c *checker) routes(resource string, r *Resource) {
	named := make(map[string]string)
	for i := range r.Routes {
		route, path := &r.Routes[i], fmt.Sprintf("%s.routes[%d]", resource, i)
		c.route(path, route)
		if route.Hide && r.CORS.Preflight == "forward" {
			c.bad(path+".hide", "cannot be kept with cors.preflight: forward, which sends preflights on without a token", "write preflight: answer, or remove hide")
		}
		c.routeHosts(path, r, route)
		c.rules(path, route)
		c.streams(path, route, r.Upstream)
		c.forward(path+".forward", route.Forward)
		c.inherit(path+".forward", reflect.ValueOf(&route.Forward).Elem(), reflect.ValueOf(r.Forward))
		if c.name(path+".name", route.Name); route.Name == "" {
			route.Name = strings.TrimSpace(strings.Join(route.Methods, ",") + " " + strings.Join(route.Hosts, ",") + route.Path)
		}
		if other := named[route.Name]; other != "" && route.Path != "" {
			c.bad(path+".name", "is the same as "+other+".name", "give one of them another name")
		}
		named[route.Name] = path
	}
}

func (c *checker) route(path string, r *Route) {
	if r.Public {
		for _, key := range []string{"scopes", "optional", "binding", "hide"} {
			if c.has(path + "." + key) {
				c.bad(path+"."+key, "means nothing on a public route", "remove it, or public")
			}
		}
	}
	if r.Optional && r.Hide {
		c.bad(path+".hide", "hides nothing of a route that takes requests without a token", "remove it, or optional")
	}
	c.pattern(path+".path", r.Path)
	if p := r.StripPrefix; p != "" && r.Path != "" {
		whole := strings.HasPrefix(p, "/") && !strings.HasSuffix(p, "/") && !strings.ContainsAny(p, "*{}")
		if !whole || r.Path != p && !strings.HasPrefix(r.Path, p+"/") {
			c.bad(path+".strip_prefix", "must be whole literal segments at the front of path", "like /ext for /ext/**")
		}
	}
	for i, m := range r.Methods {
		c.method(fmt.Sprintf("%s.methods[%d]", path, i), m)
	}
	scopes := path + ".scopes"
	if c.has(scopes+".all") || c.has(scopes+".any") {
		c.scopes(scopes+".all", r.Scopes.All)
		c.scopes(scopes+".any", r.Scopes.Any)
	} else {
		c.scopes(scopes, r.Scopes.All)
	}
}

func (c *checker) method(path, m string) {
	switch upper := strings.ToUpper(m); {
	case m == "":
	case !headerName.MatchString(m):
		c.bad(path, "is no method", "write each as an item of its own, like [GET, POST]")
	case upper == "CONNECT" || upper == "TRACE":
		c.bad(path, "is refused everywhere", "remove it")
	case m != upper:
		c.bad(path, "methods are upper-case", "write "+c.suggest(path, upper, "it so"))
	}
}

// scopes holds scopes to the characters of RFC 6749 section 3.3.
func (c *checker) scopes(path string, list []string) {
	for i, s := range list {
		if at := fmt.Sprintf("%s[%d]", path, i); strings.Contains(s, " ") {
			c.bad(at, "holds more than one scope", "write each as an item of its own")
		} else if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			c.bad(at, "is no scope", "RFC 6749 section 3.3: printable ASCII without quotes and backslashes")
		}
	}
}

var capture = regexp.MustCompile(`^\{[A-Za-z_][A-Za-z0-9_]*\}$`)

func (c *checker) pattern(path, text string) {
	if text == "" {
		return
	}
	if text[0] != '/' {
		c.bad(path, "must begin with a slash", "a path is a pattern, like /orders/{id} or /orders/**")
		return
	}
	segments, captured := strings.Split(strings.TrimSuffix(text[1:], "/"), "/"), make(map[string]bool)
	for i, s := range segments {
		switch {
		case s == "**" && i < len(segments)-1:
			c.bad(path, "** may only be the last segment", "use * for one segment")
		case s == "*" || s == "**":
		case capture.MatchString(s):
			if captured[s] {
				c.bad(path, "captures "+c.suggest(path, s, "a name")+" twice", "give one of them another name")
			}
			captured[s] = true
		case strings.ContainsAny(s, "*{}"):
			c.bad(path, "a segment is literal text, *, {name} or **", "a name is letters, digits and _")
		case s == "" && text != "/":
			c.bad(path, "an empty segment matches no request", "remove a slash")
		case s == "." || s == "..":
			c.bad(path, "the segment "+s+" matches no request: dot segments are refused everywhere", "write the path that it leads to")
		case strings.ContainsAny(s, "?#"):
			c.bad(path, "a path has no query and no fragment", "remove ? or # and what follows")
		case strings.ContainsAny(s, ";\\"):
			c.bad(path, "matches no request: a literal segment has no ; and no backslash", "remove it; allow: [path_parameters] takes parameters of *, {name} and **")
		case strings.HasSuffix(s, ".") || strings.TrimSpace(s) != s:
			c.bad(path, "matches no request: some servers drop spaces around a segment and dots at its end", "remove them")
		case strings.Contains(s, "%"):
			c.bad(path, "matches no request: paths are compared decoded", "write the character that the escape stands for")
		}
	}
}
