// Package admin is the pages of the admin listener that are more than a line:
// the status page, profiles, and who is told what. It knows nothing of how a
// gate is put together; whoever does fills in a Page.
//
// What it does not do: identify people. It tells this machine from others, and
// programs from pages in a browser, by what neither can make up.
package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// meshPeer is where the proxy of an Istio pod connects from, whoever it speaks
// for: an address of loopback that says nothing about the caller.
var meshPeer = netip.MustParseAddr("127.0.0.6")

// Here reports whether r came from this machine, by a program or by a person
// who asked for it, and not by way of a page in a browser here or of a proxy.
func Here(r *http.Request) bool { return refusal(r) == "" }

// OnlyHere serves callers on this machine, and tells all others no.
func OnlyHere(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if why := refusal(r); why != "" {
			Text(w, http.StatusForbidden, why)
			return
		}
		next(w, r)
	}
}

// NotForBrowsers serves programs wherever they are: kubelets and curl send none of
// what browsers do. A page anywhere can have a browser ask here.
func NotForBrowsers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if fromBrowser(r.Header) {
			Text(w, http.StatusForbidden, "not for browsers\n")
			return
		}
		next(w, r)
	}
}

// fromBrowser also goes by the language: a browser that follows a name over plain
// HTTP tells neither where from nor what for.
func fromBrowser(h http.Header) bool {
	for name := range h {
		if name == "Origin" || name == "Accept-Language" || strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}

// refusal is why r is not to be obeyed; empty for no reason.
func refusal(r *http.Request) string {
	// Who connects to a socket is here, whatever it asks for. A proxy can pass
	// requests on to it all the same, those of browsers too.
	near := overSocket(r)
	switch {
	case !near && !fromLoopback(r.RemoteAddr) || passedOn(r):
		return "only from this machine\n"
	case !near && !loopbackHost(r.Host):
		return "only from this machine: ask for localhost or an address of loopback\n"
	case foreign(r):
		return "only from this machine, and not for a page of another origin\n"
	}
	return ""
}

// overSocket tells connections over a Unix socket, whose permissions say who may
// connect.
func overSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

func fromLoopback(peer string) bool {
	at, err := netip.ParseAddrPort(peer)
	ip := at.Addr().Unmap()
	return err == nil && ip.IsLoopback() && ip != meshPeer
}

// passedOn tells requests that some proxy on this machine speaks for: it would
// lend its own address to whoever reaches it. Some add no field, and of those
// some speak HTTP/1.0, which nobody does who asks for himself; the others pass
// for callers of this machine.
func passedOn(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) {
		return true
	}
	for name := range r.Header {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip", "X-Request-Id":
			return true
		}
		for _, prefix := range [...]string{"X-Forwarded-", "X-Envoy-", "L5d-"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// loopbackHost wants a name that nobody's name server can point here: a page
// whose own host resolves to 127.0.0.1 is of the same origin to its browser.
func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	ip, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

var crossOrigin = http.NewCrossOriginProtection()

// foreign tells requests that a browser makes for a page of another origin.
func foreign(r *http.Request) bool {
	asked := *r
	asked.Method = http.MethodPost // reading is let through else, and it is what is guarded here
	return crossOrigin.Check(&asked) != nil
}

// Text answers with a line or more of text, which no cache keeps and no browser
// takes for something else.
func Text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
}
