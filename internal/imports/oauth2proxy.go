package imports

import (
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// oauth2Proxy reads files of oauth2-proxy: settings, arguments, and the alpha
// configuration in YAML.
type oauth2Proxy struct {
	*draft
	settings map[string]setting
	api      *resource
}

func readOAuth2Proxy(d *draft, sources []Source) error {
	o := &oauth2Proxy{draft: d, settings: make(map[string]setting), api: &resource{at: Place{File: sources[0].Name}, union: true}}
	d.resources = append(d.resources, o.api)
	for _, s := range sources {
		if err := o.source(s); err != nil {
			return err
		}
	}
	o.listener()
	o.issuersOf()
	base := o.upstreams()
	o.demands(base)
	o.skipped(base)
	o.forwards()
	o.others()
	return nil
}

func (o *oauth2Proxy) source(s Source) error {
	switch filepath.Ext(s.Name) {
	case ".yaml", ".yml", ".json":
		docs, err := documents(s)
		if err != nil {
			return err
		}
		o.alpha(docs[0])
		return docs[0].err()
	}
	if err := readable(s); err != nil {
		return err
	}
	t := &tomlReader{file: s.Name, rest: string(s.Text), into: o.settings, repeated: make(map[string]bool)}
	return t.read()
}

// take returns a setting and marks it as read.
func (o *oauth2Proxy) take(key string) (setting, bool) {
	s, given := o.settings[key]
	delete(o.settings, key)
	return s, given && len(s.values) > 0 && (len(s.values) > 1 || s.values[0] != "")
}

// on takes a switch.
func (o *oauth2Proxy) on(key string) (setting, bool) {
	s, given := o.take(key)
	return s, given && s.one() == "true"
}

func (o *oauth2Proxy) listener() {
	if s, given := o.take("http_address"); given {
		text := strings.TrimPrefix(s.one(), "http://")
		host, port, err := net.SplitHostPort(text)
		if err != nil || host != "" && host != "localhost" && net.ParseIP(host) == nil {
			o.leave(s.at, "http_address", "it is no address of the form host:port")
		} else {
			if host == "0.0.0.0" {
				host = ""
			}
			o.listen = net.JoinHostPort(host, port)
		}
	}
	cert, given := o.take("tls_cert_file")
	key, both := o.take("tls_key_file")
	if given && both {
		o.tls = [2]string{cert.one(), key.one()}
		if s, given := o.take("https_address"); given {
			o.listen = s.one()
		}
	}
}

// issuersOf finds who makes tokens, and for whom.
func (o *oauth2Proxy) issuersOf() {
	main := issuer{at: o.api.at}
	if s, given := o.take("oidc_issuer_url"); given {
		main.issuer, main.at = s.one(), s.at
	}
	if s, given := o.take("oidc_jwks_url"); given {
		o.keysAt(&main, s.at, s.one())
	}
	if s, given := o.take("provider"); given && s.one() == "keycloak-oidc" {
		main.provider = "keycloak"
	} else if given && s.one() != "oidc" {
		o.leave(s.at, "provider", "only oidc and keycloak-oidc say how tokens are checked; see issuers[].provider")
	}
	if s, given := o.take("oidc_audience_claims"); given {
		if s.one() != "aud" {
			main.audience = s.one()
		}
		if len(s.values) > 1 {
			o.leave(s.at, "oidc_audience_claims", "one claim tells the audience, "+s.one()+" here")
		}
	}
	if s, skip := o.on("skip_jwt_bearer_tokens"); !skip {
		if s.at.File == "" {
			s.at = o.api.at
		}
		o.leave(s.at, "skip_jwt_bearer_tokens", "it is off: oauth2-proxy took sessions only, wicketgate takes access tokens and nothing else")
	}
	first := o.know(main)
	if s, given := o.take("client_id"); given {
		o.api.audiences = s.values
	}
	if s, given := o.take("oidc_extra_audiences"); given {
		o.api.audiences = merged(o.api.audiences, s.values)
	}
	if s, given := o.take("extra_jwt_issuers"); given {
		o.extra(first, s)
	}
}

// extra reads issuer=audience pairs.
func (o *oauth2Proxy) extra(first *issuer, s setting) {
	o.api.perIssuer = make(map[*issuer][]string)
	for _, list := range s.values {
		for _, text := range strings.Split(list, ",") {
			at := strings.LastIndexByte(text, '=')
			if at <= 0 || at == len(text)-1 {
				o.leave(s.at, "an entry of extra_jwt_issuers", "it is not of the form issuer=audience")
				continue
			}
			i := o.know(issuer{at: s.at, issuer: strings.TrimSpace(text[:at])})
			if i != first && slices.ContainsFunc(o.issuers, func(other *issuer) bool { return other != i && other.name() == i.name() }) {
				o.leave(s.at, "the audience of a second issuer on "+i.name(), "name the issuers, and write audiences_by_issuer")
				o.issuers = slices.DeleteFunc(o.issuers, func(other *issuer) bool { return other == i })
				continue
			}
			i.named = true
			o.api.perIssuer[i] = append(o.api.perIssuer[i], text[at+1:])
		}
	}
	if list := o.api.perIssuer[first]; len(list) > 0 {
		o.api.perIssuer[first] = merged(o.api.audiences, list)
	}
}

// upstreams finds where requests go, and for which paths.
func (o *oauth2Proxy) upstreams() pattern {
	s, _ := o.take("upstreams")
	var base pattern
	for n, text := range s.values {
		s.at = s.place(n)
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			o.leave(s.at, "an upstream", "it is no http or https URL; nobody passes there")
			o.closeBelow(s.at, u)
			continue
		}
		p, problem := literal(cmpPath(u.Path))
		if strings.HasSuffix(cmpPath(u.Path), "/") {
			p = append(p, "**")
		}
		switch {
		case problem != "":
			o.leave(s.at, "the upstream for "+u.Path, problem)
			o.api.refused = append(o.api.refused, region{at: s.at, pattern: everything()})
		case o.api.upstream == "":
			o.api.upstream, base = u.Scheme+"://"+u.Host, p
		default:
			o.leave(s.at, "the upstream for "+p.String(), "a resource has one upstream; write a second resource with hosts or listen; nobody passes there")
			if !p.covers(base) {
				o.api.refused = append(o.api.refused, region{at: s.at, pattern: p})
			}
		}
	}
	if base == nil {
		return everything()
	}
	return base
}

