package token

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Claims is the claims set of a token whose signature held. The registered
// claims are decoded with exact types (RFC 7519 section 4.1, RFC 9068 section
// 2.2); a claim that is absent is the zero value. Whether they satisfy anybody
// is judged elsewhere.
type Claims struct {
	Issuer, Subject, ClientID, ID string
	Audience                      []string
	Expiry, NotBefore, IssuedAt   time.Time
	Confirm                       Confirmation

	object *Object
}

// Confirmation is the cnf claim (RFC 7800 section 3.1).
type Confirmation struct {
	Present bool   // the claim is there: the token is bound to something
	JKT     string // jkt, RFC 9449 section 6.1
	X5T     string // x5t#S256, RFC 8705 section 3.1
}

// Lookup returns a claim by its dotted path, undecoded.
func (c *Claims) Lookup(path string) (Value, bool) { return c.object.Lookup(path) }

// Members lists all claims, undecoded, in the order of the token. The slice is
// shared: callers must not change it.
func (c *Claims) Members() []Member {
	if c.object == nil {
		return nil
	}
	return c.object.Members()
}

// AppendMembers adds what Members lists to out, which costs nothing where out has
// the room.
func (c *Claims) AppendMembers(out []Member) []Member {
	switch {
	case c.object == nil:
		return out
	case c.object.packed.shape != nil:
		return c.object.packed.appendMembers(out)
	}
	return append(out, c.object.members...)
}

// ReadClaims reads the registered claims out of what an issuer itself said of
// a token (RFC 7662 section 2.2). The error is an *Error with code
// invalid_token when one has the wrong type.
func ReadClaims(o *Object) (*Claims, error) { return decodeClaims(o) }

// decodeClaims reads the registered claims out of o.
func decodeClaims(o *Object) (*Claims, error) {
	c := &Claims{object: o}
	texts := [...]struct {
		name string
		to   *string
	}{{"iss", &c.Issuer}, {"sub", &c.Subject}, {"client_id", &c.ClientID}, {"jti", &c.ID}}
	for _, t := range texts {
		if err := readText(o, t.name, t.to); err != nil {
			return nil, err
		}
	}
	dates := [...]struct {
		name string
		to   *time.Time
	}{{"exp", &c.Expiry}, {"nbf", &c.NotBefore}, {"iat", &c.IssuedAt}}
	for _, d := range dates {
		if v, found := o.Get(d.name); found {
			var ok bool
			if *d.to, ok = NumericDate(v); !ok {
				return nil, Refuse(InvalidToken, ReasonClaim)
			}
		}
	}
	if v, found := o.Get("aud"); found {
		var ok bool
		if c.Audience, ok = o.readAudience(v); !ok {
			return nil, Refuse(InvalidToken, ReasonAudience)
		}
	}
	if v, found := o.Get("cnf"); found {
		var ok bool
		if c.Confirm, ok = readConfirmation(v); !ok {
			return nil, Refuse(InvalidToken, ReasonConfirmation)
		}
	}
	return c, nil
}

// readText reads a claim that must be a non-empty string where it is present:
// an empty sub or iss would compare equal to "not there".
func readText(o *Object, name string, to *string) error {
	v, found := o.Get(name)
	if !found {
		return nil
	}
	text, ok := v.Text()
	if !ok || text == "" {
		return Refuse(InvalidToken, ReasonClaim)
	}
	*to = text
	return nil
}

// TextOrList reads a string, or an array of nothing but strings.
func TextOrList(v Value) ([]string, bool) {
	if text, ok := v.Text(); ok {
		return []string{text}, true
	}
	return v.Texts()
}

// latestDate is 9999-12-31T23:59:59Z, the last second RFC 3339 can write. A
// later date cannot be told from an overflow.
const latestDate = 253402300799

