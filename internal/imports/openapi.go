package imports

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// openAPI reads one description (OpenAPI 3.0, 3.1).
type openAPI struct {
	*draft
	root    value
	api     *resource
	base    string // path of the server, without a slash at the end
	schemes map[string]*scheme
	nobody  *issuer // of tokens whose scheme names none
}

// scheme is a security scheme: how tokens come, or why that is not taken over.
type scheme struct {
	issuer *issuer
	why    string
}

const maxReferences = 16 // followed one after the other

func readOpenAPI(d *draft, sources []Source) error {
	if len(sources) != 1 {
		return &Error{Place{File: sources[1].Name}, "is a second file; an API has one description"}
	}
	docs, err := documents(sources[0])
	if err != nil {
		return err
	}
	root := docs[0]
	switch version := root.get("openapi").text(); {
	case root.get("swagger").has():
		return &Error{root.get("swagger").at(), "is Swagger 2.0; convert it to OpenAPI 3 first"}
	case !strings.HasPrefix(version, "3."):
		return &Error{root.at(), "is no OpenAPI 3 description: it has no openapi: 3.x"}
	}
	o := &openAPI{draft: d, root: root, api: &resource{at: root.at()}, schemes: make(map[string]*scheme)}
	d.resources = append(d.resources, o.api)
	o.servers()
	o.securitySchemes()
	for path, item := range root.get("paths").fields() {
		o.item(path, item)
	}
	return root.err()
}

// server is an address of the API.
type server struct {
	at           Place
	text, origin string // origin is empty unless it is https
	base         string
	relative     bool
}

// servers finds where clients see the API: at the first https URL, or else where
// the first one says.
func (o *openAPI) servers() {
	var list []server
	for _, v := range o.root.get("servers").items() {
		text := v.get("url").text()
		for name, inner := range v.get("variables").fields() {
			text = strings.ReplaceAll(text, "{"+name.node.Value+"}", inner.get("default").text())
		}
		u, err := url.Parse(text)
		if err == nil {
			s := server{v.at(), text, web(text), strings.TrimSuffix(u.Path, "/"), u.Host == ""}
			if _, problem := literal(s.base + "/"); problem == "" {
				list = append(list, s)
				continue
			}
		}
		o.leave(v.at(), "server "+text, "it is no URL that a route can stand for")
	}
	if len(list) == 0 {
		return
	}
	first := max(0, slices.IndexFunc(list, func(s server) bool { return s.origin != "" }))
	o.base, o.api.identifier = list[first].base, list[first].origin
	for i, s := range list {
		switch {
		case i == first && (s.origin != "" || s.relative):
		case s.origin == "" && !s.relative:
			o.leave(s.at, "server "+s.text, "clients find an API by https here")
		case s.base != o.base:
			o.leave(s.at, "server "+s.text, "its paths begin otherwise than those of "+list[first].text)
		case s.origin != "" && s.origin != o.api.identifier:
			o.api.origins = merged(append([]string{o.api.identifier}, o.api.origins...), []string{s.origin})
		}
	}
	o.api.origins = merged(nil, o.api.origins)
}

func (o *openAPI) securitySchemes() {
	for name, v := range o.root.get("components", "securitySchemes").fields() {
		v, problem := o.resolve(v)
		if problem != "" {
			o.schemes[name.node.Value] = &scheme{why: problem}
			o.leave(name.at(), "security scheme "+name.node.Value, problem)
			continue
		}
		s := o.scheme(name, v)
		o.schemes[name.node.Value] = s
		if s.why != "" {
			o.leave(name.at(), "security scheme "+name.node.Value, s.why)
		}
	}
	for _, s := range o.schemes {
		if s.why == "" && s.issuer == nil {
			s.issuer = o.unnamed()
		}
	}
}

// unnamed is the issuer of tokens whose scheme names none: the only one that is
// known, or one to be filled in.
func (o *openAPI) unnamed() *issuer {
	if len(o.issuers) == 1 {
		return o.issuers[0]
	}
	if o.nobody == nil {
		o.nobody = o.know(issuer{at: o.root.get("components", "securitySchemes").at(), issuer: o.Issuer})
	}
	return o.nobody
}

func (o *openAPI) scheme(name, v value) *scheme {
	switch kind := v.get("type").text(); kind {
	case "openIdConnect":
		address := v.get("openIdConnectUrl").text()
		for _, known := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
			if base, found := strings.CutSuffix(address, known); found && web(base) != "" {
				if i := strings.TrimSuffix(o.Issuer, "/"); i == base {
					base = o.Issuer // with the slash that the URL does not tell
				}
				return &scheme{issuer: o.know(issuer{at: name.at(), issuer: base})}
			}
		}
		return &scheme{issuer: o.know(issuer{at: name.at(), issuer: o.Issuer, discovery: address, about: "with the metadata at " + address})}
	case "oauth2":
		return &scheme{}
	case "http":
		if strings.EqualFold(v.get("scheme").text(), "bearer") {
			return &scheme{}
		}
		return &scheme{why: "HTTP authentication other than Bearer proves no access token"}
	case "apiKey":
		return &scheme{why: "an API key is no access token"}
	case "mutualTLS":
		return &scheme{why: "a client certificate alone is no access token; see tls.client_auth"}
	default:
		return &scheme{why: "the type " + kind + " is not known"}
	}
}

