package token

// ReadBare reads a token that came without a scheme's name, from another place
// than the Authorization field (RFC 6750 sections 2.2 and 2.3). It is a bearer
// token: a proof of possession goes with the field only (RFC 9449 section 7.1).
// The refusal is an invalid_request for what is no token68 of RFC 9110 section
// 11.2.
func ReadBare(text string) (Credential, *Error) {
	if !isToken68(text) {
		return Credential{}, Refuse(InvalidRequest, ReasonMalformed).Using(Bearer)
	}
	return Credential{Scheme: Bearer, Raw: text}, nil
}
