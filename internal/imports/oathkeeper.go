package imports

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// oathkeeper reads access rules. Each must be the only one that fits a request.
type oathkeeper struct {
	*draft
	hosts     []string
	byHost    map[string]*resource
	rules     []*oathkeeperRule
	nobody    *issuer  // of tokens whose rule names none
	anywhere  []region // of rules whose host is no plain one
	introspec map[string]*issuer
}

type oathkeeperRule struct {
	value
	id       string
	host     string
	paths    []pattern
	methods  []string
	speakers []*issuer
	audience string
}

func readOathkeeper(d *draft, sources []Source) error {
	o := &oathkeeper{draft: d, byHost: make(map[string]*resource), introspec: make(map[string]*issuer)}
	var docs []value
	for _, s := range sources {
		list, err := documents(s)
		if err != nil {
			return err
		}
		docs = append(docs, list...)
	}
	for _, doc := range docs {
		list := []value{doc}
		if doc.isList() {
			list = doc.items()
		}
		for _, v := range list {
			if !v.get("match").has() {
				v.fail("is no access rule: it has no match")
			} else {
				o.match(v)
			}
		}
	}
	for _, r := range o.rules {
		o.rule(r)
	}
	for _, host := range o.hosts {
		o.settleHost(o.byHost[host])
	}
	for _, doc := range docs {
		if err := doc.err(); err != nil {
			return err
		}
	}
	return nil
}

var (
	matchURL  = regexp.MustCompile(`^(https?|<(?:http\|https|https\|http|https\?)>)://([^/]*)(/.*)?$`)
	plainHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)
)

// match finds what a rule is for, and whose tokens it takes.
func (o *oathkeeper) match(v value) {
	r := &oathkeeperRule{value: v, id: v.get("id").text()}
	at := v.get("match", "url").at()
	refuse := func(host string, g region, why string) {
		o.leave(at, "rule "+r.id, why)
		g.at = at
		if res := o.byHost[host]; host != "" && res != nil {
			res.refused = append(res.refused, g)
		} else {
			o.anywhere = append(o.anywhere, g)
		}
	}
	for _, m := range v.get("match", "methods").items() {
		if text := strings.ToUpper(m.text()); isMethod(text) {
			r.methods = merged(r.methods, []string{text})
		} else {
			o.leave(m.at(), "the method "+m.text()+" of rule "+r.id, "it is refused everywhere")
		}
	}
	parts := matchURL.FindStringSubmatch(v.get("match", "url").text())
	switch {
	case len(r.methods) == 0:
		o.leave(v.get("match").at(), "rule "+r.id, "it lists no method and so fits nothing")
		return
	case parts == nil || !plainHost.MatchString(parts[2]):
		refuse("", region{pattern: everything(), methods: r.methods}, "its URL does not begin with a plain scheme and host; nobody passes where it might fit")
		return
	}
	r.host = strings.ToLower(parts[2])
	if o.byHost[r.host] == nil {
		o.hosts = append(o.hosts, r.host)
		o.byHost[r.host] = &resource{at: at, identifier: "https://" + r.host, hosts: []string{r.host}}
		o.resources = append(o.resources, o.byHost[r.host])
	}
	paths, wide, problem := rulePaths(parts[3])
	if problem != "" {
		refuse(r.host, region{pattern: wide, methods: r.methods}, problem)
		return
	}
	r.paths = paths
	o.speakers(r)
	o.rules = append(o.rules, r)
}

