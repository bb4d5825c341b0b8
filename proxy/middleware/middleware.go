// Package middleware is the gate inside a Go program: a handler in front of another,
// which decides by the code of wicketgate serve. It reads no body, and knows no
// streams: it looks at a request once, before the next handler does.
//
// What it judges is the request as the client sent it: proofs name that URL, and routes
// are written for it. So it goes around whatever changes URL.Path, and not inside:
//
//	middleware.Handler(c, http.StripPrefix("/api", mux))
//
// The other way round the next handler would serve another path than was judged, and
// each such request is refused.
package middleware

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/token"
)

// For makes the Checker of a program with one resource and the limits of the manual.
// Who changes a gate while it serves, or has several, makes one with a Switch of its
// own, whose site has no Peers.
func For(g *proxy.Gate) *proxy.Checker {
	s := &proxy.Switch{}
	s.Set(&proxy.Table{Sites: map[string]*proxy.Site{"": {Only: g}}, Limits: proxy.DefaultLimits})
	return proxy.NewChecker(proxy.CheckerOptions{Switch: s})
}

// Handler hands to next the requests that c allows, less what only the gate may say
// and with what it says of the caller, as an upstream would get them. It answers all
// others, and refuses (400, reason question) those whose URL is not that of RequestURI
// any more: some handler before this one has changed it.
func Handler(c *proxy.Checker, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.WithContext(r.Context())
		asked.Body = nil // next's
		checked := check(c, asked)
		maps.Copy(w.Header(), checked.Header)
		if !checked.Allowed {
			w.WriteHeader(checked.Status)
			_, _ = w.Write(checked.Body) // a client that has gone needs no answer
			return
		}
		next.ServeHTTP(w, onward(r, checked))
	})
}

func check(c *proxy.Checker, r *http.Request) *proxy.Checked {
	if !untouched(r) {
		return c.Decline(r, token.Refuse(token.InvalidRequest, token.ReasonQuestion))
	}
	return c.Check(netip.Addr{}, r)
}

// untouched reports whether the URL of r, by which handlers serve it, is what net/http
// has read from RequestURI, by which it is judged. The target of CONNECT is no URL, and
// is allowed by nobody.
func untouched(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	sent, err := url.ParseRequestURI(r.RequestURI)
	return err == nil && r.URL != nil && sent.Path == r.URL.Path && sent.EscapedPath() == r.URL.EscapedPath() && sent.RawQuery == r.URL.RawQuery
}

type callerKey struct{}

// Principal is who sent the request of ctx; nil for an anonymous caller, and where no
// Handler has let a request through.
func Principal(ctx context.Context) *token.Principal {
	p, _ := ctx.Value(callerKey{}).(*token.Principal)
	return p
}

// onward is r as it goes on.
func onward(r *http.Request, checked *proxy.Checked) *http.Request {
	out := r.WithContext(context.WithValue(r.Context(), callerKey{}, checked.Principal))
	out.Header = maps.Clone(r.Header)
	for _, name := range checked.Remove {
		delete(out.Header, name)
	}
	maps.Copy(out.Header, checked.Set)
	if checked.Path == "" {
		return out
	}
	raw, query, _ := strings.Cut(checked.Path, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		path = raw // cannot be: the door let only good escapes through
	}
	at := *r.URL
	at.Path, at.RawPath, at.RawQuery = path, raw, query
	out.URL, out.RequestURI = &at, checked.Path
	return out
}
