package config

import (
	"regexp"
	"slices"
	"strings"
)

// cookieName is a token of RFC 9110, as RFC 6265 section 4.1.1 wants it.
var cookieName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")

// A header that browsers or caches fill in by themselves carries no token that
// a client meant to send.
var (
	browsers = strings.Fields("accept accept-charset accept-encoding accept-language cache-control content-language content-location date from " +
		"if-match if-modified-since if-none-match if-range if-unmodified-since last-event-id max-forwards origin pragma priority range referer " +
		"traceparent tracestate true-client-ip upgrade-insecure-requests user-agent warning x-requested-with")
	browserPrefixes = []string{"sec-", "access-control-", "x-forwarded-", "x-original-", "x-rewrite-", "x-envoy-", "x-client-cert", "client-cert", "x-ssl-", "ssl-client-"}
)

// tokenSources checks the places a resource opens for a token. It runs after
// the routes have their effective headers.
func (c *checker) tokenSources(path string, r *Resource) {
	s := r.TokenSources
	if at := path + ".cookie"; s.Cookie != "" && !cookieName.MatchString(s.Cookie) {
		c.bad(at, "is no cookie name", "up to 128 letters, digits and hyphens, like __Host-token")
	}
	c.tokenHeader(path+".header", s.Header, r)
	c.unusedSources(path, r)
	if s.Query {
		c.warn("query-tokens", path+".query", "takes tokens from addresses, which end up in histories, logs and Referer", "have clients send the Authorization header, and remove it")
	}
	if s.Body {
		c.warn("body-tokens", path+".body", "takes tokens from forms, which are read before anything is known of the sender", "have clients send the Authorization header, and remove it")
	}
}

func (c *checker) tokenHeader(path, name string, r *Resource) {
	normal := normalName(name)
	ownMeaning := slices.Contains(refused, normal) || slices.Contains(browsers, normal) ||
		slices.ContainsFunc(browserPrefixes, func(p string) bool { return strings.HasPrefix(normal, p) })
	switch {
	case name == "":
	case !headerName.MatchString(name):
		c.bad(path, "is no header name", "letters, digits and hyphens")
	case slices.Contains(ours, normal):
		c.bad(path, "is set for every request already", "take another name, like X-Api-Token")
	case ownMeaning:
		c.bad(path, "is a header with a meaning of its own", "take another name, like X-Api-Token")
	case setsHeader(r, normal):
		c.bad(path, "is set by forward already", "take another name, like X-Api-Token")
	}
}

// setsHeader reports whether a resource tells its upstream something under a
// name in normal form.
func setsHeader(r *Resource, normal string) bool {
	sets := func(f Forward) bool {
		return slices.ContainsFunc(f.Names(), func(name string) bool { return normalName(name) == normal })
	}
	return sets(r.Forward) || slices.ContainsFunc(r.Routes, func(route Route) bool { return sets(route.Forward) })
}

// open lists the keys of the places that are open.
func (s TokenSources) open() (keys []string) {
	for _, source := range [...]struct {
		key string
		on  bool
	}{{"cookie", s.Cookie != ""}, {"header", s.Header != ""}, {"query", s.Query}, {"body", s.Body}, {"websocket", s.WebSocket}} {
		if source.on {
			keys = append(keys, source.key)
		}
	}
	return keys
}
