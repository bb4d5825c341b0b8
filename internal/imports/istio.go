package imports

import (
	"slices"
	"strings"
)

// istio reads RequestAuthentication and AuthorizationPolicy of one workload.
type istio struct {
	*draft
	api      *resource
	byIssuer map[string]*issuer
}

const rootNamespace = "istio-system"

func readIstio(d *draft, sources []Source) error {
	all, err := manifests(sources)
	if err != nil {
		return err
	}
	s := &istio{draft: d, api: &resource{at: all[0].at(), union: true}, byIssuer: make(map[string]*issuer)}
	d.resources = append(d.resources, s.api)
	if all, err = s.workload(all); err != nil {
		return err
	}
	var rules []manifest
	for _, m := range all {
		switch m.kind {
		case "RequestAuthentication":
			for _, rule := range m.get("spec", "jwtRules").items() {
				s.jwtRule(rule)
			}
		case "AuthorizationPolicy":
			rules = append(rules, m)
		default:
			d.leave(m.at(), m.String(), "only RequestAuthentication and AuthorizationPolicy are read")
		}
	}
	s.mixedAudiences()
	s.authorize(rules)
	if len(rules) == 0 && len(d.issuers) == 0 && firstErr(all) == nil {
		return &Error{all[0].at(), "there is neither a RequestAuthentication nor an AuthorizationPolicy"}
	}
	return firstErr(all)
}

// workload keeps what is about one workload: the one named, or the only one.
func (s *istio) workload(all []manifest) ([]manifest, error) {
	wanted := strings.Split(s.Workload, ",")
	namespace := ""
	if before, rest, found := strings.Cut(s.Workload, "/"); found && !strings.Contains(before, "=") {
		namespace, wanted = before, strings.Split(rest, ",")
	}
	if s.Workload == "" {
		widest := manifest{}
		for _, m := range all {
			if have := selector(m); len(have) > len(selector(widest)) || widest.kind == "" || widest.namespace == rootNamespace {
				widest = m
			}
		}
		wanted, namespace = selector(widest), widest.namespace
	}
	var out []manifest
	for _, m := range all {
		have := selector(m)
		other := slices.ContainsFunc(have, func(label string) bool { return !slices.Contains(wanted, label) })
		elsewhere := m.namespace != "" && namespace != "" && m.namespace != namespace && m.namespace != rootNamespace
		switch {
		case !other && !elsewhere:
			out = append(out, m)
		case s.Workload == "":
			return nil, &Error{m.at(), m.String() + " is for another workload than the others; name one with --workload, like " + strings.TrimPrefix(m.namespace+"/", "/") + strings.Join(have, ",")}
		}
	}
	if len(out) == 0 {
		return nil, &Error{all[0].at(), "nothing in the files is for --workload " + s.Workload}
	}
	return out, nil
}

func selector(m manifest) []string {
	if m.node == nil {
		return nil
	}
	list := labels(m.get("spec", "selector", "matchLabels"))
	for _, t := range append(m.get("spec", "targetRefs").items(), m.get("spec", "targetRef")) {
		if t.has() {
			list = append(list, t.get("kind").text()+"="+t.get("name").text())
		}
	}
	return list
}

func (s *istio) jwtRule(v value) {
	i := s.know(issuer{at: v.at(), issuer: v.get("issuer").text()})
	s.byIssuer[v.get("issuer").text()] = i
	uri := v.get("jwksUri")
	if !uri.has() {
		uri = v.get("jwks_uri")
	}
	s.jwks(i, v.at(), uri.text(), v.get("jwks").has())
	if list := v.get("audiences").texts(); len(list) > 0 {
		if s.api.perIssuer == nil {
			s.api.perIssuer = make(map[*issuer][]string)
		}
		s.api.perIssuer[i] = merged(s.api.perIssuer[i], list)
	}
	for _, h := range v.get("fromHeaders").items() {
		s.extract(s.api, h.at(), "header", h.get("name").text(), h.get("prefix").text())
	}
	for _, p := range v.get("fromParams").items() {
		s.extract(s.api, p.at(), "parameter", p.text(), "")
	}
	for _, c := range v.get("fromCookies").items() {
		s.extract(s.api, c.at(), "cookie", c.text(), "")
	}
	for _, h := range v.get("outputClaimToHeaders").items() {
		s.api.headers = s.addHeader(s.api.headers, h.at(), h.get("header").text(), h.get("claim").text())
	}
	if v.get("forwardOriginalToken").truth() {
		s.api.token = true
	}
	s.rest(v, "jwtRules ", noEquivalent, "issuer", "audiences", "jwksUri", "jwks_uri", "jwks", "fromHeaders", "fromParams", "fromCookies", "outputClaimToHeaders", "forwardOriginalToken")
}

