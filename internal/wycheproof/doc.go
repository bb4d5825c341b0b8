// Package wycheproof holds the product to the JSON Web Signature and JSON Web
// Key vectors of the Wycheproof project. It has no code of its own to import.
//
// The vectors are fetched as a Go module, so the tests need either the network
// or a filled module cache. They stand behind the build tag wycheproof for that
// reason, and `make wycheproof` runs them. Whoever asks for them gets them or a
// failure; they are never skipped.
//
// Each vector is tried three ways: as it is published, with its fault carried
// onto a real access token, and with its fault carried onto a DPoP proof.
package wycheproof
