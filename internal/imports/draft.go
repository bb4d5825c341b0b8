package imports

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// draft is a configuration while it is gathered.
type draft struct {
	Options

	format string
	files  []string

	listen    string
	tls       [2]string // certificate and key
	issuers   []*issuer
	resources []*resource
	left      []Left
}

// issuer is one issuer of tokens.
type issuer struct {
	at                             Place
	issuer, discovery, keys, about string
	provider, audience             string // preset, and the claim with the audience
	algorithms                     []string
	blankKeys                      string // why there must be a file with keys
	introspect                     string // endpoint that is asked about its tokens
	named                          bool   // by audiences_by_issuer
}

// name is what the issuer is called, as package config does it.
func (i *issuer) name() string {
	if u, err := url.Parse(i.issuer); err == nil && u.Host != "" {
		return strings.ToLower(u.Host)
	}
	return "issuer"
}

type header struct{ name, claim string }

// resource is one API.
type resource struct {
	at                         Place
	name, identifier, upstream string
	audiences                  []string
	perIssuer                  map[*issuer][]string
	origins, hosts             []string
	cookie, tokenHeader        string
	query                      bool
	preflight                  string
	headers                    []header
	token                      bool
	policy                     string // that all of it is under

	routes  []*route
	open    bool     // without routes all that have a token may do everything
	union   bool     // who satisfies any of the rules that fit a request may send it
	refused []region // what nobody may do, or only with more than the routes ask for
}

// needs is what a caller must bring beside a good token.
type needs struct {
	all, any []string
	claims   []claim
	subjects []string
}

type claim struct {
	path   string
	values []string
}

// route is one rule.
type route struct {
	at       Place
	name     string
	path     pattern
	methods  []string // none for all
	public   bool
	optional bool
	closed   bool // nobody passes
	weak     bool // closed unless another rule fits
	needs    needs
	strip    string
	headers  []header // replace those of the resource unless nil
	except   []region // where a rule of a union is silent
}

// leave notes what was not taken over.
func (d *draft) leave(at Place, what, why string) {
	d.left = append(d.left, Left{at, bare(what), bare(why)})
}

// userInfo is the user part of a URL, where passwords are.
var userInfo = regexp.MustCompile(`//[^/\s"']*@`)

// bare takes user names and passwords out of URLs; where they are written check
// would refuse them.
func bare(text string) string { return userInfo.ReplaceAllString(text, "//") }

// know adds an issuer, or finds the one of the same identifier.
func (d *draft) know(one issuer) *issuer {
	for _, i := range d.issuers {
		if i.issuer == one.issuer && one.issuer != "" {
			return i
		}
	}
	if u, err := url.Parse(one.issuer); one.issuer != "" && !isBlank(one.issuer) && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		d.leave(one.at, "the issuer "+one.issuer, "an issuer is an https URL; remove it, or have it make other tokens")
		one.issuer = blank("an issuer that is an https URL, not " + one.issuer)
	}
	if strings.HasPrefix(one.issuer, "http://") {
		d.leave(one.at, "the issuer "+one.issuer, "it is no https URL, which check refuses but for loopback hosts; see insecure_http")
	}
	d.issuers = append(d.issuers, &one)
	return &one
}

// speaksFor adds to needs that the token is by this issuer, where there are
// others.
func (d *draft) speaksFor(n *needs, issuers ...*issuer) {
	if len(d.issuers) < 2 {
		return
	}
	var names []string
	for _, i := range issuers {
		d.fill(i)
		names = append(names, i.issuer)
	}
	n.claims = append(n.claims, claim{"iss", names})
}

// complete fills in what no file said.
func (d *draft) complete() {
	if len(d.issuers) == 0 {
		d.issuers = append(d.issuers, &issuer{at: Place{File: d.files[0]}})
	}
	for _, i := range d.issuers {
		d.fill(i)
		i.issuer, i.keys, i.discovery, i.introspect = bare(i.issuer), bare(i.keys), bare(i.discovery), bare(i.introspect)
	}
	named := make(map[string]bool)
	for _, r := range d.resources {
		r.upstream = bare(r.upstream)
		r.name = routeName(r.name, named)
		if d.Identifier != "" && len(d.resources) == 1 {
			if web(r.identifier) != "" && web(d.Identifier) == "" && len(r.origins) == 0 {
				r.origins = []string{web(r.identifier)}
			}
			r.identifier = d.Identifier
		}
		if r.identifier == "" && len(r.hosts) > 0 && !strings.Contains(r.hosts[0], "*") {
			r.identifier = "https://" + r.hosts[0]
		}
		if r.identifier == "" {
			r.identifier = blank("what tokens name as audience, the https URL of the API")
		}
		if web(r.identifier) == "" && !isBlank(r.identifier) && len(r.origins) == 0 {
			r.origins = []string{blank("scheme and host under which clients find the API")}
		}
		if d.Upstream != "" {
			r.upstream = d.Upstream
		}
		if r.upstream == "" {
			r.upstream = blank("where the API listens, like http://127.0.0.1:3000")
		}
		if len(d.resources) > 1 && len(r.hosts) == 0 {
			r.hosts = []string{blank("the host that this API answers to")}
		}
	}
}