// mixedAudiences makes one list where there is one issuer.
func (s *istio) mixedAudiences() {
	for i, list := range s.api.perIssuer {
		if len(s.issuers) == 1 {
			s.api.audiences, s.api.perIssuer = list, nil
		} else if slices.ContainsFunc(s.issuers, func(o *issuer) bool { return o != i && o.name() == i.name() }) {
			s.leave(i.at, "the audiences of "+i.issuer, "two issuers share a host; give them names, and write audiences_by_issuer")
			delete(s.api.perIssuer, i)
		} else {
			i.named = true
		}
	}
}

// authorize reads the policies: what is denied, and of which rules one is
// enough.
func (s *istio) authorize(policies []manifest) {
	allowed := false
	for _, m := range policies {
		action := m.get("spec", "action").text()
		s.rest(m.get("spec"), m.String()+" ", noEquivalent, "selector", "targetRef", "targetRefs", "action", "rules", "provider")
		rules := m.get("spec", "rules")
		switch action {
		case "", "ALLOW":
			allowed = true
			for _, rule := range rules.items() {
				s.allow(rule)
			}
		case "DENY":
			for _, rule := range rules.items() {
				s.deny(rule)
			}
		case "AUDIT":
			s.leave(m.get("spec").at(), m.String(), "AUDIT decides nothing; see log.access")
		case "CUSTOM":
			for _, rule := range rules.items() {
				s.leave(rule.at(), "CUSTOM "+m.label, "nobody else is asked; nobody passes where it did")
				s.refuse(rule, nil)
			}
		default:
			m.get("spec", "action").fail("is no action of an AuthorizationPolicy")
		}
	}
	if !allowed {
		s.api.open = true
		s.leave(s.api.at, "requests without a token", "without an ALLOW policy Istio lets them pass; here they need one")
	}
}

// allow adds the routes of a rule, if it can be said at all.
func (s *istio) allow(rule value) {
	alternatives, anonymous, why := s.callers(rule)
	if why != "" {
		s.leave(rule.at(), "an ALLOW rule", why+"; it lets nobody in")
		return
	}
	operations := rule.get("to").items()
	if len(operations) == 0 {
		operations = []value{{rule.doc, nil}}
	}
	for _, to := range operations {
		op := to.get("operation")
		if why := s.unsaid(op, "notPaths", "methods", "notMethods", "paths"); why != "" {
			s.leave(op.at(), "an operation of an ALLOW rule", why+"; it lets nobody in")
			continue
		}
		s.operation(rule, op, alternatives, anonymous)
	}
}

func (s *istio) operation(rule, op value, alternatives []needs, anonymous bool) {
	methods, good := s.methods(op)
	if !good {
		return
	}
	var except []region
	for _, p := range op.get("notPaths").items() {
		except = append(except, pathRegion(p.at(), p.text()))
	}
	paths := op.get("paths").items()
	if len(paths) == 0 {
		paths = []value{{rule.doc, nil}}
	}
	for _, p := range paths {
		path, loss := everything(), ""
		at := rule.at()
		if p.node != nil {
			path, loss = pathPattern(p.text())
			at = p.at()
		}
		if loss != "" {
			s.leave(at, "the path "+p.text(), loss)
		}
		if path == nil {
			continue
		}
		for _, n := range alternatives {
			s.api.routes = append(s.api.routes, &route{at: at, path: path, methods: methods, needs: n, optional: anonymous, except: except})
		}
	}
}

// methods are those of an operation.
func (s *istio) methods(op value) (list []string, good bool) {
	for _, m := range op.get("methods").items() {
		switch text := m.text(); {
		case text == "*":
			return nil, true
		case !isMethod(text):
			s.leave(m.at(), "the method "+text, "a route names whole methods, in upper case, and not TRACE or CONNECT")
		default:
			list = merged(list, []string{text})
		}
	}
	if len(op.get("methods").items()) > 0 && len(list) == 0 {
		return nil, false
	}
	if gone := op.get("notMethods").texts(); len(gone) > 0 {
		if list = without(list, gone); len(list) == 0 {
			return nil, false
		}
	}
	return list, true
}

func isMethod(text string) bool {
	return text != "" && text != "TRACE" && text != "CONNECT" && len(text) <= 64 &&
		!strings.ContainsFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' })
}

// unsaid finds conditions of an operation that no route has.
func (s *istio) unsaid(op value, said ...string) string {
	for k, v := range op.fields() {
		if !slices.Contains(said, k.node.Value) && v.has() {
			return "a route asks nothing of " + k.node.Value
		}
	}
	return ""
}

