package config

import (
	"slices"
	"strings"
)

// streams checks what a route says of streams.
func (c *checker) streams(path string, r *Route, upstream string) {
	if at := path + ".end_streams"; r.Public && c.has(at) {
		c.bad(at, "means nothing on a public route", "remove it, or public")
	}
	if at := path + ".timeout"; upstream == "" && c.has(at) {
		c.bad(at, "means nothing without an upstream", "the proxy that asks waits for it; remove it")
	}
	at := path + ".websocket"
	switch {
	case !r.WebSocket:
	case len(r.Methods) > 0 && !slices.Contains(r.Methods, "GET"):
		c.bad(at, "needs GET among methods", "a handshake is a GET (RFC 6455 section 4.1)")
	case strings.HasPrefix(upstream, "h2c://"):
		c.bad(at, "is not for an upstream that speaks HTTP/2 only", "write http:// for the upstream, or remove it")
	}
}
