package validator

import (
	"crypto/subtle"

	"github.com/wicketgate/wicketgate/token"
)

// holdsCertificate reports whether the client holds the key of the certificate
// with this x5t#S256 (RFC 8705 section 3.1), which is never empty.
func holdsCertificate(cred token.Credential, x5t string) bool {
	return subtle.ConstantTimeCompare([]byte(cred.Certificate), []byte(x5t)) == 1
}
