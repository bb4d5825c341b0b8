package main

import (
	"crypto/tls"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/proxy"
)

// cipherSuites lists the suites of TLS 1.2 that BCP 195 recommends (RFC 9325
// section 4.2), where FAPI 2.0 section 5.2 allows no other, and is nil for
// those of Go. The suites of TLS 1.3 are all good.
func cipherSuites(c *config.File) []uint16 {
	if !c.FAPI() {
		return nil
	}
	return recommended()
}

func recommended() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}
}

// servedSuites lists the suites of TLS 1.2 that clients may choose from: those
// with forward secrecy and authenticated encryption.
func servedSuites(c *config.File) []uint16 {
	if c.FAPI() {
		return recommended()
	}
	return append(recommended(), tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)
}

// ownInteraction keeps other spellings of the interaction's field from the
// upstream.
func ownInteraction(c *config.File, f *proxy.Forward) {
	if c.FAPI() {
		f.Ours(proxy.HeaderInteraction)
	}
}
