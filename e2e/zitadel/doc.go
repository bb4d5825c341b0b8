// Package zitadel runs the gate beside an authorization server built on
// ZITADEL's OpenID provider library, so that nothing is tuned to the one
// server of the other runs. It is a module of its own to keep the library out
// of the product's.
package zitadel
