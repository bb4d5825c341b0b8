package proxy

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/wicketgate/wicketgate/token"
)

// rewrite makes the outbound request. httputil has removed the hop-by-hop
// fields before, which is why nothing a client lists in Connection can take
// away what is added here.
func rewrite(pr *httputil.ProxyRequest) {
	ex := exchangeOf(pr.In.Context())
	out := pr.Out
	up := ex.gate.Upstream
	raw := up.base + ex.decision.Route.UpstreamPath(ex.request.RawPath)
	path, err := url.PathUnescape(raw)
	if err != nil {
		path = raw // cannot be: the door let only good escapes through
	}
	*out.URL = url.URL{ // httputil has made it for us
		Scheme: up.scheme, Host: up.host, Path: path, RawPath: raw,
		// Byte for byte: httputil has dropped fields it could not parse.
		RawQuery: ex.upstreamQuery(), ForceQuery: ex.query == "?",
	}
	out.Host = pr.In.Host
	out.Trailer = nil
	h := out.Header
	delete(h, "Connection") // httputil puts an upgrade back in; none is let through
	ex.identify(h)
	ex.askUpgrade(h)
	ex.introduce(h, pr.In)
	ex.link(h)
}

// identify takes out of the header of an allowed request what its client may not
// tell the upstream, and puts in who the client is.
func (ex *exchange) identify(h http.Header) {
	strip(h, ex.forward.ours, ex.trusted || ex.held) // who holds it introduces it
	if ex.held && !ex.trusted {
		dropHearsay(h, !ex.copies)
	}
	// Only a token that was proven may stay: the upstream would believe any.
	if !ex.forward.o.KeepToken || ex.decision.Principal == nil {
		dropToken(h)
	}
	dropConnectionProof(h)
	ex.cleanSources(h)
	for _, f := range ex.fields {
		h[f.name] = ex.line(f.value)
	}
	if ex.interaction != "" {
		h[HeaderInteraction] = ex.line(ex.interaction)
	}
}

// dropToken removes the Authorization field when it carries a scheme of ours,
// in whatever way a lenient reader might find it there. What an API does with
// other schemes is its own business.
func dropToken(h http.Header) {
	for _, line := range h["Authorization"] {
		for piece := range strings.SplitSeq(line, ",") {
			if token.HasScheme(strings.TrimLeft(piece, " \t")) {
				delete(h, "Authorization")
				return
			}
		}
	}
}

// extend adds value to the end of a list-based field, on one line.
func (ex *exchange) extend(h http.Header, name, value string) {
	if before := h[name]; len(before) > 0 {
		value = strings.Join(before, ", ") + ", " + value
	}
	h[name] = ex.line(value)
}
