package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Forward says what an upstream is told.
type Forward struct {
	Headers  map[string]ClaimHeader `yaml:"headers" doc:"Headers to set from claims, by name, each a dotted claim path, or an object with claim, only and encoding; default none."`
	Encoding string                 `yaml:"encoding" default:"percent" enum:"percent,json,base64url,raw-ascii" doc:"How claims are written in headers: percent leaves printable ASCII and joins lists with commas, json and base64url write any claim as JSON, raw-ascii is percent with nothing encoded, refusing (431) who has a claim that needs it; default percent."`

	ClaimsHeader string   `yaml:"claims_header" doc:"Name of a header with the claims listed in claims, as one JSON object in base64url, like X-Auth-Claims; default none."`
	Claims       []string `yaml:"claims" doc:"What claims_header tells, as dotted claim paths; default none."`

	Token     bool      `yaml:"token" doc:"Pass a verified access token on as the client sent it, one from token_sources as Authorization: Bearer, never the proof; default false."`
	Assertion Assertion `yaml:"assertion" doc:"A short-lived JWT of the gate's own about the caller, for upstreams that want proof; its keys are at /jwks.json of the admin listener; default none."`
}

// ClaimHeader is what one header is set from. It is written as the claim path
// alone, or as an object.
type ClaimHeader struct {
	Claim    string `yaml:"claim" required:"true" doc:"The claim, as a dotted path."`
	Only     Only   `yaml:"only" doc:"Which of its values are told, the others being left out: a list, or policy for those that claims of the route names; default all."`
	Encoding string `yaml:"encoding" enum:"percent,json,base64url,raw-ascii" doc:"How it is written; default forward.encoding."`
}

// Only says which values of a claim are told.
type Only struct {
	Policy bool // those that the route's rules name
	Values []string
}

// On reports whether the values are reduced at all.
func (o Only) On() bool { return o.Policy || o.Values != nil }

// Assertion describes a JWT about the caller.
type Assertion struct {
	Enabled     bool          `yaml:"enabled" default:"true" doc:"false switches off on a route what its resource says; default true."`
	Audience    string        `yaml:"audience" doc:"The upstream, by the name that it must find in aud; needed."`
	Issuer      string        `yaml:"issuer" doc:"The gate, as iss tells it; default the resource's identifier."`
	Header      string        `yaml:"header" default:"X-Auth-Assertion" doc:"Name of the header, in Authorization as a bearer token; default X-Auth-Assertion."`
	KeyFile     string        `yaml:"key_file" doc:"File with the private key in PEM, as a JWK or as a JWK Set, of which the first key signs and all are published; read again when it changes; default a key that ends with the process."`
	Algorithm   string        `yaml:"algorithm" enum:"ES256,RS256,PS256,EdDSA" doc:"Signature algorithm; default ES256, or what fits the key in key_file, RS256 for RSA."`
	Lifetime    time.Duration `yaml:"lifetime" default:"60s" min:"5s" max:"10m" doc:"Time from iat to exp, never past the end of the access token, as a duration from 5s to 10m; default 60s."`
	Claims      []string      `yaml:"claims" doc:"Further claims it tells, in its member claims, as dotted claim paths; default none."`
	BindRequest bool          `yaml:"bind_request" doc:"Sign every request anew, with its method and a hash of its target, where else an assertion serves several; default false."`
}

// On reports whether upstreams get an assertion.
func (a Assertion) On() bool { return a.Enabled && a.Audience != "" }

// Names lists the headers that f sets beside those of every upstream, but
// Authorization, which other tokens may come in. They are in no order.
func (f Forward) Names() []string {
	var names []string
	for name := range f.Headers {
		names = append(names, name)
	}
	if f.ClaimsHeader != "" {
		names = append(names, f.ClaimsHeader)
	}
	if f.Assertion.On() && !f.Assertion.InAuthorization() {
		names = append(names, f.Assertion.Header)
	}
	return names
}

// InAuthorization reports whether the header is Authorization.
func (a Assertion) InAuthorization() bool { return strings.EqualFold(a.Header, "Authorization") }

// keyFiles lists the files of a resource. What a route inherits has the place
// of what it inherits.
func (r *Resource) keyFiles(path string, has func(string) bool) []namedFile {
	const key = ".forward.assertion.key_file"
	all := []namedFile{{path + key, &r.Forward.Assertion.KeyFile}}
	for i := range r.Routes {
		at := fmt.Sprintf("%s.routes[%d]%s", path, i, key)
		if !has(at) {
			at = path + key
		}
		all = append(all, namedFile{at, &r.Routes[i].Forward.Assertion.KeyFile})
	}
	return all
}

// policyWord is the tag of the only word that Only is written as.
const policyWord reflect.StructTag = `enum:"policy"`

func (d *decoder) claimHeader(path string, n *yaml.Node, to *ClaimHeader, tag reflect.StructTag) {
	if n.Kind == yaml.ScalarNode {
		d.scalar(path, n, reflect.ValueOf(&to.Claim).Elem(), tag)
		return
	}
	d.object(path, n, reflect.ValueOf(to).Elem(), "a claim path, or claim with only and encoding")
}

func (d *decoder) only(path string, n *yaml.Node, to *Only, tag reflect.StructTag) {
	if n.Kind != yaml.ScalarNode {
		d.list(path, n, reflect.ValueOf(&to.Values).Elem(), tag)
		return
	}
	var word string
	d.scalar(path, n, reflect.ValueOf(&word).Elem(), policyWord)
	to.Policy = word != ""
}

