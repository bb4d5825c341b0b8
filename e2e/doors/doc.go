// Package doors runs proxies that ask the gate about each request and forward it
// themselves: nginx and Caddy as Debian ships them. It is a module of its own, like
// the other runs with real parts.
package doors
