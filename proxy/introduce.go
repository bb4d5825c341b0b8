package proxy

import (
	"cmp"
	"net/http"
	"net/netip"
	"strings"

	"github.com/wicketgate/wicketgate/proxy/forwarded"
)

// way is how r came to the gate, less what is not fit to be passed on. It is
// found once.
func (ex *exchange) way(r *http.Request) *forwarded.Path {
	if ex.path != nil {
		return ex.path
	}
	p := &ex.room.path
	*p = forwarded.Path{Client: ex.peerOf(r)}
	if ex.table != nil {
		*p = ex.table.Trusted.Trace(r.Header, p.Client)
	}
	ex.path = p
	if host, ok := NormalHost(p.Host); !ok || ex.table.isOfAnother(host, ex.gate) || ex.gate != nil && !ex.gate.Policy.SameRoutes(ex.request.Host, host) {
		p.Host = ""
	}
	switch p.Proto = strings.ToLower(p.Proto); p.Proto {
	case "http", "https", "ws", "wss":
	default:
		p.Proto = ""
	}
	return p
}

// Source implements policy.Sender.
func (ex *exchange) Source() netip.Addr { return ex.way(ex.writer.request).Client }

// Payer implements token.Sender.
func (ex *exchange) Payer() netip.Addr { return ex.table.Trusted.Single(ex.Source()) }

// isOfAnother tells whether a normalised host is that of another resource than
// g's. An upstream of both might serve that one, for a token that is for g.
func (t *Table) isOfAnother(host string, g *Gate) (other bool) {
	for _, s := range t.Sites {
		switch s.Hosts[host] {
		case nil:
		case g:
			return false
		default:
			other = true
		}
	}
	return other
}

// introduce says who asks and through whom: X-Forwarded-*, Forwarded (RFC
// 7239) and Via. All but Via are made anew from what was parsed. httputil has
// taken the client's away.
func (ex *exchange) introduce(h http.Header, in *http.Request) {
	p, proto := ex.way(in), "http"
	if in.TLS != nil || ex.gate.BehindTLS {
		proto = "https"
	}
	standard, usual := ex.introduction(p, in.Host, proto)
	h["Forwarded"], h["X-Forwarded-For"] = ex.line(standard), ex.line(usual)
	h["X-Forwarded-Host"] = ex.line(cmp.Or(p.Host, in.Host))
	h["X-Forwarded-Proto"] = ex.line(cmp.Or(p.Proto, proto))
	if h["X-Real-Ip"] != nil { // there is one answer to who the client is
		h["X-Real-Ip"] = ex.line(p.Client.String())
	}
	ex.extend(h, "Via", ex.table.via(in))
}