// inherit gives a route what its resource says, key by key.
func (c *checker) inherit(path string, to, from reflect.Value) {
	for f := range fieldsOf(to.Type()) {
		at := path + "." + f.Tag.Get("yaml")
		switch {
		case isObject(f.Type):
			c.inherit(at, to.FieldByIndex(f.Index), from.FieldByIndex(f.Index))
		case !c.has(at):
			to.FieldByIndex(f.Index).Set(from.FieldByIndex(f.Index))
		}
	}
}

// forwardName judges the name of a header that upstreams are told claims in.
func (c *checker) forwardName(at, name string) {
	switch normal := normalName(name); {
	case !headerName.MatchString(name):
		c.badKey(at, "is no header name", "letters, digits and hyphens")
	case slices.Contains(ours, normal):
		c.badKey(at, "is set for every request already", "remove it")
	case slices.Contains(refused, normal) || strings.HasPrefix(normal, "x-forwarded-") || strings.HasPrefix(normal, "grpc-"):
		c.badKey(at, "is a header with a meaning of its own", "take another name, like X-Auth-Email")
	case strings.HasSuffix(normal, "-bin"):
		c.badKey(at, "ends in -bin, which gRPC takes for base64", "take another name, like X-Auth-Email")
	}
}

// told checks what forward says at one place, whatever it inherits.
func (c *checker) told(path string, f Forward) {
	if f.ClaimsHeader != "" {
		c.forwardName(path+".claims_header", f.ClaimsHeader)
	}
	c.paths(path+".claims", f.Claims)
	a := f.Assertion
	c.paths(path+".assertion.claims", a.Claims)
	if a.Header != "" && !a.InAuthorization() {
		c.forwardName(path+".assertion.header", a.Header)
	}
}

// paths checks claim paths of which none may lie within another.
func (c *checker) paths(path string, list []string) {
	for i, claim := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.claim(at, claim)
		for _, other := range list {
			if claim != other && other != "" && strings.HasPrefix(claim, other+".") {
				c.bad(at, "is a part of "+other+", which is listed", "list one of them")
			}
		}
	}
}

// forwards checks what every route tells in the end.
func (c *checker) forwards(path string, r *Resource) {
	if r.Forward.Assertion.Issuer == "" {
		r.Forward.Assertion.Issuer = r.Identifier
	}
	if len(r.Routes) == 0 {
		c.effective(path, path, r.Forward, nil)
	} else {
		c.reducible(path, r)
	}
	for i := range r.Routes {
		route, at := &r.Routes[i], fmt.Sprintf("%s.routes[%d]", path, i)
		if route.Forward.Assertion.Issuer == "" {
			route.Forward.Assertion.Issuer = r.Identifier
		}
		if route.Public {
			for _, key := range []string{".forward.claims_header", ".forward.claims", ".forward.assertion"} {
				if c.has(at+key) && (key != ".forward.assertion" || route.Forward.Assertion.Enabled) {
					c.bad(at+key, "means nothing on a public route, which knows no caller", "remove it, or public")
				}
			}
			continue
		}
		c.effective(path, at, route.Forward, route.Claims)
	}
}

// reducible wants a rule for what the resource reduces to what rules name.
func (c *checker) reducible(path string, r *Resource) {
	for name, h := range r.Forward.Headers {
		names := func(route Route) bool { return len(route.Claims[h.Claim].Values()) > 0 }
		if h.Only.Policy && !slices.ContainsFunc(r.Routes, names) {
			c.bad(join(path+".forward.headers", name)+".only", "policy keeps nothing, as no rule in claims names a value of "+h.Claim, "list the values, or write the rule")
		}
	}
}

// effective checks f, of which a part is written at the resource path and a
// part at the route, which is the resource again where there are no routes.
func (c *checker) effective(path, route string, f Forward, rules map[string]Claim) {
	place := func(key string) string {
		if at := route + ".forward." + key; c.has(at) {
			return at
		}
		return path + ".forward." + key
	}
	a := f.Assertion
	if f.ClaimsHeader != "" && len(f.Claims) == 0 {
		c.bad(place("claims_header"), "tells nothing without claims", "list what it may tell, like claims: [email, groups]")
	}
	if f.ClaimsHeader == "" && len(f.Claims) > 0 {
		c.badKey(place("claims"), "means nothing without claims_header", "add claims_header: X-Auth-Claims; the claims of an assertion are its own")
	}
	if a.Enabled && a.Audience == "" && (c.has(path+".forward.assertion") || c.has(route+".forward.assertion")) {
		c.badKey(place("assertion"), "lacks audience", "name the upstream, which must compare it with aud")
	}
	if a.On() && a.InAuthorization() && f.Token {
		c.bad(place("assertion.header"), "is where forward.token leaves the access token", "take another header, or remove token")
	}
	c.twice(place, f)
	for name, h := range f.Headers {
		at := join(place("headers"), name)
		if h.Only.Policy && len(rules[h.Claim].Values()) == 0 && strings.HasPrefix(at, route) {
			c.bad(at+".only", "policy keeps nothing, as no rule in claims names a value of "+h.Claim, "list the values, or write the rule")
		}
	}
}

// twice finds a header that is set in two ways.
func (c *checker) twice(place func(string) string, f Forward) {
	seen := make(map[string]string)
	for name := range f.Headers {
		seen[normalName(name)] = "headers"
	}
	for _, one := range [...]struct{ key, name string }{{"claims_header", f.ClaimsHeader}, {"assertion.header", f.Assertion.Header}} {
		if one.name == "" || one.key == "assertion.header" && !f.Assertion.On() {
			continue
		}
		if before := seen[normalName(one.name)]; before != "" {
			c.bad(place(one.key), "is set by forward."+before+" already", "take another name")
		}
		seen[normalName(one.name)] = one.key
	}
}