// rulePaths are the patterns of a path with expressions in < and >. With a
// problem, wide holds all that it might match.
func rulePaths(text string) (out []pattern, wide pattern, problem string) {
	out = []pattern{{}}
	segments := splitOutside(text)
	for i, s := range segments {
		inner, opened := strings.CutPrefix(s, "<")
		inner, closed := strings.CutSuffix(inner, ">")
		last := i == len(segments)-1
		var next []pattern
		switch {
		case opened && closed && last && (inner == ".*" || inner == "**"):
			next = []pattern{{"**"}}
		case opened && closed && last && inner == ".+":
			next = []pattern{{"*", "**"}}
		case opened && closed && inner == "[^/]+":
			next = []pattern{{"*"}}
		case opened && closed && inner == "*":
			problem = "<*> stops at dots, which * of a route does not; write the route by hand if that is no matter"
		case opened && closed && alternatives(inner) != nil:
			for _, word := range alternatives(inner) {
				next = append(next, pattern{word})
			}
		case !strings.ContainsAny(s, "<>"):
			if problem = unfit(s); problem == "" {
				next = []pattern{{s}}
			}
		default:
			problem = "an expression in it is no pattern of a route"
		}
		if problem != "" || len(out)*len(next) > 32 {
			if problem == "" {
				problem = "it stands for too many paths"
			}
			wide = pattern{}
			if len(out) == 1 {
				wide = out[0]
			}
			return nil, append(slices.Clone(wide), "**"), problem
		}
		var all []pattern
		for _, p := range out {
			for _, n := range next {
				all = append(all, append(slices.Clone(p), n...))
			}
		}
		out = all
	}
	return out, nil, ""
}

// splitOutside cuts a path at its slashes, but for those within expressions.
func splitOutside(text string) pattern {
	depth := 0
	marked := strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			depth++
		case r == '>':
			depth--
		case r == '/' && depth > 0:
			return '\x00'
		}
		return r
	}, strings.ReplaceAll(text, "\x00", "\uFFFD"))
	out := split(marked)
	for i, s := range out {
		out[i] = strings.ReplaceAll(s, "\x00", "/")
	}
	return out
}

var words = regexp.MustCompile(`^\(?[A-Za-z0-9_-]+(\|[A-Za-z0-9_-]+)*\)?$`)

// alternatives are the words of a|b or (a|b).
func alternatives(text string) []string {
	if !words.MatchString(text) || strings.HasPrefix(text, "(") != strings.HasSuffix(text, ")") {
		return nil
	}
	return merged(nil, strings.Split(strings.Trim(text, "()"), "|"))
}

// speakers notes the issuers of a rule before any route is made.
func (o *oathkeeper) speakers(r *oathkeeperRule) {
	for _, a := range r.get("authenticators").items() {
		switch a.get("handler").text() {
		case "jwt":
			r.speakers = append(r.speakers, o.jwtIssuers(a)...)
		case "oauth2_introspection":
			r.speakers = append(r.speakers, o.asked(a)...)
		}
	}
}

func (o *oathkeeper) jwtIssuers(a value) (out []*issuer) {
	c := a.get("config")
	for _, t := range c.get("trusted_issuers").items() {
		out = append(out, o.know(issuer{at: t.at(), issuer: t.text()}))
	}
	if len(out) == 0 {
		if o.nobody == nil {
			o.nobody = o.know(issuer{at: a.at(), issuer: o.Issuer, about: "(the rules name none)"})
		}
		out = []*issuer{o.nobody}
	}
	for n, u := range c.get("jwks_urls").items() {
		if n > 0 || len(out) > 1 || out[0].keys != "" && out[0].keys != u.text() {
			o.leave(u.at(), "a second key set", "an issuer has one; the others are found by its metadata")
		} else {
			o.keysAt(out[0], u.at(), u.text())
		}
	}
	if list := c.get("allowed_algorithms"); list.has() {
		for _, i := range out {
			o.algorithms(i, list)
		}
	}
	return out
}

func (o *oathkeeper) algorithms(i *issuer, list value) {
	var good []string
	for _, a := range list.texts() {
		if slices.Contains(strings.Fields("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"), a) {
			good = append(good, a)
		} else {
			o.leave(list.at(), "the algorithm "+a, "its keys are not public")
		}
	}
	common, ok := both(i.algorithms, good)
	if !ok || len(common) == 0 {
		common = []string{blank("algorithms that all rules of this issuer allow")}
	}
	i.algorithms = common
}

// asked is the issuer that is asked about tokens.
func (o *oathkeeper) asked(a value) []*issuer {
	c := a.get("config")
	endpoint := c.get("introspection_url").text()
	if i := o.introspec[endpoint]; i != nil {
		return []*issuer{i}
	}
	one := issuer{at: a.at(), issuer: o.Issuer, introspect: endpoint}
	if list := c.get("trusted_issuers").texts(); len(list) == 1 {
		one.issuer = list[0]
	} else if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		one.about = "(it is asked at " + u.Host + ")"
	}
	if web(endpoint) == "" {
		one.introspect = blank("the https URL that is asked about tokens")
	}
	i := o.know(one)
	i.introspect = one.introspect
	o.introspec[endpoint] = i
	return []*issuer{i}
}

