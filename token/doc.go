// Package token holds the words every other package speaks: what a client
// presents (Credential), what was parsed but not yet believed (Unverified),
// what a signature vouches for (Claims) and who the caller turned out to be
// (Principal), with the errors and challenges that go with them.
//
// It reads JOSE objects itself and strictly: one octet string has one
// spelling, no JSON name appears twice, nothing is padded, extended by crit or
// nested. It does no I/O, holds no key and knows no issuer; finding the key
// is the work of package jwks, judging the claims that of package validator.
package token
