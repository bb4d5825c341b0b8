package lint

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/config"
)

// unusedScopes finds scopes in scope_hierarchy that make no difference.
func unusedScopes(l *linter) {
	l.resources(func(path string, r *config.Resource) {
		asked := make(map[string]bool)
		for _, one := range r.Routes {
			for _, s := range slices.Concat(one.Scopes.All, one.Scopes.Any) {
				asked[s] = true
			}
		}
		for _, wide := range slices.Sorted(maps.Keys(r.ScopeHierarchy)) {
			at, list := config.Below(path+".scope_hierarchy", wide), r.ScopeHierarchy[wide]
			if !slices.ContainsFunc(list, func(s string) bool { return matters(r.ScopeHierarchy, asked, s) }) {
				l.doubtKey(at, "makes no difference: no route asks for a scope that it stands for", "remove it, or ask for one of them in scopes of a route")
				continue
			}
			for i, narrow := range list {
				if !matters(r.ScopeHierarchy, asked, narrow) {
					l.doubt(fmt.Sprintf("%s[%d]", at, i), "makes no difference: no route asks for this scope", "remove it, or ask for it in scopes of a route")
				}
			}
		}
	})
}

// matters tells whether a route asks for scope, or for one it stands for.
func matters(implies map[string][]string, asked map[string]bool, scope string) bool {
	seen := map[string]bool{scope: true}
	for queue := []string{scope}; len(queue) > 0; queue = queue[1:] {
		if asked[queue[0]] {
			return true
		}
		for _, next := range implies[queue[0]] {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return false
}

// sharedAudience finds resources that take each other's tokens.
func sharedAudience(l *linter) {
	first := make(map[string]string)
	l.resources(func(path string, r *config.Resource) {
		own := path + ".identifier"
		if l.Has(path + ".audiences") {
			own = path + ".audiences"
		}
		for i, audience := range r.Audiences {
			at := own
			if l.Has(fmt.Sprintf("%s[%d]", own, i)) {
				at = fmt.Sprintf("%s[%d]", own, i)
			}
			other, taken := first[audience]
			if taken {
				l.doubt(at, "is an audience of "+other+" too: a token for one is good at both", "give each resource an audience of its own")
				continue
			}
			first[audience] = path
		}
	})
}

// narrowest are the shortest prefixes of public addresses that pass for proxies
// of somebody.
const narrowest4, narrowest6 = 10, 20

// wideProxies finds blocks of public addresses that no proxy of ours fills.
func wideProxies(l *linter) {
	ours := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	}
	for i, p := range l.TrustedProxies {
		least := narrowest4
		if p.Addr().Is6() {
			least = narrowest6
		}
		within := func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Contains(p.Addr()) }
		if p.Bits() == 0 || p.Bits() >= least || slices.ContainsFunc(ours, within) {
			continue
		}
		l.doubt(fmt.Sprintf("trusted_proxies[%d]", i), "trusts a large part of the internet to say where a request comes from", "list the addresses of your proxies, like 10.0.0.0/8")
	}
}

// A header is one that a forward of the file names.
type header struct {
	name string
	at   string // its place: of the key in headers, else of the value
	in   string // what has it, as routes[0].forward.headers
}

// forwarding calls visit for each header that a forward of the file names, where
// it is written, and for that of an assertion which names none.
func (l *linter) forwarding(visit func(h header)) {
	l.resources(func(path string, r *config.Resource) {
		whole := path + ".forward"
		l.headers(whole, r.Forward, l.Has(whole+".assertion"), visit)
		for i, one := range r.Routes {
			at := fmt.Sprintf("%s.routes[%d].forward", path, i)
			l.headers(at, one.Forward, l.Has(at+".assertion") && !l.Has(whole+".assertion"), visit)
		}
	})
}

func (l *linter) headers(path string, f config.Forward, asserts bool, visit func(h header)) {
	if in := path + ".headers"; l.Has(in) {
		for _, name := range slices.Sorted(maps.Keys(f.Headers)) {
			visit(header{name, config.Below(in, name), in})
		}
	}
	if at := path + ".claims_header"; l.Has(at) {
		visit(header{f.ClaimsHeader, at, at})
	}
	at := path + ".assertion.header"
	if a := f.Assertion; a.On() && !a.InAuthorization() {
		switch {
		case l.Has(at):
			visit(header{a.Header, at, at})
		case asserts:
			visit(header{a.Header, path + ".assertion", path + ".assertion"})
		}
	}
}

// doubtHeader is doubt about the name of h.
func (l *linter) doubtHeader(h header, message, hint string) {
	if h.at == h.in {
		l.doubt(h.at, message, hint)
		return
	}
	l.doubtKey(h.at, message, hint)
}

// foldedHeader finds names that servers drop or take for others.
func foldedHeader(l *linter) {
	l.forwarding(func(h header) {
		if bare := strings.Map(hyphen, h.name); bare != h.name {
			l.doubtHeader(h, "is dropped by some servers, as nginx does with underscores, and by others taken for "+bare, "write "+bare)
		}
	})
}

func hyphen(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// headerTwins finds headers of several routes whose names are one to CGI, WSGI
// and the like.
func headerTwins(l *linter) {
	first := make(map[string]header) // by folded name
	l.forwarding(func(h header) {
		folded := strings.ToLower(strings.Map(hyphen, h.name))
		other, taken := first[folded]
		switch {
		case !taken:
			first[folded] = h
		case other.name != h.name:
			l.doubtHeader(h, "is "+other.name+" of "+other.in+" by another name: some servers read both as one, others do not", "write "+other.name+" in both")
		}
	})
}

// spoken are headers that clients, caches and frameworks act upon, in lower
// case; those that mean something to the hop or to the message are errors.
var (
	spoken = strings.Fields("accept accept-charset accept-encoding accept-language age allow cache-control content-disposition content-language content-location " +
		"content-range date early-data etag from if-match if-modified-since if-none-match if-range if-unmodified-since last-event-id last-modified location " +
		"max-forwards origin pragma prefer priority range referer retry-after server traceparent tracestate baggage true-client-ip user-agent vary warning " +
		"x-requested-with x-original-url x-rewrite-url x-original-uri x-original-method x-csrf-token x-http-path-override remote-addr https request-method request-uri script-name path-info query-string")
	spokenPrefixes = []string{"sec-", "access-control-", "if-", "x-envoy-", "x-accel-", "x-sendfile", "cf-", "x-amzn-", "x-ssl-", "ssl-client-"}
)

// spokenHeader finds names that mean something else to upstreams.
func spokenHeader(l *linter) {
	l.forwarding(func(h header) {
		folded := strings.ToLower(strings.Map(hyphen, h.name))
		if slices.Contains(spoken, folded) || slices.ContainsFunc(spokenPrefixes, func(p string) bool { return strings.HasPrefix(folded, p) }) {
			l.doubtHeader(h, "has a meaning of its own to many upstreams, and takes the place of what the client sends there", "take another name, like X-Auth-Email")
		}
	})
}
