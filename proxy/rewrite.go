package proxy

import (
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
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
	out.URL = &url.URL{
		Scheme: up.scheme, Host: up.host, Path: path, RawPath: raw,
		// Byte for byte: httputil has dropped fields it could not parse.
		RawQuery: ex.upstreamQuery(), ForceQuery: ex.query == "?",
	}
	out.Host = pr.In.Host
	out.Trailer = nil
	h := out.Header
	delete(h, "Connection") // httputil puts an upgrade back in; none is let through
	restoreForwarding(h, pr.In.Header, ex.trusted)
	strip(h, ex.forward.ours, ex.trusted)
	// Only a token that was proven may stay: the upstream would believe any.
	if !ex.forward.token || ex.decision.Principal == nil {
		dropToken(h)
	}
	ex.cleanSources(h)
	for _, f := range ex.fields {
		h[f.name] = []string{f.value}
	}
	if ex.interaction != "" {
		h[HeaderInteraction] = []string{ex.interaction}
	}
	ex.askUpgrade(h)
	ex.introduce(h, pr.In)
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

// restoreForwarding puts back what httputil takes away from everybody, when
// the peer may be believed.
func restoreForwarding(out, in http.Header, trusted bool) {
	if !trusted {
		return
	}
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := in[name]; v != nil {
			out[name] = v
		}
	}
}

// introduce says who asks and through whom: X-Forwarded-*, Forwarded (RFC
// 7239) and Via, each behind what a trusted peer said.
func (ex *exchange) introduce(h http.Header, in *http.Request) {
	client := peer(in)
	address := "unknown"
	if client.IsValid() {
		address = client.String()
	}
	proto := "http"
	if in.TLS != nil || ex.gate.BehindTLS {
		proto = "https"
	}
	extend(h, "X-Forwarded-For", address)
	if h["X-Forwarded-Host"] == nil {
		h["X-Forwarded-Host"] = []string{in.Host}
	}
	if h["X-Forwarded-Proto"] == nil {
		h["X-Forwarded-Proto"] = []string{proto}
	}
	extend(h, "Forwarded", "for="+forwardedNode(client)+`;host="`+in.Host+`";proto=`+proto)
	version := "1." + strconv.Itoa(in.ProtoMinor)
	if in.ProtoMajor == 2 {
		version = "2"
	}
	extend(h, "Via", version+" "+ex.table.name())
}

// extend adds value to the end of a list-based field, on one line.
func extend(h http.Header, name, value string) {
	if before := h[name]; len(before) > 0 {
		value = strings.Join(before, ", ") + ", " + value
	}
	h[name] = []string{value}
}

// forwardedNode writes an address as RFC 7239 section 6 wants it. It ends in
// the log of somebody else, so it is built from a parsed address only.
func forwardedNode(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "unknown"
	case a.Is6():
		return `"[` + a.WithZone("").String() + `]"`
	}
	return a.String()
}
