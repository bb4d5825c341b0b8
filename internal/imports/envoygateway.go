package imports

import (
	"fmt"
	"slices"
	"strings"
)

// envoyGateway reads SecurityPolicy, with the HTTPRoute that it is for.
type envoyGateway struct {
	*draft
	policies, routes []manifest
	providers        map[string]*issuer // by policy and name
}

// target is what a policy is for.
type target struct{ kind, namespace, name, section string }

func readEnvoyGateway(d *draft, sources []Source) error {
	all, err := manifests(sources)
	if err != nil {
		return err
	}
	e := &envoyGateway{draft: d, providers: make(map[string]*issuer)}
	for _, m := range all {
		switch m.kind {
		case "SecurityPolicy":
			e.policies = append(e.policies, m)
			for _, p := range m.get("spec", "jwt", "providers").items() {
				e.provider(m, p)
			}
		case "HTTPRoute":
			e.routes = append(e.routes, m)
		case "Gateway", "GatewayClass", "Service", "Namespace":
		default:
			d.leave(m.at(), m.String(), "only SecurityPolicy and HTTPRoute are read")
		}
	}
	if len(e.policies) == 0 {
		return &Error{all[0].at(), "there is no SecurityPolicy"}
	}
	used := make(map[string]bool)
	for _, m := range e.routes {
		e.httpRoute(m, used)
	}
	for _, p := range e.policies {
		if !used[p.key()] {
			e.alone(p)
		}
	}
	return firstErr(all)
}

func (m manifest) key() string { return m.namespace + "/" + m.label }

func (e *envoyGateway) provider(m manifest, p value) {
	i := e.know(issuer{at: p.at(), issuer: p.get("issuer").text(), about: "of provider " + p.get("name").text()})
	e.providers[m.key()+" "+p.get("name").text()] = i
	local := p.get("localJWKS")
	e.jwks(i, p.at(), p.get("remoteJWKS", "uri").text(), local.has())
}

// targets of a policy.
func targets(m manifest) (out []target) {
	list := m.get("spec", "targetRefs").items()
	if one := m.get("spec", "targetRef"); one.has() {
		list = append(list, one)
	}
	for _, v := range list {
		namespace := v.get("namespace").text()
		if namespace == "" {
			namespace = m.namespace
		}
		out = append(out, target{v.get("kind").text(), namespace, v.get("name").text(), v.get("sectionName").text()})
	}
	return out
}

// httpRoute makes a resource of a route and the policies that are for it.
func (e *envoyGateway) httpRoute(m manifest, used map[string]bool) {
	r := &resource{at: m.at(), name: m.label, union: true}
	for _, h := range m.get("spec", "hostnames").items() {
		if strings.Contains(h.text(), "*") {
			e.leave(h.at(), "the host "+h.text(), "hosts are whole names")
			continue
		}
		r.hosts = merged(r.hosts, []string{strings.ToLower(h.text())})
	}
	direct, above, sections := e.policiesFor(m, used)
	if len(direct) == 0 {
		direct = above
	}
	var rules []*route
	good := false
	switch len(direct) {
	case 0:
		e.leave(m.at(), m.String(), "no SecurityPolicy is for it, and it was open; nobody passes")
	case 1:
		if r = e.sharing(m, r, direct[0]); r.policy == direct[0].key() {
			rules, good = e.demands(direct[0], r)
		}
	default:
		e.leave(m.at(), m.String(), "several policies are for it; nobody passes")
	}
	if !good {
		r = e.sharing(m, r, manifest{})
	}
	for _, rule := range m.get("spec", "rules").items() {
		e.routeRule(m, r, rule, rules, !good || slices.Contains(sections, rule.get("name").text()) && rule.get("name").has())
	}
	for _, s := range sections {
		if !slices.ContainsFunc(m.get("spec", "rules").items(), func(rule value) bool { return rule.get("name").text() == s }) {
			e.leave(m.at(), "the policy for section "+s, "the route has no rule of this name; nobody passes")
			r.refused = append(r.refused, region{at: m.at(), pattern: everything()})
		}
	}
}

// sharing is the resource that answers to the same hosts already, or a new one.
func (e *envoyGateway) sharing(m manifest, r *resource, policy manifest) *resource {
	if slices.Contains(e.resources, r) {
		return r
	}
	if policy.doc != nil {
		r.policy = policy.key()
	}
	for _, old := range e.resources {
		if !slices.Equal(old.hosts, r.hosts) {
			continue
		}
		if policy.doc != nil && old.policy != r.policy {
			e.leave(m.at(), m.String(), "it shares its hosts with "+old.name+", which has another policy; nobody passes")
		}
		return old
	}
	e.resources = append(e.resources, r)
	return r
}

// policiesFor finds the policies for a route, those for its gateway, and the
// names of its rules that have one of their own.
func (e *envoyGateway) policiesFor(m manifest, used map[string]bool) (direct, above []manifest, sections []string) {
	for _, p := range e.policies {
		for _, t := range targets(p) {
			switch {
			case t.kind == "HTTPRoute" && t.name == m.label && t.namespace == m.namespace && t.section != "":
				sections = append(sections, t.section)
				used[p.key()] = true
				e.leave(p.at(), p.String(), "it is for one rule of "+m.label+"; nobody passes there")
			case t.kind == "HTTPRoute" && t.name == m.label && t.namespace == m.namespace:
				direct = append(direct, p)
				used[p.key()] = true
			case t.kind == "Gateway":
				for _, parent := range m.get("spec", "parentRefs").items() {
					if parent.get("name").text() == t.name {
						above = append(above, p)
						used[p.key()] = true
						break
					}
				}
			}
		}
	}
	return direct, above, sections
}

