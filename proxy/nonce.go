package proxy

import (
	"net/http"
	"strings"
)

// headerNonce is DPoP-Nonce (RFC 9449 section 8.2) as net/http spells it.
const headerNonce = "Dpop-Nonce"

// nonce is what the client should put into its next proof; empty where it needs
// no other, or none at all.
func (d *Decision) nonce() string {
	if d.Would != nil { // the next proof is to be better than this one was
		return d.Would.nonce()
	}
	if d.Refusal != nil && d.Refusal.Nonce != "" {
		return d.Refusal.Nonce
	}
	if d.Principal != nil {
		return d.Principal.Nonce
	}
	return ""
}

// replaceNonce takes away what the upstream says about nonces, since proofs end
// here, and sends one ahead with a success when the client's is about to end.
// Such an answer must not be stored (RFC 9449 section 8.2).
func replaceNonce(resp *http.Response) {
	delete(resp.Header, headerNonce)
	ex := exchangeOf(resp.Request.Context())
	if ex == nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return
	}
	nonce := ex.decision.nonce()
	if nonce == "" {
		return
	}
	dropTargeted(resp.Header)
	resp.Header["Cache-Control"] = []string{"no-store"}
	resp.Header[headerNonce] = []string{nonce}
}

// dropTargeted removes the fields of RFC 9213 and their forerunner, each of
// which would outdo Cache-Control in the caches it is for.
func dropTargeted(h http.Header) {
	for name := range h {
		if strings.HasSuffix(name, "-Cache-Control") || name == "Surrogate-Control" {
			delete(h, name)
		}
	}
}

// dropNonceTrailer takes the nonce out of the trailer section, once the header
// section is sent.
func dropNonceTrailer(h http.Header) {
	delete(h, headerNonce)
	delete(h, http.TrailerPrefix+headerNonce)
}