// pathPattern is a path of a policy: literal, or with * in front, behind or
// alone, or with {*} and {**} in it. What loss is about does not match.
func pathPattern(text string) (p pattern, loss string) {
	const open = "a pattern is whole segments, with ** at the end"
	switch front, below := strings.CutSuffix(text, "*"); {
	case text == "*" || text == "/*":
		return everything(), ""
	case strings.Contains(text, "{"):
		for i, segment := range split(text) {
			switch {
			case segment == "{*}":
				p = append(p, "*")
			case segment == "{**}" && i == len(split(text))-1:
				p = append(p, "**")
			case unfit(segment) != "":
				return nil, open
			default:
				p = append(p, segment)
			}
		}
		return p, ""
	case below:
		p, problem := literal(front)
		if problem != "" {
			return nil, problem
		}
		if !strings.HasSuffix(front, "/") {
			loss = "a pattern ends with a segment: paths that go on within the last one match no route"
		}
		return append(p, "**"), loss
	case strings.HasPrefix(text, "*"):
		return nil, open
	}
	p, problem := literal(text)
	if problem != "" {
		return nil, problem
	}
	return p, ""
}

// pathRegion is all that a path of a policy is about, and no less.
func pathRegion(at Place, text string) region {
	p, loss := pathPattern(text)
	switch {
	case p != nil && loss == "":
		return region{at: at, pattern: p}
	case p != nil:
		last := len(p) - 2
		g := region{at: at, start: p[last], pattern: slices.Clone(p)}
		g.pattern[last] = "*"
		return g
	case strings.HasPrefix(text, "*") && !strings.ContainsAny(text[1:], "*{"):
		return region{at: at, pattern: everything(), end: text[1:]}
	}
	return region{at: at, pattern: everything()}
}

// refuse changes what a rule is about, or closes it.
func (s *istio) refuse(rule value, change func(*route) bool) {
	operations := rule.get("to").items()
	if len(operations) == 0 {
		operations = []value{{rule.doc, nil}}
	}
	for _, to := range operations {
		op := to.get("operation")
		methods := slices.DeleteFunc(op.get("methods").texts(), func(m string) bool { return m == "TRACE" || m == "CONNECT" })
		if len(methods) == 0 && len(op.get("methods").items()) > 0 {
			continue // refused everywhere
		}
		if slices.ContainsFunc(methods, func(m string) bool { return !isMethod(m) }) {
			s.leave(op.at(), "the methods of a DENY or CUSTOM rule", "a route names whole methods, in upper case; all are refused")
			methods = nil
		}
		exact := len(rule.get("from").items())+len(rule.get("when").items()) == 0
		if why := s.unsaid(op, "paths", "methods"); why != "" {
			exact = false
			s.leave(op.at(), "an operation of a DENY or CUSTOM rule", why+"; the rule counts whatever it says")
		}
		paths := op.get("paths").items()
		if len(paths) == 0 {
			s.api.refused = append(s.api.refused, region{at: rule.at(), pattern: everything(), methods: methods, change: change, exact: exact})
		}
		for _, p := range paths {
			g := pathRegion(p.at(), p.text())
			if g.start != "" || g.end != "" || g.pattern.String() == "/**" && p.text() != "*" && p.text() != "/*" {
				s.leave(p.at(), "the path "+p.text(), "no pattern is exactly these paths; the rule counts for more than these")
			} else {
				g.exact = exact
			}
			g.methods, g.change = methods, change
			s.api.refused = append(s.api.refused, g)
		}
	}
}

// deny takes over what can be said, and closes what a rule is about otherwise.
func (s *istio) deny(rule value) {
	from, when := rule.get("from").items(), rule.get("when").items()
	switch {
	case len(from) == 0 && len(when) == 0:
		s.refuse(rule, nil)
		return
	case len(from) == 1 && len(when) == 0 && onlyWithoutToken(from[0].get("source")):
		s.refuse(rule, func(o *route) bool {
			o.optional = false
			return !o.public
		})
		return
	case len(from) == 0 && len(when) == 1 && !when[0].get("values").has() && when[0].get("notValues").has():
		c, why := s.condition(when[0].get("key").text(), when[0].get("notValues"))
		if why == "" {
			s.refuse(rule, func(o *route) bool {
				o.optional = false
				return !o.public && o.needs.and(c)
			})
			return
		}
		s.leave(rule.at(), "a DENY rule", why+"; nobody passes, whether it fits or not")
	default:
		s.leave(rule.at(), "a DENY rule", "a route cannot say whom it keeps out; nobody passes, whether it fits or not")
	}
	s.refuse(rule, nil)
}

// onlyWithoutToken is the rule that keeps requests without a token out.
func onlyWithoutToken(source value) bool {
	list := source.get("notRequestPrincipals").texts()
	n := 0
	for range source.fields() {
		n++
	}
	return n == 1 && len(list) == 1 && list[0] == "*"
}
