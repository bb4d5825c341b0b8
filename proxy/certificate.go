package proxy

import (
	"errors"
	"net/http"
	"strings"

	"github.com/wicketgate/wicketgate/proxy/clientcert"
	"github.com/wicketgate/wicketgate/token"
)

// certificate is the x5t#S256 of the certificate whose key the client holds, or
// "". Where a header says, the connection's own certificate is that of the
// proxy and counts for nothing.
func (t *Table) certificate(r *http.Request, trusted bool) (string, error) {
	switch {
	case t.Certificates != nil && trusted:
		return t.Certificates.Read(r.Header)
	case t.Certificates == nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return clientcert.Thumbprint(r.TLS.PeerCertificates[0].Raw), nil
	}
	return "", nil
}

// blame tells the log why there was no certificate to hold a token against.
func (r *Request) blame(err error) error {
	refusal, refused := errors.AsType[*token.Error](err)
	if r.CertificateFault == nil || !refused || refusal.Reason != token.ReasonMTLSBinding {
		return err
	}
	return refusal.Because(r.CertificateFault)
}

// hideCertificate takes out of an answer what is for the hop behind the gate
// only: the fields of RFC 9440 never go to a client (sections 2.2 and 2.3), and
// Vary cannot name them to caches that never see them (section 2.4).
func hideCertificate(h http.Header) {
	for _, name := range [...]string{
		"Client-Cert", "Client-Cert-Chain", http.TrailerPrefix + "Client-Cert", http.TrailerPrefix + "Client-Cert-Chain",
	} {
		delete(h, name)
	}
	for _, line := range h["Vary"] {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.Trim(one, " \t"); strings.EqualFold(one, "Client-Cert") || strings.EqualFold(one, "Client-Cert-Chain") {
				h["Vary"] = []string{"*"}
				return
			}
		}
	}
}