func cmpPath(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// closeBelow refuses what went to something that is no API.
func (o *oauth2Proxy) closeBelow(at Place, u *url.URL) {
	p := everything()
	if u != nil {
		where := u.Path
		if u.Fragment != "" {
			where = u.Fragment // file:///dir#/path
		}
		if good, problem := literal(cmpPath(where)); problem == "" && len(good) > 0 {
			p = append(good, "**")
		}
	}
	if len(p) > 1 {
		o.api.refused = append(o.api.refused, region{at: at, pattern: p})
	}
}

// demands is the route of all that is not public.
func (o *oauth2Proxy) demands(base pattern) {
	r := &route{at: o.api.at, path: base}
	groups := "groups"
	if s, given := o.take("oidc_groups_claim"); given {
		groups = s.one()
	}
	if s, given := o.take("allowed_groups"); given {
		r.at, r.needs.claims = s.at, append(r.needs.claims, claim{groups, s.values})
	}
	if s, given := o.take("allowed_roles"); given {
		o.roles(r, s)
	}
	if s, given := o.take("email_domains"); given && !slices.Contains(s.values, "*") {
		o.leave(s.at, "email_domains", "a route compares claims as a whole, not their ends")
		r.needs.claims = append(r.needs.claims, claim{"email", []string{blank("the addresses that may call; email_domains in " + s.at.String() + " named " + strings.Join(s.values, ", "))}})
	}
	if s, given := o.take("authenticated_emails_file"); given {
		o.leave(s.at, "authenticated_emails_file", "the addresses belong in claims: {email: [...]}")
		r.needs.claims = append(slices.DeleteFunc(r.needs.claims, func(c claim) bool { return c.path == "email" }),
			claim{"email", []string{blank("the addresses that may call, from authenticated_emails_file in " + s.at.String())}})
	}
	o.api.routes = append(o.api.routes, r)
}

func (o *oauth2Proxy) roles(r *route, s setting) {
	by := make(map[string][]string)
	var paths []string
	for _, role := range s.values {
		path, name := "realm_access.roles", role
		if client, inner, of := strings.Cut(role, ":"); of {
			path, name = "resource_access."+strings.ReplaceAll(client, ".", `\.`)+".roles", inner
		}
		if len(by[path]) == 0 {
			paths = append(paths, path)
		}
		by[path] = append(by[path], name)
	}
	if len(r.needs.claims) > 0 || len(paths) > 1 {
		o.leave(s.at, "allowed_roles", "oauth2-proxy asks for one of all groups and roles; a route asks for one of each claim")
	}
	for _, path := range paths {
		r.at, r.needs.claims = s.at, append(r.needs.claims, claim{path, by[path]})
	}
}

var methodMark = regexp.MustCompile(`^([A-Za-z]+)(!?)=`)

// skipped are the routes that need no token.
func (o *oauth2Proxy) skipped(base pattern) {
	routes, _ := o.take("skip_auth_routes")
	regexes, _ := o.take("skip_auth_regex")
	for i, text := range append(slices.Clone(routes.values), regexes.values...) {
		at, key := routes.place(i), "skip_auth_routes"
		if i >= len(routes.values) {
			at, key = regexes.place(i-len(routes.values)), "skip_auth_regex"
		}
		r := &route{at: at, public: true}
		if m := methodMark.FindStringSubmatch(text); m != nil && key == "skip_auth_routes" {
			if m[2] != "" {
				o.leave(at, key+" "+text, "a route cannot be for all paths but some; they need a token")
				continue
			}
			text, r.methods = text[len(m[0]):], []string{strings.ToUpper(m[1])}
		}
		p, loss := regexPattern(text)
		if loss != "" {
			o.leave(at, key+" "+text, loss+"; they need a token")
		}
		if r.path = p; p == nil {
			continue
		}
		if !base.covers(p) {
			o.leave(at, key+" "+text, "no upstream is there")
			continue
		}
		o.api.routes = append(o.api.routes, r)
	}
	if _, on := o.on("skip_auth_preflight"); on {
		o.api.preflight = "forward"
	}
}

// regexPattern reads a regular expression that is a literal path or the front of
// one. What loss is about does not match the pattern.
func regexPattern(text string) (p pattern, loss string) {
	const none = "only ^/literal/path$ and ^/literal/front are patterns of paths"
	body, anchored := strings.CutPrefix(text, "^")
	if !anchored {
		return nil, none
	}
	whole, below := false, false
	for _, end := range []struct {
		text         string
		whole, below bool
	}{{"(/.*)?$", false, true}, {"(/|$)", false, true}, {"(?:/|$)", false, true}, {"/?$", true, false}, {".*$", false, false}, {".*", false, false}, {"$", true, false}} {
		if front, found := strings.CutSuffix(body, end.text); found && !strings.HasSuffix(front, `\`) {
			body, whole, below = front, end.whole, end.below
			break
		}
	}
	path, plain := unescaped(body)
	if !plain {
		return nil, none
	}
	p, problem := literal(path)
	switch {
	case problem != "":
		return nil, problem
	case whole:
		return p, ""
	case path == "/":
		return everything(), ""
	case below:
		return append(p, "**"), ""
	case strings.HasSuffix(path, "/"):
		return append(p, "*", "**"), ""
	}
	return append(p, "**"), "paths that go on within the last segment match no pattern"
}

// unescaped is the literal that a regular expression stands for.
func unescaped(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`.-/_+`, text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		case strings.IndexByte(`\.+*?()|[]{}^$`, c) >= 0:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// forwards is what the upstream is told.
func (o *oauth2Proxy) forwards() {
	email := "email"
	if s, given := o.take("oidc_email_claim"); given {
		email = s.one()
	}
	told := map[string]header{
		"pass_user_headers": {"X-Auth-Email", email}, "set_xauthrequest": {"X-Auth-Email", email},
	}
	for _, key := range []string{"pass_user_headers", "set_xauthrequest"} {
		if s, on := o.on(key); on {
			if h := told[key]; !slices.Contains(o.api.headers, h) {
				o.api.headers = append(o.api.headers, h, header{"X-Auth-Groups", "groups"}, header{"X-Auth-Preferred-Username", "preferred_username"})
			}
			o.leave(s.at, key, "its headers have other names here: X-Auth-Subject, X-Auth-Email, X-Auth-Groups, X-Auth-Preferred-Username")
		}
	}
	if _, on := o.on("pass_authorization_header"); on {
		o.api.token = true
	}
	if s, on := o.on("pass_access_token"); on {
		o.api.token = true
		o.leave(s.at, "pass_access_token", "the token stays in Authorization; there is no X-Forwarded-Access-Token")
	}
}

// others lists what was not read.
func (o *oauth2Proxy) others() {
	for _, silent := range []string{"api_routes", "skip_oidc_discovery"} {
		delete(o.settings, silent)
	}
	for key, s := range o.settings {
		if len(s.values) == 1 && s.values[0] == "false" || len(s.values) == 0 {
			continue
		}
		o.leave(s.at, key, whyNot(key))
	}
}

var login = regexp.MustCompile(`^(?:cookie|session|redis|http_store|csrf|login|redirect|approval|prompt|acr_values|scope|client_secret|client_secret_file|code_challenge|validate|profile|redeem|proxy_prefix|custom|banner|footer|display|htpasswd|basic_auth|whitelist|backend_logout|skip_provider_button|sign|user_id|oidc_enable|oidc_email|set_|pass_basic|pass_user)`)

func whyNot(key string) string {
	switch {
	case strings.HasPrefix(key, "insecure") || strings.HasPrefix(key, "ssl_insecure"):
		return "wicketgate does not check less"
	case key == "trusted_ips":
		return "nobody passes by address alone; they need a token"
	case key == "reverse_proxy" || key == "real_client_ip_header" || key == "trusted_proxy_ips":
		return "see trusted_proxies for who may say where a request comes from"
	case strings.Contains(key, "logging"):
		return "see log"
	case login.MatchString(key):
		return "logging in and sessions stay with a program that does these"
	}
	return noEquivalent
}

// alpha reads the structured configuration as the settings it stands for.
func (o *oauth2Proxy) alpha(v value) {
	put := func(key string, from value, values ...string) {
		s := setting{at: from.at(), values: values}
		if old, twice := o.settings[key]; twice && key != "upstreams" {
			from.fail("has " + key + " for the second time; first in " + old.at.String())
		} else if twice {
			s = setting{old.at, append(old.values, values...), append(old.places, from.at())}
		} else if len(values) == 1 {
			s.places = []Place{from.at()}
		}
		o.settings[key] = s
	}
	const why = "see the files of oauth2-proxy for what it does; " + noEquivalent
	o.rest(v, "", why, "providers", "upstreamConfig", "upstreams", "injectRequestHeaders", "injectResponseHeaders", "server")
	for i, p := range v.get("providers").items() {
		if i > 0 {
			o.leave(p.at(), "provider "+p.get("id").text(), "the first provider is taken over")
			continue
		}
		o.provider(p, put)
	}
	upstreams := v.get("upstreamConfig", "upstreams")
	if v.get("upstreams").isList() {
		upstreams = v.get("upstreams")
	}
	for _, u := range upstreams.items() {
		o.rest(u, "upstream "+u.get("id").text()+" ", noEquivalent, "id", "path", "uri")
		uri := u.get("uri").text()
		if at, err := url.Parse(uri); err == nil && at.Host != "" {
			uri = at.Scheme + "://" + at.Host + cmpPath(u.get("path").text())
		} else {
			uri = "static:" + cmpPath(u.get("path").text())
		}
		put("upstreams", u, uri)
	}
	for _, h := range v.get("injectRequestHeaders").items() {
		o.injected(h)
	}
	if h := v.get("injectResponseHeaders"); len(h.items()) > 0 {
		o.leave(h.at(), "injectResponseHeaders", "clients are told nothing of their tokens")
	}
	for k, inner := range v.get("server").fields() {
		if strings.EqualFold(k.node.Value, "bindAddress") {
			put("http_address", k, inner.text())
		} else {
			o.leave(k.at(), "server."+k.node.Value, "see listen and tls")
		}
	}
}

func (o *oauth2Proxy) provider(p value, put func(string, value, ...string)) {
	const at = "providers[0]."
	for _, s := range [][2]string{{"clientID", "client_id"}, {"provider", "provider"}} {
		if v := p.get(s[0]); v.has() {
			put(s[1], v, v.text())
		}
	}
	if v := p.get("allowedGroups"); v.has() {
		put("allowed_groups", v, v.texts()...)
	}
	if v := p.get("keycloakConfig", "roles"); v.has() {
		put("allowed_roles", v, v.texts()...)
	}
	oidc := p.get("oidcConfig")
	for _, s := range [][2]string{{"issuerURL", "oidc_issuer_url"}, {"jwksURL", "oidc_jwks_url"}, {"emailClaim", "oidc_email_claim"}, {"groupsClaim", "oidc_groups_claim"}} {
		if v := oidc.get(s[0]); v.has() {
			put(s[1], v, v.text())
		}
	}
	for _, s := range [][2]string{{"audienceClaims", "oidc_audience_claims"}, {"extraAudiences", "oidc_extra_audiences"}} {
		if v := oidc.get(s[0]); v.has() {
			put(s[1], v, v.texts()...)
		}
	}
	o.rest(p, at, "logging in and sessions stay with a program that does these", "id", "name", "clientID", "provider", "allowedGroups", "keycloakConfig", "oidcConfig")
	o.rest(oidc, at+"oidcConfig.", noEquivalent, "issuerURL", "jwksURL", "emailClaim", "groupsClaim", "audienceClaims", "extraAudiences", "skipDiscovery")
	o.rest(p.get("keycloakConfig"), at+"keycloakConfig.", noEquivalent, "roles")
}

// injected is a header for the upstream.
func (o *oauth2Proxy) injected(h value) {
	name := h.get("name").text()
	values := h.get("values").items()
	if len(values) == 1 && values[0].get("claim").has() && !values[0].get("prefix").has() {
		if claim := alphaClaim(values[0].get("claim").text()); claim != "" {
			o.api.headers = o.addHeader(o.api.headers, h.at(), name, claim)
			return
		}
	}
	o.leave(h.at(), "the header "+name, "only a claim by itself becomes a header")
}

// alphaClaim is the claim path of what sessions call it.
func alphaClaim(name string) string {
	switch name {
	case "user":
		return "sub"
	case "access_token", "id_token", "refresh_token", "expires_on", "created_at":
		return ""
	}
	return name
}