// rule makes routes of a rule.
func (o *oathkeeper) rule(r *oathkeeperRule) {
	res := o.byHost[r.host]
	refuse := func(why string, exact bool) {
		if why != "" {
			o.leave(r.at(), "rule "+r.id, why+"; nobody passes")
		}
		for _, p := range r.paths {
			res.refused = append(res.refused, region{at: r.at(), pattern: p.plain(), methods: r.methods, exact: exact})
		}
	}
	o.rest(r.value, "rule "+r.id+" ", noEquivalent, "id", "version", "description", "match", "authenticators", "authorizer", "mutators", "upstream")
	made := &route{at: r.at(), name: r.id, methods: r.methods}
	switch handler := r.get("authorizer", "handler").text(); handler {
	case "allow":
	case "deny":
		refuse("", true)
		return
	default:
		refuse("a route does not ask the authorizer "+handler, false)
		return
	}
	if why, closed := o.authenticate(r, made, res); why != "" || closed {
		refuse(why, why == "")
		return
	}
	if why := o.upstream(r, made, res); why != "" {
		refuse(why, false)
		return
	}
	o.mutate(r, made)
	for n, p := range r.paths {
		one := *made
		one.path = p
		if n > 0 {
			one.name = ""
		}
		if front := split(made.strip); made.strip != "" && (len(front) > len(p) || !slices.Equal(front, p[:len(front)])) {
			o.leave(r.get("upstream", "strip_path").at(), "strip_path of rule "+r.id, "it is no front of the path; nobody passes")
			res.refused = append(res.refused, region{at: r.at(), pattern: p.plain(), methods: r.methods})
			continue
		}
		res.routes = append(res.routes, &one)
	}
}

// authenticate reads the ways to prove who is there, of which the first that can
// say anything does.
func (o *oathkeeper) authenticate(r *oathkeeperRule, made *route, res *resource) (why string, closed bool) {
	var sum *needs
	anonymous, public := false, false
ways:
	for i, a := range r.get("authenticators").items() {
		switch handler := a.get("handler").text(); handler {
		case "jwt", "oauth2_introspection":
			n, problem := o.token(r, a, res)
			if problem != "" {
				return problem, true
			}
			if sum == nil {
				sum = &n
			} else if either, ok := sum.either(&n); ok {
				sum = &either
			} else {
				o.leave(a.at(), "the authenticator "+handler+" of rule "+r.id, "a route cannot say \"this or the other\"; only the first is asked")
			}
		case "noop":
			anonymous, public = true, i == 0
			break ways
		case "anonymous":
			anonymous = true
		case "unauthorized":
			break ways
		default:
			o.leave(a.at(), "the authenticator "+handler+" of rule "+r.id, noEquivalent+"; this way in is closed")
		}
	}
	switch {
	case public:
		made.public = true
	case anonymous && sum == nil && o.only(nil), anonymous && sum != nil && o.only(r.speakers):
		made.optional = true
	case anonymous:
		o.leave(r.at(), "rule "+r.id, "requests without a token passed; here they need one, since a route that takes both cannot ask for one of several issuers")
	case sum == nil:
		if len(r.get("authenticators").items()) == 1 && r.get("authenticators").items()[0].get("handler").text() == "unauthorized" {
			return "", true
		}
		return "no way in was taken over", true
	}
	if sum != nil && !made.public {
		made.needs = *sum // scopes only, so far
	}
	if sum != nil && !made.public && !made.optional {
		o.speaksFor(&made.needs, r.speakers...)
	}
	return "", false
}

