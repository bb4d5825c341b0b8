package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Has reports whether the file itself says something at path.
func (f *File) Has(path string) bool { return f.source.has(path) }

// sessionHeaders are the request headers that the transport of the Model
// Context Protocol adds to those a token needs.
var sessionHeaders = []string{"Mcp-Session-Id", "MCP-Protocol-Version", "Last-Event-ID"}

// published checks what a resource says about itself and to whom, after its
// preset has had its say.
func (c *checker) published(path string, r *Resource) {
	if r.Preset == "mcp" {
		c.mcp(path, r)
	}
	c.cors(path+".cors", r.CORS)
	if r.Metadata {
		c.metadata(path, r)
	}
}

// mcp fills in and demands what the authorization part of the Model Context
// Protocol asks of a server.
func (c *checker) mcp(path string, r *Resource) {
	c.fill(path+".metadata", &r.Metadata)
	c.fill(path+".cors.strict", &r.CORS.Strict)
	if r.CORS.Preflight == "answer" && !c.has(path+".cors.headers") {
		r.CORS.Headers = slices.Clone(sessionHeaders)
		c.filled = append(c.filled, Filled{path + ".cors.headers", "[" + strings.Join(sessionHeaders, ", ") + "]", "mcp"})
	}
	for _, key := range r.TokenSources.open() {
		c.bad(path+".token_sources."+key, "is not for preset: mcp", "an MCP client sends its token in the Authorization header of every request, and nowhere else")
	}
	const passed = "an MCP server must not pass on the token it was sent; remove it, or preset: mcp"
	if r.Forward.Token {
		c.bad(path+".forward.token", "is not for preset: mcp", passed)
	}
	for i, route := range r.Routes {
		if at := fmt.Sprintf("%s.routes[%d].forward.token", path, i); route.Forward.Token && c.has(at) {
			c.bad(at, "is not for preset: mcp", passed)
		}
	}
	for i, issuer := range c.Issuers {
		if issuer.InsecureAllowAnyAudience {
			c.bad(path+".preset", fmt.Sprintf("mcp takes only tokens made for this resource, but issuers[%d].insecure_allow_any_audience is on", i), "remove one of them")
		}
	}
}

// fill switches on what a preset asks for, where the file does not say no.
func (c *checker) fill(path string, value *bool) {
	switch {
	case *value:
	case c.has(path):
		c.bad(path, "must be true with preset: mcp", "remove one of them")
	default:
		*value = true
		c.filled = append(c.filled, Filled{path, "true", "mcp"})
	}
}

// metadata holds the identifier against RFC 9728 section 1.2, and warns where
// clients would not find the document or not take it for what they asked for.
func (c *checker) metadata(path string, r *Resource) {
	u, err := url.Parse(r.Identifier)
	if r.Identifier == "" || c.faulty[path+".identifier"] || err != nil {
		return
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		at := path + ".metadata"
		if !c.has(at) {
			at = path + ".preset"
		}
		c.bad(at, "needs an identifier that is an https URL", "RFC 9728 section 1.2; http is for loopback hosts only")
		return
	}
	if origin := originOf(u); !slices.Contains(r.PublicOrigins, origin) && !c.faulty[path+".public_origins"] {
		c.warn("metadata-origin", path+".public_origins", "lacks the identifier's origin, where clients look for the metadata", "add "+origin)
	}
	base := strings.Trim(u.Path, "/")
	for i, route := range r.Routes {
		at := fmt.Sprintf("%s.routes[%d]", path, i)
		if slices.Contains(slices.Concat(route.Scopes.All, route.Scopes.Any), "offline_access") {
			c.warn("offline-access", at+".scopes", "offline_access is between a client and its issuer: the metadata does not list it, and a challenge should not name it", "remove it")
		}
		if !route.Public && base != "" && outside(route.Path, base) {
			c.warn("metadata-path", at+".path", "is not below the identifier's path, so clients refuse the metadata for it", "RFC 9728 section 3.3: give the resource an identifier above all of its paths")
		}
	}
}

// outside reports whether no path that pattern matches is base or below it.
func outside(pattern, base string) bool {
	segments := strings.Split(strings.Trim(pattern, "/"), "/")
	for i, want := range strings.Split(base, "/") {
		switch {
		case i >= len(segments):
			return true
		case strings.ContainsAny(segments[i], "*{"):
			return false
		case segments[i] != want:
			return true
		}
	}
	return false
}

func (c *checker) cors(path string, s CORS) {
	for i, text := range s.Origins {
		at := fmt.Sprintf("%s.origins[%d]", path, i)
		s.Origins[i] = c.scriptOrigin(at, text)
	}
	c.different(path+".origins", s.Origins)
	if s.Preflight == "answer" {
		if len(s.Origins) == 0 && !c.faulty[path+".origins"] {
			c.bad(path+".origins", "is missing", "say for which origins to answer, like [https://app.example.com]")
		}
	} else {
		for _, key := range []string{"methods", "headers", "max_age"} {
			if c.has(path + "." + key) {
				c.badKey(path+"."+key, "means nothing without preflight: answer", "")
			}
		}
	}
	for i, m := range s.Methods {
		c.method(fmt.Sprintf("%s.methods[%d]", path, i), m)
	}
	for i, name := range s.Headers {
		if at := fmt.Sprintf("%s.headers[%d]", path, i); strings.Contains(name, "*") {
			c.bad(at, "is no header name", "name every header; a star would not cover Authorization")
		} else if name != "" && !headerName.MatchString(name) {
			c.bad(at, "is no header name", "letters, digits and hyphens")
		}
	}
}

// appOrigin is the origin of what is no page of the web: of an extension or an
// app with a web view.
var appOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+(:[0-9]+)?$`)

// scriptOrigin returns text as a browser writes it in Origin (RFC 6454 section
// 6.2).
func (c *checker) scriptOrigin(path, text string) string {
	scheme, _, _ := strings.Cut(text, "://")
	switch {
	case text == "":
		return ""
	case text == "null":
		c.warn("null-origin", path, "null is the origin of every sandboxed frame and local file: anybody can be it", "list the origins of your pages")
		return text
	case strings.Contains(text, "*"):
		c.bad(path, "is no origin", "list every origin; there are no wildcards")
		return text
	case scheme != "https" && scheme != "http" && appOrigin.MatchString(text):
		return text
	}
	u := c.web(path, text, "https", "http")
	if u == nil {
		return text
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery {
		c.bad(path, "is more than an origin", "write "+c.suggest(path, originOf(u), "scheme://host[:port]"))
	} else if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		c.warn("http-origin", path, "is http: whoever is on the path can speak for it", "write https")
	}
	return originOf(u)
}
