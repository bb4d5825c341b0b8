package imports

import (
	"slices"
)

// demands are what a policy asks, as routes without a path: one for each method
// that its rules tell apart, and one for the others.
func (e *envoyGateway) demands(m manifest, r *resource) (out []*route, good bool) {
	spec := m.get("spec")
	for _, other := range []string{"basicAuth", "apiKeyAuth", "oidc", "extAuth"} {
		if v := spec.get(other); v.has() {
			e.leave(v.at(), other+" of "+m.label, "it is asked beside the token, and here it cannot be; nobody passes")
			return nil, false
		}
	}
	e.rest(spec, m.label+" ", noEquivalent, "targetRef", "targetRefs", "jwt", "authorization", "basicAuth", "apiKeyAuth", "oidc", "extAuth")
	var speakers []*issuer
	for _, p := range spec.get("jwt", "providers").items() {
		i := e.providers[m.key()+" "+p.get("name").text()]
		speakers = append(speakers, i)
		e.tokens(r, i, p)
	}
	optional := spec.get("jwt", "optional").truth()
	if !spec.get("jwt").has() {
		e.leave(spec.at(), m.String(), "it asks for no token; here one is needed")
	}
	if optional && !e.only(speakers) {
		e.leave(spec.get("jwt", "optional").at(), "jwt.optional of "+m.label, "a route without a token cannot ask for one of several issuers; a token is needed")
		optional = false
	}
	authorization := spec.get("authorization")
	var told []string
	for _, rule := range authorization.get("rules").items() {
		for _, method := range rule.get("operation", "methods").texts() {
			if isMethod(method) {
				told = merged(told, []string{method})
			}
		}
	}
	for _, method := range append(slices.Clone(told), "") {
		o := &route{at: m.at()}
		if authorization.has() {
			o = e.decide(m, authorization, method, speakers, optional)
		} else if o.optional = optional; !optional && len(speakers) > 0 {
			e.speaksFor(&o.needs, speakers...)
		}
		switch {
		case o == nil && method == "" && len(told) > 0:
		case o == nil && method == "":
			return nil, false
		case o == nil && method != "":
			r.refused = append(r.refused, region{at: authorization.at(), pattern: everything(), methods: []string{method}})
		default:
			if method != "" {
				o.methods = []string{method}
			}
			out = append(out, o)
		}
	}
	return out, true
}

// tokens reads where tokens of a provider come from and what is told of them.
func (e *envoyGateway) tokens(r *resource, i *issuer, p value) {
	if list := p.get("audiences").texts(); len(list) > 0 {
		if len(e.issuers) == 1 {
			r.audiences = merged(r.audiences, list)
		} else if slices.ContainsFunc(e.issuers, func(o *issuer) bool { return o != i && o.name() == i.name() }) {
			e.leave(p.get("audiences").at(), "the audiences of "+p.get("name").text(), "two issuers share a host; give them names, and write audiences_by_issuer")
		} else {
			if r.perIssuer == nil {
				r.perIssuer = make(map[*issuer][]string)
			}
			i.named = true
			r.perIssuer[i] = merged(r.perIssuer[i], list)
		}
	}
	for _, h := range p.get("claimToHeaders").items() {
		r.headers = e.addHeader(r.headers, h.at(), h.get("header").text(), h.get("claim").text())
	}
	from := p.get("extractFrom")
	for _, h := range from.get("headers").items() {
		e.extract(r, h.at(), "header", h.get("name").text(), h.get("valuePrefix").text())
	}
	for _, c := range from.get("cookies").items() {
		e.extract(r, c.at(), "cookie", c.text(), "")
	}
	for _, q := range from.get("params").items() {
		e.extract(r, q.at(), "parameter", q.text(), "")
	}
	e.rest(p, "provider "+p.get("name").text()+" ", noEquivalent, "name", "issuer", "audiences", "remoteJWKS", "localJWKS", "claimToHeaders", "extractFrom")
	e.rest(p.get("remoteJWKS"), "provider "+p.get("name").text()+" remoteJWKS.", noEquivalent, "uri", "cacheDuration")
}

// decide goes through the rules as far as they are for a method: who is let in
// before anybody is kept out. Nil lets nobody in.
func (e *envoyGateway) decide(m manifest, authorization value, method string, speakers []*issuer, optional bool) *route {
	var sum *needs
	o := &route{at: authorization.at()}
	stopped := false
	for _, rule := range authorization.get("rules").items() {
		methods := rule.get("operation", "methods").texts()
		if len(methods) > 0 && !slices.Contains(methods, method) {
			continue
		}
		if action := rule.get("action").text(); action == "Deny" {
			if stopped = true; authorization.get("defaultAction").text() == "Allow" || rule.get("principal").has() {
				e.leave(rule.at(), "a Deny rule", "a route cannot say whom it keeps out; after it nobody passes")
			}
			break
		} else if action != "Allow" {
			rule.get("action").fail("wants Allow or Deny")
			return nil
		}
		n, why := e.principal(m, rule, speakers)
		if why != "" {
			e.leave(rule.at(), "an Allow rule", why+"; it lets nobody in")
			continue
		}
		if sum == nil {
			o.at, sum = rule.at(), &n
		} else if either, ok := sum.either(&n); ok {
			sum = &either
		} else {
			e.leave(rule.at(), "an Allow rule", "a route cannot say \"one or the other\"; the rule of "+o.at.String()+" is kept")
		}
	}
	if authorization.get("defaultAction").text() == "Allow" && !stopped {
		anybody := needs{}
		if o.optional = optional; !optional && len(speakers) > 0 {
			e.speaksFor(&anybody, speakers...)
		}
		sum = &anybody
	}
	if sum == nil {
		e.leave(authorization.at(), "authorization of "+m.label, "no rule of it that lets anybody in was taken over")
		return nil
	}
	o.needs = *sum
	return o
}

// principal is whom an Allow rule lets in.
func (e *envoyGateway) principal(m manifest, rule value, speakers []*issuer) (n needs, why string) {
	principal := rule.get("principal")
	for k, v := range principal.fields() {
		if k.node.Value != "jwt" && v.has() {
			return n, "a route asks nothing of " + k.node.Value
		}
	}
	for k, v := range rule.fields() {
		if !slices.Contains([]string{"name", "action", "operation", "principal"}, k.node.Value) && v.has() {
			return n, "a route asks nothing of " + k.node.Value
		}
	}
	for k, v := range rule.get("operation").fields() {
		if k.node.Value != "methods" && v.has() {
			return n, "a route asks nothing of " + k.node.Value
		}
	}
	jwt := principal.get("jwt")
	if !jwt.has() {
		return n, "it names no token"
	}
	for _, s := range jwt.get("scopes").texts() {
		if !isScope(s) {
			return n, "a scope of it is none by RFC 6749 section 3.3"
		}
		n.all = merged(n.all, []string{s})
	}
	for _, c := range jwt.get("claims").items() {
		path := c.get("name").text()
		if why := ruleClaim(path); why != "" {
			return n, "the claim " + path + ": " + why
		}
		if len(c.get("values").texts()) == 0 || !n.and(needs{claims: []claim{{path, merged(nil, c.get("values").texts())}}}) {
			return n, "a route asks a claim for one list of values"
		}
	}
	if p := jwt.get("provider"); p.has() {
		i := e.providers[m.key()+" "+p.text()]
		if i == nil {
			return n, "no provider is called " + p.text()
		}
		speakers = []*issuer{i}
	}
	if len(speakers) == 0 {
		return n, "the policy has no provider of tokens"
	}
	e.speaksFor(&n, speakers...)
	return n, ""
}
