package token

import "errors"

// Vouched is a refusal of, or a fault about, a token that an issuer answers for:
// its signature held, or the issuer itself told of it. What a token says of its
// issuer before that is in no Vouched.
type Vouched struct {
	Issuer string // its name
	Err    error
}

// Error is for the log.
func (v *Vouched) Error() string { return v.Err.Error() }

// Unwrap returns what it is about.
func (v *Vouched) Unwrap() error { return v.Err }

// Voucher names the issuer that answers for the token err is about; empty where
// nobody does, or nobody asked for it.
func Voucher(err error) string {
	if v, is := errors.AsType[*Vouched](err); is {
		return v.Issuer
	}
	return ""
}