// token is what a rule asks of tokens.
func (o *oathkeeper) token(r *oathkeeperRule, a value, res *resource) (n needs, why string) {
	c := a.get("config")
	n.all = c.get("required_scope").texts()
	if slices.ContainsFunc(n.all, func(s string) bool { return !isScope(s) }) {
		return n, "a scope of it is none by RFC 6749 section 3.3"
	}
	if s := c.get("scope_strategy"); s.has() && s.text() != "exact" {
		o.leave(s.at(), "scope_strategy of rule "+r.id, "scopes are compared exactly; see scope_hierarchy")
	}
	switch list := c.get("target_audience").texts(); {
	case len(list) > 1:
		return n, "tokens must name several audiences at once, which no route asks"
	case len(list) == 1 && r.audience != "" && r.audience != list[0]:
		return n, "its authenticators differ in the audience"
	case len(list) == 1:
		r.audience = list[0]
		res.audiences = merged(res.audiences, list)
	}
	from := c.get("token_from")
	for _, place := range [][2]string{{"header", "header"}, {"query_parameter", "parameter"}, {"cookie", "cookie"}} {
		if v := from.get(place[0]); v.has() {
			o.extract(res, v.at(), place[1], v.text(), map[bool]string{true: "Bearer"}[strings.EqualFold(v.text(), "authorization")])
		}
	}
	o.rest(c, "rule "+r.id+" "+a.get("handler").text()+" ", noEquivalent, "jwks_urls", "trusted_issuers", "target_audience", "required_scope", "scope_strategy", "token_from", "allowed_algorithms", "introspection_url")
	return n, ""
}

func (o *oathkeeper) upstream(r *oathkeeperRule, made *route, res *resource) (why string) {
	up := r.get("upstream")
	o.rest(up, "rule "+r.id+" upstream.", noEquivalent, "url", "strip_path", "preserve_host")
	text := strings.TrimSuffix(up.get("url").text(), "/")
	switch {
	case text == "":
	case res.upstream == "":
		res.upstream = text
	case res.upstream != text:
		return "its upstream is not that of the other rules of " + r.host + ", and a resource has one"
	}
	if strip := strings.Trim(up.get("strip_path").text(), "/"); strip != "" {
		made.strip = "/" + strip
	}
	return ""
}

var template = regexp.MustCompile(`^\{\{-?\s*(?:print\s+)?\.(Subject|Extra((?:\.[A-Za-z0-9_]+)+))\s*-?\}\}$`)

// mutate reads what the upstream is told.
func (o *oathkeeper) mutate(r *oathkeeperRule, made *route) {
	for _, m := range r.get("mutators").items() {
		switch handler := m.get("handler").text(); handler {
		case "noop":
		case "header":
			for name, v := range m.get("config", "headers").fields() {
				parts := template.FindStringSubmatch(v.text())
				if parts == nil {
					o.leave(v.at(), "the header "+name.node.Value+" of rule "+r.id, "only a claim by itself becomes a header")
					continue
				}
				claim := strings.TrimPrefix(parts[2], ".")
				if parts[1] == "Subject" {
					claim = "sub"
				}
				made.headers = o.addHeader(made.headers, v.at(), name.node.Value, claim)
			}
		default:
			o.leave(m.at(), "the mutator "+handler+" of rule "+r.id, noEquivalent)
		}
	}
}

// settleHost refuses what several rules fit, and tells audiences apart.
func (o *oathkeeper) settleHost(res *resource) {
	res.refused = append(res.refused, o.anywhere...)
	for i, a := range res.routes {
		for _, b := range res.routes[i+1:] {
			common, ok := intersect(a.path, b.path)
			if !ok || !meet(a.methods, b.methods) {
				continue
			}
			o.leave(b.at, "rule "+ruleName(b), fmt.Sprintf("it fits requests that the rule of %s fits as well, which Oathkeeper refuses; nobody passes there", a.at))
			res.refused = append(res.refused, region{at: b.at, pattern: common, methods: within(a.methods, b.methods)})
		}
	}
	if len(res.audiences) < 2 {
		return
	}
	for _, r := range o.rules {
		for _, made := range res.routes {
			if made.at != r.at() || r.audience == "" || made.public {
				continue
			}
			if made.optional {
				made.optional = false
				o.leave(made.at, "rule "+r.id, "requests without a token passed; here they need one, since a route that takes both cannot ask for one of several audiences")
			}
			if !made.needs.and(needs{claims: []claim{{"aud", []string{r.audience}}}}) {
				made.closed = true
			}
		}
	}
}