// NumericDate reads seconds since the epoch, fractions allowed (RFC 7519
// section 2). It is not ok for any other type, for a negative number and for a
// date after the year 9999.
func NumericDate(v Value) (date time.Time, ok bool) {
	text, ok := v.Number()
	if !ok {
		return time.Time{}, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0), n <= latestDate && text[0] != '-'
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || text[0] == '-' || f > latestDate {
		return time.Time{}, false
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*float64(time.Second))), true
}

// readConfirmation is not ok when cnf is no object, holds no method known
// here, or holds a known one in any form but 43 base64url characters. To pass
// over a method nobody here can check would turn a bound token into a bearer
// token; unknown members beside a known one are no harm.
func readConfirmation(v Value) (c Confirmation, ok bool) {
	c.Present = true
	for _, m := range [...]struct {
		name string
		to   *string
	}{{"jkt", &c.JKT}, {"x5t#S256", &c.X5T}} {
		member, found := v.Member(m.name)
		if !found {
			continue
		}
		text, isText := member.Text()
		if !isText || !isDigest(text) {
			return c, false
		}
		*m.to = text
	}
	return c, c.JKT != "" || c.X5T != ""
}

// isDigest reports whether text is a SHA-256 in canonical base64url.
func isDigest(text string) bool {
	if len(text) != 43 || strings.ContainsAny(text, "\r\n") {
		return false
	}
	_, err := strictBase64.AppendDecode(make([]byte, 0, 32), []byte(text))
	return err == nil
}

// Scopes is a set of scope values (RFC 6749 section 3.3), case-sensitive.
type Scopes []string

// ParseScopes splits text on single spaces, and on nothing else.
func ParseScopes(text string) Scopes {
	s := make(Scopes, 0, strings.Count(text, " ")+1)
	for one := range strings.SplitSeq(text, " ") {
		if one != "" {
			s = append(s, one)
		}
	}
	if len(s) == 0 {
		return nil
	}
	return s
}

// Has reports whether scope is in the set, by equality.
func (s Scopes) Has(scope string) bool {
	for _, one := range s {
		if one == scope {
			return true
		}
	}
	return false
}

// String joins the set as it goes on the wire.
func (s Scopes) String() string { return strings.Join(s, " ") }

// Binding says what the caller proved beside holding the token: a set, since a
// token can be bound in both ways and then needs both.
type Binding uint8

// The bindings a principal can have.
const (
	Unbound   Binding = 0
	BoundDPoP Binding = 1 // RFC 9449
	BoundMTLS Binding = 2 // RFC 8705
)

// String is the value of the X-Auth-Binding header: the bindings separated by a
// space, as scopes are; empty for Unbound.
func (b Binding) String() string {
	switch b {
	case BoundDPoP:
		return "dpop"
	case BoundMTLS:
		return "mtls"
	case BoundDPoP | BoundMTLS:
		return "dpop mtls"
	case Unbound:
	}
	return ""
}

// Principal is the caller after every check on its token has passed. Only
// package validator makes one; internal/arch holds that.
type Principal struct {
	*Claims
	Scope   Scopes
	Binding Binding
	Issuer  string // the name the operator gave the issuer, for logs and metrics; the iss claim is Claims.Issuer
	Machine bool   // the token bears its issuer's own sign of a client that acts for itself
	Told    bool   // the token is opaque: its issuer was asked about it (RFC 7662)

	Until time.Time // when the token is taken no more, leeway included; zero where no end is told

	// Nonce is what the client should put into its next proof, when the one it
	// used is about to end; else empty (RFC 9449 section 8.2).
	Nonce string
}

// SubjectType tells a client acting for itself from a user: "client" when the
// token names no subject, its subject is its client (RFC 9068 section 5,
// RFC 9700 section 4.15) or its issuer marks it so, else "user".
func (p *Principal) SubjectType() string {
	if p.Machine || p.Subject == "" || p.Subject == p.ClientID {
		return "client"
	}
	return "user"
}
