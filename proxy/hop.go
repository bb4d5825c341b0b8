package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/wicketgate/wicketgate/proxy/forwarded"
)

type hopKey struct{}

// A hop is what is found out once about a client's connection.
type hop struct{ known atomic.Pointer[hopFacts] }

// hopFacts are never changed, only replaced.
type hopFacts struct {
	peer netip.Addr

	// What a request for host over proto that nobody passed on is introduced with;
	// empty before the first.
	host, proto          string
	forwarded, forwarder string
}

// ConnContext is the ConnContext of an http.Server whose Handler is a Reverse: it
// makes room for what requests on one connection have in common. A Reverse works
// without it.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, hopKey{}, &hop{}) // the address of conn may not be there yet
}

// peerOf is peer, read once a connection.
func (ex *exchange) peerOf(r *http.Request) netip.Addr {
	if ex.hop == nil {
		ex.hop, _ = r.Context().Value(hopKey{}).(*hop)
	}
	if ex.hop == nil {
		return PeerOf(r)
	}
	if known := ex.hop.known.Load(); known != nil {
		return known.peer
	}
	facts := &hopFacts{peer: PeerOf(r)}
	ex.hop.known.Store(facts)
	return facts.peer
}

// introduction renders Forwarded and X-Forwarded-For.
func (ex *exchange) introduction(p *forwarded.Path, host, proto string) (standard, usual string) {
	if ex.hop == nil || len(p.Told) > 0 || p.Peer != ex.peerOf(ex.writer.request) {
		return p.Forwarded(host, proto), p.For()
	}
	known := ex.hop.known.Load()
	if known.forwarded == "" || known.host != host || known.proto != proto {
		known = &hopFacts{peer: p.Peer, host: host, proto: proto, forwarded: p.Forwarded(host, proto), forwarder: p.For()}
		ex.hop.known.Store(known)
	}
	return known.forwarded, known.forwarder
}
