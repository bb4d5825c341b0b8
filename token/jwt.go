package token

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Bounds on the text of a compact serialization, in octets.
const (
	MaxLength      = 16 << 10 // an access token
	MaxProofLength = 6 << 10  // a DPoP proof
	MaxKeyID       = 256      // a kid
)

// A Verifier checks one signature with a key it was made for. It must refuse
// an alg that is not the key's own.
type Verifier interface {
	Verify(alg, signed string, signature []byte) error
}

// Unverified is a JWT whose signature nobody has checked. It tells only what is
// needed to find the key and to refuse early; the claims come out of Open, and
// only past a Verifier.
type Unverified struct {
	Algorithm string // alg as sent
	Type      string // typ in lower case without an "application/" prefix, RFC 7515 section 4.1.9
	KeyID     string // kid, or empty

	header, payload Object
	signed          string
	signature       []byte
}

var strictBase64 = base64.RawURLEncoding.Strict()

// ParseJWT reads raw as a JWS in compact serialization (RFC 7515 section 7.1)
// of at most limit octets whose payload is a JSON object: three non-empty
// parts in canonical base64url, header and payload by the rules of
// ParseObject, no crit, b64 or zip (RFC 7515 section 4.1.11, RFC 7797).
// The error is an *Error with code invalid_token.
func ParseJWT(raw string, limit int) (*Unverified, error) { return parseJWT(raw, limit, nil) }

// parseJWT takes the header from known, where that begins with the same octets.
func parseJWT(raw string, limit int, known *Head) (*Unverified, error) {
	if len(raw) > limit {
		return nil, Refuse(InvalidToken, ReasonTooLong)
	}
	first, second, ok := dots(raw)
	if !ok {
		return nil, Refuse(InvalidToken, ReasonMalformed)
	}
	u := &Unverified{signed: raw[:second]}
	var err error
	if u.signature, err = strictBase64.DecodeString(raw[second+1:]); err != nil { // the shortest of the three
		return nil, Refuse(InvalidToken, ReasonMalformed)
	}
	if known != nil && known.segment == raw[:first] {
		u.header, u.Algorithm, u.Type, u.KeyID = known.header, known.algorithm, known.mediaType, known.keyID
	} else if err := u.decodeHeader(raw[:first]); err != nil {
		return nil, err
	}
	if err := u.payload.decode(raw[first+1 : second]); err != nil {
		return nil, Refuse(InvalidToken, ReasonMalformed).Because(err)
	}
	return u, nil
}

// dots finds the first two dots of a compact serialization. It is not ok unless
// there is at least one character around each. A dot more, and whatever
// else is not base64url, is found when the parts are decoded, but for line breaks:
// encoding/base64 skips those by itself.
func dots(raw string) (first, second int, ok bool) {
	first = strings.IndexByte(raw, '.')
	second = first + 1 + strings.IndexByte(raw[first+1:], '.')
	ok = first > 0 && second > first+1 && second < len(raw)-1
	return first, second, ok && strings.IndexByte(raw, '\n') < 0 && strings.IndexByte(raw, '\r') < 0
}

// decode parses what part is the base64url of.
func (o *Object) decode(part string) error {
	if len(part) > usualLength {
		return o.decodeLong(part)
	}
	text, err := strictBase64.AppendDecode(make([]byte, 0, usualLength), []byte(part))
	if err != nil {
		return err
	}
	return o.parse(string(text))
}

// decodeLong makes room for the text once, piece by piece, and only for one that
// begins within bounds. A piece is a whole number of groups of four characters.
func (o *Object) decodeLong(part string) error {
	var text strings.Builder
	var piece [usualLength / 4 * 3]byte
	for rest := part; len(rest) > 0; {
		length := min(len(rest), usualLength)
		n, err := strictBase64.Decode(piece[:], []byte(rest[:length]))
		if err != nil {
			return err
		}
		if len(rest) == len(part) {
			if err := beginning(string(piece[:n])); err != nil {
				return err
			}
			text.Grow(strictBase64.DecodedLen(len(part)))
		}
		_, _ = text.Write(piece[:n]) // never fails
		rest = rest[length:]
	}
	return o.parse(text.String())
}

func (u *Unverified) decodeHeader(segment string) error {
	if err := u.header.decode(segment); err != nil {
		return Refuse(InvalidToken, ReasonMalformed).Because(err)
	}
	return u.readHeader()
}

func (u *Unverified) readHeader() error {
	for _, forbidden := range [...]string{"crit", "b64", "zip"} {
		if _, found := u.header.Get(forbidden); found {
			return Refuse(InvalidToken, ReasonCritical)
		}
	}
	alg, _ := u.header.Get("alg")
	var ok bool
	if u.Algorithm, ok = alg.Text(); !ok || u.Algorithm == "" {
		return Refuse(InvalidToken, ReasonAlgorithm)
	}
	if typ, found := u.header.Get("typ"); found {
		text, ok := typ.Text()
		if !ok {
			return Refuse(InvalidToken, ReasonType)
		}
		u.Type = strings.TrimPrefix(lowerASCII(text), "application/")
	}
	if kid, found := u.header.Get("kid"); found {
		if u.KeyID, ok = kid.Text(); !ok || len(u.KeyID) > MaxKeyID {
			return Refuse(InvalidToken, ReasonUnknownKey)
		}
	}
	return nil
}

// Header returns a member of the JOSE header. It is as untrusted as the rest.
func (u *Unverified) Header(name string) (Value, bool) { return u.header.Get(name) }

// Untrusted returns a claim nobody vouches for yet. It may refuse a request
// early or choose the key to check with; it must never allow, label or log.
func (u *Unverified) Untrusted(name string) (Value, bool) { return u.payload.Get(name) }

// SignatureLength is the length of the signature in octets.
func (u *Unverified) SignatureLength() int { return len(u.signature) }

// Signature checks the signature over the octets as they were received.
func (u *Unverified) Signature(v Verifier) error {
	return v.Verify(u.Algorithm, u.signed, u.signature)
}

// Open checks the signature with v and returns the claims. The error is v's,
// or an *Error with code invalid_token when a registered claim has the wrong
// type.
func (u *Unverified) Open(v Verifier) (*Claims, error) {
	return u.OpenInto(nil, v)
}

// OpenInto is Open for claims that are to be kept: they are packed with d, and
// nothing of the token's text stays in memory with them. With a nil d they are not.
func (u *Unverified) OpenInto(d *Dictionary, v Verifier) (*Claims, error) {
	if err := u.Signature(v); err != nil {
		return nil, err
	}
	payload := u.payload // by itself, and not as a part of u
	if d != nil {
		return decodeClaims(d.pack(&payload))
	}
	return decodeClaims(&payload)
}

// lowerASCII lowers the letters of ASCII only: strings.ToLower would make some
// others equal to them.
func lowerASCII(text string) string {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return text
		}
	}
	return strings.ToLower(text)
}
