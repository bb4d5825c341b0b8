package token

import (
	"encoding/base64"
	"strings"
)

// InThreeParts reports whether raw has as many dots as a JWS in compact
// serialization. What has not is refused by ParseJWT, whatever else it is.
func InThreeParts(raw string) bool { return strings.Count(raw, ".") == 2 }

// ResemblesJWT reports whether raw is a JWT by its form, good or broken: what
// stands before its first dot is the base64url of something in braces, as the
// header of every JWS and JWE is (RFC 7515 section 7.1, RFC 7516 section 7.1).
// Such a token is never taken for an opaque one. It may allow nothing.
func ResemblesJWT(raw string) bool {
	first, _, dotted := strings.Cut(raw, ".")
	if !dotted {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(first, "="))
	if err != nil {
		return false
	}
	header := strings.TrimSpace(string(text))
	return strings.HasPrefix(header, "{") && strings.HasSuffix(header, "}")
}