// only tells whether these are all issuers there are: a route on which a token
// may be missing cannot ask whose it is.
func (d *draft) only(issuers []*issuer) bool {
	return len(d.issuers) < 2 || !slices.ContainsFunc(d.issuers, func(i *issuer) bool { return !slices.Contains(issuers, i) })
}

// keysAt notes where keys are, if nobody on the path can forge them.
func (d *draft) keysAt(i *issuer, at Place, uri string) {
	if u, err := url.Parse(uri); err != nil || u.Scheme != "https" || u.Host == "" {
		d.leave(at, "the keys at "+uri, "keys come by https; they are looked for in the issuer's metadata")
		return
	}
	i.keys = uri
}

// fill names an issuer that no file does.
func (d *draft) fill(i *issuer) {
	if i.issuer == "" {
		i.issuer = d.Issuer
	}
	if i.issuer == "" {
		i.issuer = blank(strings.TrimSpace("the issuer, an https URL, as iss of tokens has it " + i.about))
	}
}

// web is the origin of an https URL, or "".
func web(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	return "https://" + strings.ToLower(u.Host)
}

func (n *needs) none() bool {
	return len(n.all)+len(n.any)+len(n.claims)+len(n.subjects) == 0
}

func (n *needs) equal(o *needs) bool {
	return slices.Equal(n.all, o.all) && slices.Equal(n.any, o.any) && slices.Equal(n.subjects, o.subjects) &&
		slices.EqualFunc(n.claims, o.claims, func(a, b claim) bool { return a.path == b.path && slices.Equal(a.values, b.values) })
}

// and adds what o needs. Where both want one of several things and the lists
// differ only what is in both is good enough; ok is false if nothing is.
func (n *needs) and(o needs) (ok bool) {
	for _, s := range o.all {
		if !slices.Contains(n.all, s) {
			n.all = append(slices.Clip(n.all), s)
		}
	}
	var good bool
	if n.any, good = both(n.any, o.any); !good {
		return false
	}
	if n.subjects, good = both(n.subjects, o.subjects); !good {
		return false
	}
	n.claims = slices.Clone(n.claims)
	for _, c := range o.claims {
		at := slices.IndexFunc(n.claims, func(have claim) bool { return have.path == c.path })
		if at < 0 {
			n.claims = append(n.claims, c)
		} else if slices.Equal(n.claims[at].values, c.values) {
			continue
		} else if c.path != "iss" {
			return false // a claim that is a list may hold one of each
		} else if n.claims[at].values, good = both(n.claims[at].values, c.values); !good {
			return false
		}
	}
	return true
}

// both is what two lists share, an empty one standing for everything.
func both(a, b []string) ([]string, bool) {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...), true
	}
	var out []string
	for _, s := range a {
		if slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out, len(out) > 0
}

// either is what satisfies n or o, where a route can say that.
func (n *needs) either(o *needs) (needs, bool) {
	if n.none() || n.equal(o) {
		return *n, true
	}
	if o.none() {
		return *o, true
	}
	scopes := func(x *needs) ([]string, bool) {
		if len(x.claims)+len(x.subjects) > 0 || len(x.all) > 1 || len(x.all) > 0 && len(x.any) > 0 {
			return nil, false
		}
		return append(slices.Clone(x.all), x.any...), true
	}
	if a, ok := scopes(n); ok {
		if b, ok := scopes(o); ok {
			return needs{any: merged(a, b)}, true
		}
	}
	if len(n.claims) == 1 && len(o.claims) == 1 && n.claims[0].path == o.claims[0].path {
		x, y := *n, *o
		x.claims, y.claims = nil, nil
		if x.equal(&y) {
			x.claims = []claim{{n.claims[0].path, merged(n.claims[0].values, o.claims[0].values)}}
			return x, true
		}
	}
	if x, y := *n, *o; len(n.subjects) > 0 && len(o.subjects) > 0 {
		x.subjects, y.subjects = nil, nil
		if x.equal(&y) {
			x.subjects = merged(n.subjects, o.subjects)
			return x, true
		}
	}
	return needs{}, false
}

func merged(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
