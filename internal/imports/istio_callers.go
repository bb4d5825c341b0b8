package imports

import (
	"slices"
	"strings"
)

// callers reads who a rule is for: alternatives, of which one is enough, or
// anybody. why says what no route can ask.
func (s *istio) callers(rule value) (alternatives []needs, anonymous bool, why string) {
	s.rest(rule, "a rule's ", noEquivalent, "from", "to", "when")
	shared := needs{}
	for _, w := range rule.get("when").items() {
		if w.get("notValues").has() {
			return nil, false, "a route cannot say which values " + w.get("key").text() + " may not have"
		}
		c, problem := s.condition(w.get("key").text(), w.get("values"))
		if problem != "" {
			return nil, false, problem
		}
		if !shared.and(c) {
			return nil, false, "a route asks a claim for one list of values"
		}
	}
	from := rule.get("from").items()
	if len(from) == 0 {
		return []needs{shared}, !rule.get("when").has(), ""
	}
	for _, f := range from {
		list, problem := s.source(f.get("source"))
		if problem != "" {
			s.leave(f.at(), "a source of an ALLOW rule", problem+"; it lets nobody in")
			continue
		}
		for _, n := range list {
			if n.and(shared) {
				alternatives = append(alternatives, n)
			} else {
				s.leave(f.at(), "a source of an ALLOW rule", "a route asks a claim for one list of values; it lets nobody in")
			}
		}
	}
	if len(alternatives) == 0 {
		return nil, false, "none of its sources was taken over"
	}
	return alternatives, false, ""
}

// source is who may be the caller.
func (s *istio) source(v value) (list []needs, why string) {
	for k, inner := range v.fields() {
		if k.node.Value != "requestPrincipals" && inner.has() {
			return nil, "a route asks nothing of " + k.node.Value
		}
	}
	if !v.get("requestPrincipals").has() {
		return nil, "it names nobody"
	}
	for _, p := range v.get("requestPrincipals").texts() {
		n, problem := s.requestPrincipal(p)
		if problem != "" {
			return nil, problem
		}
		list = append(list, n)
	}
	return list, ""
}

// requestPrincipal is issuer/subject, each of which may be *.
func (s *istio) requestPrincipal(text string) (n needs, why string) {
	if text == "*" {
		return n, ""
	}
	at := strings.LastIndexByte(text, '/')
	if i := longestIssuer(text, s.byIssuer); i > 0 {
		at = i
	}
	if at < 0 {
		return n, "the principal " + text + " is not issuer/subject"
	}
	name, subject := text[:at], text[at+1:]
	if strings.Contains(strings.TrimSuffix(name, "*"), "*") || name != "*" && strings.HasSuffix(name, "*") || subject != "*" && strings.Contains(subject, "*") {
		return n, "the principal " + text + " has * within issuer or subject"
	}
	if subject != "*" {
		if subject == "" {
			return n, "the principal " + text + " names no subject"
		}
		n.subjects = []string{subject}
	}
	if name == "*" {
		return n, ""
	}
	i := s.byIssuer[name]
	if i == nil {
		return n, "no RequestAuthentication names the issuer of " + text
	}
	s.speaksFor(&n, i)
	return n, ""
}

// longestIssuer finds where the subject begins, as both may hold slashes.
func longestIssuer(text string, known map[string]*issuer) (at int) {
	for name := range known {
		if strings.HasPrefix(text, name+"/") && len(name) > at {
			at = len(name)
		}
	}
	return at
}

// condition is what a when asks for, one of values.
func (s *istio) condition(key string, values value) (n needs, why string) {
	list := values.texts()
	switch {
	case len(list) == 0:
		return n, "the condition on " + key + " has no values"
	case strings.HasPrefix(key, "request.auth.claims["):
		path := claimPath(strings.TrimPrefix(key, "request.auth.claims"))
		if path == "scope" && !slices.ContainsFunc(list, func(v string) bool { return !isScope(v) || strings.Contains(v, "*") }) {
			return needs{any: list}, ""
		}
		if why := ruleClaim(path); why != "" {
			return n, "the claim " + key + ": " + why
		}
		return claimValues(path, list)
	case key == "request.auth.presenter":
		return claimValues("azp", list)
	case key == "request.auth.audiences":
		return claimValues("aud", list)
	case key == "request.auth.principal":
		if len(list) == 1 {
			return s.requestPrincipal(list[0])
		}
	}
	return n, "a route asks nothing of " + key
}

func claimValues(path string, list []string) (needs, string) {
	for _, v := range list {
		if strings.HasPrefix(v, "*") || strings.HasSuffix(v, "*") {
			return needs{}, "a route compares the claim " + path + " with whole values, not with " + v
		}
	}
	return needs{claims: []claim{{path, merged(nil, list)}}}, ""
}

// claimPath turns [a][b] into a.b, with the dots within names kept apart.
func claimPath(text string) string {
	var names []string
	for text != "" {
		inner, after, found := strings.Cut(strings.TrimPrefix(text, "["), "]")
		if !strings.HasPrefix(text, "[") || !found || inner == "" {
			return ""
		}
		names = append(names, claimName(inner))
		text = after
	}
	return strings.Join(names, ".")
}
