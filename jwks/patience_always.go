//go:build tables_always

package jwks

import "sync"

// For tests: each key has its table before its first check, wherever it comes
// from, each verdict is held to the standard library's, and a wrong one ends the
// test.
const (
	issuerPatience = 0
	clientPatience = 0

	auditAll    = true
	neverTables = false
)

var everywhere = sync.OnceValue(func() *Tables {
	return NewTables(func(alg string) { panic("jwks: a table is wrong about " + alg) })
})
