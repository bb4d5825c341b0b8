// Package redis runs the built gate against a real Redis: two processes that
// share used proofs, and every way the server can be absent, slow, full or
// forgetful. It is a module of its own so that the product's has no word of
// toxiproxy.
package redis
