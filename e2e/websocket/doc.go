// Package websocket runs a real WebSocket library as client and service through
// the gate. It is a module of its own so that the product's has no word of it.
package websocket