// alone makes a resource of a policy whose routes are not in the files.
func (e *envoyGateway) alone(p manifest) {
	r := &resource{at: p.at(), name: p.label, union: true}
	e.resources = append(e.resources, r)
	rules, good := e.demands(p, r)
	if !good {
		return
	}
	for _, o := range rules {
		one := *o
		one.path = everything()
		r.routes = append(r.routes, &one)
	}
}

// routeRule makes routes of one rule of an HTTPRoute.
func (e *envoyGateway) routeRule(m manifest, r *resource, rule value, demands []*route, closed bool) {
	e.rest(rule, "a rule's ", noEquivalent, "name", "matches", "filters", "backendRefs")
	elsewhere := e.backend(m, r, rule)
	strip, why := e.filters(rule)
	if why != "" {
		e.leave(rule.at(), "a rule", why+"; nobody passes")
	}
	matches := rule.get("matches").items()
	if len(matches) == 0 {
		matches = []value{{rule.doc, nil}}
	}
	for _, v := range matches {
		p, methods, loss := e.matched(v)
		if p == nil {
			e.leave(v.at(), "a match", loss)
			continue
		}
		if elsewhere || closed || why != "" {
			r.refused = append(r.refused, region{at: rule.at(), pattern: p, methods: methods})
			continue
		}
		if loss != "" {
			e.leave(v.at(), "a match", loss)
			continue
		}
		at := rule.at()
		if v.node != nil {
			at = v.at()
		}
		for _, d := range demands {
			common := within(d.methods, methods)
			if len(d.methods) == 0 && len(methods) > 0 { // those of the others told apart have their own
				for _, other := range demands {
					common = slices.DeleteFunc(slices.Clone(common), func(m string) bool { return slices.Contains(other.methods, m) })
				}
			}
			if len(common) == 0 && len(d.methods)+len(methods) > 0 {
				continue
			}
			one := *d
			one.at, one.path, one.methods = at, p, common
			if strip && p[len(p)-1] == "**" && len(p) > 1 {
				one.strip = p[:len(p)-1].String()
			}
			r.routes = append(r.routes, &one)
		}
	}
}

// matched is the pattern of a match. With a loss it has more conditions than a
// route has.
func (e *envoyGateway) matched(v value) (p pattern, methods []string, loss string) {
	if m := v.get("method"); m.has() {
		if !isMethod(m.text()) {
			return nil, nil, "its method is refused everywhere"
		}
		methods = []string{m.text()}
	}
	text := v.get("path", "value").text()
	if text == "" {
		text = "/"
	}
	p, problem := literal(text)
	switch kind := v.get("path", "type").text(); {
	case kind == "RegularExpression":
		return nil, nil, "a regular expression is no pattern of a route"
	case problem != "":
		return nil, nil, problem
	case kind == "" || kind == "PathPrefix":
		p = append(p, "**")
	}
	for k, inner := range v.fields() {
		if k.node.Value != "path" && k.node.Value != "method" && inner.has() {
			return p, methods, "a route asks nothing of " + k.node.Value
		}
	}
	return p, methods, ""
}

// backend notes where requests go; elsewhere tells that it is not where those
// of the first rule go.
func (e *envoyGateway) backend(m manifest, r *resource, rule value) (elsewhere bool) {
	refs := rule.get("backendRefs").items()
	if len(refs) == 0 {
		return false
	}
	if len(refs) > 1 {
		e.leave(refs[1].at(), "a second backend", "a resource has one upstream")
	}
	namespace := refs[0].get("namespace").text()
	if namespace == "" {
		namespace = m.namespace
	}
	host := refs[0].get("name").text()
	if namespace != "" {
		host += "." + namespace
	}
	port := refs[0].get("port").text()
	if port == "" {
		port = "80"
	}
	address := "http://" + host + ":" + port
	if r.upstream == "" {
		r.upstream = address
	}
	if r.upstream != address {
		e.leave(refs[0].at(), "the backend "+host, "a resource has one upstream; write a second resource with hosts or listen; nobody passes")
	}
	return r.upstream != address
}

// filters of a rule: strip tells that the matched front of the path goes.
func (e *envoyGateway) filters(rule value) (strip bool, why string) {
	for _, f := range rule.get("filters").items() {
		path := f.get("urlRewrite", "path")
		switch kind := f.get("type").text(); {
		case kind == "RequestRedirect":
			return false, "it redirects"
		case kind == "URLRewrite" && path.get("type").text() == "ReplacePrefixMatch" && strings.Trim(path.get("replacePrefixMatch").text(), "/") == "" && !f.get("urlRewrite", "hostname").has():
			strip = true
		case kind == "URLRewrite":
			return false, "it rewrites paths or hosts, and a route can only strip a prefix"
		default:
			e.leave(f.at(), "the filter "+kind, fmt.Sprintf("see forward and cors; %s", noEquivalent))
		}
	}
	return strip, ""
}
