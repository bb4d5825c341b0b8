package token

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
)

// Scheme is an authentication scheme, or a set of them.
type Scheme uint8

// The schemes a token can come with.
const (
	Bearer Scheme = 1 << iota // RFC 6750 section 2.1
	DPoP                      // RFC 9449 section 7.1
)

// schemes lists the schemes in the order their challenges are sent: Bearer
// first, since old clients read only the first.
var schemes = [...]struct {
	scheme Scheme
	name   string
}{{Bearer, "Bearer"}, {DPoP, "DPoP"}}

// String names the schemes of the set, separated by a space.
func (s Scheme) String() string {
	var names []string
	for _, one := range schemes {
		if s&one.scheme != 0 {
			names = append(names, one.name)
		}
	}
	return strings.Join(names, " ")
}

// Credential is what a request presents, read but not believed. The zero
// Credential is a request that presents nothing. It prints as its scheme only.
type Credential struct {
	Scheme Scheme   // one scheme, or 0
	Raw    string   // the token's text
	Proofs []string // the DPoP field lines; one is right, RFC 9449 section 4.3

	// What a proof must have been made for: the request's method, the origins
	// the resource is known under, and the path as the client sent it.
	Method  string
	Origins []string
	Path    string

	// NonceNeeded wants the proof to carry a nonce that was given out here (RFC
	// 9449 section 9).
	NonceNeeded bool

	// Certificate is the x5t#S256 of the certificate the client holds the key
	// of (RFC 8705 section 3.1), or empty.
	Certificate string

	Sender Sender // nil where nobody knows
	Trace  *Trace // notes what is looked at; nil but in explain
}

// A Sender says who pays for what a credential costs in vain: the zero Addr where
// the address that is known stands for many clients.
type Sender interface {
	Payer() netip.Addr
}

// Present reports whether there is a token.
func (c Credential) Present() bool { return c.Scheme != 0 }

// Digest is the SHA-256 of the token's text: the key of every cache, and the
// ath of a proof (RFC 9449 section 4.2). The token's own text is kept nowhere.
func (c Credential) Digest() [32]byte {
	if len(c.Raw) <= usualLength {
		return sha256.Sum256(append(make([]byte, 0, usualLength), c.Raw...)) // on the stack, where []byte(c.Raw) is not
	}
	hash, rest := sha256.New(), c.Raw
	var piece [usualLength]byte
	for len(rest) > 0 {
		n := copy(piece[:], rest)
		_, _ = hash.Write(piece[:n]) // never fails
		rest = rest[n:]
	}
	var sum [32]byte
	hash.Sum(sum[:0])
	return sum
}

// usualLength is what tokens hardly ever exceed, in octets.
const usualLength = 2 << 10

// Format keeps the token and the proof out of every log line, whatever the
// verb.
func (c Credential) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "credential(%s)", c.Scheme)
}

// ReadAuthorization reads the Authorization field lines of a request (RFC 6750
// section 2.1, RFC 9449 section 7.1, RFC 9110 section 11.6.2). No line, an
// empty one and a scheme other than Bearer and DPoP present nothing. The
// refusal is an invalid_request that names the schemes used.
func ReadAuthorization(lines []string) (Credential, *Error) {
	if len(lines) == 0 {
		return Credential{}, nil
	}
	var used Scheme
	for _, line := range lines {
		used |= readScheme(line).scheme
	}
	if len(lines) > 1 {
		return Credential{}, Refuse(InvalidRequest, ReasonTwoMethods).Using(used)
	}
	first := readScheme(lines[0])
	if first.scheme == 0 {
		return Credential{}, nil
	}
	if !isToken68(first.rest) {
		return Credential{}, Refuse(InvalidRequest, ReasonMalformed).Using(used)
	}
	return Credential{Scheme: first.scheme, Raw: first.rest}, nil
}

type schemeLine struct {
	scheme Scheme
	rest   string // what follows the scheme's name and its spaces; empty when no space does
}

// readScheme cuts the scheme's name off line. A name that ends in anything but
// a space leaves no rest: a slash ends it too, and is a character of token68.
func readScheme(line string) schemeLine {
	end := 0
	for end < len(line) && isTokenChar(line[end]) {
		end++
	}
	for _, one := range schemes {
		if strings.EqualFold(line[:end], one.name) {
			rest := strings.TrimLeft(line[end:], " ")
			if len(rest) == len(line)-end {
				rest = ""
			}
			return schemeLine{one.scheme, rest}
		}
	}
	return schemeLine{}
}

// HasScheme reports whether a credential begins with the name of a scheme a
// token can come with, however it goes on.
func HasScheme(credential string) bool { return readScheme(credential).scheme != 0 }

// IsToken tells a token of RFC 9110 section 5.6.2: the name of a method or of a
// field.
func IsToken(text string) bool {
	for i := range len(text) {
		if !isTokenChar(text[i]) {
			return false
		}
	}
	return text != ""
}

// isTokenChar tells the tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isToken68 tells the token68 of RFC 9110 section 11.2: at least one character
// of the alphabet, then only equals signs.
func isToken68(text string) bool {
	body := strings.TrimRight(text, "=")
	for i := range len(body) {
		if !token68[body[i]] {
			return false
		}
	}
	return body != ""
}

// token68 marks its characters.
var token68 = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") {
		t[c] = true
	}
	return t
}()