// resolve follows references within the file.
func (o *openAPI) resolve(v value) (value, string) {
	for range maxReferences {
		ref := v.get("$ref")
		if !v.isMap() || !ref.has() {
			return v, ""
		}
		path, local := strings.CutPrefix(ref.text(), "#/")
		if !local {
			return v, "it refers to another file: " + ref.text()
		}
		v = o.root
		for _, step := range strings.Split(path, "/") {
			step, err := url.PathUnescape(step)
			if err != nil {
				return v, "it refers to nothing: " + ref.text()
			}
			v = v.child(strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
		if !v.has() {
			return v, "it refers to nothing: " + ref.text()
		}
	}
	return v, "its references do not end"
}

// child is get for what may be no mapping.
func (v value) child(key string) value {
	if !v.isMap() {
		return value{v.doc, nil}
	}
	return v.get(key)
}

// item reads a path with its operations.
func (o *openAPI) item(path, v value) {
	if strings.HasPrefix(path.node.Value, "x-") {
		return
	}
	p, problem := o.template(path.node.Value)
	if problem == "" {
		v, problem = o.resolve(v)
	}
	if problem != "" {
		o.leave(path.at(), path.node.Value, problem)
		o.api.refused = append(o.api.refused, region{at: path.at(), pattern: p})
		return
	}
	for key, op := range v.fields() {
		switch method := strings.ToUpper(key.node.Value); method {
		case "GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH":
			o.operation(operation{key: key, at: op, path: p, method: method, elsewhere: v.get("servers").has()})
		case "TRACE":
			o.leave(key.at(), "TRACE "+path.node.Value, "TRACE is refused everywhere")
		case "QUERY", "ADDITIONALOPERATIONS":
			o.leave(key.at(), key.node.Value+" of "+path.node.Value, "methods of OpenAPI 3.2 are not read")
		}
	}
}

// template is the pattern of a path with {name} in it. With a problem it is wider
// than the path.
func (o *openAPI) template(text string) (p pattern, problem string) {
	if !strings.HasPrefix(text, "/") {
		return everything(), "a path begins with a slash"
	}
	for _, s := range split(o.base + text) {
		inner, isName := strings.CutPrefix(s, "{")
		inner, closed := strings.CutSuffix(inner, "}")
		switch {
		case isName && closed && inner != "" && !strings.ContainsAny(inner, "{}"):
			p = append(p, p.capture(inner))
		case strings.ContainsAny(s, "{}"):
			p = append(p, "*")
			problem = "{name} is a part of a segment there, and a route takes whole ones"
		default:
			if why := unfit(s); why != "" {
				return everything(), why
			}
			p = append(p, s)
		}
	}
	return p, problem
}

type operation struct {
	key, at   value
	path      pattern
	method    string
	elsewhere bool
}

func (o *openAPI) operation(op operation) {
	r := &route{at: op.key.at(), path: op.path, methods: []string{op.method}, name: op.at.get("operationId").text()}
	what := op.method + " " + op.path.String()
	refuse := func(why string) {
		o.leave(r.at, what, why)
		o.api.refused = append(o.api.refused, region{at: r.at, pattern: op.path, methods: r.methods})
	}
	if op.elsewhere || op.at.get("servers").has() {
		refuse("it has servers of its own")
		return
	}
	security := op.at.get("security")
	if !security.has() {
		security = o.root.get("security")
	}
	if len(security.items()) == 0 {
		if o.PublicOperations {
			r.public = true
		} else {
			o.leave(r.at, what, "it has no security, and needs a token now; --public-operations lets it be")
		}
		o.api.routes = append(o.api.routes, r)
		return
	}
	if why := o.alternatives(r, what, security); why != "" {
		refuse(why)
		return
	}
	o.api.routes = append(o.api.routes, r)
}

// alternatives reads requirements of which one is enough.
func (o *openAPI) alternatives(r *route, what string, security value) (why string) {
	var sum *needs
	anonymous := false
	for _, alternative := range security.items() {
		n, problem := o.requirement(alternative)
		switch {
		case problem != "":
			o.leave(alternative.at(), what, problem+"; this way in is closed")
		case n == nil:
			anonymous = true
		case sum == nil:
			sum = n
		default:
			either, ok := sum.either(n)
			if !ok {
				o.leave(alternative.at(), what, "a route cannot say \"this or the other\"; only the first way in is open")
				continue
			}
			sum = &either
		}
	}
	switch {
	case anonymous && o.PublicOperations && o.only(nil):
		r.optional = true
		return ""
	case anonymous:
		o.leave(r.at, what, "it takes requests without a token, and needs one now; --public-operations lets it be where there is one issuer")
		if sum == nil {
			return ""
		}
	}
	if sum == nil {
		return "no way in was taken over"
	}
	r.needs = *sum
	return ""
}

// requirement is all that one alternative asks for, nil for nothing.
func (o *openAPI) requirement(v value) (*needs, string) {
	var n needs
	var speakers []*issuer
	some := false
	for name, scopes := range v.fields() {
		some = true
		s := o.schemes[name.node.Value]
		if s == nil {
			return nil, "it needs " + name.node.Value + ", which is no security scheme of the file"
		}
		if s.why != "" {
			return nil, fmt.Sprintf("it needs %s: %s", name.node.Value, s.why)
		}
		n.all = merged(n.all, scopes.texts())
		if !slices.Contains(speakers, s.issuer) {
			speakers = append(speakers, s.issuer)
		}
	}
	switch {
	case !some:
		return nil, ""
	case len(speakers) > 1:
		return nil, "it needs tokens of two issuers at once"
	}
	for _, scope := range n.all {
		if !isScope(scope) {
			return nil, "a scope of it is none by RFC 6749 section 3.3"
		}
	}
	o.speaksFor(&n, speakers...)
	return &n, ""
}

func isScope(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}
